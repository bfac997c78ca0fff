// The one adapter from LibTorch's exceptions to Status: whatever calls LibTorch
// goes through CatchTorch, and no exception gets past it.
#ifndef TFD_WORKER_TORCH_ERROR_H_
#define TFD_WORKER_TORCH_ERROR_H_

#include <string>
#include <utility>

#include "absl/status/status.h"

namespace tfd::worker {

// To be called inside a catch block: the exception in flight as a Status, with
// the one useful line of c10::Error (no backtrace), "`what`: " in front.
// ResourceExhausted where memory ran out, else Internal.
absl::Status CurrentTorchError(const std::string& what);

// Runs `function`, which returns a Status or StatusOr; an exception becomes
// one. `what` says what was being done, e.g. "the model's forward".
template <typename Function>
auto CatchTorch(const std::string& what, Function&& function)
    -> decltype(function()) {
  try {
    return std::forward<Function>(function)();
  } catch (...) {
    return CurrentTorchError(what);
  }
}

}  // namespace tfd::worker

#endif  // TFD_WORKER_TORCH_ERROR_H_
