// Arrow Flight's FlightData message, read by hand from gRPC's slices: the body
// is copied once, from where it was received into aligned memory that is
// reused, and never into a protobuf message.
#ifndef TFD_DATA_FEED_FLIGHT_DATA_H_
#define TFD_DATA_FEED_FLIGHT_DATA_H_

#include <grpcpp/support/byte_buffer.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/fs/file_system.h"
#include "data/ipc_stream.h"

namespace arrow {
class Buffer;
class ResizableBuffer;
namespace flight::protocol {
class FlightData;
}
namespace ipc {
struct IpcPayload;
}
}  // namespace arrow

namespace tfd::data {

// The fields of FlightData (proto/arrow/flight/protocol/Flight.proto).
struct FlightData {
  // Serialized FlightDescriptor; empty where there is none.
  std::string descriptor;
  std::string app_metadata;
  // The metadata of an IPC message; null where there is none.
  std::shared_ptr<arrow::Buffer> header;
  // Its body; empty, not null.
  std::shared_ptr<arrow::Buffer> body;
};

// Thread-compatible.
class FlightDataReader {
 public:
  FlightDataReader();
  ~FlightDataReader();

  // Takes `message` apart. What the message before gave must not be used any
  // more. Unknown fields are skipped. InvalidArgument where it is no protobuf
  // message.
  absl::StatusOr<FlightData> Read(const grpc::ByteBuffer& message);

 private:
  std::shared_ptr<arrow::ResizableBuffer> body_;
};

// A message of an IPC stream in a file as a FlightData message: its body is the
// mapped file's, which the message keeps open, or a copy where it is not
// mapped.
absl::StatusOr<grpc::ByteBuffer> ToFlightData(
    const std::shared_ptr<const RandomAccessFile>& file,
    const IpcMessagePlace& place);

// A message that Arrow has encoded as FlightData, for small ones: it is copied.
arrow::flight::protocol::FlightData FlightDataOf(
    const arrow::ipc::IpcPayload& payload);

}  // namespace tfd::data

#endif  // TFD_DATA_FEED_FLIGHT_DATA_H_
