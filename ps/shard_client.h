// A worker's side of the tensor exchange: pushes the gradient of each chunk to
// the shard that holds it, and gets the new parameters back. Knows nothing of
// models or devices: flat float32 buffers in memory, cut by a layout.
//
//   auto exchange = Exchange::Open(options, layout, parameters, deadline);
//   exchange->Initialise(deadline);            // first parameters are there
//   for each step t from exchange->step():
//     compute the gradient of batch k with parameters[exchange->version()]
//     exchange->BeginStep({.step = t, .weight = records, .batch = k});
//     exchange->PushAll(gradient);   // or PushChunk, as they get ready
//     exchange->WaitStep(deadline);  // the other version has the new ones
#ifndef TFD_PS_SHARD_CLIENT_H_
#define TFD_PS_SHARD_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/shared_memory.h"
#include "tensor/flat_buffer.h"
#include "tensor/layout.h"
#include "tfd/v1/job_spec.pb.h"
#include "tfd/v1/task.pb.h"

namespace tfd::ps {

class ShardHost;

// One shard server and how to reach it.
struct ShardAddress {
  std::string task;    // ps/0
  std::string target;  // as net::Dial takes it
  // On this host only: where memory is shared; else empty.
  std::string memory_path;
};

// How tensors may travel. AUTO takes the fastest that both sides have; the
// others leave out what is faster, for measurements and tests.
using Transport = v1::ExchangeSpec::Transport;

// The target to dial a member from here.
absl::StatusOr<ShardAddress> ShardAddressOf(const v1::Member& member,
                                            Transport transport);

// The tasks of `role` of a membership, in the order of their numbers.
absl::StatusOr<std::vector<ShardAddress>> ShardAddresses(
    const v1::Membership& membership, absl::string_view role,
    Transport transport);

struct ExchangeOptions {
  // This worker.
  std::string task;
  uint64_t incarnation = 0;
  uint64_t generation = 0;
  std::string token;
  // The seat it fills: members[slot] of the layout.
  uint32_t slot = 0;
  // In the order of layout.group().shards().
  std::vector<ShardAddress> shards;
  // Where gradients lie, so that shards on this host read them in place.
  // Outlives the exchange. Empty: tensors go over sockets.
  std::vector<const SharedMemory*> memory;
  // The shard of this very task (all-reduce): members[slot] is its name too.
  // Its host outlives the exchange; the gradients outlive its host.
  ShardHost* own_shard = nullptr;
  // The length of the training, or what it is at most (StepInfo::last); the
  // same for every worker.
  int64_t total_steps = 0;
  int64_t steps_per_epoch = 0;
  int64_t records = 0;
  // How long a shard may be out of reach before the exchange gives up.
  absl::Duration reconnect_timeout = absl::Seconds(30);
  // For traces; may be empty. The parameters of a chunk have arrived (on a
  // channel's thread), and have been copied to where they belong since `begin`.
  std::function<void(uint32_t chunk)> on_arrived;
  std::function<void(uint32_t chunk, absl::Time begin)> on_copied;
  // How gradients and parameters are written on their way: the job's setting,
  // the same for every worker. With fewer bits than float32 a gradient is
  // copied when it is pushed, into memory of the exchange's own.
  v1::ExchangeSpec::Payload payload = v1::ExchangeSpec::FLOAT32;
  // The share of each chunk's gradient that is sent, more than 0; what is left
  // is kept here and added to the next gradient. With less than 1 it is copied,
  // too.
  double top_k = 1;
  // To each shard, where tensors go over sockets; at least 1.
  uint32_t connections = 1;
  // Checksums on the payloads (for networks that one does not trust).
  bool checksums = false;
};

// What this worker gives in one step.
struct StepInfo {
  // From 0.
  int64_t step = 0;
  // The loss's denominator: the number of records of the batch.
  double weight = 0;
  // The batch's number in its epoch.
  uint64_t batch = 0;
  // No batch in this step: nothing is pushed by the caller, the exchange tells
  // the shards by itself.
  bool idle = false;
  // No step follows it, of any slot, though the length of the training that was
  // given (ExchangeOptions::total_steps) is not reached.
  bool last = false;
};

// Since the exchange was opened.
struct ExchangeStats {
  int64_t steps = 0;
  // On the wire, headers included.
  uint64_t bytes_sent = 0;
  uint64_t bytes_received = 0;
  // Tensor bytes copied by this process outside the kernel: from the received
  // message into the parameters. What is sent as float32 is not copied, and in
  // bsp the parameters of its own shard are where they belong already.
  uint64_t bytes_copied = 0;
  // In WaitStep.
  absl::Duration waited;
  uint64_t reconnects = 0;
  // Of the shards connected now, those with which tensors are exchanged where
  // they lie in memory.
  size_t shards_in_place = 0;
};

// Thread-safe: chunks may be pushed from any thread. One step at a time.
//
// The first failure (a shard refuses, stays out of reach, answers nonsense) is
// kept: everything afterwards returns it, and the task should end with it.
class Exchange {
 public:
  // Opens every shard: checks protocol, generation and layout on both sides.
  // Shards that are not there yet are waited for until `deadline`, then named.
  // Both `parameters` have layout.elements().
  static absl::StatusOr<std::unique_ptr<Exchange>> Open(
      const ExchangeOptions& options, const tensor::Layout& layout,
      std::shared_ptr<const tensor::ParameterVersions> parameters,
      absl::Time deadline);
  virtual ~Exchange() = default;

  virtual const tensor::Layout& layout() const = 0;
  // The step to take next: 0, or that of the checkpoint the shards restored.
  virtual int64_t step() const = 0;
  // The shards had parameters already (restored, or another incarnation of
  // slot 0 sent them).
  virtual bool initialised() const = 0;

  // Which of the two versions of the parameters is complete; the other one is
  // written to at any time. The first at first; changed by Initialise and
  // WaitStep alone.
  virtual int version() const = 0;

  // Once, before the first step. Where the shards have no parameters, slot 0
  // sends the first version of its own and everybody else waits for it; then
  // all have the same.
  virtual absl::Status Initialise(absl::Time deadline) = 0;

  // Starts a step. The step before must be complete. Never blocks.
  virtual absl::Status BeginStep(const StepInfo& step) = 0;

  // The gradient of one chunk (layout.ChunkRange(chunk).elements() floats) is
  // ready. Never blocks and, as float32, copies nothing: `gradient` stays as it
  // is until WaitStep has returned. Once per chunk and step. Null: there is
  // nothing to give for this chunk.
  virtual absl::Status PushChunk(uint32_t chunk, const float* gradient) = 0;
  // Every chunk of this step that has not been pushed, from the flat gradient
  // (layout.elements() floats).
  virtual absl::Status PushAll(const float* gradient) = 0;

  // Until the new parameters of every chunk are in the other version, which is
  // version() from then on, and nobody reads the gradient any more.
  // DeadlineExceeded names the shards, the step and the chunks it waits for; it
  // may be called again.
  virtual absl::Status WaitStep(absl::Time deadline) = 0;

  // Whoever waits is woken, and everything from now on returns `why`.
  virtual void Cancel(const absl::Status& why) = 0;
  // Whom the step under way waits for, in words; empty where none is.
  virtual std::string WaitsFor() const = 0;

  virtual ExchangeStats stats() const = 0;

 protected:
  Exchange() = default;
};

}  // namespace tfd::ps

#endif  // TFD_PS_SHARD_CLIENT_H_
