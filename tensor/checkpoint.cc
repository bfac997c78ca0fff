#include "tensor/checkpoint.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/crc32c.h"
#include "common/status.h"

namespace tfd::tensor {
namespace {

constexpr char kCheckpointsFolder[] = "checkpoints";
constexpr char kCommittedName[] = "committed.json";
constexpr char kManifestName[] = "manifest.json";
// Keys of a shard file's metadata.
constexpr char kStepKey[] = "tfd.step";
constexpr char kUpdatesKey[] = "tfd.updates";
constexpr char kShardKey[] = "tfd.shard";

absl::StatusOr<std::string> ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  std::string json;
  const auto status =
      google::protobuf::util::MessageToJsonString(message, &json, options);
  if (!status.ok()) {
    return absl::InternalError(
        absl::StrCat(message.GetTypeName(), " as JSON: ", status.ToString()));
  }
  return json;
}

absl::Status FromJson(const std::string& json, const std::string& path,
                      google::protobuf::Message* message) {
  google::protobuf::util::JsonParseOptions options;
  // Written by a newer version, with more to say.
  options.ignore_unknown_fields = true;
  const auto status =
      google::protobuf::util::JsonStringToMessage(json, message, options);
  if (status.ok()) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(path, " is damaged: ", std::string(status.message())));
}

// What a tensor of a shard file is: "adam.m/conv1.weight[0:64]".
struct PieceId {
  std::string state;   // empty: the parameters
  std::string tensor;  // conv1.weight
  bool whole = true;
  uint64_t begin = 0;
  uint64_t end = 0;
};

bool ParseRange(absl::string_view text, uint64_t* begin, uint64_t* end) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  return parts.size() == 2 && absl::SimpleAtoi(parts[0], begin) &&
         absl::SimpleAtoi(parts[1], end) && *begin < *end;
}

// Tensors of models have no slash and no bracket in their names.
PieceId ParsePieceName(absl::string_view name) {
  PieceId id;
  const size_t slash = name.find('/');
  if (slash != absl::string_view::npos) {
    id.state = std::string(name.substr(0, slash));
    name.remove_prefix(slash + 1);
  }
  const size_t bracket = name.rfind('[');
  if (bracket != absl::string_view::npos && absl::ConsumeSuffix(&name, "]") &&
      ParseRange(name.substr(bracket + 1), &id.begin, &id.end)) {
    id.whole = false;
    name = name.substr(0, bracket);
  }
  id.tensor = std::string(name);
  return id;
}

bool IsCheckpointFolderName(absl::string_view name) {
  absl::string_view rest = name;
  if (!absl::ConsumePrefix(&rest, "s")) return false;
  const std::vector<std::string> parts = absl::StrSplit(rest, "-g");
  int64_t step = 0;
  uint64_t generation = 0;
  return parts.size() == 2 && absl::SimpleAtoi(parts[0], &step) &&
         absl::SimpleAtoi(parts[1], &generation) &&
         CheckpointFolderName(step, generation) == name;
}

bool IsPlainFileName(const std::string& name) {
  return !name.empty() && name[0] != '.' && name.find('/') == std::string::npos;
}

absl::Status CheckManifest(const v1::CheckpointManifest& manifest,
                           const std::string& path) {
  const auto wrong = [&](const std::string& what) {
    return absl::DataLossError(absl::StrCat(path, ": ", what));
  };
  if (manifest.format_version() != kManifestVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": format_version is ", manifest.format_version(),
                     ", this tfd reads ", kManifestVersion));
  }
  if (manifest.step() < 0) return wrong("step is negative");
  if (manifest.shards().empty()) return wrong("shards is empty");
  for (const v1::ShardFile& file : manifest.shards()) {
    if (!IsPlainFileName(file.file())) {
      return wrong(absl::StrCat("shards.file: ", file.file(),
                                " is no name of a file in this folder"));
    }
  }
  // The same rules as a layout's: a gapless key space.
  v1::LayoutGroup group;
  group.add_members("any");
  group.add_shards("any");
  group.set_chunk_elements(1 << 20);
  *group.mutable_tensors() = manifest.tensors();
  const absl::Status tensors = Layout::FromGroup(std::move(group)).status();
  return tensors.ok() ? tensors : wrong(std::string(tensors.message()));
}

// The pieces of one array of a chunk, appended to what is to be written.
void AddPieces(const Layout& layout, FlatRange range, const std::string& prefix,
               absl::Span<const float> values,
               std::vector<TensorToWrite>* tensors) {
  for (const TensorPiece& piece : layout.Pieces(range)) {
    const v1::TensorInfo& info = layout.tensor(piece.tensor);
    TensorToWrite tensor;
    tensor.name = prefix + PieceName(info, piece.begin, piece.end);
    if (piece.elements() == info.elements()) {
      tensor.shape.assign(info.shape().begin(), info.shape().end());
    } else {
      tensor.shape = {static_cast<int64_t>(piece.elements())};
    }
    tensor.data = {AsBytes(values.subspan(piece.offset, piece.elements()))};
    tensors->push_back(std::move(tensor));
  }
}

}  // namespace

