#include "worker/exporter.h"

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "tensor/safetensors.h"
#include "worker/models/definition.h"

namespace tfd::worker {
namespace {

absl::Status WriteWeights(FileSystem& file_system, const std::string& path,
                          const Model& model) {
  std::vector<tensor::TensorToWrite> tensors;
  const absl::Span<const float> parameters = model.parameters();
  size_t begin = 0;
  for (const tensor::TensorShape& shape : model.tensors()) {
    const auto elements = static_cast<size_t>(ShapeElements(shape.shape));
    tensors.push_back({shape.name,
                       tensor::DType::kF32,
                       shape.shape,
                       {tensor::AsBytes(parameters.subspan(begin, elements))}});
    begin += elements;
  }
  TFD_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file,
                       file_system.OpenForWriting(path));
  // "format: pt" is what the transformers library asks of such files.
  TFD_RETURN_IF_ERROR(
      tensor::WriteSafetensors(tensors, {{"format", "pt"}}, *file).status());
  return file->Commit();
}

absl::Status WriteFiles(FileSystem& file_system, const std::string& folder,
                        const ModelDescription& description, Model* model) {
  TFD_ASSIGN_OR_RETURN(const std::string script, model->Serialize());
  TFD_RETURN_IF_ERROR(
      WriteFileAtomically(file_system, JoinPath(folder, kScriptFile), script));
  TFD_RETURN_IF_ERROR(
      WriteWeights(file_system, JoinPath(folder, kWeightsFile), *model));
  return WriteFileAtomically(file_system, JoinPath(folder, kModelFile),
                             ToJson(description));
}

}  // namespace

absl::StatusOr<std::string> WriteExport(const Location& storage,
                                        const ModelDescription& description,
                                        Model* model) {
  FileSystem& file_system = *storage.file_system;
  const std::string target = JoinPath(storage.path, "export");
  if (!file_system.RenamesFolders(target)) {
    // An export is there when its model.json is: it goes first and comes last.
    TFD_RETURN_IF_ERROR(file_system.Delete(JoinPath(target, kModelFile)));
    TFD_RETURN_IF_ERROR(file_system.CreateFolder(target));
    TFD_RETURN_IF_ERROR(WriteFiles(file_system, target, description, model));
    return target;
  }
  const std::string base =
      JoinPath(storage.path, absl::StrCat("export-g", description.generation));
  const std::string written = base + ".tmp";
  const std::string replaced = base + ".old";
  TFD_RETURN_IF_ERROR(file_system.Delete(written));
  TFD_RETURN_IF_ERROR(file_system.Delete(replaced));
  TFD_RETURN_IF_ERROR(file_system.CreateFolder(written));
  TFD_RETURN_IF_ERROR(WriteFiles(file_system, written, description, model));
  // A folder that is not empty cannot be replaced in one step; between the two
  // renames there is no export, never half of one.
  if (file_system.Stat(target).ok()) {
    TFD_RETURN_IF_ERROR(file_system.Rename(target, replaced));
  }
  TFD_RETURN_IF_ERROR(file_system.Rename(written, target));
  TFD_RETURN_IF_ERROR(file_system.Delete(replaced));
  return target;
}

}  // namespace tfd::worker
