// SIGINT and SIGTERM, as something one can wait for.
#ifndef TFD_COMMON_INTERRUPT_H_
#define TFD_COMMON_INTERRUPT_H_

#include "absl/time/time.h"

namespace tfd {

// Blocks SIGINT and SIGTERM (and ignores SIGPIPE) in this thread and all that
// it starts from now on; so it is constructed first thing in main. At most one
// at a time. Thread-safe.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // The signal that came (SIGINT or SIGTERM), or 0 when `timeout` passed or
  // Wake was called first. Each arrival is reported once.
  int Wait(absl::Duration timeout);

  // Makes a Wait, now or the next one, return 0.
  void Wake();

  // For poll(2): readable when Wait would not block.
  int descriptor() const { return poll_descriptor_; }

 private:
  int signal_descriptor_;
  int wake_descriptor_;
  int poll_descriptor_;  // readable when one of the others is
};

}  // namespace tfd

#endif  // TFD_COMMON_INTERRUPT_H_
