#include "scripts/docs/spec_source.h"

#include <google/protobuf/descriptor.pb.h>

#include <algorithm>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/spec/names.h"
#include "tfd/v1/job_spec.pb.h"

namespace tfd::docs {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

void Collect(const Descriptor* type, const std::string& path,
             std::vector<SpecMessage>* messages) {
  auto found =
      std::find_if(messages->begin(), messages->end(),
                   [type](const SpecMessage& m) { return m.type == type; });
  if (found != messages->end()) {
    found->paths.push_back(path);
    return;
  }
  messages->push_back({type, {path}});
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (field->message_type() != nullptr && !field->is_map()) {
      Collect(field->message_type(), spec::JoinField(path, field->name()),
              messages);
    }
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<SpecSource>> SpecSource::Load(
    const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  google::protobuf::FileDescriptorSet files;
  if (!file.is_open() || !files.ParseFromIstream(&file)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is no descriptor set; build tfd_job_spec_desc"));
  }
  // unique_ptr of a private constructor.
  std::unique_ptr<SpecSource> source(new SpecSource());
  for (const google::protobuf::FileDescriptorProto& proto : files.file()) {
    if (source->pool_.BuildFile(proto) == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": ", proto.name(), " does not fit the files before it"));
    }
  }
  source->root_ = source->pool_.FindMessageTypeByName(
      v1::JobSpec::descriptor()->full_name());
  if (source->root_ == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(path, " has no JobSpec"));
  }
  return source;
}

std::vector<SpecMessage> SpecSource::Messages() const {
  std::vector<SpecMessage> messages;
  Collect(root_, "", &messages);
  return messages;
}

template <typename DescriptorType>
std::string CommentOf(const DescriptorType* descriptor) {
  google::protobuf::SourceLocation location;
  if (!descriptor->GetSourceLocation(&location)) return "";
  return absl::StrJoin(
      absl::StrSplit(location.leading_comments, absl::ByAnyChar(" \n"),
                     absl::SkipEmpty()),
      " ");
}

template std::string CommentOf(const google::protobuf::Descriptor*);
template std::string CommentOf(const google::protobuf::FieldDescriptor*);
template std::string CommentOf(const google::protobuf::EnumValueDescriptor*);

}  // namespace tfd::docs
