// `tfd-data push`: feeds files to a running job; what `tfd feed` runs.
#ifndef TFD_DATA_FEED_PUSH_COMMAND_H_
#define TFD_DATA_FEED_PUSH_COMMAND_H_

#include "common/interrupt.h"
#include "data/feed/push_files.h"

namespace CLI {
class App;
}

namespace tfd::data {

void AddPushArguments(CLI::App* push, PushFilesOptions* options);

// With a line of progress where standard error is a terminal; gives the exit
// code.
int RunPush(const PushFilesOptions& options, Interrupt* interrupt);

}  // namespace tfd::data

#endif  // TFD_DATA_FEED_PUSH_COMMAND_H_
