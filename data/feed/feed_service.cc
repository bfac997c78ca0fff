#include "data/feed/feed_service.h"

#include <utility>

#include "absl/status/status.h"
#include "common/net/server.h"

namespace tfd::data {

FeedService::FeedService(FeedContext context, std::string token)
    : context_(std::move(context)),
      token_(std::move(token)),
      calls_("this feed") {}

FeedService::~FeedService() { Stop(); }

StreamCalls::Reactor* FeedService::DoPut(grpc::CallbackServerContext* context) {
  const absl::Status allowed = net::CheckToken(*context, token_);
  if (!allowed.ok()) return StreamCalls::Refuse(allowed);
  return calls_.Start(context, [this](PutStream& put) {
    return PutSession(context_, &put).Run();
  });
}

void FeedService::Stop() { calls_.Stop(); }

}  // namespace tfd::data
