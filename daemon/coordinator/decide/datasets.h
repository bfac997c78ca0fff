// Decisions about pushed data: who may seal a partition, what a producer's
// commit must agree with, when a dataset is complete.
#ifndef TFD_DAEMON_COORDINATOR_DECIDE_DATASETS_H_
#define TFD_DAEMON_COORDINATOR_DECIDE_DATASETS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/coordinator/decide/context.h"
#include "daemon/coordinator/decide/tasks.h"

namespace tfd::coordinator {

// Which producer of which dataset.
struct ProducerKey {
  std::string job;
  std::string dataset;
  std::string producer;
};

// Whether SealPartition would grant it. Changes nothing.
absl::Status MaySealPartition(const Context& context, const ProducerKey& key,
                              uint64_t generation, const std::string& partition,
                              const Partition& sealed);

// Idempotent for the same attempt; AlreadyExists where another one has it. Only
// for a producer that has begun, so that a seal that comes after an abort does
// not bring it back.
absl::Status SealPartition(const Context& context, const ProducerKey& key,
                           uint64_t generation, const std::string& partition,
                           const Partition& sealed);

struct AttemptName {
  std::string dataset;
  std::string producer;
  std::string partition;
  std::string attempt;
};
enum class AttemptStanding {
  // It has its partition.
  kSealed,
  // It may be sealed.
  kOpen,
  // It never can be: its producer has aborted, or committed without it; or
  // another attempt has its partition.
  kVoid,
};
// Of each, as far as the state goes. An error where `generation` does not
// count any more: whoever asks then must not drop anything.
absl::StatusOr<std::vector<AttemptStanding>> ReviewAttempts(
    const Context& context, const std::string& job, uint64_t generation,
    const std::vector<AttemptName>& attempts);

// A feed's word on its spool, for the job's events.
void TakeSpoolNotice(const Context& context, const Speaker& speaker,
                     const std::string& kind, const std::string& message);

// A producer announces itself: the dataset waits for it from now on. Twice is
// fine. AlreadyExists once it has committed, also when the job has ended: a
// retry of the whole write learns that there is nothing left to do.
absl::Status BeginProducer(const Context& context, const ProducerKey& key);

struct CommittedPartition {
  std::string partition;
  std::string attempt;
  int64_t rows = 0;
};
// All that the producer wrote (of a stream: since its newest batch), which must
// be what was sealed: each difference is named. Twice the same is fine, also
// when the job has ended meanwhile.
absl::Status CommitProducer(const Context& context, const ProducerKey& key,
                            const std::vector<CommittedPartition>& partitions);

// Drops all that the producer has sent and that is not published. Twice is
// fine. Where a dataset is published as it is sealed, and rows of this producer
// have been, the job fails: half of what it had to say may be in the model.
absl::Status AbortProducer(const Context& context, const ProducerKey& key);

// ---- For decide/growth.cc.

struct FoundProducer {
  const Job* job = nullptr;
  const Dataset* dataset = nullptr;
  // Null where it has not begun.
  const Producer* producer = nullptr;
};
// Also in a job that has ended: what was done to it stays done.
absl::StatusOr<FoundProducer> FindProducer(const Context& context,
                                           const ProducerKey& key);
// The job takes data, and the producer has begun.
absl::Status CheckMayCommit(const FoundProducer& found, const ProducerKey& key);
// FailedPrecondition that names each difference to the producer's partitions.
absl::Status CheckCommit(const Producer& producer, const ProducerKey& key,
                         const std::vector<CommittedPartition>& partitions);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_DECIDE_DATASETS_H_
