// The tfd command: its subcommands, flags and help.
#ifndef TFD_CLIENT_COMMAND_LINE_H_
#define TFD_CLIENT_COMMAND_LINE_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/context.h"

namespace CLI {
class App;
}

namespace tfd::client {

// What the flags that all commands share say, and the command that was chosen.
struct CommandLine {
  const Context* context;
  // --coordinator.
  std::string coordinator;
  // --json.
  bool json = false;
  // The chosen command; gives the exit code, or why it could not be done.
  std::function<absl::StatusOr<int>()> chosen;
};

// Parses and runs. Errors go to context.err; gives the exit code: 0 success,
// 1 the job failed, 2 bad input, 3 the cluster cannot be reached, 130
// interrupted.
int RunCommandLine(const Context& context,
                   const std::vector<std::string>& arguments);

// Each adds its commands to `app` and, when one is parsed, sets
// `line->chosen`. `line` outlives `app`.
void AddRunCommands(CLI::App* app, CommandLine* line);  // run, validate, init
void AddJobCommands(CLI::App* app, CommandLine* line);  // submit, jobs, job, …
void AddClusterCommands(CLI::App* app, CommandLine* line);  // nodes, up, down
void AddModelCommands(CLI::App* app, CommandLine* line);    // predict, get
void AddDataCommands(CLI::App* app, CommandLine* line);     // data convert
void AddFeedCommand(CLI::App* app, CommandLine* line);

}  // namespace tfd::client

#endif  // TFD_CLIENT_COMMAND_LINE_H_
