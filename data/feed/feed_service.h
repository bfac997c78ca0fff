// The Flight service of a feed: DoPut, on plain gRPC.
#ifndef TFD_DATA_FEED_FEED_SERVICE_H_
#define TFD_DATA_FEED_FEED_SERVICE_H_

#include <string>

#include "arrow/flight/protocol/Flight.grpc.pb.h"
#include "data/feed/put_session.h"
#include "data/feed/stream_calls.h"

namespace tfd::data {

// Any number of producers push at a time, each call on a thread of its own, up
// to a bound. Thread-safe. Must be stopped before the server it is part of is
// destroyed.
class FeedService final
    : public arrow::flight::protocol::FlightService::
          WithRawCallbackMethod_DoPut<
              arrow::flight::protocol::FlightService::Service> {
 public:
  // `token` is what producers present.
  FeedService(FeedContext context, std::string token);
  ~FeedService() override;

  // Cancels all calls and waits for their threads. New calls are refused.
  void Stop();

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* DoPut(
      grpc::CallbackServerContext* context) override;

 private:
  const FeedContext context_;
  const std::string token_;
  StreamCalls calls_;
};

}  // namespace tfd::data

#endif  // TFD_DATA_FEED_FEED_SERVICE_H_
