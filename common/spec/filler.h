// Fills a message from a YAML tree, by descriptor and reflection.
#ifndef TFD_COMMON_SPEC_FILLER_H_
#define TFD_COMMON_SPEC_FILLER_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/spec/expand.h"
#include "common/spec/yaml_message.h"
#include "common/spec/yaml_tree.h"

namespace tfd::spec {

// Collects problems and goes on; what is wrong is left unset. Borrows all that
// it is given. Thread-compatible.
class Filler {
 public:
  // Names are suggested from all fields below `root`. `positions` may be null.
  Filler(const google::protobuf::Descriptor* root, const Variables& variables,
         Positions* positions, std::vector<Problem>* problems)
      : root_(root),
        variables_(variables),
        positions_(positions),
        problems_(problems) {}

  // `path` is where `message` is below the root, "" for the root.
  void FillMessage(const YamlNode& node, const std::string& path,
                   google::protobuf::Message* message);
  // The whole of one field, whatever its kind, replacing what it holds.
  void FillField(const YamlNode& node, const std::string& path,
                 const google::protobuf::FieldDescriptor* field,
                 google::protobuf::Message* message);
  // One element at the end of a repeated field that is no map.
  void AppendElement(const YamlNode& node, const std::string& path,
                     const google::protobuf::FieldDescriptor* field,
                     google::protobuf::Message* message);
  // An element of a repeated field, by its index, replacing what it holds.
  void ReplaceElement(const YamlNode& node, const std::string& path,
                      const google::protobuf::FieldDescriptor* field, int index,
                      google::protobuf::Message* message);
  // One entry of a map, replacing one with the same key.
  void SetEntry(const std::string& key, const YamlNode& node,
                const std::string& path,
                const google::protobuf::FieldDescriptor* field,
                google::protobuf::Message* message);

  // Says that `type`, at `path`, has no field `name`.
  void ReportUnknown(const google::protobuf::Descriptor* type,
                     const std::string& path, absl::string_view name,
                     const Position& position);
  void Report(const std::string& field, const Position& position,
              absl::string_view message);

 private:
  void FillEntries(const YamlNode& node, const std::string& path,
                   google::protobuf::Message* message);
  void FillList(const YamlNode& node, const std::string& path,
                const google::protobuf::FieldDescriptor* field,
                google::protobuf::Message* message);
  void FillMap(const YamlNode& node, const std::string& path,
               const google::protobuf::FieldDescriptor* field,
               google::protobuf::Message* message);
  // The key is not in the map yet.
  void AddEntry(const std::string& key, const YamlNode& node,
                const std::string& path,
                const google::protobuf::FieldDescriptor* field,
                google::protobuf::Message* message);
  void FillScalar(const YamlNode& node, const std::string& path,
                  const google::protobuf::FieldDescriptor* field, int slot,
                  google::protobuf::Message* message);
  void Record(const std::string& path, const Position& position);

  const google::protobuf::Descriptor* const root_;
  const Variables& variables_;
  Positions* const positions_;
  std::vector<Problem>* const problems_;
};

// The entry of a map (with text for keys), or null.
google::protobuf::Message* FindEntry(
    const std::string& key, const google::protobuf::FieldDescriptor* field,
    google::protobuf::Message* message);

// In the order of the text; what has no place in it comes last.
void SortProblems(std::vector<Problem>* problems);

}  // namespace tfd::spec

#endif  // TFD_COMMON_SPEC_FILLER_H_
