// The programs that do what the client, which links neither LibTorch nor Arrow,
// cannot.
#ifndef TFD_CLIENT_CHILD_PROGRAM_H_
#define TFD_CLIENT_CHILD_PROGRAM_H_

#include "absl/status/statusor.h"
#include "client/context.h"
#include "common/child_process.h"

namespace tfd::client {

// Runs it with this process's output, until it ends or the user interrupts;
// gives its exit code.
absl::StatusOr<int> RunProgram(const Context& context, ChildOptions child);

}  // namespace tfd::client

#endif  // TFD_CLIENT_CHILD_PROGRAM_H_
