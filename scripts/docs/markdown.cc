#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "common/spec/field.h"
#include "common/spec/names.h"
#include "common/spec/rules.h"
#include "scripts/docs/spec_docs.h"

namespace tfd::docs {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;

constexpr absl::string_view kIntroduction =
    R"(A job is one YAML file. This page has every field of it; it is generated from
[`proto/tfd/v1/job_spec.proto`](../proto/tfd/v1/job_spec.proto) by
`ninja spec_docs`, so edit the comments there. `tfd validate SPEC` says
everything that is wrong with a file, and editors that know JSON Schema can use
[`job_spec.schema.json`](job_spec.schema.json): begin the file with
`# yaml-language-server: $schema=PATH/job_spec.schema.json`.

)";

constexpr absl::string_view kHowToWrite = R"(
## How values are written

- **Sizes** are bytes, with a unit if you like: `512`, `64KiB`, `1.5GiB`, `2GB`
  (KiB is 1024, KB is 1000).
- **Durations** are milliseconds, with a unit if you like: `1500`, `250ms`,
  `10s`, `5m`, `1h30m`.
- **Shorthand**: where a field is said to be short for another, a single value
  in its place fills that one: `loss: cross_entropy` is
  `loss: {name: cross_entropy}`.
- **Variables**: `${NAME}` in a value is replaced from the environment; one that
  is not set is an error. Inside `{ }` the text needs quotes: `"${NAME}/file"`.
  `$${` stands for `${` itself.
- **Paths** of inputs are relative to the folder of the spec, `storage` to the
  folder where the command runs. `~/` is your home folder.
- **Anchors** (`&name`, `*name`, `<<: *name`) work as YAML has them.
- **`--set FIELD=VALUE`** replaces a field from the command line:
  `--set optimizer.lr=0.01`, `--set model.hidden=[64,32]`,
  `--set data.train.columns.label=class`, `--set 'data.preprocess[0].scale=0.5'`;
  `--set FIELD=` takes it away.
)";

// For a table's cell.
std::string Cell(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"|", "\\|"}});
}

std::string Code(absl::string_view text) {
  return absl::StrCat("`", text, "`");
}

// The heading of a message's section, and GitHub's anchor for it.
std::string Heading(const std::vector<std::string>& paths) {
  return absl::StrJoin(paths, ", ");
}
std::string Anchor(const std::vector<std::string>& paths) {
  std::string anchor;
  for (char c : absl::AsciiStrToLower(Heading(paths))) {
    if (absl::ascii_isalnum(c) || c == '_' || c == '-') {
      anchor += c;
    } else if (c == ' ') {
      anchor += '-';
    }
  }
  return anchor;
}

std::string ScalarType(const FieldDescriptor* field) {
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return spec::Rules(field).spec_path() || spec::Rules(field).work_path()
                 ? "path"
                 : "text";
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT:
      return "number";
    case FieldDescriptor::CPPTYPE_ENUM:
      return "one of the names below";
    default:
      break;
  }
  switch (spec::Rules(field).quantity()) {
    case v1::BYTES:
      return "size";
    case v1::DURATION_MS:
      return "duration";
    default:
      return "whole number";
  }
}

std::string TypeText(const FieldDescriptor* field,
                     const std::vector<SpecMessage>& messages) {
  if (field->is_map()) return "names with text";
  std::string type;
  if (field->message_type() == nullptr) {
    type = ScalarType(field);
  } else {
    for (const SpecMessage& message : messages) {
      if (message.type != field->message_type()) continue;
      type = absl::StrCat("[fields](#", Anchor(message.paths), ")");
    }
    if (const FieldDescriptor* scalar =
            spec::ScalarField(field->message_type())) {
      absl::StrAppend(&type, ", short for ", Code(scalar->name()));
    }
  }
  return field->is_repeated() ? absl::StrCat("list of: ", type) : type;
}

std::string DefaultText(const FieldDescriptor* field) {
  const v1::FieldRules& rules = spec::Rules(field);
  if (!rules.default_value().empty()) return Code(rules.default_value());
  if (!rules.required()) return "";
  return rules.unless().empty() ? "**required**"
                                : absl::StrCat("**required** unless `",
                                               rules.unless(), "` is given");
}

std::string AllowedText(const FieldDescriptor* field) {
  std::vector<std::string> parts;
  const std::string bounds = spec::BoundsText(field);
  if (!bounds.empty()) parts.push_back(bounds);
  if (!spec::Rules(field).pattern_words().empty()) {
    parts.push_back(spec::Rules(field).pattern_words());
  }
  const spec::OnlyFor only_for = spec::ParseOnlyFor(field);
  if (only_for.field != nullptr) {
    parts.push_back(absl::StrCat(
        "only for ", Code(absl::StrCat(only_for.field->name(), ": ",
                                       absl::StrJoin(only_for.values, ", ")))));
  }
  return absl::StrJoin(parts, "; ");
}

std::string Meaning(absl::string_view comment, absl::string_view planned) {
  if (planned.empty()) return std::string(comment);
  return absl::StrCat(comment, " *Not there yet: ", planned, ".*");
}

void AppendValues(const FieldDescriptor* field, std::string* page) {
  absl::StrAppend(page, "\n", Code(field->name()), " is one of\n\n");
  const EnumDescriptor* type = field->enum_type();
  for (int i = 0; i < type->value_count(); ++i) {
    const EnumValueDescriptor* value = type->value(i);
    const std::string name = spec::ValueName(value);
    if (name.empty()) continue;
    absl::StrAppend(
        page, "- ", Code(name), ": ",
        Meaning(CommentOf(value),
                value->options().GetExtension(v1::value_rules).planned()),
        "\n");
  }
}

void AppendMessage(const SpecMessage& message,
                   const std::vector<SpecMessage>& messages,
                   std::string* page) {
  const bool is_root = message.paths.front().empty();
  absl::StrAppend(page, "\n## ",
                  is_root ? "The fields of a job" : Heading(message.paths),
                  "\n\n");
  const std::string comment = CommentOf(message.type);
  if (!comment.empty()) absl::StrAppend(page, comment, "\n\n");
  absl::StrAppend(page,
                  "| field | type | default | allowed | meaning |\n"
                  "|---|---|---|---|---|\n");
  for (int i = 0; i < message.type->field_count(); ++i) {
    const FieldDescriptor* field = message.type->field(i);
    std::string meaning =
        Meaning(CommentOf(field), spec::Rules(field).planned());
    if (field->real_containing_oneof() != nullptr) {
      absl::StrAppend(&meaning, " (One of these only.)");
    }
    absl::StrAppend(page, "| ", Code(field->name()), " | ",
                    Cell(TypeText(field, messages)), " | ",
                    Cell(DefaultText(field)), " | ", Cell(AllowedText(field)),
                    " | ", Cell(meaning), " |\n");
  }
  for (int i = 0; i < message.type->field_count(); ++i) {
    const FieldDescriptor* field = message.type->field(i);
    if (field->enum_type() != nullptr) AppendValues(field, page);
  }
}

}  // namespace

std::string SpecMarkdown(const SpecSource& source, const std::string& example) {
  std::string page = "# The job spec\n\n";
  absl::StrAppend(&page, kIntroduction, "```yaml\n", example, "```\n",
                  kHowToWrite);
  const std::vector<SpecMessage> messages = source.Messages();
  for (const SpecMessage& message : messages) {
    AppendMessage(message, messages, &page);
  }
  return page;
}

}  // namespace tfd::docs
