// One DoGet call of a feed: the rows of a partition that is sealed, as they are
// in its spool file.
#ifndef TFD_DATA_FEED_GET_CALL_H_
#define TFD_DATA_FEED_GET_CALL_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "common/fs/file_system.h"

namespace tfd::data {

// The call's reactor, which destroys itself. The bodies of messages are sent
// from where the file is mapped. A message is prepared when the one before has
// left, so that no more than one is held.
class GetCall final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  // Sends the messages of `file`, an IPC stream, from the schema on.
  static GetCall* Start(std::unique_ptr<RandomAccessFile> file);
  // A call that is over before it began.
  static GetCall* Refuse(const absl::Status& status);

  void OnWriteDone(bool ok) override;
  void OnDone() override { delete this; }

 private:
  GetCall() = default;
  void SendNext();

  // Shared with the messages that are on their way.
  std::shared_ptr<const RandomAccessFile> file_;
  uint64_t offset_ = 0;
  grpc::ByteBuffer outgoing_;
};

}  // namespace tfd::data

#endif  // TFD_DATA_FEED_GET_CALL_H_
