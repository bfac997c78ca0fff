#include "client/context.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "common/child_process.h"
#include "common/fs/file_system.h"
#include "common/status.h"

namespace tfd::client {

absl::StatusOr<Context> Context::OfProcess(Interrupt* interrupt) {
  Context context;
  context.out = &std::cout;
  context.err = &std::cerr;
  context.err_is_terminal = isatty(STDERR_FILENO) == 1;
  winsize size = {};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    context.columns = size.ws_col;
  }
  for (char** entry = environ; *entry != nullptr; ++entry) {
    absl::string_view text = *entry;
    size_t equals = text.find('=');
    if (equals == absl::string_view::npos) continue;
    context.variables.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  std::error_code error;
  context.work_folder = std::filesystem::current_path(error).string();
  if (error) return ErrnoStatus(error.value(), "the current folder");
  TFD_ASSIGN_OR_RETURN(context.program_folder, ProgramFolder());
  context.interrupt = interrupt;
  return context;
}

std::string Context::Variable(const std::string& name) const {
  auto found = variables.find(name);
  return found == variables.end() ? "" : found->second;
}

std::string Context::Absolute(const std::string& path) const {
  if (absl::StrContains(path, "://")) return path;
  std::filesystem::path joined = std::filesystem::path(work_folder) / path;
  return joined.lexically_normal().string();
}

std::string Context::Program(const std::string& name) const {
  return JoinPath(program_folder, name);
}

std::string Context::StateFolder() const {
  std::string base = Variable("XDG_STATE_HOME");
  if (base.empty()) base = JoinPath(Variable("HOME"), ".local/state");
  return JoinPath(base, "tfd");
}

}  // namespace tfd::client
