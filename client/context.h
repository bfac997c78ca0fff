// What a command sees of the world, so that tests can give it another one.
#ifndef TFD_CLIENT_CONTEXT_H_
#define TFD_CLIENT_CONTEXT_H_

#include <map>
#include <ostream>
#include <string>

#include "absl/status/statusor.h"
#include "common/interrupt.h"

namespace tfd::client {

// Lives as long as the command; the pointers are not owned.
struct Context {
  // Results, and what --json prints.
  std::ostream* out;
  // Progress, hints and errors.
  std::ostream* err;
  // `err` is a terminal: a progress line may rewrite itself.
  bool err_is_terminal = false;
  // Columns of that terminal.
  int columns = 100;
  // The environment: ${NAME} in a spec, HOME, TFD_COORDINATOR.
  std::map<std::string, std::string> variables;
  // Relative paths on the command line are relative to this.
  std::string work_folder;
  // The folder of tfd-coordinator, tfd-agent and tfd-worker.
  std::string program_folder;
  // Ctrl-C.
  Interrupt* interrupt;

  // The process's own. `interrupt` outlives it.
  static absl::StatusOr<Context> OfProcess(Interrupt* interrupt);

  // A variable of the environment, or "".
  std::string Variable(const std::string& name) const;
  // `path` as the user wrote it, made absolute.
  std::string Absolute(const std::string& path) const;
  // The program `name` beside this one.
  std::string Program(const std::string& name) const;
  // Where tfd keeps what outlives a command: $XDG_STATE_HOME/tfd, or
  // ~/.local/state/tfd.
  std::string StateFolder() const;
};

}  // namespace tfd::client

#endif  // TFD_CLIENT_CONTEXT_H_
