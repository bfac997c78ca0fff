// ${NAME} and ~ in the values of a spec.
#ifndef TFD_COMMON_SPEC_EXPAND_H_
#define TFD_COMMON_SPEC_EXPAND_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tfd::spec {

using Variables = std::map<std::string, std::string>;

// `text` with each ${NAME} replaced; $${ stands for ${ itself. InvalidArgument
// that names each variable that is not there and what to type.
absl::StatusOr<std::string> ExpandVariables(absl::string_view text,
                                            const Variables& variables);

// A path's `~` or `~/` at the start replaced by HOME.
absl::StatusOr<std::string> ExpandHome(absl::string_view path,
                                       const Variables& variables);

}  // namespace tfd::spec

#endif  // TFD_COMMON_SPEC_EXPAND_H_
