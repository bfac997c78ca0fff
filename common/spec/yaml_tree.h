// YAML text as a tree in which every part knows where it was written. The one
// place that knows yaml-cpp and catches its exceptions.
#ifndef TFD_COMMON_SPEC_YAML_TREE_H_
#define TFD_COMMON_SPEC_YAML_TREE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/spec/yaml_message.h"

namespace tfd::spec {

struct YamlNode;
// Shared, because an alias (*name) is the node of its anchor (&name) and not a
// copy: copies would grow exponentially with aliases of aliases.
using YamlNodePtr = std::shared_ptr<const YamlNode>;

struct YamlEntry {
  YamlNodePtr key;
  YamlNodePtr value;
};

// Immutable once parsed; thread-safe.
struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  Position position;
  // kScalar: the text, and whether it was in quotes.
  std::string scalar;
  bool quoted = false;
  // kList.
  std::vector<YamlNodePtr> items;
  // kMap, in the order of the text, repeated keys included; what `<<` merges
  // in comes last.
  std::vector<YamlEntry> entries;
};

struct YamlTree {
  // The one document; a kNull node where the text has none or is wrong.
  YamlNodePtr root;
  // What is wrong with the text as YAML; the parser stops at the first.
  std::vector<Problem> problems;
};

bool IsUtf8(absl::string_view text);

YamlTree ParseYaml(absl::string_view text);

}  // namespace tfd::spec

#endif  // TFD_COMMON_SPEC_YAML_TREE_H_
