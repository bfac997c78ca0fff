#include "data/feed/put_session.h"

#include <arrow/buffer.h>
#include <grpcpp/support/byte_buffer.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "arrow/flight/protocol/Flight.pb.h"
#include "common/status.h"
#include "common/units.h"
#include "data/feed/disk_alarm.h"
#include "data/feed/put_stream.h"

namespace tfd::data {
namespace {

constexpr size_t kMaxNameBytes = 200;
constexpr size_t kMaxAppMetadataBytes = 4096;
constexpr char kPathText[] =
    "[\"jobs\", JOB, DATASET, PRODUCER, PARTITION, ATTEMPT]";

std::optional<int64_t> RowsOf(const nlohmann::json& json, const char* name) {
  if (!json.is_object() || !json.contains(name) ||
      !json[name].is_number_integer()) {
    return std::nullopt;
  }
  return json[name].get<int64_t>();
}

}  // namespace

absl::Status CheckName(const char* what, const std::string& name) {
  bool good = !name.empty() && name.size() <= kMaxNameBytes && name != "." &&
              name != "..";
  for (const char c : name) {
    good = good && c != '/' && static_cast<unsigned char>(c) >= ' ';
  }
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("\"", absl::CHexEscape(name.substr(0, kMaxNameBytes)),
                   "\" cannot be the name of a ", what, ": use 1 to ",
                   kMaxNameBytes, " characters without '/'"));
}

PutSession::PutSession(const FeedContext& context, PutStream* stream)
    : context_(context), stream_(stream) {}

absl::Status PutSession::Run() {
  auto first = ReadNext();
  if (absl::IsOutOfRange(first.status())) {
    return absl::InvalidArgumentError(
        "the stream ended before it said what it is: the first message has a "
        "descriptor and a schema");
  }
  if (!first.ok()) return first.status();
  TFD_ASSIGN_OR_RETURN(const AttemptKey key,
                       ParseDescriptor(first->descriptor));
  if (!first->header) {
    return absl::InvalidArgumentError(
        "the first message has no schema beside its descriptor");
  }
  dataset_ = key.dataset;
  TFD_RETURN_IF_ERROR(Write([&] {
    TFD_ASSIGN_OR_RETURN(writer_, Acquire(key));
    return absl::OkStatus();
  }));
  TFD_RETURN_IF_ERROR(Write([&] { return writer_->Begin(first->header); }));
  if (!stream_->Write(OffsetText(), context_.write_timeout)) {
    return absl::CancelledError("the producer was gone before it was answered");
  }
  while (true) {
    const auto data = ReadNext();
    if (absl::IsOutOfRange(data.status())) return Seal();
    if (!data.ok()) return data.status();
    TFD_RETURN_IF_ERROR(Annotate(Take(*data), key.ToString()));
    stream_->Acknowledge(OffsetText());
  }
}

absl::StatusOr<FlightData> PutSession::ReadNext() {
  grpc::ByteBuffer message;
  switch (stream_->Read(&message, context_.idle_timeout)) {
    case PutStream::ReadResult::kMessage:
      return reader_.Read(message);
    case PutStream::ReadResult::kEnd:
      return absl::OutOfRangeError("the end of the stream");
    case PutStream::ReadResult::kTimeout:
      break;
  }
  return absl::DeadlineExceededError(absl::StrCat(
      "waited ", tfd::FormatDuration(context_.idle_timeout),
      " for the producer's next rows; what was acknowledged is kept: go on "
      "with the same attempt"));
}

absl::StatusOr<AttemptKey> PutSession::ParseDescriptor(
    const std::string& bytes) const {
  arrow::flight::protocol::FlightDescriptor descriptor;
  if (bytes.empty() || !descriptor.ParseFromString(bytes) ||
      descriptor.type() != arrow::flight::protocol::FlightDescriptor::PATH ||
      descriptor.path_size() != 6 || descriptor.path(0) != "jobs") {
    return absl::InvalidArgumentError(absl::StrCat(
        "the first message needs a descriptor with the path ", kPathText));
  }
  if (descriptor.path(1) != context_.job) {
    return absl::NotFoundError(absl::StrCat(
        "this feed is of job ", context_.job, " and not of \"",
        absl::CHexEscape(descriptor.path(1).substr(0, kMaxNameBytes)),
        "\": ask the coordinator (GetFlightInfo) where that job's are"));
  }
  const AttemptKey key = {descriptor.path(2), descriptor.path(3),
                          descriptor.path(4), descriptor.path(5)};
  TFD_RETURN_IF_ERROR(CheckName("dataset", key.dataset));
  TFD_RETURN_IF_ERROR(CheckName("producer", key.producer));
  TFD_RETURN_IF_ERROR(CheckName("partition", key.partition));
  TFD_RETURN_IF_ERROR(CheckName("attempt", key.attempt));
  return key;
}

absl::Status PutSession::TakeStatements(const std::string& app_metadata) {
  if (app_metadata.empty()) return absl::OkStatus();
  const auto json = app_metadata.size() <= kMaxAppMetadataBytes
                        ? nlohmann::json::parse(app_metadata, nullptr, false)
                        : nlohmann::json(nlohmann::json::value_t::discarded);
  const std::optional<int64_t> offset = RowsOf(json, "offset");
  const std::optional<int64_t> total = RowsOf(json, "rows");
  if (!offset && !total) {
    return absl::InvalidArgumentError(
        "a message's app_metadata is neither {\"offset\": ROWS}, the number of "
        "rows before its batch, nor {\"rows\": ROWS}, that of the whole "
        "partition; leave it out or correct it");
  }
  if (offset && *offset != writer_->rows()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a batch says that it begins at row ", *offset, ", and the spool has ",
        writer_->rows(), " rows: go on at the offset of the first PutResult"));
  }
  if (!total) return absl::OkStatus();
  if (total_rows_ && *total_rows_ != *total) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the producer says that the partition has ", *total,
        " rows, and before it said ", *total_rows_,
        ": {\"rows\": ROWS} is the number of rows of the whole partition"));
  }
  total_rows_ = total;
  return absl::OkStatus();
}

