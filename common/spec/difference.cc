// Two specs side by side.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <map>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/spec/field.h"
#include "common/spec/job_spec.h"
#include "common/spec/names.h"

namespace tfd::spec {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

std::string Shown(const Message& message, const FieldDescriptor* field) {
  return IsSet(message, field) ? FormatValue(message, field) : "absent";
}

void AddLine(const std::string& path, const std::string& a,
             const std::string& b, std::vector<std::string>* lines) {
  if (a != b) lines->push_back(absl::StrCat(path, ": ", a, " against ", b));
}

std::map<std::string, std::string> Entries(const Message& message,
                                           const FieldDescriptor* field) {
  std::map<std::string, std::string> entries;
  const Reflection* reflection = message.GetReflection();
  for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
    const Message& entry = reflection->GetRepeatedMessage(message, field, i);
    const std::string key = entry.GetReflection()->GetString(
        entry, entry.GetDescriptor()->map_key());
    entries[key] = FormatValue(entry, entry.GetDescriptor()->map_value());
  }
  return entries;
}

void CompareMaps(const Message& a, const Message& b,
                 const FieldDescriptor* field, const std::string& path,
                 std::vector<std::string>* lines) {
  const std::map<std::string, std::string> in_a = Entries(a, field);
  const std::map<std::string, std::string> in_b = Entries(b, field);
  std::map<std::string, std::string> all = in_a;
  all.insert(in_b.begin(), in_b.end());
  for (const auto& [key, unused] : all) {
    const auto value = [&key = key](const auto& entries) {
      auto found = entries.find(key);
      return found == entries.end() ? "absent" : found->second;
    };
    AddLine(JoinField(path, key), value(in_a), value(in_b), lines);
  }
}

void Compare(const Message& a, const Message& b, const std::string& path,
             std::vector<std::string>* lines) {
  const google::protobuf::Descriptor* type = a.GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    const std::string field_path = JoinField(path, field->name());
    if (field->is_map()) {
      CompareMaps(a, b, field, field_path, lines);
    } else if (field->message_type() != nullptr && !field->is_repeated()) {
      const size_t before = lines->size();
      Compare(a.GetReflection()->GetMessage(a, field),
              b.GetReflection()->GetMessage(b, field), field_path, lines);
      // `{}` against nothing: an evaluator with nothing but its presence.
      if (lines->size() == before && IsSet(a, field) != IsSet(b, field)) {
        AddLine(field_path, Shown(a, field), Shown(b, field), lines);
      }
    } else {
      AddLine(field_path, Shown(a, field), Shown(b, field), lines);
    }
  }
}

}  // namespace

std::string DescribeDifference(const v1::JobSpec& a, const v1::JobSpec& b) {
  std::vector<std::string> lines;
  Compare(a, b, "", &lines);
  return absl::StrJoin(lines, "\n");
}

}  // namespace tfd::spec
