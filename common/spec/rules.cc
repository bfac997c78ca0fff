#include "common/spec/rules.h"

#include <re2/re2.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/fs/remote_file_system.h"
#include "common/spec/field.h"
#include "common/spec/names.h"
#include "common/spec/scalar.h"
#include "tfd/v1/options.pb.h"

namespace tfd::spec {

using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

namespace {

constexpr absl::string_view kFileScheme = "file://";
// What is read by data/, and storage, may be in S3 and HDFS.
constexpr const char* kRemoteFields[] = {
    "tfd.v1.DatasetSpec.path", "tfd.v1.StorageSpec.uri",
    "tfd.v1.PredictSpec.model", "tfd.v1.PredictSpec.output"};

bool MayBeRemote(const FieldDescriptor* field) {
  return std::find(std::begin(kRemoteFields), std::end(kRemoteFields),
                   field->full_name()) != std::end(kRemoteFields);
}

// The value of a number; `index` is that of an element, or -1.
double NumberOf(const Message& message, const FieldDescriptor* field,
                int index) {
  const Reflection* r = message.GetReflection();
  const bool one = index < 0;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return one ? r->GetInt32(message, field)
                 : r->GetRepeatedInt32(message, field, index);
    case FieldDescriptor::CPPTYPE_INT64:
      return static_cast<double>(
          one ? r->GetInt64(message, field)
              : r->GetRepeatedInt64(message, field, index));
    case FieldDescriptor::CPPTYPE_UINT32:
      return one ? r->GetUInt32(message, field)
                 : r->GetRepeatedUInt32(message, field, index);
    case FieldDescriptor::CPPTYPE_UINT64:
      return static_cast<double>(
          one ? r->GetUInt64(message, field)
              : r->GetRepeatedUInt64(message, field, index));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return one ? r->GetFloat(message, field)
                 : r->GetRepeatedFloat(message, field, index);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return one ? r->GetDouble(message, field)
                 : r->GetRepeatedDouble(message, field, index);
    default:
      return 0;
  }
}

// The field's default as FormatValue would show it.
std::string FormattedDefault(const Message& message,
                             const FieldDescriptor* field) {
  const std::string& text = Rules(field).default_value();
  if (text.empty()) return "";
  YamlNode node;
  node.kind = YamlNode::Kind::kScalar;
  node.scalar = text;
  std::unique_ptr<Message> scratch(message.New());
  if (!AssignScalar(node, {}, field, {}, scratch.get()).ok()) return "";
  return FormatValue(*scratch, field);
}

void CheckNumber(const Message& message, const FieldDescriptor* field,
                 int index, const std::string& path, Reporter* reporter) {
  const v1::FieldRules& rules = Rules(field);
  const double number = NumberOf(message, field, index);
  const std::string shown = FormatValue(message, field, index);
  if (!std::isfinite(number)) {
    reporter->Report(path, absl::StrCat(shown, " is not a finite number"));
    return;
  }
  const bool too_small =
      rules.has_min() &&
      (rules.exclusive_min() ? number <= rules.min() : number < rules.min());
  const bool too_large = rules.has_max() && number > rules.max();
  if (!too_small && !too_large) return;
  const bool unit_missing = too_small && rules.quantity() == v1::BYTES;
  reporter->Report(
      path, absl::StrCat(
                shown, " is out of bounds: it must be ", BoundsText(field),
                unit_missing
                    ? " (a plain number is bytes; write a unit, as in 512MiB)"
                    : ""));
}

void CheckText(const Message& message, const FieldDescriptor* field, int index,
               const std::string& path, Reporter* reporter) {
  const v1::FieldRules& rules = Rules(field);
  const Reflection* reflection = message.GetReflection();
  const std::string text =
      index < 0 ? reflection->GetString(message, field)
                : reflection->GetRepeatedString(message, field, index);
  if (!rules.pattern().empty() && !RE2::FullMatch(text, rules.pattern())) {
    reporter->Report(
        path, absl::StrCat(QuotedText(text), " is not allowed: it must be ",
                           rules.pattern_words().empty()
                               ? absl::StrCat("of the form ", rules.pattern())
                               : rules.pattern_words()));
  }
  if ((rules.spec_path() || rules.work_path()) &&
      absl::StrContains(text, "://") && !absl::StartsWith(text, kFileScheme) &&
      !(IsRemoteUri(text) && MayBeRemote(field))) {
    reporter->Report(
        path, absl::StrCat("\"", text,
                           "\" is not known here: use a path (of a folder "
                           "that all nodes share, where there are several)",
                           MayBeRemote(field) ? ", s3://… or hdfs://…" : ""));
  }
}

void CheckEnum(const Message& message, const FieldDescriptor* field, int index,
               const std::string& path, Reporter* reporter) {
  const Reflection* reflection = message.GetReflection();
  const EnumValueDescriptor* value =
      index < 0 ? reflection->GetEnum(message, field)
                : reflection->GetRepeatedEnum(message, field, index);
  if (field->enum_type()->FindValueByNumber(value->number()) == nullptr) {
    reporter->Report(path, absl::StrCat("the value ", value->number(),
                                        " is not known here; known are ",
                                        ValueNames(field->enum_type())));
    return;
  }
  const std::string& planned =
      value->options().GetExtension(v1::value_rules).planned();
  if (!planned.empty()) {
    reporter->Report(
        path, absl::StrCat(ValueName(value), " is not there yet: ", planned));
  }
}

void CheckValue(const Message& message, const FieldDescriptor* field, int index,
                const std::string& path, Reporter* reporter) {
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return;
    case FieldDescriptor::CPPTYPE_STRING:
      return CheckText(message, field, index, path, reporter);
    case FieldDescriptor::CPPTYPE_ENUM:
      return CheckEnum(message, field, index, path, reporter);
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      const Reflection* reflection = message.GetReflection();
      return CheckRules(
          index < 0 ? reflection->GetMessage(message, field)
                    : reflection->GetRepeatedMessage(message, field, index),
          path, reporter);
    }
    default:
      return CheckNumber(message, field, index, path, reporter);
  }
}

