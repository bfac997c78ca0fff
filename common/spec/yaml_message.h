// YAML into a protobuf message through its descriptor, with everything that is
// wrong reported at once, each with line and column.
#ifndef TFD_COMMON_SPEC_YAML_MESSAGE_H_
#define TFD_COMMON_SPEC_YAML_MESSAGE_H_

#include <google/protobuf/message.h>

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace tfd::spec {

// Where a field was written: 1-based, 0 where it was not in the text.
struct Position {
  int line = 0;
  int column = 0;
  // Where it came from when not from the text: "--set optimizer.lr=1".
  std::string origin = {};
};

// One thing that is wrong.
struct Problem {
  Position position;
  // The field, e.g. "optimizer.lr"; empty for the text as a whole.
  std::string field;
  // What is wrong, which value, what to do.
  std::string message;
  // For an unknown name, the path of the field that was probably meant; else
  // empty.
  std::string suggestion = {};
};

// FIELD → where it was written; so later checks can point at it.
using Positions = std::map<std::string, Position>;

// Fills `message` from `text`. Fields and enum values (in lower case) by their
// names; message_rules.scalar_field and rules.quantity are understood;
// ${NAME} expands from `variables`, `~/` at the start of a path from HOME in
// them. An unknown name is a Problem that names the nearest known one; so is a
// repeated key, a wrong type, an undefined variable. Positions is filled also
// for what is right. Returns all problems, in the order of the text.
std::vector<Problem> FillFromYaml(
    absl::string_view text, const std::map<std::string, std::string>& variables,
    google::protobuf::Message* message, Positions* positions);

// "a.b=c" as --set takes it: replaces one field, the value read as YAML. Also
// "list[0]=c" (one past the end appends), "map.key=c", and "a.b=", which takes
// the field away, so that its default counts. A scalar for a message fills its
// scalar_field and leaves the others. A part that is wrong changes nothing.
// Where it was written goes to `positions`, unless null, as an origin.
std::vector<Problem> SetField(
    absl::string_view assignment,
    const std::map<std::string, std::string>& variables,
    google::protobuf::Message* message, Positions* positions = nullptr);

// InvalidArgument, one problem per line: "FILE:LINE:COLUMN: FIELD: MESSAGE",
// "ORIGIN: FIELD: MESSAGE" or, where neither is known, "FILE: FIELD: MESSAGE".
// OK where there are none.
absl::Status ProblemsToStatus(absl::string_view file,
                              const std::vector<Problem>& problems);

}  // namespace tfd::spec

#endif  // TFD_COMMON_SPEC_YAML_MESSAGE_H_
