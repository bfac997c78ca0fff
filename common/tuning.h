// Settings of a process that moves tensors or trains.
#ifndef TFD_COMMON_TUNING_H_
#define TFD_COMMON_TUNING_H_

namespace tfd {

// First thing in main, before any thread: makes malloc keep large blocks for
// reuse (a message's memory is otherwise mapped and unmapped each time, and a
// step's tensors; lenet trains a third faster), and mutexes not look for
// deadlocks, which Debian's Abseil does in release builds too.
void TuneForThroughput();

}  // namespace tfd

#endif  // TFD_COMMON_TUNING_H_
