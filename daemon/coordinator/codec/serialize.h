// Protobuf bytes that are equal for equal messages (maps have no order of their
// own).
#ifndef TFD_DAEMON_COORDINATOR_CODEC_SERIALIZE_H_
#define TFD_DAEMON_COORDINATOR_CODEC_SERIALIZE_H_

#include <google/protobuf/message_lite.h>

#include <string>

namespace tfd::coordinator {

std::string SerializeInOrder(const google::protobuf::MessageLite& message);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_CODEC_SERIALIZE_H_
