#include <iostream>
#include <string>
#include <vector>

#include "client/command_line.h"
#include "client/context.h"
#include "common/fs/remote_file_system.h"
#include "common/interrupt.h"
#include "common/log.h"
#include "common/status.h"

int main(int argc, char** argv) {
  tfd::Interrupt interrupt;
  const tfd::RemoteFileSystemEnd remote_file_system_end;
  absl::Status logging = tfd::InitLogging({"tfd", "warn"});
  absl::StatusOr<tfd::client::Context> context =
      tfd::client::Context::OfProcess(&interrupt);
  if (logging.ok()) logging = context.status();
  if (!logging.ok()) {
    std::cerr << "tfd: " << logging.message() << std::endl;
    return tfd::ExitCode(logging);
  }
  return tfd::client::RunCommandLine(
      *context, std::vector<std::string>(argv + 1, argv + argc));
}