absl::Status PutSession::CheckTotal() const {
  if (!total_rows_ || *total_rows_ == writer_->rows()) return absl::OkStatus();
  const bool is_short = writer_->rows() < *total_rows_;
  return absl::InvalidArgumentError(absl::StrCat(
      writer_->key().ToString(),
      " is not sealed: the producer says that it has ", *total_rows_,
      " rows, and the spool has ", writer_->rows(),
      is_short
          ? ". Did the stream end too early? Go on at that offset with the "
            "same attempt"
          : ". Was something pushed twice? Use a new attempt"));
}

v1::SealPartitionRequest PutSession::RequestFor(const AttemptKey& key) const {
  v1::SealPartitionRequest request;
  request.set_job(context_.job);
  request.set_dataset(key.dataset);
  request.set_generation(context_.generation);
  v1::Partition& partition = *request.mutable_partition();
  partition.set_producer(key.producer);
  partition.set_partition(key.partition);
  partition.set_attempt(key.attempt);
  partition.set_feed(context_.task);
  return request;
}

absl::StatusOr<std::unique_ptr<AttemptWriter>> PutSession::Acquire(
    const AttemptKey& key) {
  const auto evict = [this] { stream_->Cancel(); };
  auto writer = context_.spool->Acquire(key, evict);
  if (!absl::IsAlreadyExists(writer.status())) return writer;
  // The producer may have aborted since, of which the spool does not hear.
  v1::SealPartitionRequest request = RequestFor(key);
  request.set_only_ask(true);
  const absl::Status granted = context_.seal(request);
  if (absl::IsAlreadyExists(granted)) return writer;
  TFD_RETURN_IF_ERROR(Annotate(granted, key.ToString()));
  context_.spool->Unseal(key);
  return context_.spool->Acquire(key, evict);
}

absl::Status PutSession::Take(const FlightData& data) {
  TFD_RETURN_IF_ERROR(TakeStatements(data.app_metadata));
  // A message of metadata alone.
  if (!data.header) return absl::OkStatus();
  return Write([&] { return writer_->Append(data.header, data.body); });
}

absl::Status PutSession::Write(const std::function<absl::Status()>& write) {
  if (context_.disk == nullptr) return WriteWhereThereIsRoom(write);
  return context_.disk->Write(
      [&] { return WriteWhereThereIsRoom(write); },
      [this](absl::Duration pause) { return stream_->AwaitCancel(pause); });
}

absl::Status PutSession::WriteWhereThereIsRoom(
    const std::function<absl::Status()>& write) {
  absl::Status status = write();
  if (!absl::IsResourceExhausted(status) || !context_.make_room) return status;
  context_.make_room();
  status = write();
  if (!absl::IsResourceExhausted(status) || !context_.spool->Drains(dataset_)) {
    return status;
  }
  spdlog::info("{}: held back until training has used some of the spool",
               dataset_);
  const absl::Time give_up = absl::Now() + context_.room_timeout;
  while (absl::IsResourceExhausted(status) && absl::Now() < give_up) {
    if (stream_->AwaitCancel(context_.room_interval)) {
      return absl::CancelledError("the producer is gone");
    }
    // What is retired is dropped as soon as the coordinator says so.
    status = write();
  }
  return status;
}

absl::Status PutSession::Seal() {
  // A producer that was killed ends the stream like one that is done; but it
  // cannot be written to any more.
  if (!stream_->Write(OffsetText(), context_.write_timeout)) {
    spdlog::info("{}: the producer is gone after {} rows, which are kept",
                 writer_->key().ToString(), writer_->rows());
    return absl::CancelledError("the producer is gone");
  }
  TFD_RETURN_IF_ERROR(CheckTotal());
  const AttemptKey& key = writer_->key();
  AttemptFile::Sealable sealable;
  TFD_RETURN_IF_ERROR(Write([&] {
    TFD_ASSIGN_OR_RETURN(sealable, writer_->Finish());
    return absl::OkStatus();
  }));
  v1::SealPartitionRequest request = RequestFor(key);
  v1::Partition& partition = *request.mutable_partition();
  partition.set_rows(sealable.rows);
  partition.set_crc32c(sealable.crc32c);
  partition.set_path(writer_->path());
  const absl::Status granted = context_.seal(request);
  if (absl::IsAlreadyExists(granted)) writer_->Drop();
  if (!granted.ok()) {
    return Annotate(granted, absl::StrCat("sealing ", key.ToString()));
  }
  context_.spool->MarkSealed(key);
  spdlog::info("{} is sealed with {} rows", key.ToString(),
               FormatCount(sealable.rows));
  const nlohmann::json result = {
      {"sealed", true}, {"rows", sealable.rows}, {"crc32c", sealable.crc32c}};
  if (!stream_->Write(result.dump(), context_.write_timeout)) {
    return absl::CancelledError("the producer was gone when it was sealed");
  }
  return absl::OkStatus();
}

std::string PutSession::OffsetText() const {
  return nlohmann::json({{"offset", writer_->rows()}}).dump();
}

}  // namespace tfd::data
