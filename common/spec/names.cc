#include "common/spec/names.h"

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/nearest_name.h"

namespace tfd::spec {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

// Longer ones are not compared: no field has such a name.
constexpr size_t kLongestName = 64;
// Deeper fields are not searched; messages may be recursive.
constexpr int kDeepestField = 8;
// A name that is at more other places than this is no hint.
constexpr size_t kMostPlaces = 3;

// How far apart two names are, 0 where equal; -1: not near.
int Distance(absl::string_view written, absl::string_view name) {
  if (written == name) return 0;
  if (written.empty() || written.size() > kLongestName) return -1;
  // batch for batch_size, train_data for train.
  if (absl::StartsWith(name, absl::StrCat(written, "_")) ||
      absl::StartsWith(written, absl::StrCat(name, "_"))) {
    return 1;
  }
  // learning_rate for lr.
  std::string initials;
  for (absl::string_view word : absl::StrSplit(written, '_')) {
    absl::StrAppend(&initials, word.substr(0, 1));
  }
  if (initials.size() > 1 && initials == name) return 1;
  const int distance = EditDistance(written, name);
  const int allowed = std::max<int>(
      1, static_cast<int>(std::max(written.size(), name.size())) / 3);
  // Nothing of a name of two letters is left when both are changed, and little
  // when one is.
  if (std::min(written.size(), name.size()) <= 2 && distance > 0 &&
      written.size() == name.size()) {
    return -1;
  }
  return distance <= allowed ? distance : -1;
}

std::string WithoutIndexes(absl::string_view path) {
  std::string result;
  bool inside = false;
  for (char c : path) {
    if (c == '[') inside = true;
    if (!inside) result += c;
    if (c == ']') inside = false;
  }
  return result;
}

// All paths below `message` that end in exactly `name`.
void FindElsewhere(const Descriptor* message, const std::string& path,
                   absl::string_view name, int depth,
                   std::vector<std::string>* found) {
  if (depth > kDeepestField) return;
  for (int i = 0; i < message->field_count(); ++i) {
    const FieldDescriptor* field = message->field(i);
    const std::string field_path = JoinField(path, field->name());
    if (field->name() == name) found->push_back(field_path);
    if (field->message_type() != nullptr && !field->is_map()) {
      FindElsewhere(field->message_type(), field_path, name, depth + 1, found);
    }
  }
}

// The nearest of the names of fields, or empty where none is near.
std::string NearestField(absl::string_view name,
                         const std::vector<std::string>& fields) {
  std::string nearest;
  int least = -1;
  for (const std::string& field : fields) {
    const int distance = Distance(name, field);
    if (distance >= 0 && (least < 0 || distance < least)) {
      least = distance;
      nearest = field;
    }
  }
  return nearest;
}

}  // namespace

std::vector<std::string> FieldNames(const Descriptor* message) {
  std::vector<std::string> names;
  names.reserve(message->field_count());
  for (int i = 0; i < message->field_count(); ++i) {
    names.push_back(message->field(i)->name());
  }
  return names;
}

FieldSuggestion SuggestField(const Descriptor* root, const Descriptor* at,
                             absl::string_view path, absl::string_view name) {
  const std::vector<std::string> here = FieldNames(at);
  // {lr 0.1}: YAML wants a colon and a space.
  const size_t space = name.find(' ');
  if (space != name.npos) {
    const std::string nearest = NearestField(name.substr(0, space), here);
    if (!nearest.empty()) {
      return {JoinField(path, nearest),
              absl::StrCat("is a colon missing? write ", nearest, ": …")};
    }
  }
  // optimizer.lr as one key.
  const std::string dotted = JoinField(WithoutIndexes(path), std::string(name));
  if (absl::StrContains(name, ".")) {
    const std::vector<std::string> parts = absl::StrSplit(name, '.');
    return {dotted, absl::StrCat("fields are nested, not dotted: write ",
                                 absl::StrJoin(parts, ": {"), ": …",
                                 std::string(parts.size() - 1, '}'))};
  }
  std::vector<std::string> elsewhere;
  FindElsewhere(root, "", name, 0, &elsewhere);
  if (!elsewhere.empty() && elsewhere.size() <= kMostPlaces) {
    return {
        elsewhere.front(),
        absl::StrCat("did you mean ", absl::StrJoin(elsewhere, " or "), "?")};
  }
  const std::string nearest = NearestField(name, here);
  if (!nearest.empty()) {
    return {JoinField(path, nearest),
            absl::StrCat("did you mean ", nearest, "?")};
  }
  return {"", absl::StrCat("there is ", absl::StrJoin(here, ", "))};
}

std::string JoinField(absl::string_view path, absl::string_view name) {
  return path.empty() ? std::string(name) : absl::StrCat(path, ".", name);
}

}  // namespace tfd::spec
