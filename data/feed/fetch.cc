#include "data/feed/fetch.h"

#include <grpcpp/client_context.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "arrow/flight/protocol/Flight.grpc.pb.h"
#include "common/net/channel.h"
#include "common/random.h"
#include "common/status.h"
#include "data/ipc_stream.h"

namespace tfd::data {
namespace {

namespace flight = arrow::flight::protocol;

constexpr absl::Duration kFetchRetry = absl::Seconds(1);

// As in the spool file: prefix, metadata, padding, body.
absl::Status AppendMessage(const flight::FlightData& data, WritableFile& file) {
  const std::string& metadata = data.data_header();
  const IpcPrefix prefix = MakeIpcPrefix(metadata.size());
  constexpr uint8_t kFill[8] = {};
  TFD_RETURN_IF_ERROR(file.Append(prefix.bytes, sizeof(prefix.bytes)));
  TFD_RETURN_IF_ERROR(file.Append(metadata.data(), metadata.size()));
  TFD_RETURN_IF_ERROR(file.Append(kFill, prefix.padding));
  return file.Append(data.data_body().data(), data.data_body().size());
}

absl::Status FetchOnce(const std::string& ticket,
                       const PartitionFetchOptions& options,
                       WritableFile& file) {
  const auto stub = flight::FlightService::NewStub(net::Dial(options.target));
  grpc::ClientContext context;
  net::AddToken(context, options.token);
  net::SetTimeout(context, options.timeout);
  flight::Ticket request;
  request.set_ticket(ticket);
  const auto stream = stub->DoGet(&context, request);
  flight::FlightData data;
  absl::Status written;
  while (written.ok() && stream->Read(&data)) {
    written = AppendMessage(data, file);
  }
  if (!written.ok()) context.TryCancel();
  const absl::Status ended = FromGrpc(stream->Finish());
  TFD_RETURN_IF_ERROR(written);
  TFD_RETURN_IF_ERROR(ended);
  return file.Append(kIpcEnd, sizeof(kIpcEnd));
}

}  // namespace

absl::StatusOr<std::unique_ptr<RandomAccessFile>> FetchPartition(
    const std::string& dataset, const v1::Partition& partition,
    const PartitionFetchOptions& options) {
  FileSystem& files = *LocalFileSystem();
  TFD_RETURN_IF_ERROR(files.CreateFolder(options.folder));
  const std::string path =
      JoinPath(options.folder, absl::StrCat(RandomId(), ".arrow"));
  const std::string ticket =
      nlohmann::json({{"dataset", dataset},
                      {"producer", partition.producer()},
                      {"partition", partition.partition()},
                      {"attempt", partition.attempt()}})
          .dump();
  const absl::Time give_up = absl::Now() + options.patience;
  while (true) {
    TFD_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file,
                         files.OpenForWriting(path));
    const absl::Status fetched = FetchOnce(ticket, options, *file);
    if (fetched.ok()) {
      TFD_RETURN_IF_ERROR(file->Commit());
      break;
    }
    if (!absl::IsUnavailable(fetched) || absl::Now() > give_up) {
      return Annotate(fetched,
                      absl::StrCat("reading it from ", partition.feed(), " at ",
                                   options.target));
    }
    spdlog::warn("{} at {} does not answer, trying again: {}", partition.feed(),
                 options.target, std::string(fetched.message()));
    absl::SleepFor(kFetchRetry);
  }
  TFD_ASSIGN_OR_RETURN(std::unique_ptr<RandomAccessFile> opened,
                       files.OpenForReading(path));
  TFD_RETURN_IF_ERROR(files.Delete(path));
  return opened;
}

}  // namespace tfd::data
