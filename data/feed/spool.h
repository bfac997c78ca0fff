// The spool of one job on one node: who may write which attempt, how full it
// is, and what is left of it after the feed was killed.
//
//   FOLDER/boot                                   see kBootFile
//   FOLDER/DATASET/PRODUCER/PARTITION/ATTEMPT.*   see attempt_file.h
#ifndef TFD_DATA_FEED_SPOOL_H_
#define TFD_DATA_FEED_SPOOL_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/unique_descriptor.h"
#include "data/feed/attempt_file.h"

namespace arrow {
class Buffer;
}

namespace tfd::data {

struct AttemptKey {
  std::string dataset;
  std::string producer;
  std::string partition;
  std::string attempt;

  bool operator<(const AttemptKey& other) const {
    return std::tie(dataset, producer, partition, attempt) <
           std::tie(other.dataset, other.producer, other.partition,
                    other.attempt);
  }
  bool SamePartition(const AttemptKey& other) const {
    return dataset == other.dataset && producer == other.producer &&
           partition == other.partition;
  }
  // "partition 3 of producer spark (attempt x7) of dataset train".
  std::string ToString() const;
};

struct SpoolDataset {
  ColumnNames columns;
  // Labels must be below it; 0: not known.
  int64_t classes = 0;
  // How much its files may take together.
  uint64_t spool_bytes = 0;
  // What was trained on is dropped, so that a full spool gets room again.
  bool drains = false;
};

struct SpoolOptions {
  // Of this job alone; created where it is missing.
  std::string folder;
  // The machine's boot. What was not durable is dropped when it has changed:
  // after a power cut a file may hold anything.
  std::string boot_id;
  std::map<std::string, SpoolDataset> datasets;
  // How long another stream that writes the same attempt has to let go.
  absl::Duration takeover_timeout = absl::Seconds(10);
};

class Spool;

// The one writer of an attempt, until it is destroyed. Thread-compatible; it
// must not outlive its spool.
class AttemptWriter {
 public:
  ~AttemptWriter();
  AttemptWriter(const AttemptWriter&) = delete;
  AttemptWriter& operator=(const AttemptWriter&) = delete;

  const AttemptKey& key() const { return key_; }
  int64_t rows() const { return file_->rows(); }

  // The schema the stream begins with: written, or compared with the file's.
  absl::Status Begin(std::shared_ptr<arrow::Buffer> schema_metadata);
  // Checks and appends a record batch: all of it or nothing. ResourceExhausted
  // where the spool is full; AlreadyExists where another attempt of the
  // partition was sealed meanwhile.
  absl::Status Append(std::shared_ptr<arrow::Buffer> metadata,
                      std::shared_ptr<arrow::Buffer> body);
  // Makes it durable; nothing can be appended from then on.
  absl::StatusOr<AttemptFile::Sealable> Finish();
  // Another attempt has the partition: this one is deleted at the end.
  void Drop();

  // Of the spool file.
  const std::string& path() const { return path_; }

 private:
  friend class Spool;
  AttemptWriter(Spool* spool, AttemptKey key, std::string path,
                std::unique_ptr<AttemptFile> file);

  Spool* const spool_;
  const AttemptKey key_;
  const std::string path_;
  const std::unique_ptr<AttemptFile> file_;
};

// Thread-safe. No lock is held while files are written.
class Spool {
 public:
  // Holds the machine's boot id.
  static constexpr char kBootFile[] = "boot";

  // Takes the folder for this process alone (FailedPrecondition where another
  // has it) and looks at what is there.
  static absl::StatusOr<std::unique_ptr<Spool>> Open(SpoolOptions options);

  // Makes the caller the one writer of an attempt. A stream that writes it
  // already (a client that was killed and is back before its connection was
  // noticed to be gone) is asked to stop by its `evict`, and waited for.
  // `evict` is called with a lock held: it must not block or call the spool.
  // NotFound for a dataset that is not pushed, AlreadyExists where another
  // attempt of the partition was sealed.
  absl::StatusOr<std::unique_ptr<AttemptWriter>> Acquire(
      const AttemptKey& key, std::function<void()> evict);

  // The coordinator has granted the partition to this attempt: all others of
  // it are dropped, also while they are being written.
  void MarkSealed(const AttemptKey& key);

  // The coordinator would grant the partition to this attempt, so that what was
  // granted to another one is void: its producer has aborted. The other one's
  // rows stay until this attempt is sealed, because only that says for sure
  // that nobody needs them.
  void Unseal(const AttemptKey& key);

