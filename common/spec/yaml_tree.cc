#include "common/spec/yaml_tree.h"

#include <re2/re2.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace tfd::spec {
namespace {

constexpr absl::string_view kMergeKey = "<<";

// Marks count from 0 and columns in bytes; people count from 1 and characters.
class Lines {
 public:
  explicit Lines(absl::string_view text) : lines_(absl::StrSplit(text, '\n')) {}

  Position At(const YAML::Mark& mark) const {
    if (mark.is_null()) return {};
    Position position;
    position.line = mark.line + 1;
    absl::string_view before = Line(mark.line).substr(
        0, std::min<size_t>(mark.column, Line(mark.line).size()));
    position.column = 1 + static_cast<int>(std::count_if(
                              before.begin(), before.end(), [](char c) {
                                return (static_cast<uint8_t>(c) >> 6) != 2;
                              }));
    return position;
  }

  // Whether the quoted text that begins there ends; yaml-cpp lets it go on to
  // the end of the file.
  bool IsClosed(const YAML::Mark& mark) const {
    int line = mark.line;
    size_t column = mark.column;
    if (column >= Line(line).size()) return true;
    const char quote = Line(line)[column++];
    if (quote != '"' && quote != '\'') return true;
    for (; line < static_cast<int>(lines_.size()); ++line, column = 0) {
      for (; column < lines_[line].size(); ++column) {
        if (quote == '"' && lines_[line][column] == '\\') {
          ++column;
        } else if (lines_[line][column] == quote) {
          if (quote == '"' || lines_[line].substr(column + 1, 1) != "'") {
            return true;
          }
          ++column;  // '' in '…' is one quote
        }
      }
    }
    return false;
  }

  // Counted from 0; empty beyond the end.
  absl::string_view Line(int number) const {
    if (number < 0 || number >= static_cast<int>(lines_.size())) return {};
    return lines_[number];
  }

 private:
  std::vector<absl::string_view> lines_;
};

// Builds the tree out of the parser's events.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(const Lines& lines) : lines_(lines) {}

