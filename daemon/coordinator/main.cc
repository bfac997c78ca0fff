#include <iostream>
#include <optional>

#include "common/interrupt.h"
#include "common/status.h"
#include "daemon/coordinator/options.h"
#include "daemon/coordinator/run.h"

int main(int argc, char** argv) {
  tfd::Interrupt interrupt;
  const absl::StatusOr<std::optional<tfd::coordinator::CommandLine>> line =
      tfd::coordinator::ParseCommandLine(argc, argv);
  absl::Status status = line.status();
  if (status.ok() && line->has_value()) {
    status = tfd::coordinator::Run(**line, interrupt);
  }
  if (!status.ok()) {
    std::cerr << "tfd-coordinator: " << status.message() << std::endl;
  }
  return tfd::ExitCode(status);
}
