#include "data/feed/spool.h"

#include <arrow/buffer.h>
#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>

#include <cerrno>
#include <filesystem>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/fs/file_system.h"
#include "common/poll.h"
#include "common/status.h"
#include "common/units.h"

namespace tfd::data {
namespace {

constexpr char kLockFile[] = "lock";
// A killed feed's lock is gone once the kernel has taken it down.
constexpr absl::Duration kLockTimeout = absl::Seconds(5);
constexpr absl::Duration kLockPollInterval = absl::Milliseconds(20);
// Attempts of one job on one node.
constexpr size_t kMaxAttempts = 100000;

AttemptKey WithoutAttempt(AttemptKey key) {
  key.attempt.clear();
  return key;
}

absl::Status OtherAttempt(const AttemptKey& key) {
  return absl::AlreadyExistsError(
      absl::StrCat(key.ToString(),
                   " is dropped: another attempt of the partition is sealed "
                   "(after a retry that is as good as success)"));
}

absl::Span<const uint8_t> Bytes(const arrow::Buffer& buffer) {
  return absl::MakeConstSpan(buffer.data(), static_cast<size_t>(buffer.size()));
}

}  // namespace

std::string AttemptKey::ToString() const {
  return absl::StrCat("partition ", partition, " of producer ", producer,
                      " (attempt ", attempt, ") of dataset ", dataset);
}

AttemptWriter::AttemptWriter(Spool* spool, AttemptKey key, std::string path,
                             std::unique_ptr<AttemptFile> file)
    : spool_(spool),
      key_(std::move(key)),
      path_(std::move(path)),
      file_(std::move(file)) {}

AttemptWriter::~AttemptWriter() { spool_->Release(key_); }

absl::Status AttemptWriter::Begin(
    std::shared_ptr<arrow::Buffer> schema_metadata) {
  TFD_RETURN_IF_ERROR(spool_->AgreeOnSchema(key_, schema_metadata));
  TFD_ASSIGN_OR_RETURN(
      RecordSchema schema,
      RecordSchema::Make(schema_metadata,
                         spool_->options_.datasets.at(key_.dataset).columns));
  if (file_->schema() != nullptr) {
    if (file_->schema()->Equals(schema)) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(key_.ToString(), " was begun with the schema {",
                     file_->schema()->ToString(), "} and goes on with {",
                     schema.ToString(), "}: use a new attempt"));
  }
  TFD_RETURN_IF_ERROR(spool_->Reserve(
      key_, file_->size_bytes() +
                AttemptFile::MessageBytes(schema_metadata->size(), 0)));
  return file_->WriteSchema(Bytes(*schema_metadata),
                            std::make_unique<RecordSchema>(std::move(schema)));
}

absl::Status AttemptWriter::Append(std::shared_ptr<arrow::Buffer> metadata,
                                   std::shared_ptr<arrow::Buffer> body) {
  TFD_RETURN_IF_ERROR(spool_->CheckNotDropped(key_));
  RowWidths widths = spool_->WidthsOf(key_.dataset);
  const SpoolDataset& dataset = spool_->options_.datasets.at(key_.dataset);
  int64_t rows = 0;
  {
    TFD_ASSIGN_OR_RETURN(const RecordRows decoded,
                         file_->schema()->Decode(metadata, body, file_->rows(),
                                                 dataset.classes, &widths));
    rows = decoded.source_rows;
  }
  TFD_RETURN_IF_ERROR(spool_->AgreeOnWidths(key_, widths));
  TFD_RETURN_IF_ERROR(spool_->Reserve(
      key_, file_->size_bytes() +
                AttemptFile::MessageBytes(metadata->size(), body->size())));
  const absl::Status status =
      file_->Append(Bytes(*metadata), Bytes(*body), rows);
  // What was reserved and not used is given back.
  if (!status.ok()) spool_->SetSizeOf(key_, file_->size_bytes());
  return status;
}

