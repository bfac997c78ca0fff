#include "data/feed/push_client.h"

#include <arrow/ipc/dictionary.h>
#include <arrow/ipc/options.h>
#include <arrow/ipc/writer.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <arrow/util/byte_size.h>
#include <grpcpp/client_context.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "arrow/flight/protocol/Flight.grpc.pb.h"
#include "common/net/channel.h"
#include "common/status.h"
#include "data/arrow_status.h"
#include "data/feed/flight_data.h"

namespace tfd::data {
namespace {

namespace flight = arrow::flight::protocol;
using Json = nlohmann::json;

// Of one call to the coordinator.
constexpr absl::Duration kCallTimeout = absl::Seconds(10);
// A batch is a message: large enough that messages cost little, small enough
// that the feed, which holds two of each stream, stays small.
constexpr int64_t kMessageBytes = 1 << 20;
constexpr absl::string_view kTcpScheme = "grpc+tcp://";

// The slices of the partition from a row on, each about a message long.
class Slices {
 public:
  Slices(const PartitionToPush& partition, int64_t first_row)
      : partition_(partition), skip_(first_row), row_(first_row) {}

  // Null at the end.
  std::shared_ptr<arrow::RecordBatch> Next() {
    while (batch_ < partition_.batches.size()) {
      const auto& batch = partition_.batches[batch_];
      if (skip_ >= batch->num_rows()) {
        skip_ -= batch->num_rows();
        ++batch_;
        continue;
      }
      const int64_t bytes = arrow::util::ReferencedBufferSize(*batch).ValueOr(
          arrow::util::TotalBufferSize(*batch));
      const int64_t row_bytes = std::max<int64_t>(1, bytes / batch->num_rows());
      const int64_t rows =
          std::min(batch->num_rows() - skip_,
                   std::max<int64_t>(1, kMessageBytes / row_bytes));
      auto slice = batch->Slice(skip_, rows);
      skip_ += rows;
      row_ += rows;
      return slice;
    }
    return nullptr;
  }

  // The first row that was not given yet.
  int64_t row() const { return row_; }

 private:
  const PartitionToPush& partition_;
  size_t batch_ = 0;
  int64_t skip_;
  int64_t row_;
};

// A DoPut stream. It is cancelled where it is not ended in order, so that
// nothing is sealed.
class PutCall {
 public:
  PutCall(const PushEndpoint& endpoint, absl::Duration timeout)
      : stub_(flight::FlightService::NewStub(net::Dial(endpoint.target))) {
    net::AddToken(context_, endpoint.token);
    net::SetTimeout(context_, timeout);
    stream_ = stub_->DoPut(&context_);
  }
  ~PutCall() {
    if (finished_) return;
    context_.TryCancel();
    (void)stream_->Finish();
  }

  bool Write(const flight::FlightData& data) { return stream_->Write(data); }
  void WritesDone() { stream_->WritesDone(); }

  // The next answer of the feed, or what it has ended with.
  absl::StatusOr<Json> Read() {
    flight::PutResult result;
    if (!stream_->Read(&result)) {
      const absl::Status ended = Finish();
      return ended.ok() ? absl::OutOfRangeError("the end") : ended;
    }
    Json json = Json::parse(result.app_metadata(), nullptr, false);
    if (json.is_object()) return json;
    return absl::InternalError(
        absl::StrCat("the feed answered \"", result.app_metadata(), "\""));
  }

  // After a write has failed: why.
  absl::Status Broken() {
    flight::PutResult result;
    while (stream_->Read(&result)) {
    }
    const absl::Status ended = Finish();
    return ended.ok() ? absl::UnavailableError("the feed has ended the stream")
                      : ended;
  }

 private:
  absl::Status Finish() {
    finished_ = true;
    return FromGrpc(stream_->Finish());
  }

