// `tfd-data convert` as a command.
#ifndef TFD_DATA_CONVERT_COMMAND_H_
#define TFD_DATA_CONVERT_COMMAND_H_

#include "common/interrupt.h"
#include "data/convert.h"

namespace CLI {
class App;
}

namespace tfd::data {

// Adds the subcommand's arguments.
void AddConvertArguments(CLI::App* convert, ConvertOptions* options);

// Says on standard error what was written, a progress line after two seconds,
// or the problem; gives the exit code.
int RunConvert(const ConvertOptions& options, Interrupt* interrupt);

}  // namespace tfd::data

#endif  // TFD_DATA_CONVERT_COMMAND_H_