absl::StatusOr<AttemptFile::Sealable> AttemptWriter::Finish() {
  TFD_RETURN_IF_ERROR(spool_->BeginSealing(key_));
  return file_->Finish();
}

void AttemptWriter::Drop() { spool_->SetDropped(key_); }

Spool::Spool(SpoolOptions options) : options_(std::move(options)) {
  for (const auto& [name, dataset] : options_.datasets) {
    datasets_[name].options = dataset;
  }
}

absl::StatusOr<std::unique_ptr<Spool>> Spool::Open(SpoolOptions options) {
  auto spool = absl::WrapUnique(new Spool(std::move(options)));
  TFD_RETURN_IF_ERROR(LocalFileSystem()->CreateFolder(spool->options_.folder));
  TFD_RETURN_IF_ERROR(spool->Lock());
  TFD_ASSIGN_OR_RETURN(const bool same_boot, spool->SameBoot());
  TFD_RETURN_IF_ERROR(spool->Scan(same_boot));
  TFD_RETURN_IF_ERROR(WriteFileAtomically(
      *LocalFileSystem(), JoinPath(spool->options_.folder, kBootFile),
      spool->options_.boot_id));
  return spool;
}

absl::Status Spool::Lock() {
  const std::string path = JoinPath(options_.folder, kLockFile);
  lock_ = UniqueDescriptor(
      open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock_.valid()) return ErrnoStatus(errno, absl::StrCat("opening ", path));
  const absl::Time deadline = absl::Now() + kLockTimeout;
  while (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      return ErrnoStatus(errno, absl::StrCat("locking ", path));
    }
    if (absl::Now() > deadline) {
      return absl::FailedPreconditionError(absl::StrCat(
          "the spool ", options_.folder,
          " is in use by another feed of this job: stop it first, or give "
          "every agent a spool folder of its own (--spool-dir)"));
    }
    absl::SleepFor(kLockPollInterval);
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> Spool::SameBoot() {
  auto boot =
      ReadFile(*LocalFileSystem(), JoinPath(options_.folder, kBootFile));
  if (absl::IsNotFound(boot.status())) return false;
  if (!boot.ok()) return boot.status();
  return *boot == options_.boot_id;
}

absl::Status Spool::Scan(bool same_boot) {
  FileSystem& files = *LocalFileSystem();
  for (const auto& [dataset, unused] : options_.datasets) {
    AttemptKey key;
    key.dataset = dataset;
    auto producers = files.List(FolderOf(key));
    if (absl::IsNotFound(producers.status())) continue;
    if (!producers.ok()) return producers.status();
    for (const FileInfo& producer : *producers) {
      key.producer = producer.name;
      key.partition.clear();
      TFD_ASSIGN_OR_RETURN(const auto partitions, files.List(FolderOf(key)));
      for (const FileInfo& partition : partitions) {
        key.partition = partition.name;
        TFD_RETURN_IF_ERROR(ScanPartition(key, same_boot));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status Spool::ScanPartition(const AttemptKey& partition, bool same_boot) {
  TFD_ASSIGN_OR_RETURN(const std::vector<FileInfo> files,
                       LocalFileSystem()->List(FolderOf(partition)));
  for (const FileInfo& file : files) {
    constexpr size_t kSuffixBytes = sizeof(AttemptFile::kSuffix) - 1;
    if (!absl::EndsWith(file.name, AttemptFile::kSuffix)) continue;
    AttemptKey key = partition;
    key.attempt = file.name.substr(0, file.name.size() - kSuffixBytes);
    const std::string marker =
        absl::StrCat(key.attempt, AttemptFile::kMarkerSuffix);
    bool finished = false;
    for (const FileInfo& other : files) finished |= other.name == marker;
    if (!same_boot && !finished) {
      spdlog::warn(
          "{} is dropped: the machine was restarted while it was being "
          "written",
          key.ToString());
      DeleteFiles(key);
      continue;
    }
    SetSizeOf(key, file.size_bytes);
    absl::MutexLock lock(&mutex_);
    entries_[key].idle_since = SteadyNow();
  }
  return absl::OkStatus();
}

std::string Spool::FolderOf(const AttemptKey& key) const {
  std::string folder = JoinPath(options_.folder, key.dataset);
  if (!key.producer.empty()) folder = JoinPath(folder, key.producer);
  if (!key.partition.empty()) folder = JoinPath(folder, key.partition);
  return folder;
}

std::string Spool::MarkerOf(const AttemptKey& key) const {
  return JoinPath(FolderOf(key),
                  absl::StrCat(key.attempt, AttemptFile::kMarkerSuffix));
}

std::string Spool::PathOf(const AttemptKey& key) const {
  return JoinPath(FolderOf(key),
                  absl::StrCat(key.attempt, AttemptFile::kSuffix));
}

absl::StatusOr<std::unique_ptr<AttemptWriter>> Spool::Acquire(
    const AttemptKey& key, std::function<void()> evict) {
  if (options_.datasets.count(key.dataset) == 0) {
    return absl::NotFoundError(
        absl::StrCat("dataset ", key.dataset,
                     " of this job is not pushed; pushed are those "
                     "with format: pushed in the spec"));
  }
  TFD_RETURN_IF_ERROR(Hold(key, std::move(evict)));
  RowWidths widths = WidthsOf(key.dataset);
  absl::Status status = LocalFileSystem()->CreateFolder(FolderOf(key));
  if (status.ok()) {
    auto file = AttemptFile::Open(
        PathOf(key), options_.datasets.at(key.dataset).columns, &widths);
    if (file.ok()) {
      // From here on the writer's end releases it.
      auto writer = absl::WrapUnique(
          new AttemptWriter(this, key, PathOf(key), *std::move(file)));
      SetSizeOf(key, writer->file_->size_bytes());
      TFD_RETURN_IF_ERROR(AgreeOnWidths(key, widths));
      return writer;
    }
    status = file.status();
  }
  Release(key);
  return status;
}

absl::Status Spool::Hold(const AttemptKey& key, std::function<void()> evict) {
  absl::MutexLock lock(&mutex_);
  const auto sealed = sealed_.find(WithoutAttempt(key));
  if (sealed != sealed_.end() && sealed->second.attempt != key.attempt) {
    return OtherAttempt(key);
  }
  const auto held = entries_.find(key);
  if (held != entries_.end() && held->second.held && held->second.evict) {
    held->second.evict();
  }
  const auto is_free = [this, &key]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    const auto entry = entries_.find(key);
    return entry == entries_.end() || !entry->second.held;
  };
  if (!mutex_.AwaitWithTimeout(absl::Condition(&is_free),
                               options_.takeover_timeout)) {
    return absl::AbortedError(absl::StrCat(
        key.ToString(),
        " is being written by another stream, which has not let "
        "go in ",
        tfd::FormatDuration(options_.takeover_timeout), ": try again"));
  }
  if (entries_.count(key) == 0 && entries_.size() >= kMaxAttempts) {
    return absl::ResourceExhaustedError(
        absl::StrCat("this feed holds ", kMaxAttempts,
                     " attempts: push larger and fewer partitions"));
  }
  Entry& entry = entries_[key];
  entry.held = true;
  entry.evict = std::move(evict);
  return absl::OkStatus();
}

void Spool::Release(const AttemptKey& key) {
  {
    absl::MutexLock lock(&mutex_);
    Entry& entry = entries_[key];
    entry.evict = nullptr;
    entry.sealing = false;
    if (!entry.dropped) {
      entry.held = false;
      entry.idle_since = SteadyNow();
      return;
    }
  }
  Delete(key);
}

void Spool::Delete(const AttemptKey& key) {
  DeleteFiles(key);
  absl::MutexLock lock(&mutex_);
  Forget(key);
}

std::vector<Spool::Known> Spool::Attempts() const {
  std::vector<Known> attempts;
  absl::MutexLock lock(&mutex_);
  attempts.reserve(entries_.size());
  for (const auto& [key, entry] : entries_) {
    if (entry.dropped) continue;
    attempts.push_back(
        {key, entry.held, GrantOf(key), entry.idle_since, entry.size_bytes});
  }
  return attempts;
}

uint64_t Spool::GrantOf(const AttemptKey& key) const {
  const auto sealed = sealed_.find(WithoutAttempt(key));
  return sealed != sealed_.end() && sealed->second.attempt == key.attempt
             ? sealed->second.number
             : 0;
}

bool Spool::Discard(const Known& attempt, const absl::Status& why) {
  return Discard(attempt, /*unless_held=*/false, why);
}

bool Spool::DiscardIdle(const Known& attempt) {
  return Discard(attempt, /*unless_held=*/true, OtherAttempt(attempt.key));
}

bool Spool::Discard(const Known& attempt, bool unless_held,
                    const absl::Status& why) {
  const AttemptKey& key = attempt.key;
  {
    absl::MutexLock lock(&mutex_);
    const auto found = entries_.find(key);
    if (found == entries_.end() || found->second.dropped ||
        found->second.sealing || GrantOf(key) != attempt.grant ||
        (unless_held && found->second.held)) {
      return false;
    }
    Entry& entry = found->second;
    if (attempt.grant != 0) sealed_.erase(WithoutAttempt(key));
    entry.dropped = why;
    if (entry.held) {  // its writer deletes it
      if (entry.evict) entry.evict();
      return true;
    }
    entry.held = true;
  }
  Delete(key);
  return true;
}

absl::Status Spool::BeginSealing(const AttemptKey& key) {
  absl::MutexLock lock(&mutex_);
  Entry& entry = entries_[key];
  if (entry.dropped) return *entry.dropped;
  entry.sealing = true;
  return absl::OkStatus();
}

void Spool::MarkSealed(const AttemptKey& key) {
  std::vector<AttemptKey> losers;
  {
    absl::MutexLock lock(&mutex_);
    sealed_[WithoutAttempt(key)] = {key.attempt, ++grants_};
    for (auto& [other, entry] : entries_) {
      if (!other.SamePartition(key) || other.attempt == key.attempt) continue;
      // One that is being deleted already is left to whoever does it.
      const bool held = entry.held;
      if (!entry.dropped) entry.dropped = OtherAttempt(other);
      if (held) continue;  // its writer deletes it
      entry.held = true;
      losers.push_back(other);
    }
  }
  for (const AttemptKey& loser : losers) {
    spdlog::info("{} is dropped: attempt {} has the partition",
                 loser.ToString(), key.attempt);
    Delete(loser);
  }
}

void Spool::Unseal(const AttemptKey& key) {
  absl::MutexLock lock(&mutex_);
  const auto sealed = sealed_.find(WithoutAttempt(key));
  if (sealed == sealed_.end() || sealed->second.attempt == key.attempt) return;
  sealed_.erase(sealed);
}

void Spool::DeleteFiles(const AttemptKey& key) const {
  for (const std::string& path : {MarkerOf(key), PathOf(key)}) {
    const absl::Status status = LocalFileSystem()->Delete(path);
    if (!status.ok()) spdlog::warn("{}", std::string(status.message()));
  }
}

void Spool::Forget(const AttemptKey& key) {
  SetSize(key, 0);
  entries_.erase(key);
  // The next rows need not agree with any that were dropped.
  AttemptKey first;
  first.dataset = key.dataset;
  const auto next = entries_.lower_bound(first);
  if (next != entries_.end() && next->first.dataset == key.dataset) return;
  DatasetState& dataset = datasets_[key.dataset];
  dataset.schema.reset();
  dataset.widths.clear();
}

void Spool::SetSize(const AttemptKey& key, uint64_t size_bytes) {
  Entry& entry = entries_[key];
  DatasetState& dataset = datasets_[key.dataset];
  dataset.used_bytes = dataset.used_bytes - entry.size_bytes + size_bytes;
  entry.size_bytes = size_bytes;
}

void Spool::SetSizeOf(const AttemptKey& key, uint64_t size_bytes) {
  absl::MutexLock lock(&mutex_);
  SetSize(key, size_bytes);
}

absl::StatusOr<std::string> Spool::FinishedPath(const AttemptKey& key) const {
  std::error_code error;
  if (std::filesystem::exists(MarkerOf(key), error)) return PathOf(key);
  return absl::NotFoundError(
      absl::StrCat(key.ToString(),
                   " is not sealed here: which node has it, and which "
                   "attempt, is in the status of the dataset"));
}

bool Spool::Drains(const std::string& dataset) const {
  const auto found = options_.datasets.find(dataset);
  return found != options_.datasets.end() && found->second.drains;
}

uint64_t Spool::used_bytes(const std::string& dataset) const {
  absl::MutexLock lock(&mutex_);
  const auto found = datasets_.find(dataset);
  return found == datasets_.end() ? 0 : found->second.used_bytes;
}

absl::Status Spool::AgreeOnSchema(const AttemptKey& key,
                                  std::shared_ptr<arrow::Buffer> metadata) {
  const SpoolDataset& options = options_.datasets.at(key.dataset);
  TFD_ASSIGN_OR_RETURN(
      RecordSchema schema,
      RecordSchema::Make(std::move(metadata), options.columns));
  absl::MutexLock lock(&mutex_);
  DatasetState& dataset = datasets_[key.dataset];
  if (!dataset.schema) {
    dataset.schema = std::make_unique<RecordSchema>(std::move(schema));
    return absl::OkStatus();
  }
  return schema.CheckSameRecords(*dataset.schema);
}

absl::Status Spool::AgreeOnWidths(const AttemptKey& key,
                                  const RowWidths& widths) {
  absl::MutexLock lock(&mutex_);
  RowWidths& agreed = datasets_[key.dataset].widths;
  if (agreed.empty()) agreed = widths;
  if (widths.empty() || widths == agreed) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(key.ToString(),
                   ": its rows have another number of values than those of "
                   "the dataset's other partitions: all records must be of "
                   "one size"));
}

RowWidths Spool::WidthsOf(const std::string& dataset) const {
  absl::MutexLock lock(&mutex_);
  return datasets_.at(dataset).widths;
}

absl::Status Spool::Reserve(const AttemptKey& key, uint64_t size_bytes) {
  absl::MutexLock lock(&mutex_);
  const DatasetState& dataset = datasets_[key.dataset];
  const uint64_t needed =
      dataset.used_bytes - entries_[key].size_bytes + size_bytes;
  if (needed <= dataset.options.spool_bytes) {
    SetSize(key, size_bytes);
    return absl::OkStatus();
  }
  // Nothing frees room but a dropped attempt: every epoch reads all rows again.
  // So waiting could only end in a timeout.
  return absl::ResourceExhaustedError(absl::StrCat(
      "the spool of dataset ", key.dataset, " on this node holds ",
      FormatBytes(dataset.used_bytes), " and this batch would make it ",
      FormatBytes(needed), ", more than data.", key.dataset,
      ".spool_bytes: ", FormatBytes(dataset.options.spool_bytes),
      ". Rows are kept until the job ends, since every epoch reads them again, "
      "so waiting would not help: set spool_bytes to the size of the data on "
      "this node"));
}

absl::Status Spool::CheckNotDropped(const AttemptKey& key) const {
  absl::MutexLock lock(&mutex_);
  const auto entry = entries_.find(key);
  if (entry != entries_.end() && entry->second.dropped) {
    return *entry->second.dropped;
  }
  return absl::OkStatus();
}

void Spool::SetDropped(const AttemptKey& key) {
  absl::MutexLock lock(&mutex_);
  entries_[key].dropped = OtherAttempt(key);
}

}  // namespace tfd::data
