// Arrow Flight's FlightData message, read by hand from gRPC's slices: the body
// is copied once, from where it was received into aligned memory that is
// reused, and never into a protobuf message.
#ifndef TFD_DATA_FEED_FLIGHT_DATA_H_
#define TFD_DATA_FEED_FLIGHT_DATA_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace arrow {
class Buffer;
class ResizableBuffer;
}  // namespace arrow

namespace grpc {
class ByteBuffer;
}

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

}  // namespace tfd::data

#endif  // TFD_DATA_FEED_FLIGHT_DATA_H_
