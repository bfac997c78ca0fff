// The version of tfd and of the protocol its processes speak.
#ifndef TFD_COMMON_VERSION_H_
#define TFD_COMMON_VERSION_H_

#include <cstdint>

namespace tfd {

inline constexpr char kVersion[] = "0.1.0";

// Sent in every handshake (agent, task, shard). A peer with another one is
// refused with both named.
inline constexpr uint32_t kProtocolVersion = 1;

}  // namespace tfd

#endif  // TFD_COMMON_VERSION_H_
