// Which coordinator a command talks to.
#ifndef TFD_CLIENT_ADDRESS_H_
#define TFD_CLIENT_ADDRESS_H_

#include <string>

#include "absl/status/statusor.h"
#include "client/context.h"

namespace tfd::client {

// The first there is of: `flag` (--coordinator), TFD_COORDINATOR,
// `coordinator:` in ~/.config/tfd/config.yaml, the cluster that `tfd up`
// started. NotFound says how to name one.
absl::StatusOr<std::string> CoordinatorAddress(const Context& context,
                                               const std::string& flag);

}  // namespace tfd::client

#endif  // TFD_CLIENT_ADDRESS_H_
