// The one set-up of spdlog. Code logs with spdlog::info("…", …) and so on.
#ifndef TFD_COMMON_LOG_H_
#define TFD_COMMON_LOG_H_

#include <string>

#include "absl/status/status.h"

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

#endif  // TFD_COMMON_LOG_H_
