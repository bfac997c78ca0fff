#include "common/log.h"

#include <grpc/support/log.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace tfd {
namespace {

// Date, time with milliseconds, level as one letter, name, text.
constexpr char kPattern[] = "%Y-%m-%d %H:%M:%S.%e %L %n: %v";

constexpr std::pair<absl::string_view, spdlog::level::level_enum> kLevels[] = {
    {"trace", spdlog::level::trace}, {"debug", spdlog::level::debug},
    {"info", spdlog::level::info},   {"warn", spdlog::level::warn},
    {"error", spdlog::level::err},   {"off", spdlog::level::off}};

// What gRPC writes by itself repeats, at length, what comes back as a status.
void LogForGrpc(gpr_log_func_args* args) {
  spdlog::debug("gRPC {}:{}: {}", args->file, args->line, args->message);
}

}  // namespace

absl::Status InitLogging(const LogOptions& options) {
  for (const auto& [name, level] : kLevels) {
    if (options.level != name) continue;
    auto logger = std::make_shared<spdlog::logger>(
        options.name, std::make_shared<spdlog::sinks::stderr_sink_mt>());
    logger->set_pattern(kPattern);
    logger->set_level(level);
    logger->flush_on(spdlog::level::trace);
    spdlog::set_default_logger(std::move(logger));
    gpr_set_log_function(LogForGrpc);
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", options.level,
                   "\" is no log level; use trace, debug, info, warn, error "
                   "or off"));
}

}  // namespace tfd