  YamlTree Take() {
    if (tree_.root == nullptr) tree_.root = std::make_shared<YamlNode>();
    return std::move(tree_);
  }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Add(NewNode(YamlNode::Kind::kNull, mark), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    auto found = anchors_.find(anchor);
    if (found == anchors_.end()) {
      tree_.problems.push_back({lines_.At(mark), "",
                                "an alias inside of what it stands for: a part "
                                "of the spec cannot contain itself"});
      Add(NewNode(YamlNode::Kind::kNull, mark), 0);
      return;
    }
    Add(found->second, 0);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag,
                YAML::anchor_t anchor, const std::string& value) override {
    std::shared_ptr<YamlNode> node = NewNode(YamlNode::Kind::kScalar, mark);
    node->scalar = value;
    node->quoted = tag == "!";  // yaml-cpp tags what is in quotes so
    if (node->quoted && !lines_.IsClosed(mark)) {
      tree_.problems.push_back(
          {node->position, "", "not valid YAML: this quote is never closed"});
    }
    Add(std::move(node), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&,
                       YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open_.push_back({NewNode(YamlNode::Kind::kList, mark), anchor, nullptr});
  }
  void OnSequenceEnd() override { Close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string&,
                  YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    open_.push_back({NewNode(YamlNode::Kind::kMap, mark), anchor, nullptr});
  }
  void OnMapEnd() override {
    MergeInto(open_.back().node.get());
    Close();
  }

 private:
  // A list or map whose end has not come yet.
  struct Open {
    std::shared_ptr<YamlNode> node;
    YAML::anchor_t anchor;
    YamlNodePtr key;  // of the entry whose value comes next
  };

  std::shared_ptr<YamlNode> NewNode(YamlNode::Kind kind,
                                    const YAML::Mark& mark) const {
    auto node = std::make_shared<YamlNode>();
    node->kind = kind;
    node->position = lines_.At(mark);
    return node;
  }

  void Add(YamlNodePtr node, YAML::anchor_t anchor) {
    if (anchor != 0) anchors_[anchor] = node;
    if (open_.empty()) {
      tree_.root = std::move(node);
      return;
    }
    Open& parent = open_.back();
    if (parent.node->kind == YamlNode::Kind::kList) {
      parent.node->items.push_back(std::move(node));
    } else if (parent.key == nullptr) {
      parent.key = std::move(node);
    } else {
      parent.node->entries.push_back({std::move(parent.key), std::move(node)});
      parent.key = nullptr;
    }
  }

  void Close() {
    Open closed = std::move(open_.back());
    open_.pop_back();
    Add(std::move(closed.node), closed.anchor);
  }

  // `<<: *base` gives a map the entries of another that it has not itself.
  void MergeInto(YamlNode* map) {
    std::vector<YamlEntry> own;
    std::vector<YamlNodePtr> bases;
    for (YamlEntry& entry : map->entries) {
      if (entry.key->quoted || entry.key->scalar != kMergeKey) {
        own.push_back(std::move(entry));
      } else if (entry.value->kind == YamlNode::Kind::kList) {
        bases.insert(bases.end(), entry.value->items.begin(),
                     entry.value->items.end());
      } else {
        bases.push_back(entry.value);
      }
    }
    map->entries = std::move(own);
    if (bases.empty()) return;
    std::set<std::string> names;
    for (const YamlEntry& entry : map->entries) names.insert(entry.key->scalar);
    for (const YamlNodePtr& base : bases) {
      if (base->kind != YamlNode::Kind::kMap) {
        tree_.problems.push_back(
            {base->position, "",
             "<< takes the fields of another map: write <<: *name, with &name "
             "at that map"});
        continue;
      }
      for (const YamlEntry& entry : base->entries) {
        if (names.insert(entry.key->scalar).second) {
          map->entries.push_back(entry);
        }
      }
    }
  }

  const Lines& lines_;
  YamlTree tree_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, YamlNodePtr> anchors_;
};

// The likely cause of a syntax error, from what stands there.
std::string LikelyCause(const std::string& message, const Lines& lines,
                        int line) {
  const absl::string_view here = lines.Line(line);
  for (absl::string_view text : {here, lines.Line(line - 1)}) {
    const size_t variable = text.find("${");
    const size_t brace = text.find('{');
    if (variable != text.npos && brace < variable) {
      return "; inside { } put quotes around text with a variable: "
             "\"${NAME}/file\"";
    }
  }
  if (absl::StrContains(here, "\t")) {
    return "; there is a tab in this line, indent with spaces";
  }
  if (absl::StrContains(message, "illegal map value") ||
      absl::StrContains(message, "end of map not found")) {
    return "; is the indentation that of the lines around it, is there a space "
           "after each colon, and is text with a colon in it in quotes?";
  }
  if (absl::StrContains(message, "flow")) {
    return "; is there a comma between the parts, and is each { and [ closed?";
  }
  return "";
}

}  // namespace

bool IsUtf8(absl::string_view text) {
  // `.` matches valid UTF-8 only.
  static const RE2& kAnything = *new RE2("(?s).*");
  return RE2::FullMatch({text.data(), text.size()}, kAnything);
}

YamlTree ParseYaml(absl::string_view text) {
  const Lines lines(text);
  TreeBuilder builder(lines);
  if (!IsUtf8(text)) {
    YamlTree tree = builder.Take();
    tree.problems.push_back(
        {{}, "", "is not UTF-8 text; is this the right file?"});
    return tree;
  }
  std::istringstream stream{std::string(text)};
  Problem failure;
  try {
    YAML::Parser parser(stream);
    parser.HandleNextDocument(builder);
    YamlTree tree = builder.Take();
    TreeBuilder second(lines);
    if (parser.HandleNextDocument(second)) {
      tree.problems.push_back({second.Take().root->position, "",
                               "a second YAML document begins here (after "
                               "---); a spec is one document"});
    }
    return tree;
  } catch (const YAML::Exception& error) {
    failure.position = lines.At(error.mark);
    failure.message =
        absl::StrCat("not valid YAML: ", error.msg,
                     LikelyCause(error.msg, lines, error.mark.line));
  } catch (const std::exception& error) {
    failure.message = absl::StrCat("cannot be read as YAML: ", error.what());
  }
  YamlTree tree;
  tree.root = std::make_shared<YamlNode>();
  tree.problems.push_back(std::move(failure));
  return tree;
}

}  // namespace tfd::spec
