// One YAML scalar into one field.
#ifndef TFD_COMMON_SPEC_SCALAR_H_
#define TFD_COMMON_SPEC_SCALAR_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/spec/expand.h"
#include "common/spec/yaml_tree.h"

namespace tfd::spec {

// Which value of a field is written.
struct Slot {
  static constexpr int kSingular = -1;
  static constexpr int kAppend = -2;
  // An element of a repeated field that is there already, or one of the above.
  int index = kSingular;
};

// Reads `node` as the type of `field`, which is no message, and writes it.
// Variables are expanded first. InvalidArgument with the value and what is
// wanted; then nothing is written.
absl::Status AssignScalar(const YamlNode& node, const Variables& variables,
                          const google::protobuf::FieldDescriptor* field,
                          Slot slot, google::protobuf::Message* message);

// What a field takes: "a whole number", "a size such as 512MiB", "one of sgd,
// adam", "a list such as [128, 64]", "fields (count, cpus)".
std::string WantedText(const google::protobuf::FieldDescriptor* field);

// In quotes, and cut where it is long.
std::string QuotedText(absl::string_view text);

// What stands in the text: "\"abc\"", "a list", "fields", "nothing".
std::string GivenText(const YamlNode& node);

}  // namespace tfd::spec

#endif  // TFD_COMMON_SPEC_SCALAR_H_