std::string CheckpointFolderName(int64_t step, uint64_t generation) {
  char name[64];
  std::snprintf(name, sizeof(name), "s%08lld-g%llu",
                static_cast<long long>(step),
                static_cast<unsigned long long>(generation));
  return name;
}

std::string ShardFileName(uint32_t shard) {
  return absl::StrCat("shard-", shard, ".safetensors");
}

// ---------------------------------------------------------------- reading

absl::Status CheckpointReader::Index() {
  for (const v1::TensorInfo& tensor : manifest_.tensors()) {
    elements_ += tensor.elements();
  }
  for (size_t file = 0; file < files_.size(); ++file) {
    for (size_t i = 0; i < files_[file].tensors().size(); ++i) {
      TFD_RETURN_IF_ERROR(AddToIndex(file, i));
    }
    const auto& metadata = files_[file].metadata();
    const auto updates = metadata.find(kUpdatesKey);
    uint64_t number = 0;
    if (updates == metadata.end() ||
        !absl::SimpleAtoi(updates->second, &number)) {
      return absl::DataLossError(
          absl::StrCat(folder_, ": ", manifest_.shards(file).file(),
                       " does not say how many updates it has"));
    }
    updates_ = std::max(updates_, number);
  }
  if (sources_.find("") == sources_.end()) sources_[""];
  for (const auto& [state, sources] : sources_) {
    TFD_RETURN_IF_ERROR(
        CheckComplete(state.empty() ? "parameters" : state, sources));
  }
  return absl::OkStatus();
}

absl::Status CheckpointReader::AddToIndex(size_t file, size_t tensor) {
  const TensorEntry& entry = files_[file].tensors()[tensor];
  PieceId id = ParsePieceName(entry.name);
  const auto info = std::find_if(
      manifest_.tensors().begin(), manifest_.tensors().end(),
      [&](const v1::TensorInfo& t) { return t.name() == id.tensor; });
  const auto wrong = [&](absl::string_view what) {
    return absl::DataLossError(absl::StrCat(folder_, ": ",
                                            manifest_.shards(file).file(), ": ",
                                            entry.name, " ", what));
  };
  if (info == manifest_.tensors().end()) {
    return wrong("is no tensor of the manifest");
  }
  if (id.whole) id.end = info->elements();
  if (id.end > info->elements() || entry.elements != id.end - id.begin ||
      entry.type != DType::kF32) {
    return wrong("does not fit the tensor in the manifest");
  }
  if (entry.elements == 0) return absl::OkStatus();
  Sources& sources = sources_[id.state];
  const bool added = sources
                         .insert({info->begin() + id.begin,
                                  {file, tensor, info->begin() + id.end}})
                         .second;
  return added ? absl::OkStatus() : wrong("is there twice");
}

absl::Status CheckpointReader::CheckComplete(const std::string& what,
                                             const Sources& sources) const {
  uint64_t next = 0;
  for (const auto& [begin, source] : sources) {
    if (begin != next) break;
    next = source.end;
  }
  if (next == elements_) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(folder_, ": ", what, " are incomplete: elements from ", next,
                   " of ", elements_, " are missing or there twice"));
}

absl::Status CheckpointReader::Read(const std::string& what,
                                    const Sources& sources, FlatRange range,
                                    absl::Span<float> out) const {
  if (range.begin > range.end || range.end > elements_ ||
      out.size() != range.elements()) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " of ", folder_, ": [", range.begin, ", ", range.end,
                     ") into ", out.size(), " of ", elements_, " elements"));
  }
  uint64_t at = range.begin;
  while (at < range.end) {
    // The last piece that begins at or before `at`; the index has no gaps.
    const auto it = std::prev(sources.upper_bound(at));
    const SafetensorsReader& file = files_[it->second.file];
    const uint64_t end = std::min(it->second.end, range.end);
    TFD_RETURN_IF_ERROR(
        file.ReadFloats(file.tensors()[it->second.tensor], at - it->first,
                        out.subspan(at - range.begin, end - at)));
    at = end;
  }
  return absl::OkStatus();
}

absl::Status CheckpointReader::ReadParameters(FlatRange range,
                                              absl::Span<float> out) const {
  return Read("parameters", sources_.find("")->second, range, out);
}

