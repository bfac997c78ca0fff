// --set FIELD=VALUE.
#include <google/protobuf/descriptor.h>

#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/spec/field.h"
#include "common/spec/filler.h"
#include "common/spec/names.h"
#include "common/spec/yaml_message.h"
#include "common/spec/yaml_tree.h"

namespace tfd::spec {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Whether the value is text as it stands, so that no character of it (the * of
// a pattern, a colon) has a meaning in YAML.
bool IsPlainText(const FieldDescriptor* field, absl::string_view value) {
  if (field->message_type() != nullptr && !field->is_repeated()) {
    const FieldDescriptor* scalar = ScalarField(field->message_type());
    if (scalar == nullptr || absl::StartsWith(value, "{")) return false;
    field = scalar;
  }
  return field->cpp_type() == FieldDescriptor::CPPTYPE_STRING &&
         !absl::StartsWith(value, "\"") && !absl::StartsWith(value, "'");
}

// Walks to the field that an assignment names and fills it.
class Assignment {
 public:
  Assignment(absl::string_view value, Filler* filler,
             std::vector<Problem>* problems)
      : value_(value), filler_(filler), problems_(problems) {}

  // `rest` is what is left of the field's path from `message` on.
  void ApplyTo(absl::string_view rest, const std::string& path,
               Message* message) {
    const size_t end = rest.find_first_of(".[");
    const absl::string_view name = rest.substr(0, end);
    rest = end == rest.npos ? "" : rest.substr(end);
    const Descriptor* type = message->GetDescriptor();
    const FieldDescriptor* field = type->FindFieldByName(std::string(name));
    if (field == nullptr) {
      filler_->ReportUnknown(type, path, name, {});
      return;
    }
    const std::string field_path = JoinField(path, name);
    if (rest.empty()) {
      ApplyToField(field, field_path, message);
    } else if (field->is_map()) {
      ApplyToEntry(rest, field, field_path, message);
    } else if (field->is_repeated()) {
      ApplyToElement(rest, field, field_path, message);
    } else if (field->message_type() == nullptr || rest[0] != '.') {
      filler_->Report(
          field_path, {},
          absl::StrCat("takes one value and has no part \"", rest, "\""));
    } else {
      ApplyTo(rest.substr(1), field_path,
              message->GetReflection()->MutableMessage(message, field));
    }
  }

 private:
  void ApplyToField(const FieldDescriptor* field, const std::string& path,
                    Message* message) {
    std::optional<YamlNode> node = Value(field, path);
    if (!node.has_value()) return;
    if (node->kind == YamlNode::Kind::kNull) {
      message->GetReflection()->ClearField(message, field);
    } else {
      filler_->FillField(*node, path, field, message);
    }
  }

  // `rest` is ".KEY"; a key may have dots in it.
  void ApplyToEntry(absl::string_view rest, const FieldDescriptor* field,
                    const std::string& path, Message* message) {
    if (rest[0] != '.' || rest.size() == 1) {
      filler_->Report(path, {}, absl::StrCat("write ", path, ".NAME=VALUE"));
      return;
    }
    const std::string key(rest.substr(1));
    const FieldDescriptor* value = field->message_type()->map_value();
    std::optional<YamlNode> node = Value(value, JoinField(path, key));
    if (!node.has_value()) return;
    if (node->kind != YamlNode::Kind::kNull) {
      filler_->SetEntry(key, *node, JoinField(path, key), field, message);
      return;
    }
    const Reflection* reflection = message->GetReflection();
    if (Message* entry = FindEntry(key, field, message)) {
      // Reflection removes the last one only.
      const int last = reflection->FieldSize(*message, field) - 1;
      for (int i = 0; i < last; ++i) {
        if (&reflection->GetRepeatedMessage(*message, field, i) == entry) {
          reflection->SwapElements(message, field, i, last);
        }
      }
      reflection->RemoveLast(message, field);
    }
  }

  // `rest` is "[NUMBER]" and perhaps more.
  void ApplyToElement(absl::string_view rest, const FieldDescriptor* field,
                      const std::string& path, Message* message) {
    const Reflection* reflection = message->GetReflection();
    const int size = reflection->FieldSize(*message, field);
    const size_t close = rest.find(']');
    int index = -1;
    if (rest[0] != '[' || close == rest.npos ||
        !absl::SimpleAtoi(rest.substr(1, close - 1), &index) || index < 0 ||
        index > size) {
      filler_->Report(
          path, {},
          absl::StrCat("is a list of ", size, "; write ", path, "[0]=… to ",
                       path, "[", size, "]=…, or ", path, "=[…]"));
      return;
    }
    const std::string element = absl::StrCat(path, "[", index, "]");
    rest.remove_prefix(close + 1);
    if (!rest.empty()) {
      if (field->message_type() == nullptr || rest[0] != '.') {
        filler_->Report(
            element, {},
            absl::StrCat("takes one value and has no part \"", rest, "\""));
        return;
      }
      ApplyTo(rest.substr(1), element,
              index == size
                  ? reflection->AddMessage(message, field)
                  : reflection->MutableRepeatedMessage(message, field, index));
      return;
    }
    std::optional<YamlNode> node = Value(field, element);
    if (!node.has_value()) return;
    if (index == size) {
      filler_->AppendElement(*node, element, field, message);
    } else {
      filler_->ReplaceElement(*node, element, field, index, message);
    }
  }

  // The value as the field wants it read; nothing where it is no YAML.
  std::optional<YamlNode> Value(const FieldDescriptor* field,
                                const std::string& path) {
    if (value_.empty()) return YamlNode{};
    // All of a list, and not one of its texts.
    const bool is_list = field->is_repeated() && !field->is_map() &&
                         !absl::EndsWith(path, "]") &&
                         absl::StartsWith(value_, "[");
    if (!is_list && IsPlainText(field, value_)) {
      YamlNode node;
      node.kind = YamlNode::Kind::kScalar;
      node.scalar = std::string(value_);
      return node;
    }
    YamlTree tree = ParseYaml(value_);
    for (Problem& problem : tree.problems) {
      problem.field = path;
      problems_->push_back(std::move(problem));
    }
    if (!tree.problems.empty()) return std::nullopt;
    return *tree.root;
  }

  const absl::string_view value_;
  Filler* const filler_;
  std::vector<Problem>* const problems_;
};

// Moves what was written there to `positions`, in place of what was before.
void ReplacePositions(const std::string& path, const Positions& written,
                      const std::string& origin, Positions* positions) {
  const auto below = [&](const std::string& field) {
    return field == path || absl::StartsWith(field, path + ".") ||
           absl::StartsWith(field, path + "[");
  };
  for (auto it = positions->begin(); it != positions->end();) {
    it = below(it->first) ? positions->erase(it) : std::next(it);
  }
  for (const auto& [field, unused] : written) {
    (*positions)[field] = {0, 0, origin};
  }
}

}  // namespace

std::vector<Problem> SetField(
    absl::string_view assignment,
    const std::map<std::string, std::string>& variables,
    google::protobuf::Message* message, Positions* positions) {
  const std::string origin = absl::StrCat("--set ", assignment);
  const size_t equals = assignment.find('=');
  const std::string path(
      absl::StripAsciiWhitespace(assignment.substr(0, equals)));
  if (equals == assignment.npos || path.empty()) {
    return {{{0, 0, origin},
             "",
             "is no assignment; write --set FIELD=VALUE, "
             "for example --set optimizer.lr=0.01"}};
  }
  std::vector<Problem> problems;
  Positions written;
  std::unique_ptr<Message> changed(message->New());
  changed->CopyFrom(*message);
  Filler filler(message->GetDescriptor(), variables, &written, &problems);
  Assignment(absl::StripAsciiWhitespace(assignment.substr(equals + 1)), &filler,
             &problems)
      .ApplyTo(path, "", changed.get());
  for (Problem& problem : problems) problem.position = {0, 0, origin};
  if (!problems.empty()) return problems;
  message->GetReflection()->Swap(message, changed.get());
  if (positions != nullptr) {
    written[path];
    ReplacePositions(path, written, origin, positions);
  }
  return problems;
}

}  // namespace tfd::spec
