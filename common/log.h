// The one set-up of spdlog. Code logs with spdlog::info("…", …) and so on.
#ifndef TFD_COMMON_LOG_H_
#define TFD_COMMON_LOG_H_

#include <spdlog/spdlog.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace tfd {

struct LogOptions {
  // The program or task, e.g. "tfd-ps" or "job mnist-x1 ps/0"; in every line.
  std::string name;
  // trace, debug, info, warn, error, off.
  std::string level = "info";
};

// To standard error: time with milliseconds, level, name, text. Called once by
// each program's root before it starts threads.
absl::Status InitLogging(const LogOptions& options);

}  // namespace tfd

// spdlog::warn("…: {}", status.message()), also where Abseil's string_view is
// not the standard's.
#ifndef ABSL_USES_STD_STRING_VIEW
template <>
struct fmt::formatter<absl::string_view> : fmt::formatter<fmt::string_view> {
  template <typename Context>
  auto format(absl::string_view text, Context& context) const {
    return fmt::formatter<fmt::string_view>::format(
        fmt::string_view(text.data(), text.size()), context);
  }
};
#endif

#endif  // TFD_COMMON_LOG_H_
