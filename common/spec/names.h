// What a field is called, and which one was meant.
#ifndef TFD_COMMON_SPEC_NAMES_H_
#define TFD_COMMON_SPEC_NAMES_H_

#include <google/protobuf/descriptor.h>

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace tfd::spec {

struct FieldSuggestion {
  // The path of the field that was probably meant; empty: none.
  std::string path;
  // What to tell the user: "did you mean …?", or what there is.
  std::string text;
};

// For a name that the message `at`, which is at `path` below a `root`, does not
// have: the nearest name there, or the same name at another level.
FieldSuggestion SuggestField(const google::protobuf::Descriptor* root,
                             const google::protobuf::Descriptor* at,
                             absl::string_view path, absl::string_view name);

// The names of a message's fields, in the order of their declaration.
std::vector<std::string> FieldNames(
    const google::protobuf::Descriptor* message);

// "a" + "b" → "a.b"; "" + "b" → "b".
std::string JoinField(absl::string_view path, absl::string_view name);

}  // namespace tfd::spec

#endif  // TFD_COMMON_SPEC_NAMES_H_
