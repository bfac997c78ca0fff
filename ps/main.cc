// tfd-ps: a parameter server of a job. An agent starts it and tells it
// everything in TFD_* environment variables (common/task/environment.h).
#include <CLI/CLI.hpp>

#include "common/fs/remote_file_system.h"
#include "common/interrupt.h"
#include "common/tuning.h"
#include "common/version.h"
#include "ps/ps_process.h"

int main(int argc, char** argv) {
  tfd::TuneForThroughput();
  tfd::Interrupt interrupt;
  const tfd::RemoteFileSystemEnd remote_file_system_end;
  CLI::App app("A parameter server of a tfd job. Agents start it.", "tfd-ps");
  app.set_version_flag("--version", tfd::kVersion);
  CLI11_PARSE(app, argc, argv);
  return tfd::ps::RunPsTask(&interrupt);
}
