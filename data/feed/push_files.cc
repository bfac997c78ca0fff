#include "data/feed/push_files.h"

#include <arrow/array.h>
#include <arrow/compute/cast.h>
#include <arrow/ipc/options.h>
#include <arrow/ipc/writer.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <arrow/util/byte_size.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/crc32c.h"
#include "common/status.h"
#include "common/units.h"
#include "data/arrow_status.h"
#include "data/file_format.h"
#include "data/file_pattern.h"
#include "data/idx_table.h"
#include "data/table_dataset.h"

namespace tfd::data {
namespace {

using Json = nlohmann::json;

constexpr absl::Duration kFirstPause = absl::Milliseconds(100);
constexpr absl::Duration kLongestPause = absl::Seconds(5);
// How often it is looked whether to go on, while there is nothing to do.
constexpr absl::Duration kLook = absl::Milliseconds(200);

bool IsTransient(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

// Other columns than those of values: a pushed row has no dictionary.
absl::StatusOr<std::shared_ptr<arrow::RecordBatch>> Decoded(
    std::shared_ptr<arrow::RecordBatch> batch) {
  batch = batch->ReplaceSchemaMetadata(nullptr);
  for (int i = 0; i < batch->num_columns(); ++i) {
    const auto& field = batch->schema()->field(i);
    if (field->type()->id() != arrow::Type::DICTIONARY) continue;
    const auto& values =
        static_cast<const arrow::DictionaryType&>(*field->type()).value_type();
    auto decoded = arrow::compute::Cast(*batch->column(i), values);
    if (!decoded.ok()) return FromArrow(decoded);
    auto changed =
        batch->SetColumn(i, field->WithType(values), *std::move(decoded));
    if (!changed.ok()) return FromArrow(changed);
    batch = *std::move(changed);
  }
  return batch;
}

// What a partition is called whose rows are these.
absl::StatusOr<std::string> AttemptOf(const PartitionToPush& partition) {
  uint32_t crc = 0;
  for (const auto& batch : partition.batches) {
    arrow::ipc::IpcPayload payload;
    TFD_RETURN_IF_ARROW_ERROR(arrow::ipc::GetRecordBatchPayload(
        *batch, arrow::ipc::IpcWriteOptions::Defaults(), &payload));
    for (const auto& buffer : payload.body_buffers) {
      if (buffer) {
        crc = ExtendCrc32c(crc, buffer->data(),
                           static_cast<size_t>(buffer->size()));
      }
    }
  }
  const std::string schema = partition.schema->ToString();
  crc = ExtendCrc32c(crc, schema.data(), schema.size());
  return absl::StrFormat("rows-%d-crc-%08x", partition.rows, crc);
}

class Pusher {
 public:
  Pusher(const PushFilesOptions& options,
         const std::function<absl::Status(const PushProgress&)>& progress)
      : options_(options), client_(options.target), progress_(progress) {}

  absl::StatusOr<PushProgress> Run();

 private:
  absl::Status Begin();
  absl::Status LearnPartitions();
  absl::Status PushFile(const std::string& file);
  absl::StatusOr<std::unique_ptr<TableReader>> Open(const std::string& file);
  absl::Status Select(TableReader* reader) const;
  absl::Status Add(std::shared_ptr<arrow::RecordBatch> batch);
  // The partition that is full, or the last one.
  absl::Status Flush();
  absl::Status Push();
  absl::Status Commit();
  // Calls until it answers, or nothing has gone on for the timeout.
  absl::Status Insist(const std::function<absl::Status()>& call);
  absl::Status Pause(absl::Duration pause);
  absl::Status OtherData(const std::string& why) const;

  const PushFilesOptions& options_;
  const PushClient client_;
  const std::function<absl::Status(const PushProgress&)>& progress_;
  PushProgress done_;
  // The rows that have gone out of the partition in hand, and how many of them
  // when it got further last.
  int64_t out_ = 0;
  std::vector<PushEndpoint> nodes_;
  // By their names: what the coordinator has of this producer.
  std::map<std::string, Json> known_;
  bool committed_ = false;
  PartitionToPush partition_;
  int64_t partition_bytes_ = 0;
  Json listed_ = Json::array();
  absl::BitGen random_;
};

absl::Status Pusher::OtherData(const std::string& why) const {
  return absl::AlreadyExistsError(absl::StrCat(
      "producer ", options_.target.producer, " has pushed other rows before (",
      why,
      "): run it again with the same files, or give these rows a producer of "
      "their own with --producer NAME"));
}

absl::Status Pusher::Pause(absl::Duration pause) {
  const absl::Time end = absl::Now() + pause;
  while (true) {
    TFD_RETURN_IF_ERROR(progress_(done_));
    const absl::Duration left = end - absl::Now();
    if (left <= absl::ZeroDuration()) return absl::OkStatus();
    absl::SleepFor(std::min(left, kLook));
  }
}

absl::Status Pusher::Insist(const std::function<absl::Status()>& call) {
  absl::Time give_up = absl::Now() + options_.timeout;
  absl::Duration pause = kFirstPause;
  int64_t furthest = out_;
  while (true) {
    const absl::Status status = call();
    done_.waits_for.clear();
    if (!IsTransient(status)) return status;
    if (out_ > furthest) {
      furthest = out_;
      give_up = absl::Now() + options_.timeout;
      pause = kFirstPause;
    }
    if (absl::Now() > give_up) {
      return Annotate(
          status,
          absl::StrCat("feeding dataset ", options_.target.dataset, " of job ",
                       options_.target.job, " got no further for ",
                       tfd::FormatDuration(options_.timeout),
                       " (is the job running? `tfd job ", options_.target.job,
                       "` says)"));
    }
    done_.waits_for = std::string(status.message());
    // Not all producers at the same time.
    TFD_RETURN_IF_ERROR(
        Pause(pause * absl::Uniform<double>(random_, 0.5, 1.0)));
    pause = std::min(2 * pause, kLongestPause);
  }
}

absl::Status Pusher::LearnPartitions() {
  Json status;
  TFD_RETURN_IF_ERROR(Insist([&]() -> absl::Status {
    TFD_ASSIGN_OR_RETURN(status, client_.Act("status"));
    return absl::OkStatus();
  }));
  const std::string& me = options_.target.producer;
  for (const Json& producer : status.value("producers", Json::array())) {
    if (producer.value("name", "") == me) {
      committed_ = producer.value("committed", false);
    }
  }
  for (const Json& partition : status.value("partitions", Json::array())) {
    if (partition.value("producer", "") == me) {
      known_[partition.value("partition", "")] = partition;
    }
  }
  return absl::OkStatus();
}

absl::Status Pusher::Begin() {
  TFD_RETURN_IF_ERROR(LearnPartitions());
  if (committed_) return absl::OkStatus();
  return Insist([this] { return client_.Act("begin").status(); });
}

absl::StatusOr<std::unique_ptr<TableReader>> Pusher::Open(
    const std::string& file) {
  std::optional<v1::DatasetSpec::Format> format = FormatOfName(file);
  if (!options_.format.empty()) {
    TFD_ASSIGN_OR_RETURN(format, FormatOfWord(options_.format));
  }
  if (!format) {
    return absl::InvalidArgumentError(
        "its name does not say which format it is: add --format idx, csv, "
        "parquet, arrow or tfrecord");
  }
  if (*format != v1::DatasetSpec::IDX) return OpenTable(*format, file);
  const std::vector<std::string> names = absl::StrSplit(options_.columns, ',');
  return OpenIdxTable(file, options_.labels,
                      names.size() == 2 ? names[1] : "label",
                      ImageColumn::kShaped);
}

absl::Status Pusher::Select(TableReader* reader) const {
  if (options_.columns.empty()) return absl::OkStatus();
  std::vector<int> columns;
  for (const absl::string_view name : absl::StrSplit(options_.columns, ',')) {
    const int index = reader->schema()->GetFieldIndex(std::string(name));
    // The feed says what is missing, of all there is.
    if (index < 0) return absl::OkStatus();
    columns.push_back(index);
  }
  std::sort(columns.begin(), columns.end());
  columns.erase(std::unique(columns.begin(), columns.end()), columns.end());
  return reader->Select(columns);
}

absl::Status Pusher::PushFile(const std::string& file) {
  TFD_ASSIGN_OR_RETURN(const std::unique_ptr<TableReader> reader, Open(file));
  TFD_RETURN_IF_ERROR(Select(reader.get()));
  while (true) {
    TFD_ASSIGN_OR_RETURN(std::shared_ptr<arrow::RecordBatch> batch,
                         reader->Next());
    // So that another file behind it changes nothing of what is pushed.
    if (!batch) return Flush();
    if (batch->num_rows() == 0) continue;
    TFD_ASSIGN_OR_RETURN(batch, Decoded(std::move(batch)));
    TFD_RETURN_IF_ERROR(Add(std::move(batch)));
  }
}

absl::Status Pusher::Add(std::shared_ptr<arrow::RecordBatch> batch) {
  // IDX calls its features so, whatever the spec does.
  const std::vector<std::string> names = absl::StrSplit(options_.columns, ',');
  if (names.size() == 2 && batch->num_columns() == 2 &&
      batch->schema()->GetFieldIndex(names[0]) < 0 &&
      batch->schema()->field(0)->name() == "features") {
    auto schema = batch->schema()->SetField(
        0, batch->schema()->field(0)->WithName(names[0]));
    if (!schema.ok()) return FromArrow(schema);
    batch = arrow::RecordBatch::Make(*std::move(schema), batch->num_rows(),
                                     batch->columns());
  }
  if (!partition_.batches.empty() &&
      !batch->schema()->Equals(*partition_.schema)) {
    TFD_RETURN_IF_ERROR(Flush());
  }
  partition_.schema = batch->schema();
  partition_.rows += batch->num_rows();
  partition_bytes_ += arrow::util::TotalBufferSize(*batch);
  partition_.batches.push_back(std::move(batch));
  return partition_bytes_ < options_.partition_bytes ? absl::OkStatus()
                                                     : Flush();
}

absl::Status Pusher::Flush() {
  if (partition_.batches.empty()) return absl::OkStatus();
  partition_.name = absl::StrFormat("%06d", done_.partitions);
  TFD_ASSIGN_OR_RETURN(partition_.attempt, AttemptOf(partition_));
  const auto known = known_.find(partition_.name);
  if (known == known_.end() && committed_) {
    return OtherData(absl::StrCat("it has committed ", known_.size(),
                                  " partitions, and these files have more"));
  }
  if (known != known_.end() &&
      known->second.value("attempt", "") != partition_.attempt) {
    return OtherData(absl::StrCat("partition ", partition_.name));
  }
  if (known == known_.end()) {
    TFD_RETURN_IF_ERROR(Push());
  } else {
    done_.rows_before += partition_.rows;
    done_.rows += partition_.rows;
  }
  listed_.push_back({{"partition", partition_.name},
                     {"attempt", partition_.attempt},
                     {"rows", partition_.rows}});
  ++done_.partitions;
  partition_ = {};
  partition_bytes_ = 0;
  return progress_(done_);
}

absl::Status Pusher::Push() {
  out_ = 0;
  bool told = false;
  const auto sent = [&](int64_t rows) -> absl::Status {
    if (!told) done_.rows_before += rows;
    told = true;
    if (rows > out_) {
      done_.rows += rows - out_;
      done_.size_bytes += static_cast<uint64_t>(
          partition_bytes_ / partition_.rows * (rows - out_));
      out_ = rows;
    }
    return progress_(done_);
  };
  const absl::Status pushed = Insist([&]() -> absl::Status {
    if (nodes_.empty()) {
      TFD_ASSIGN_OR_RETURN(nodes_, client_.Endpoints());
    }
    const PushEndpoint node =
        nodes_[static_cast<size_t>(done_.partitions) % nodes_.size()];
    const absl::Status put =
        client_.Put(node, partition_, options_.timeout, sent);
    // They may be others by now.
    if (IsTransient(put)) nodes_.clear();
    return put;
  });
  if (!absl::IsAlreadyExists(pushed)) return pushed;
  // The same rows under another name: by another program, or at the same time.
  return OtherData(std::string(pushed.message()));
}

absl::Status Pusher::Commit() {
  if (committed_) {
    if (known_.size() == listed_.size()) return absl::OkStatus();
    return OtherData(absl::StrCat("it has committed ", known_.size(),
                                  " partitions, and these files have ",
                                  listed_.size()));
  }
  return Insist([this] {
    return client_.Act("commit", {{"partitions", listed_}}).status();
  });
}

absl::StatusOr<PushProgress> Pusher::Run() {
  std::vector<std::string> files;
  for (const std::string& pattern : options_.files) {
    TFD_ASSIGN_OR_RETURN(const std::vector<std::string> found,
                         FilesOf(pattern));
    files.insert(files.end(), found.begin(), found.end());
  }
  if (files.size() != 1 && !options_.labels.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--labels is one file, and of features there are ", files.size(),
        ": feed them one by one, each with a --producer of its own"));
  }
  TFD_RETURN_IF_ERROR(Begin());
  for (const std::string& file : files) {
    const absl::Status pushed = PushFile(file);
    if (!pushed.ok()) return Annotate(pushed, file);
  }
  if (listed_.empty()) {
    return absl::InvalidArgumentError("the files have no rows");
  }
  TFD_RETURN_IF_ERROR(Commit());
  return done_;
}

}  // namespace

absl::StatusOr<PushProgress> PushFiles(
    const PushFilesOptions& options,
    const std::function<absl::Status(const PushProgress&)>& progress) {
  return Pusher(options, progress).Run();
}

}  // namespace tfd::data