  const std::unique_ptr<flight::FlightService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<
      grpc::ClientReaderWriter<flight::FlightData, flight::PutResult>>
      stream_;
  bool finished_ = false;
};

absl::StatusOr<flight::FlightData> FirstMessage(
    const PushTarget& target, const PartitionToPush& partition) {
  arrow::ipc::IpcPayload payload;
  const arrow::ipc::DictionaryFieldMapper mapper(*partition.schema);
  TFD_RETURN_IF_ARROW_ERROR(arrow::ipc::GetSchemaPayload(
      *partition.schema, arrow::ipc::IpcWriteOptions::Defaults(), mapper,
      &payload));
  flight::FlightData data = FlightDataOf(payload);
  flight::FlightDescriptor& descriptor = *data.mutable_flight_descriptor();
  descriptor.set_type(flight::FlightDescriptor::PATH);
  for (const std::string& part :
       {std::string("jobs"), target.job, target.dataset, target.producer,
        partition.name, partition.attempt}) {
    descriptor.add_path(part);
  }
  return data;
}

}  // namespace

PushClient::PushClient(PushTarget target) : target_(std::move(target)) {}

absl::StatusOr<Json> PushClient::Act(const std::string& kind,
                                     const Json& more) const {
  Json body = {{"job", target_.job},
               {"dataset", target_.dataset},
               {"producer", target_.producer}};
  body.update(more);
  const auto stub =
      flight::FlightService::NewStub(net::Dial(target_.coordinator));
  grpc::ClientContext context;
  net::SetTimeout(context, kCallTimeout);
  flight::Action action;
  action.set_type(kind);
  action.set_body(body.dump());
  const auto stream = stub->DoAction(&context, action);
  flight::Result result;
  const bool answered = stream->Read(&result);
  flight::Result unused;
  while (answered && stream->Read(&unused)) {
  }
  TFD_RETURN_IF_ERROR(FromGrpc(stream->Finish()));
  Json json = Json::parse(result.body(), nullptr, false);
  if (json.is_object()) return json;
  return absl::InternalError(absl::StrCat("the coordinator answered ", kind,
                                          " with \"", result.body(), "\""));
}

absl::StatusOr<std::vector<PushEndpoint>> PushClient::Endpoints() const {
  const auto stub =
      flight::FlightService::NewStub(net::Dial(target_.coordinator));
  grpc::ClientContext context;
  net::SetTimeout(context, kCallTimeout);
  flight::FlightDescriptor descriptor;
  descriptor.set_type(flight::FlightDescriptor::PATH);
  for (const std::string& part :
       {std::string("jobs"), target_.job, target_.dataset}) {
    descriptor.add_path(part);
  }
  flight::FlightInfo info;
  TFD_RETURN_IF_ERROR(
      FromGrpc(stub->GetFlightInfo(&context, descriptor, &info)));
  std::vector<PushEndpoint> endpoints;
  for (const flight::FlightEndpoint& endpoint : info.endpoint()) {
    if (endpoint.location().empty()) continue;
    const std::string& uri = endpoint.location(0).uri();
    if (!absl::StartsWith(uri, kTcpScheme)) {
      return absl::InternalError(
          absl::StrCat("the coordinator names a node ", uri));
    }
    endpoints.push_back({std::string(absl::StripPrefix(uri, kTcpScheme)),
                         endpoint.ticket().ticket()});
  }
  if (endpoints.empty()) {
    return absl::UnavailableError(absl::StrCat("no feed of job ", target_.job,
                                               " has said yet where it is"));
  }
  return endpoints;
}

absl::Status PushClient::Put(
    const PushEndpoint& endpoint, const PartitionToPush& partition,
    absl::Duration timeout,
    const std::function<absl::Status(int64_t)>& sent) const {
  PutCall call(endpoint, timeout);
  TFD_ASSIGN_OR_RETURN(const flight::FlightData first,
                       FirstMessage(target_, partition));
  if (!call.Write(first)) return call.Broken();
  TFD_ASSIGN_OR_RETURN(const Json begin, call.Read());
  Slices slices(partition, begin.value("offset", int64_t{0}));
  TFD_RETURN_IF_ERROR(sent(slices.row()));
  while (true) {
    // Checked by the feed, so that no row can come twice or be left out.
    const std::string offset = Json({{"offset", slices.row()}}).dump();
    const std::shared_ptr<arrow::RecordBatch> slice = slices.Next();
    if (!slice) break;
    arrow::ipc::IpcPayload payload;
    TFD_RETURN_IF_ARROW_ERROR(arrow::ipc::GetRecordBatchPayload(
        *slice, arrow::ipc::IpcWriteOptions::Defaults(), &payload));
    flight::FlightData data = FlightDataOf(payload);
    data.set_app_metadata(offset);
    if (!call.Write(data)) return call.Broken();
    TFD_RETURN_IF_ERROR(sent(slices.row()));
  }
  // Sealed with so many, or not at all.
  flight::FlightData total;
  total.set_app_metadata(Json({{"rows", partition.rows}}).dump());
  if (!call.Write(total)) return call.Broken();
  call.WritesDone();
  bool sealed = false;
  while (true) {
    const absl::StatusOr<Json> answer = call.Read();
    if (absl::IsOutOfRange(answer.status())) break;
    if (!answer.ok()) return answer.status();
    sealed = sealed || answer->value("sealed", false);
  }
  if (sealed) return absl::OkStatus();
  return absl::UnavailableError("the feed has not sealed the partition");
}

}  // namespace tfd::data
