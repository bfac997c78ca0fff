// The running calls of a streaming method: each has a thread of its own, up to
// a bound.
#ifndef TFD_DATA_FEED_STREAM_CALLS_H_
#define TFD_DATA_FEED_STREAM_CALLS_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "data/feed/put_stream.h"

namespace tfd::data {

// Thread-safe. Must be stopped before the server that its calls are of is
// destroyed.
class StreamCalls {
 public:
  using Reactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

  // `server` says in messages whose calls they are, e.g. "this feed".
  explicit StreamCalls(std::string server) : server_(std::move(server)) {}
  ~StreamCalls() { Stop(); }

  // The reactor of a call, which `run` is (PutStream). Unavailable where there
  // are too many already.
  Reactor* Start(grpc::CallbackServerContext* context,
                 std::function<absl::Status(PutStream&)> run);
  // Of a call that is over before it began.
  static Reactor* Refuse(const absl::Status& status);

  // Cancels all calls and waits for their threads. New calls are refused.
  void Stop();

 private:
  void Done(PutStream* stream);

  const std::string server_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<PutStream*, std::unique_ptr<PutStream>> active_
      ABSL_GUARDED_BY(mutex_);
  // Over, and to be joined by whoever comes next.
  std::vector<std::unique_ptr<PutStream>> done_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tfd::data

#endif  // TFD_DATA_FEED_STREAM_CALLS_H_