absl::Status CheckpointReader::ReadState(const std::string& state,
                                         FlatRange range,
                                         absl::Span<float> out) const {
  const auto it = sources_.find(state);
  if (state.empty() || it == sources_.end()) {
    const std::vector<std::string> names = StateNames();
    return absl::NotFoundError(absl::StrCat(
        "checkpoint ", folder_, " has no optimizer state ", state, "; it has ",
        names.empty() ? "none" : absl::StrJoin(names, ", ")));
  }
  return Read(state, it->second, range, out);
}

std::vector<std::string> CheckpointReader::StateNames() const {
  std::vector<std::string> names;
  for (const auto& [state, sources] : sources_) {
    if (!state.empty()) names.push_back(state);
  }
  return names;
}

// ------------------------------------------------------------------ store

absl::StatusOr<CheckpointStore> CheckpointStore::Open(
    const std::string& storage) {
  TFD_ASSIGN_OR_RETURN(const Location location, ResolveUri(storage));
  return CheckpointStore(location.file_system, location.path);
}

CheckpointStore::CheckpointStore(FileSystem* file_system,
                                 const std::string& storage_path)
    : file_system_(file_system),
      root_(JoinPath(storage_path, kCheckpointsFolder)) {}

std::string CheckpointStore::Folder(int64_t step, uint64_t generation) const {
  return JoinPath(root_, CheckpointFolderName(step, generation));
}

absl::StatusOr<std::string> CheckpointStore::FolderOf(
    const v1::CheckpointRef& checkpoint) const {
  const absl::string_view uri = absl::StripSuffix(checkpoint.uri(), "/");
  const std::string name(uri.substr(uri.rfind('/') + 1));
  if (!IsCheckpointFolderName(name)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", checkpoint.uri(),
                     "\" is no checkpoint's folder (sSTEP-gGENERATION)"));
  }
  return JoinPath(root_, name);
}

absl::StatusOr<v1::ShardFile> CheckpointStore::WriteShard(
    const v1::LayoutGroup& layout_group, uint64_t generation,
    const ShardToSave& shard) const {
  TFD_ASSIGN_OR_RETURN(const Layout layout, Layout::FromGroup(layout_group));
  std::vector<TensorToWrite> tensors;
  for (const ChunkToSave& chunk : shard.chunks) {
    AddPieces(layout, chunk.range, "", chunk.parameters, &tensors);
  }
  for (size_t i = 0; i < shard.state_names.size(); ++i) {
    for (const ChunkToSave& chunk : shard.chunks) {
      AddPieces(layout, chunk.range, shard.state_names[i] + "/", chunk.state[i],
                &tensors);
    }
  }
  const std::map<std::string, std::string> metadata = {
      {"format", "pt"},
      {kStepKey, absl::StrCat(shard.step)},
      {kUpdatesKey, absl::StrCat(shard.updates)},
      {kShardKey, absl::StrCat(shard.shard)}};
  const std::string folder = Folder(shard.step, generation);
  TFD_RETURN_IF_ERROR(file_system_->CreateFolder(folder));
  const std::string name = ShardFileName(shard.shard);
  TFD_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file,
                       file_system_->OpenForWriting(JoinPath(folder, name)));
  TFD_ASSIGN_OR_RETURN(const WrittenFile written,
                       WriteSafetensors(tensors, metadata, *file));
  TFD_RETURN_IF_ERROR(file->Commit());
  v1::ShardFile result;
  result.set_shard(shard.shard);
  result.set_file(name);
  result.set_size_bytes(written.size_bytes);
  result.set_crc32c(written.crc32c);
  return result;
}

absl::StatusOr<v1::CheckpointRef> CheckpointStore::WriteManifest(
    const v1::CheckpointManifest& manifest) const {
  const std::string folder = Folder(manifest.step(), manifest.generation());
  const std::string path = JoinPath(folder, kManifestName);
  TFD_RETURN_IF_ERROR(CheckManifest(manifest, path));
  TFD_ASSIGN_OR_RETURN(const std::string json, ToJson(manifest));
  TFD_RETURN_IF_ERROR(WriteFileAtomically(*file_system_, path, json));
  v1::CheckpointRef ref;
  ref.set_step(manifest.step());
  ref.set_uri(folder);
  ref.set_manifest_crc32c(Crc32c(json));
  return ref;
}

