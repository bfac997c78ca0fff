// tfd-spec-docs DESCRIPTOR_SET SOURCE_FOLDER: writes docs/spec.md and
// docs/job_spec.schema.json.
#include <iostream>
#include <string>

#include "absl/status/status.h"
#include "common/fs/file_system.h"
#include "common/status.h"
#include "scripts/docs/spec_docs.h"

namespace {

absl::Status Run(const std::string& descriptor_set, const std::string& folder) {
  TFD_ASSIGN_OR_RETURN(const auto source,
                       tfd::docs::SpecSource::Load(descriptor_set));
  tfd::FileSystem& files = *tfd::LocalFileSystem();
  TFD_ASSIGN_OR_RETURN(const std::string example,
                       tfd::ReadFile(files, folder + "/configs/mnist.yaml"));
  TFD_RETURN_IF_ERROR(
      tfd::WriteFileAtomically(files, folder + "/docs/spec.md",
                               tfd::docs::SpecMarkdown(*source, example)));
  return tfd::WriteFileAtomically(files, folder + "/docs/job_spec.schema.json",
                                  tfd::docs::SpecJsonSchema(*source));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: tfd-spec-docs DESCRIPTOR_SET SOURCE_FOLDER\n";
    return 2;
  }
  const absl::Status status = Run(argv[1], argv[2]);
  if (!status.ok()) std::cerr << status.message() << "\n";
  return tfd::ExitCode(status);
}
