// The commented specs that `tfd init` writes.
#ifndef TFD_CLIENT_TEMPLATES_H_
#define TFD_CLIENT_TEMPLATES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace tfd::client {

// The kinds of `tfd init`, e.g. "mnist".
std::vector<std::string> TemplateNames();

// The text of one; InvalidArgument names those there are.
absl::StatusOr<std::string> TemplateText(const std::string& name);

}  // namespace tfd::client

#endif  // TFD_CLIENT_TEMPLATES_H_
