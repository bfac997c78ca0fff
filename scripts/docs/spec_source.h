// The job spec's descriptor with its comments.
#ifndef TFD_SCRIPTS_DOCS_SPEC_SOURCE_H_
#define TFD_SCRIPTS_DOCS_SPEC_SOURCE_H_

#include <google/protobuf/descriptor.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tfd::docs {

// A message and where in a spec it is used.
struct SpecMessage {
  const google::protobuf::Descriptor* type;
  // "tasks.ps", "tasks.worker"; {""} for the spec itself.
  std::vector<std::string> paths;
};

// Owns the descriptors that it gives out. Immutable; thread-safe.
class SpecSource {
 public:
  // From a descriptor set made with --include_source_info --include_imports.
  static absl::StatusOr<std::unique_ptr<SpecSource>> Load(
      const std::string& path);

  const google::protobuf::Descriptor* root() const { return root_; }
  // All messages of the spec, the root first, each before those in it.
  std::vector<SpecMessage> Messages() const;

 private:
  SpecSource() = default;

  google::protobuf::DescriptorPool pool_;
  const google::protobuf::Descriptor* root_ = nullptr;
};

// The comment in front of a field, an enum value or a message, in one line.
template <typename DescriptorType>
std::string CommentOf(const DescriptorType* descriptor);

}  // namespace tfd::docs

#endif  // TFD_SCRIPTS_DOCS_SPEC_SOURCE_H_
