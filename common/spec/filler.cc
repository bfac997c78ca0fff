#include "common/spec/filler.h"

#include <map>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/spec/field.h"
#include "common/spec/names.h"
#include "common/spec/scalar.h"

namespace tfd::spec {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::OneofDescriptor;
using google::protobuf::Reflection;

namespace {

// "{uri: …}" of a message, "[…]" of a list: how to write a value of the field.
std::string ExampleOf(const Descriptor* type) {
  return absl::StrCat("{", type->field(0)->name(), ": …}");
}

}  // namespace

Message* FindEntry(const std::string& key, const FieldDescriptor* field,
                   Message* message) {
  const Reflection* reflection = message->GetReflection();
  const FieldDescriptor* key_field = field->message_type()->map_key();
  for (int i = 0; i < reflection->FieldSize(*message, field); ++i) {
    Message* entry = reflection->MutableRepeatedMessage(message, field, i);
    if (entry->GetReflection()->GetString(*entry, key_field) == key) {
      return entry;
    }
  }
  return nullptr;
}

void Filler::FillMessage(const YamlNode& node, const std::string& path,
                         Message* message) {
  const Descriptor* type = message->GetDescriptor();
  if (node.kind == YamlNode::Kind::kMap) {
    FillEntries(node, path, message);
    return;
  }
  const FieldDescriptor* scalar = ScalarField(type);
  if (node.kind == YamlNode::Kind::kScalar && scalar != nullptr) {
    FillScalar(node, JoinField(path, scalar->name()), scalar, Slot::kSingular,
               message);
    return;
  }
  if (node.kind == YamlNode::Kind::kNull) {
    Report(path, node.position,
           absl::StrCat("is empty; write ", ExampleOf(type),
                        ", {} for its defaults, or leave the line out"));
    return;
  }
  Report(
      path, node.position,
      absl::StrCat("takes fields (", absl::StrJoin(FieldNames(type), ", "),
                   ") and not ", GivenText(node), "; write ", ExampleOf(type)));
}

void Filler::FillEntries(const YamlNode& node, const std::string& path,
                         Message* message) {
  const Descriptor* type = message->GetDescriptor();
  std::map<std::string, Position> seen;
  std::map<const OneofDescriptor*, std::string> chosen;
  for (const YamlEntry& entry : node.entries) {
    const YamlNode& key = *entry.key;
    if (key.kind != YamlNode::Kind::kScalar) {
      Report(path, key.position,
             absl::StrCat("the name of a field is wanted before the colon and "
                          "not ",
                          GivenText(key)));
      continue;
    }
    const std::string field_path = JoinField(path, key.scalar);
    const auto [first, is_new] = seen.emplace(key.scalar, key.position);
    if (!is_new) {
      Report(field_path, key.position,
             absl::StrCat("is given twice, first in line ", first->second.line,
                          "; remove one"));
      continue;
    }
    const FieldDescriptor* field = type->FindFieldByName(key.scalar);
    if (field == nullptr) {
      ReportUnknown(type, path, key.scalar, key.position);
      continue;
    }
    if (const OneofDescriptor* oneof = field->real_containing_oneof()) {
      const auto [other, is_first] = chosen.emplace(oneof, field->name());
      if (!is_first) {
        Report(field_path, key.position,
               absl::StrCat("excludes ", other->second,
                            ", which is given too; write only one of them here",
                            path.empty() || path.back() != ']'
                                ? ""
                                : " (two items of the list do both)"));
        continue;
      }
    }
    // What is no scalar begins at its name.
    const bool scalar = entry.value->kind == YamlNode::Kind::kScalar;
    Record(field_path, scalar ? entry.value->position : key.position);
    FillField(*entry.value, field_path, field, message);
  }
}

void Filler::FillField(const YamlNode& node, const std::string& path,
                       const FieldDescriptor* field, Message* message) {
  const Reflection* reflection = message->GetReflection();
  if (field->is_map()) {
    FillMap(node, path, field, message);
  } else if (field->is_repeated()) {
    FillList(node, path, field, message);
  } else if (field->message_type() != nullptr) {
    const bool shorthand = node.kind == YamlNode::Kind::kScalar;
    if (!shorthand) reflection->ClearField(message, field);
    FillMessage(node, path, reflection->MutableMessage(message, field));
  } else {
    FillScalar(node, path, field, Slot::kSingular, message);
  }
}

void Filler::FillList(const YamlNode& node, const std::string& path,
                      const FieldDescriptor* field, Message* message) {
  message->GetReflection()->ClearField(message, field);
  if (node.kind != YamlNode::Kind::kList) {
    const bool is_message = field->message_type() != nullptr;
    const std::string example =
        node.kind == YamlNode::Kind::kScalar && !is_message
            ? node.scalar
            : (is_message ? ExampleOf(field->message_type()) : "…");
    Report(path, node.position,
           absl::StrCat("takes a list and not ", GivenText(node), "; write [",
                        example, "]"));
    return;
  }
  for (size_t i = 0; i < node.items.size(); ++i) {
    const std::string element = absl::StrCat(path, "[", i, "]");
    Record(element, node.items[i]->position);
    AppendElement(*node.items[i], element, field, message);
  }
}

void Filler::AppendElement(const YamlNode& node, const std::string& path,
                           const FieldDescriptor* field, Message* message) {
  if (field->message_type() != nullptr) {
    FillMessage(node, path,
                message->GetReflection()->AddMessage(message, field));
  } else {
    FillScalar(node, path, field, Slot::kAppend, message);
  }
}

void Filler::ReplaceElement(const YamlNode& node, const std::string& path,
                            const FieldDescriptor* field, int index,
                            Message* message) {
  if (field->message_type() == nullptr) {
    FillScalar(node, path, field, index, message);
    return;
  }
  Message* element =
      message->GetReflection()->MutableRepeatedMessage(message, field, index);
  if (node.kind != YamlNode::Kind::kScalar) element->Clear();
  FillMessage(node, path, element);
}

void Filler::FillMap(const YamlNode& node, const std::string& path,
                     const FieldDescriptor* field, Message* message) {
  message->GetReflection()->ClearField(message, field);
  if (node.kind != YamlNode::Kind::kMap) {
    Report(path, node.position,
           absl::StrCat("takes names with values and not ", GivenText(node),
                        "; write {NAME: VALUE}"));
    return;
  }
  std::map<std::string, Position> seen;
  for (const YamlEntry& entry : node.entries) {
    const std::string& key = entry.key->scalar;
    const std::string entry_path = JoinField(path, key);
    const auto [first, is_new] = seen.emplace(key, entry.key->position);
    if (entry.key->kind != YamlNode::Kind::kScalar) {
      Report(path, entry.key->position,
             absl::StrCat("a name is wanted before the colon and not ",
                          GivenText(*entry.key)));
    } else if (!is_new) {
      Report(entry_path, entry.key->position,
             absl::StrCat("is given twice, first in line ", first->second.line,
                          "; remove one"));
    } else {
      Record(entry_path, entry.value->position);
      AddEntry(key, *entry.value, entry_path, field, message);
    }
  }
}

void Filler::SetEntry(const std::string& key, const YamlNode& node,
                      const std::string& path, const FieldDescriptor* field,
                      Message* message) {
  if (Message* entry = FindEntry(key, field, message)) {
    FillField(node, path, entry->GetDescriptor()->map_value(), entry);
  } else {
    AddEntry(key, node, path, field, message);
  }
}

void Filler::AddEntry(const std::string& key, const YamlNode& node,
                      const std::string& path, const FieldDescriptor* field,
                      Message* message) {
  const Reflection* reflection = message->GetReflection();
  Message* entry = reflection->AddMessage(message, field);
  const Descriptor* type = entry->GetDescriptor();
  entry->GetReflection()->SetString(entry, type->map_key(), key);
  const size_t problems = problems_->size();
  FillField(node, path, type->map_value(), entry);
  if (problems_->size() > problems) reflection->RemoveLast(message, field);
}

void Filler::FillScalar(const YamlNode& node, const std::string& path,
                        const FieldDescriptor* field, int slot,
                        Message* message) {
  Record(path, node.position);
  const absl::Status status =
      AssignScalar(node, variables_, field, {slot}, message);
  if (!status.ok()) Report(path, node.position, status.message());
}

void Filler::ReportUnknown(const Descriptor* type, const std::string& path,
                           absl::string_view name, const Position& position) {
  FieldSuggestion suggestion = SuggestField(root_, type, path, name);
  problems_->push_back({position, JoinField(path, name),
                        absl::StrCat("unknown field; ", suggestion.text),
                        std::move(suggestion.path)});
}

void Filler::Report(const std::string& field, const Position& position,
                    absl::string_view message) {
  problems_->push_back({position, field, std::string(message)});
}

void Filler::Record(const std::string& path, const Position& position) {
  if (positions_ != nullptr) (*positions_)[path] = position;
}

}  // namespace tfd::spec
