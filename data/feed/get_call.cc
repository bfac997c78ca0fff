#include "data/feed/get_call.h"

#include <arrow/buffer.h>
#include <grpcpp/support/slice.h>

#include <string>
#include <utility>

#include "common/status.h"
#include "data/feed/flight_data.h"
#include "data/ipc_stream.h"

namespace tfd::data {

GetCall* GetCall::Start(std::unique_ptr<RandomAccessFile> file) {
  auto* call = new GetCall();
  call->file_ = std::move(file);
  call->SendNext();
  return call;
}

GetCall* GetCall::Refuse(const absl::Status& status) {
  auto* call = new GetCall();
  call->Finish(ToGrpc(status));
  return call;
}

void GetCall::OnWriteDone(bool ok) {
  if (ok) return SendNext();
  Finish(ToGrpc(absl::CancelledError("the reader is gone")));
}

void GetCall::SendNext() {
  IpcMessagePlace place;
  const absl::StatusOr<IpcNext> next = FindIpcMessage(*file_, offset_, &place);
  if (!next.ok()) return Finish(ToGrpc(next.status()));
  if (*next == IpcNext::kEnd) return Finish(grpc::Status::OK);
  if (*next == IpcNext::kTorn) {
    return Finish(ToGrpc(absl::DataLossError(
        "the spool file ends without its end marker: was it changed behind the "
        "feed's back?")));
  }
  offset_ = place.end();
  absl::StatusOr<grpc::ByteBuffer> message = ToFlightData(file_, place);
  if (!message.ok()) return Finish(ToGrpc(message.status()));
  outgoing_ = *std::move(message);
  StartWrite(&outgoing_);
}

}  // namespace tfd::data
