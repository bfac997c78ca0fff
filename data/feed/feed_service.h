// The Flight service of a feed: DoPut and DoGet, on plain gRPC.
#ifndef TFD_DATA_FEED_FEED_SERVICE_H_
#define TFD_DATA_FEED_FEED_SERVICE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "arrow/flight/protocol/Flight.grpc.pb.h"
#include "common/fs/file_system.h"
#include "data/feed/put_session.h"
#include "data/feed/stream_calls.h"

namespace tfd::data {

// Any number of producers push at a time, each call on a thread of its own, up
// to a bound. Thread-safe. Must be stopped before the server it is part of is
// destroyed.
class FeedService final
    : public arrow::flight::protocol::FlightService::
          WithRawCallbackMethod_DoGet<
              arrow::flight::protocol::FlightService::
                  WithRawCallbackMethod_DoPut<
                      arrow::flight::protocol::FlightService::Service>> {
 public:
  // `token` is what producers present; `job_token` what tasks of the job do,
  // who may read.
  FeedService(FeedContext context, std::string token, std::string job_token);
  ~FeedService() override;

  // Cancels all calls and waits for their threads. New calls are refused.
  void Stop();

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* DoPut(
      grpc::CallbackServerContext* context) override;

  // The rows of a sealed partition. The ticket is {"dataset": …, "producer": …,
  // "partition": …, "attempt": …}; rows begin at its first.
  grpc::ServerWriteReactor<grpc::ByteBuffer>* DoGet(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override;

 private:
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenTicket(
      const grpc::ByteBuffer& request) const;

  const FeedContext context_;
  const std::string token_;
  const std::string job_token_;
  StreamCalls calls_;
};

}  // namespace tfd::data

#endif  // TFD_DATA_FEED_FEED_SERVICE_H_
