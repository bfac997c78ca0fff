#include "data/feed/feed_service.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "arrow/flight/protocol/Flight.pb.h"
#include "common/net/server.h"
#include "common/status.h"
#include "data/feed/get_call.h"

namespace tfd::data {

FeedService::FeedService(FeedContext context, std::string token,
                         std::string job_token)
    : context_(std::move(context)),
      token_(std::move(token)),
      job_token_(std::move(job_token)),
      calls_("this feed") {}

FeedService::~FeedService() { Stop(); }

StreamCalls::Reactor* FeedService::DoPut(grpc::CallbackServerContext* context) {
  const absl::Status allowed = net::CheckToken(*context, token_);
  if (!allowed.ok()) return StreamCalls::Refuse(allowed);
  return calls_.Start(context, [this](PutStream& put) {
    return PutSession(context_, &put).Run();
  });
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* FeedService::DoGet(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  const std::string presented = net::PresentedToken(*context);
  const absl::Status task = net::CheckToken(presented, job_token_);
  const absl::Status producer = net::CheckToken(presented, token_);
  if (!task.ok() && !producer.ok()) return GetCall::Refuse(producer);
  auto file = OpenTicket(*request);
  if (!file.ok()) return GetCall::Refuse(file.status());
  return GetCall::Start(*std::move(file));
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> FeedService::OpenTicket(
    const grpc::ByteBuffer& request) const {
  grpc::Slice bytes;
  arrow::flight::protocol::Ticket ticket;
  if (request.DumpToSingleSlice(&bytes).ok()) {
    ticket.ParseFromArray(bytes.begin(), static_cast<int>(bytes.size()));
  }
  const auto json = nlohmann::json::parse(ticket.ticket(), nullptr, false);
  AttemptKey key;
  const std::pair<const char*, std::string*> parts[] = {
      {"dataset", &key.dataset},
      {"producer", &key.producer},
      {"partition", &key.partition},
      {"attempt", &key.attempt}};
  for (const auto& [name, value] : parts) {
    if (json.is_object() && json.contains(name) && json[name].is_string()) {
      *value = json[name].get<std::string>();
    }
    TFD_RETURN_IF_ERROR(Annotate(
        CheckName(name, *value),
        "a ticket is {\"dataset\": …, \"producer\": …, \"partition\": …, "
        "\"attempt\": …}"));
  }
  TFD_ASSIGN_OR_RETURN(const std::string path,
                       context_.spool->FinishedPath(key));
  return LocalFileSystem()->OpenForReading(path);
}

void FeedService::Stop() { calls_.Stop(); }

}  // namespace tfd::data
