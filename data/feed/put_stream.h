// One DoPut call as a thread sees it: reads that block, one read ahead, and
// acknowledgements that never do.
#ifndef TFD_DATA_FEED_PUT_STREAM_H_
#define TFD_DATA_FEED_PUT_STREAM_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace tfd::data {

// The call's reactor; its own thread runs a function that reads and writes it.
// gRPC's threads are never blocked. Destroyed after OnDone, which `on_done`
// tells of: not before its thread has been joined.
class PutStream final
    : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  enum class ReadResult {
    kMessage,
    // The writer says it is done; or it is gone: that looks the same here, and
    // only a following Write tells (see Write).
    kEnd,
    kTimeout,
  };

  // `context` outlives the call, as gRPC sees to it. `run` is the call: what it
  // returns, ends it.
  PutStream(grpc::CallbackServerContext* context,
            std::function<absl::Status(PutStream&)> run,
            std::function<void(PutStream*)> on_done);
  ~PutStream() override;

  void Start();

  // For the function that runs.

  // The next message.
  ReadResult Read(grpc::ByteBuffer* message, absl::Duration timeout);
  // Sends a PutResult with this app_metadata, if the one before is out;
  // otherwise keeps it until then, in place of one that is kept already.
  void Acknowledge(std::string app_metadata);
  // Sends a PutResult, after those before it, and waits until it has left. True
  // only if the stream was whole by then: after kEnd that means that the writer
  // did say it is done, for gRPC refuses to send on a broken stream.
  bool Write(std::string app_metadata, absl::Duration timeout);

  // The same with any message.
  bool WriteMessage(const grpc::ByteBuffer& message, absl::Duration timeout);

  // Waits; true as soon as the client is gone, or the call was cancelled.
  bool AwaitCancel(absl::Duration timeout);

  // Any thread. Reads and writes end, the client sees CANCELLED.
  void Cancel();

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  void Run();
  void BeginWrite(const grpc::ByteBuffer& message)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  grpc::CallbackServerContext* const context_;
  const std::function<absl::Status(PutStream&)> run_;
  const std::function<void(PutStream*)> on_done_;

  absl::Mutex mutex_;
  // gRPC's while reading_, else the thread's.
  grpc::ByteBuffer incoming_;
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool has_message_ ABSL_GUARDED_BY(mutex_) = false;
  bool read_ended_ ABSL_GUARDED_BY(mutex_) = false;
  // gRPC's while writing_.
  grpc::ByteBuffer outgoing_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool write_failed_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<std::string> next_write_ ABSL_GUARDED_BY(mutex_);
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;
};

}  // namespace tfd::data

#endif  // TFD_DATA_FEED_PUT_STREAM_H_
