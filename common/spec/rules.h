// What the proto's rules say about the fields of a message, one at a time.
#ifndef TFD_COMMON_SPEC_RULES_H_
#define TFD_COMMON_SPEC_RULES_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/spec/yaml_message.h"

namespace tfd::spec {

// Whether a field counts, by rules.only_for.
enum class Applies {
  kYes,
  kNo,
  // The field that decides it is absent.
  kUnknown,
};
Applies AppliesTo(const google::protobuf::Message& message,
                  const google::protobuf::FieldDescriptor* field);

// rules.only_for taken apart; `field` is null where there is none.
struct OnlyFor {
  const google::protobuf::FieldDescriptor* field = nullptr;
  std::vector<std::string> values;
};
OnlyFor ParseOnlyFor(const google::protobuf::FieldDescriptor* field);

// Collects problems, and leaves out those that only follow from others.
class Reporter {
 public:
  // `broken`: fields that something was said about already. Borrows.
  Reporter(const Positions& positions, std::set<std::string> broken)
      : positions_(positions), broken_(std::move(broken)) {}

  // Dropped where `field`, or one of those it was compared with, is broken or
  // part of something broken.
  void Report(const std::string& field, absl::string_view message,
              const std::vector<std::string>& compared_with = {});
  // From now on what was reported is broken.
  void MarkReportedAsBroken();
  bool WasWritten(const std::string& field) const {
    return positions_.count(field) > 0;
  }
  std::vector<Problem> Take() { return std::move(problems_); }

 private:
  bool IsBroken(const std::string& field) const;
  // Of the field, or of the nearest part around it that was written.
  Position PositionOf(std::string field) const;

  const Positions& positions_;
  std::set<std::string> broken_;
  std::vector<Problem> problems_;
};

// Required fields, bounds, patterns, only_for, what is planned; of the message
// at `path` and all below it.
void CheckRules(const google::protobuf::Message& message,
                const std::string& path, Reporter* reporter);

// The part of a path around its last part: "a.b" of "a.b.c" and of "a.b[0]".
std::string ParentField(const std::string& field);

}  // namespace tfd::spec

#endif  // TFD_COMMON_SPEC_RULES_H_