// The field whose presence takes the place of `field`, if it is there.
const FieldDescriptor* ReplacedBy(const Message& message,
                                  const FieldDescriptor* field) {
  const FieldDescriptor* other =
      field->containing_type()->FindFieldByName(Rules(field).unless());
  return other != nullptr && IsSet(message, other) ? other : nullptr;
}

// A field that must not be here, or that must and is not; true: look no
// further.
bool CheckPresence(const Message& message, const FieldDescriptor* field,
                   const std::string& path, Reporter* reporter) {
  const v1::FieldRules& rules = Rules(field);
  const Applies applies = AppliesTo(message, field);
  const FieldDescriptor* replaced_by = ReplacedBy(message, field);
  if (!IsSet(message, field)) {
    if (rules.required() && applies == Applies::kYes &&
        replaced_by == nullptr) {
      // An explicit 0 of a number was said, and is out of its bounds.
      if (reporter->WasWritten(path) && rules.has_min()) return false;
      reporter->Report(path, absl::StrCat("is required: ", WantedText(field)));
    }
    return true;
  }
  if (replaced_by != nullptr) {
    reporter->Report(path, absl::StrCat("does not go with ",
                                        replaced_by->name(), "; remove it"));
    return true;
  }
  if (applies == Applies::kNo) {
    const OnlyFor only_for = ParseOnlyFor(field);
    const std::string decider =
        JoinField(ParentField(path), only_for.field->name());
    reporter->Report(
        path,
        absl::StrCat("is only for ", only_for.field->name(), ": ",
                     absl::StrJoin(only_for.values, ", "), ", and ",
                     only_for.field->name(), " is ",
                     FormatValue(message, only_for.field), "; remove it"),
        {decider});
    return true;
  }
  if (!rules.planned().empty() &&
      FormatValue(message, field) != FormattedDefault(message, field)) {
    reporter->Report(path,
                     absl::StrCat(FormatValue(message, field),
                                  " is not there yet: ", rules.planned()));
    return true;
  }
  return false;
}

}  // namespace

OnlyFor ParseOnlyFor(const FieldDescriptor* field) {
  const std::string& text = Rules(field).only_for();
  OnlyFor only_for;
  if (text.empty()) return only_for;
  const std::pair<std::string, std::string> parts =
      absl::StrSplit(text, absl::MaxSplits('=', 1));
  only_for.field = field->containing_type()->FindFieldByName(parts.first);
  only_for.values = absl::StrSplit(parts.second, ',');
  return only_for;
}

Applies AppliesTo(const Message& message, const FieldDescriptor* field) {
  const OnlyFor only_for = ParseOnlyFor(field);
  if (only_for.field == nullptr) return Applies::kYes;
  if (!IsSet(message, only_for.field)) return Applies::kUnknown;
  const std::string value =
      ValueName(message.GetReflection()->GetEnum(message, only_for.field));
  return std::find(only_for.values.begin(), only_for.values.end(), value) ==
                 only_for.values.end()
             ? Applies::kNo
             : Applies::kYes;
}

void Reporter::Report(const std::string& field, absl::string_view message,
                      const std::vector<std::string>& compared_with) {
  if (IsBroken(field)) return;
  for (const std::string& other : compared_with) {
    if (IsBroken(other)) return;
  }
  problems_.push_back({PositionOf(field), field, std::string(message)});
}

void Reporter::MarkReportedAsBroken() {
  for (const Problem& problem : problems_) broken_.insert(problem.field);
}

bool Reporter::IsBroken(const std::string& field) const {
  for (std::string at = field; !at.empty(); at = ParentField(at)) {
    if (broken_.count(at) > 0) return true;
  }
  return false;
}

Position Reporter::PositionOf(std::string field) const {
  for (; !field.empty(); field = ParentField(field)) {
    auto found = positions_.find(field);
    if (found != positions_.end()) return found->second;
  }
  return {};
}

void CheckRules(const Message& message, const std::string& path,
                Reporter* reporter) {
  const google::protobuf::Descriptor* type = message.GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    const std::string field_path = JoinField(path, field->name());
    if (CheckPresence(message, field, field_path, reporter)) continue;
    if (!field->is_repeated()) {
      CheckValue(message, field, -1, field_path, reporter);
    } else if (!field->is_map()) {
      const int size = message.GetReflection()->FieldSize(message, field);
      for (int element = 0; element < size; ++element) {
        CheckValue(message, field, element,
                   absl::StrCat(field_path, "[", element, "]"), reporter);
      }
    }
  }
}

std::string ParentField(const std::string& field) {
  const size_t end = field.find_last_of(".[");
  return end == field.npos ? "" : field.substr(0, end);
}

}  // namespace tfd::spec
