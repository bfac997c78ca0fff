// Writing an export: model.pt, model.safetensors and model.json, all there or
// none.
#ifndef TFD_WORKER_EXPORTER_H_
#define TFD_WORKER_EXPORTER_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/fs/file_system.h"
#include "worker/model.h"
#include "worker/model_file.h"

namespace tfd::worker {

// Writes STORAGE/export, by way of STORAGE/export-gG.tmp; one that is there is
// replaced. Idempotent. Gives the folder.
absl::StatusOr<std::string> WriteExport(const Location& storage,
                                        const ModelDescription& description,
                                        Model* model);

}  // namespace tfd::worker

#endif  // TFD_WORKER_EXPORTER_H_
