// Checkpoints in a job's storage: what they are called, how they are written
// by shards, verified, and read back onto any number of shards.
//
//   STORAGE/checkpoints/committed.json             v1::CommittedIndex
//   STORAGE/checkpoints/s00000500-g1/manifest.json v1::CheckpointManifest
//   STORAGE/checkpoints/s00000500-g1/shard-0.safetensors
//
// In a shard's file a parameter is named NAME where the file has all of it,
// else NAME[BEGIN:END] for each piece; optimizer state is STATE/NAME likewise
// (adam.m/conv1.weight).
#ifndef TFD_TENSOR_CHECKPOINT_H_
#define TFD_TENSOR_CHECKPOINT_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/fs/file_system.h"
#include "tensor/layout.h"
#include "tensor/safetensors.h"
#include "tfd/v1/checkpoint.pb.h"

namespace tfd::tensor {

// The version of the manifest that is written, and the only one that is read.
inline constexpr uint32_t kManifestVersion = 1;

// "s00000500-g1".
std::string CheckpointFolderName(int64_t step, uint64_t generation);
// "shard-0.safetensors".
std::string ShardFileName(uint32_t shard);

// What a shard has of one chunk, at the step of a checkpoint. Not owned.
struct ChunkToSave {
  FlatRange range;
  absl::Span<const float> parameters;
  // One per name in ShardToSave::state_names, each as long as `parameters`.
  std::vector<absl::Span<const float>> state;
};

struct ShardToSave {
  uint32_t shard = 0;
  int64_t step = 0;
  // How often the optimizer was applied (adam's bias correction).
  uint64_t updates = 0;
  // E.g. {"adam.m", "adam.v"}.
  std::vector<std::string> state_names;
  // Ascending.
  std::vector<ChunkToSave> chunks;
};

// One checkpoint, open for reading. Thread-safe.
class CheckpointReader {
 public:
  const v1::CheckpointManifest& manifest() const { return manifest_; }
  const std::string& folder() const { return folder_; }
  uint64_t elements() const { return elements_; }
  uint64_t updates() const { return updates_; }

  // Elements [range.begin, range.end) of the flat parameters into `out`.
  absl::Status ReadParameters(FlatRange range, absl::Span<float> out) const;
  // The same of an optimizer state, e.g. "adam.m". NotFound naming the states
  // that there are.
  absl::Status ReadState(const std::string& state, FlatRange range,
                         absl::Span<float> out) const;
  // Names of the states there are.
  std::vector<std::string> StateNames() const;

 private:
  friend class CheckpointStore;
  // Where a piece of the flat key space is.
  struct Source {
    size_t file;
    size_t tensor;  // in that file
    uint64_t end;   // in the flat key space
  };
  using Sources = std::map<uint64_t, Source>;  // by the begin of the piece

  CheckpointReader() = default;
  absl::Status Index();
  absl::Status AddToIndex(size_t file, size_t tensor);
  absl::Status CheckComplete(const std::string& what,
                             const Sources& sources) const;
  absl::Status Read(const std::string& what, const Sources& sources,
                    FlatRange range, absl::Span<float> out) const;

  v1::CheckpointManifest manifest_;
  std::string folder_;
  uint64_t elements_ = 0;
  uint64_t updates_ = 0;
  std::vector<SafetensorsReader> files_;
  // Parameters are under the empty name.
  std::map<std::string, Sources, std::less<>> sources_;
};

// The checkpoints of one storage. Its methods do file I/O. Thread-safe where
// its file system is; one process at a time writes committed.json (ps/0).
//
// A v1::CheckpointRef stands for the folder here that has the name its uri ends
// with: a storage folder may be moved, and nothing leads outside of it.
class CheckpointStore {
 public:
  // `storage` as in the spec (storage.uri).
  static absl::StatusOr<CheckpointStore> Open(const std::string& storage);
  CheckpointStore(FileSystem* file_system, const std::string& storage_path);

  // Its folder, as v1::CheckpointRef.uri has it.
  std::string Folder(int64_t step, uint64_t generation) const;
  const std::string& checkpoints_folder() const { return root_; }

  // Writes a shard's file into the checkpoint's folder, which is created.
  absl::StatusOr<v1::ShardFile> WriteShard(const v1::LayoutGroup& layout,
                                           uint64_t generation,
                                           const ShardToSave& shard) const;

  // Writes manifest.json, the last file of a checkpoint.
  absl::StatusOr<v1::CheckpointRef> WriteManifest(
      const v1::CheckpointManifest& manifest) const;
  // Parses and validates it; checks the reference's checksum where it has one.
  absl::StatusOr<v1::CheckpointManifest> ReadManifest(
      const v1::CheckpointRef& checkpoint) const;

  // Opens manifest and shard files, verifies sizes, checksums and that every
  // element is there exactly once. DataLoss or NotFound naming the file.
  absl::StatusOr<CheckpointReader> OpenCheckpoint(
      const v1::CheckpointRef& checkpoint) const;

  // NotFound where there is no committed.json.
  absl::StatusOr<v1::CommittedIndex> ReadCommitted() const;
  absl::Status WriteCommitted(const v1::CommittedIndex& index) const;

  // The newest that committed.json names and that OpenCheckpoint takes; the
  // others that were tried are in `problems`, one line each. Nothing where
  // there is no committed.json or it is empty. DataLoss where it names some
  // and all of them are damaged.
  absl::StatusOr<std::optional<v1::CheckpointRef>> NewestIntact(
      std::vector<std::string>* problems) const;

  // Its folder with all that is in it.
  absl::Status DeleteCheckpoint(const v1::CheckpointRef& checkpoint) const;
  // All checkpoints and committed.json (for `overwrite`).
  absl::Status DeleteAll() const;

 private:
  absl::StatusOr<std::string> FolderOf(
      const v1::CheckpointRef& checkpoint) const;

  FileSystem* file_system_;
  std::string root_;  // STORAGE/checkpoints
};

}  // namespace tfd::tensor

#endif  // TFD_TENSOR_CHECKPOINT_H_