  struct Known {
    AttemptKey key;
    // Someone writes it.
    bool held = false;
    // Which grant of the coordinator gave it the partition; 0 where there was
    // none since this process began.
    uint64_t grant = 0;
    // Since when nobody writes it (SteadyNow), or since the spool was opened.
    absl::Time idle_since;
    uint64_t size_bytes = 0;
  };
  std::vector<Known> Attempts() const;

  // Nobody needs this attempt any more, as it was when Attempts gave it. Its
  // stream ends, if there is one, with `why` if it can still be told; its files
  // are deleted and do not count. False, and it stays, where it is being
  // sealed or was sealed (again) meanwhile.
  bool Discard(const Known& attempt, const absl::Status& why);
  // The same, but it stays also where someone writes it.
  bool DiscardIdle(const Known& attempt);

  // The file of an attempt that is whole and durable; NotFound for others.
  absl::StatusOr<std::string> FinishedPath(const AttemptKey& key) const;

  // SpoolDataset::drains.
  bool Drains(const std::string& dataset) const;

  // Bytes in files of a dataset.
  uint64_t used_bytes(const std::string& dataset) const;

 private:
  friend class AttemptWriter;

  struct Entry {
    // Someone writes it.
    bool held = false;
    std::function<void()> evict;
    // Deleted as soon as nobody writes it; why, for its writer.
    std::optional<absl::Status> dropped;
    // Its writer asks for the grant: too late to drop it.
    bool sealing = false;
    absl::Time idle_since;
    uint64_t size_bytes = 0;
  };
  struct Grant {
    std::string attempt;
    uint64_t number = 0;
  };
  struct DatasetState {
    SpoolDataset options;
    uint64_t used_bytes = 0;
    // Of the first partition that had any; all others must agree.
    std::unique_ptr<RecordSchema> schema;
    RowWidths widths;
  };

  explicit Spool(SpoolOptions options);

  absl::Status Lock();
  // Whether the machine is the same boot as when the spool was written last.
  absl::StatusOr<bool> SameBoot();
  // Finds the attempts that are there.
  absl::Status Scan(bool same_boot);
  absl::Status ScanPartition(const AttemptKey& partition, bool same_boot);
  std::string FolderOf(const AttemptKey& key) const;
  std::string PathOf(const AttemptKey& key) const;
  std::string MarkerOf(const AttemptKey& key) const;

  absl::Status Hold(const AttemptKey& key, std::function<void()> evict);
  void Release(const AttemptKey& key);
  // Its files; then Forget takes it out of the books.
  void DeleteFiles(const AttemptKey& key) const;
  void Forget(const AttemptKey& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // 0: none.
  uint64_t GrantOf(const AttemptKey& key) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // Where `unless_held`, one that someone writes stays.
  bool Discard(const Known& attempt, bool unless_held, const absl::Status& why);
  // From here on it is sealed, or stays for another try.
  absl::Status BeginSealing(const AttemptKey& key);
  // Deletes an attempt that nobody writes and that the caller holds.
  void Delete(const AttemptKey& key);
  void SetSize(const AttemptKey& key, uint64_t size_bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void SetSizeOf(const AttemptKey& key, uint64_t size_bytes);

  // For writers.
  absl::Status AgreeOnSchema(const AttemptKey& key,
                             std::shared_ptr<arrow::Buffer> metadata);
  absl::Status AgreeOnWidths(const AttemptKey& key, const RowWidths& widths);
  RowWidths WidthsOf(const std::string& dataset) const;
  // Room for an attempt to grow to `size_bytes`.
  absl::Status Reserve(const AttemptKey& key, uint64_t size_bytes);
  absl::Status CheckNotDropped(const AttemptKey& key) const;
  void SetDropped(const AttemptKey& key);

  const SpoolOptions options_;
  UniqueDescriptor lock_;
  mutable absl::Mutex mutex_;
  std::map<std::string, DatasetState> datasets_ ABSL_GUARDED_BY(mutex_);
  std::map<AttemptKey, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  // Partition (a key without attempt) → the attempt that was granted it.
  std::map<AttemptKey, Grant> sealed_ ABSL_GUARDED_BY(mutex_);
  uint64_t grants_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace tfd::data

#endif  // TFD_DATA_FEED_SPOOL_H_
