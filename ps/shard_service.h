// tfd.v1.Shard over gRPC: Open as an ordinary call, Exchange with raw
// ByteBuffers, so that tensors are read where they arrive and sent from where
// they are.
#ifndef TFD_PS_SHARD_SERVICE_H_
#define TFD_PS_SHARD_SERVICE_H_

#include <grpcpp/impl/service_type.h>

#include <memory>
#include <string>

#include "ps/shard_host.h"

namespace tfd::ps {

// What a stream names itself with, and no message can leave out.
inline constexpr char kSlotMetadata[] = "tfd-slot";
inline constexpr char kGenerationMetadata[] = "tfd-generation";
inline constexpr char kIncarnationMetadata[] = "tfd-incarnation";

// Messages of the largest chunk there may be (exchange.chunk_bytes) fit.
inline constexpr int kMaxShardMessageBytes = (64 << 20) + (64 << 10);

// Every call must carry `token`. `host` outlives the service and the calls on
// it: stop the host, then the server, then destroy them.
//
// Bounds: a stream reads on while fewer than 2 · slots · chunks (and 64)
// requests of it are unanswered or their answers unsent; so a peer that does
// not read its answers holds back itself alone.
std::unique_ptr<grpc::Service> MakeShardService(ShardHost* host,
                                                std::string token);

}  // namespace tfd::ps

#endif  // TFD_PS_SHARD_SERVICE_H_