absl::StatusOr<v1::CheckpointManifest> CheckpointStore::ReadManifest(
    const v1::CheckpointRef& checkpoint) const {
  TFD_ASSIGN_OR_RETURN(const std::string folder, FolderOf(checkpoint));
  const std::string path = JoinPath(folder, kManifestName);
  TFD_ASSIGN_OR_RETURN(const std::string json, ReadFile(*file_system_, path));
  if (checkpoint.manifest_crc32c() != 0 &&
      Crc32c(json) != checkpoint.manifest_crc32c()) {
    return absl::DataLossError(
        absl::StrCat(path,
                     " is damaged: its checksum is not the one that was "
                     "committed"));
  }
  v1::CheckpointManifest manifest;
  TFD_RETURN_IF_ERROR(FromJson(json, path, &manifest));
  TFD_RETURN_IF_ERROR(CheckManifest(manifest, path));
  return manifest;
}

absl::StatusOr<CheckpointReader> CheckpointStore::OpenCheckpoint(
    const v1::CheckpointRef& checkpoint) const {
  CheckpointReader reader;
  TFD_ASSIGN_OR_RETURN(reader.manifest_, ReadManifest(checkpoint));
  TFD_ASSIGN_OR_RETURN(reader.folder_, FolderOf(checkpoint));
  for (const v1::ShardFile& shard : reader.manifest_.shards()) {
    const std::string path = JoinPath(reader.folder_, shard.file());
    TFD_ASSIGN_OR_RETURN(std::unique_ptr<RandomAccessFile> file,
                         file_system_->OpenForReading(path));
    if (file->size_bytes() != shard.size_bytes()) {
      return absl::DataLossError(absl::StrCat(path, " is damaged: it has ",
                                              file->size_bytes(),
                                              " bytes, its "
                                              "manifest says ",
                                              shard.size_bytes()));
    }
    TFD_ASSIGN_OR_RETURN(SafetensorsReader tensors,
                         SafetensorsReader::Open(std::move(file), path));
    TFD_ASSIGN_OR_RETURN(const uint32_t crc, tensors.Crc32c());
    if (crc != shard.crc32c()) {
      return absl::DataLossError(
          absl::StrCat(path, " is damaged: its checksum is ", absl::Hex(crc),
                       ", its manifest says ", absl::Hex(shard.crc32c())));
    }
    reader.files_.push_back(std::move(tensors));
  }
  TFD_RETURN_IF_ERROR(reader.Index());
  return reader;
}

absl::StatusOr<v1::CommittedIndex> CheckpointStore::ReadCommitted() const {
  const std::string path = JoinPath(root_, kCommittedName);
  TFD_ASSIGN_OR_RETURN(const std::string json, ReadFile(*file_system_, path));
  v1::CommittedIndex index;
  TFD_RETURN_IF_ERROR(FromJson(json, path, &index));
  return index;
}

absl::Status CheckpointStore::WriteCommitted(
    const v1::CommittedIndex& index) const {
  TFD_ASSIGN_OR_RETURN(const std::string json, ToJson(index));
  TFD_RETURN_IF_ERROR(file_system_->CreateFolder(root_));
  return WriteFileAtomically(*file_system_, JoinPath(root_, kCommittedName),
                             json);
}

absl::StatusOr<std::optional<v1::CheckpointRef>> CheckpointStore::NewestIntact(
    std::vector<std::string>* problems) const {
  absl::StatusOr<v1::CommittedIndex> index = ReadCommitted();
  if (absl::IsNotFound(index.status())) {
    return std::optional<v1::CheckpointRef>();
  }
  if (!index.ok()) return index.status();
  std::vector<v1::CheckpointRef> newest_first(index->checkpoints().begin(),
                                              index->checkpoints().end());
  std::reverse(newest_first.begin(), newest_first.end());
  for (v1::CheckpointRef& checkpoint : newest_first) {
    const absl::Status status = OpenCheckpoint(checkpoint).status();
    if (status.ok()) return std::optional<v1::CheckpointRef>(checkpoint);
    problems->push_back(absl::StrCat("checkpoint of step ", checkpoint.step(),
                                     ": ", std::string(status.message())));
  }
  if (newest_first.empty()) return std::optional<v1::CheckpointRef>();
  return absl::DataLossError(
      absl::StrCat("none of the ", newest_first.size(), " checkpoints in ",
                   root_, " can be read:\n", absl::StrJoin(*problems, "\n")));
}

absl::Status CheckpointStore::DeleteCheckpoint(
    const v1::CheckpointRef& checkpoint) const {
  TFD_ASSIGN_OR_RETURN(const std::string folder, FolderOf(checkpoint));
  // Without its manifest it is none, should the rest of the way fail.
  TFD_RETURN_IF_ERROR(file_system_->Delete(JoinPath(folder, kManifestName)));
  return file_system_->Delete(folder);
}

absl::Status CheckpointStore::DeleteAll() const {
  TFD_RETURN_IF_ERROR(file_system_->Delete(JoinPath(root_, kCommittedName)));
  return file_system_->Delete(root_);
}

}  // namespace tfd::tensor
