// What the world is told after an event is durable. An effect names what has
// changed and whom it concerns, never its content: that is read from the state
// when the effect is released. Effects are not replayed: whoever attaches after
// a restart is told everything (views.h).
#ifndef TFD_DAEMON_COORDINATOR_CORE_EFFECT_H_
#define TFD_DAEMON_COORDINATOR_CORE_EFFECT_H_

#include <cstdint>
#include <string>
#include <variant>

namespace tfd::coordinator {

// A node's tasks have changed: its agent gets the whole desired state.
struct SendDesired {
  std::string node;
};

// All tasks of a job get the membership.
struct SendMembership {
  std::string job;
};

// All tasks of a job learn that a pushed dataset is complete.
struct SendDataset {
  std::string job;
  std::string dataset;
};

// All tasks of a job learn of a segment of a dataset that grows.
struct SendSegment {
  std::string job;
  std::string dataset;
  int64_t segment = 0;
};

// A job's feeds learn that they have what is of no use any more, of a producer
// that has aborted or of segments that are retired.
struct SendProducerAborted {
  std::string job;
  std::string dataset;
  std::string producer;
};

// The first shard (ps/0, or worker/0) is asked for the manifest of a step (its
// shards are in the runtime).
struct SendWriteManifest {
  std::string job;
  int64_t step = 0;
};

// The first shard learns which checkpoints count.
struct SendCommitted {
  std::string job;
};

// The finisher is asked to score, or to export.
struct SendEvaluate {
  std::string job;
};
struct SendExport {
  std::string job;
};

// A fenced task must end: its stream is refused from now on.
struct RefuseTask {
  std::string job;
  std::string task;
  std::string reason;
};

// What users see of a job, or of the nodes, has changed.
struct PublishJob {
  std::string job;
};
struct PublishNodes {};

// Resources are free, or there is a job more to place.
struct ReviewQueue {};

using Effect = std::variant<SendDesired, SendMembership, SendDataset,
                            SendSegment, SendProducerAborted, SendWriteManifest,
                            SendCommitted, SendEvaluate, SendExport, RefuseTask,
                            PublishJob, PublishNodes, ReviewQueue>;

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_CORE_EFFECT_H_
