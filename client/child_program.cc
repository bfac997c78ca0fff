#include "client/child_program.h"

#include "common/interrupt.h"
#include "common/status.h"

namespace tfd::client {

absl::StatusOr<int> RunProgram(const Context& context, ChildOptions child) {
  child.dies_with_parent = true;
  TFD_ASSIGN_OR_RETURN(ChildProcess process, ChildProcess::Start(child));
  constexpr absl::Duration kInterruptInterval = absl::Milliseconds(50);
  constexpr absl::Duration kGrace = absl::Seconds(2);
  while (true) {
    absl::StatusOr<ChildExit> exit = process.Wait(kInterruptInterval);
    if (exit.ok()) {
      constexpr int kFailed = 1;
      return exit->signal != 0 ? kFailed : exit->code;
    }
    if (context.interrupt->Wait(absl::ZeroDuration()) != 0) {
      process.Stop(kGrace);
      return absl::CancelledError("interrupted");
    }
  }
}

}  // namespace tfd::client
