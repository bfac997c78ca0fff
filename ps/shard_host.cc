#include "ps/shard_host.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "common/units.h"
#include "common/version.h"

namespace tfd::ps {
namespace {

// A handshake is small and workers are few; this bounds what a peer can pile
// up before there is a membership.
constexpr size_t kMaxWaitingOpens = 4096;

absl::Status LostItsPlace(const std::string& whose) {
  return absl::FailedPreconditionError(
      absl::StrCat("incarnation: another process has taken the place of ",
                   whose, "; this one must end"));
}

absl::Status Stopping() {
  return absl::UnavailableError("the parameter server is stopping");
}

}  // namespace

ShardHost::ShardHost(ShardHostOptions options,
                     const tensor::CheckpointStore* store,
                     SnapshotWriter::OnSaved on_saved, OnFailed on_failed)
    : options_(std::move(options)),
      store_(store),
      on_saved_(std::move(on_saved)),
      on_failed_(std::move(on_failed)),
      thread_([this] {
        pthread_setname_np(pthread_self(), "shard-host");
        Run();
      }) {}

ShardHost::~ShardHost() {
  Stop();
  thread_.join();
  std::unique_ptr<Upstream> upstream;
  {
    absl::MutexLock lock(&mutex_);
    upstream = std::move(upstream_);
  }
  // Calls the shard no more once it is gone.
  upstream.reset();
}

void ShardHost::Stop() {
  absl::MutexLock lock(&mutex_);
  stopping_ = true;
}

void ShardHost::SetMembership(const v1::Membership& membership) {
  absl::MutexLock lock(&mutex_);
  membership_ = membership;
  if (shard() != nullptr) SetFences();
}

uint64_t ShardHost::IncarnationOf(const std::string& task) const {
  for (const v1::Member& member : membership_->members()) {
    if (member.task() == task) return member.incarnation();
  }
  return 0;
}

void ShardHost::SetFences() {
  const auto& members = shard_->layout().group().members();
  for (size_t slot = 0; slot < fences_.size(); ++slot) {
    fences_[slot].store(IncarnationOf(members[static_cast<int>(slot)]),
                        std::memory_order_release);
  }
}

void ShardHost::SetWorkerParameters(
    std::shared_ptr<const tensor::ParameterVersions> parameters) {
  absl::MutexLock lock(&mutex_);
  worker_parameters_ = std::move(parameters);
}

void ShardHost::SetUpstream(std::unique_ptr<Upstream> upstream) {
  absl::MutexLock lock(&mutex_);
  upstream_ = std::move(upstream);
}

bool ShardHost::IsReady() const {
  return membership_.has_value() &&
         (!options_.in_worker || worker_parameters_ != nullptr) &&
         (!options_.sums_only || upstream_ != nullptr);
}

void ShardHost::Open(v1::OpenRequest request, OpenCallback done) {
  absl::Status refused;
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_) {
      refused = Stopping();
    } else if (waiting_.size() >= kMaxWaitingOpens) {
      refused = absl::ResourceExhaustedError(
          absl::StrCat(options_.task, ": ", waiting_.size(),
                       " handshakes are waiting already"));
    } else {
      waiting_.push_back({std::move(request), std::move(done)});
      return;
    }
  }
  done(refused);
}

void ShardHost::Run() {
  while (true) {
    std::vector<Waiting> ready;
    bool stopping = false;
    {
      absl::MutexLock lock(&mutex_);
      const auto wake = [this] {
        mutex_.AssertReaderHeld();
        return stopping_ || (IsReady() && !waiting_.empty());
      };
      mutex_.Await(absl::Condition(&wake));
      stopping = stopping_;
      ready.swap(waiting_);
    }
    for (const Waiting& waiting : ready) {
      waiting.done(stopping ? Stopping() : Answer(waiting.request));
    }
    if (stopping) return;
  }
}

absl::StatusOr<v1::OpenResponse> ShardHost::Answer(
    const v1::OpenRequest& request) {
  if (request.protocol_version() != kProtocolVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "protocol_version: ", request.task(), " speaks protocol ",
        request.protocol_version(), ", ", options_.task, " speaks ",
        kProtocolVersion, "; install the same version of tfd everywhere"));
  }
  if (request.generation() != options_.generation) {
    return absl::FailedPreconditionError(
        absl::StrCat("generation: ", request.task(), " is of generation ",
                     request.generation(), ", ", options_.task, " of ",
                     options_.generation, "; the older one must end"));
  }
  TFD_ASSIGN_OR_RETURN(
      const tensor::Layout layout,
      tensor::Layout::FromProto(request.layout(), options_.generation));
  TFD_RETURN_IF_ERROR(Check(request, layout));
  if (shard() == nullptr) {
    const absl::Status made = MakeShard(request, layout);
    if (!made.ok()) {
      on_failed_(made);
      return made;
    }
  }
  let_in_.emplace(request.task(), request.incarnation());
  v1::OpenResponse response;
  TFD_ASSIGN_OR_RETURN(const uint32_t slot, layout.SlotOf(request.task()));
  response.set_step(shard()->StepOf(slot));
  response.set_initialised(shard()->initialised());
  return response;
}

absl::Status ShardHost::Check(const v1::OpenRequest& request,
                              const tensor::Layout& layout) const {
  TFD_RETURN_IF_ERROR(layout.SlotOf(request.task()).status());
  {
    absl::MutexLock lock(&mutex_);
    const uint64_t named = IncarnationOf(request.task());
    if (named != 0 && named != request.incarnation()) {
      if (let_in_.count({request.task(), request.incarnation()}) > 0) {
        return LostItsPlace(request.task());
      }
      return absl::UnavailableError(absl::StrCat(
          options_.task, " knows of another process as ", request.task(),
          "; the coordinator may not have told yet of this one"));
    }
  }
  const auto& shards = layout.group().shards();
  if (options_.shard >= layout.shards() ||
      shards[static_cast<int>(options_.shard)] != options_.task) {
    return absl::InvalidArgumentError(absl::StrCat(
        "layout.shards: ", options_.task, " is not shard ", options_.shard,
        " of this layout, which has ", layout.shards(), " shards"));
  }
  if (shard() == nullptr) return absl::OkStatus();
  if (layout.Fingerprint() != shard()->layout().Fingerprint()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "layout: ", request.task(), " has another layout than ", first_.task(),
        ": ", layout.DescribeDifference(shard()->layout()),
        "; do both read the same model and spec?"));
  }
  if (request.total_steps() != first_.total_steps() ||
      request.steps_per_epoch() != first_.steps_per_epoch() ||
      request.records() != first_.records()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "total_steps: ", request.task(), " plans ", request.total_steps(),
        " steps over ", request.records(), " records, ", first_.task(), " ",
        first_.total_steps(), " over ", first_.records(),
        "; do both see the same data?"));
  }
  return absl::OkStatus();
}

absl::Status ShardHost::MakeShard(const v1::OpenRequest& request,
                                  const tensor::Layout& layout) {
  ShardOptions options;
  options.shard = options_.shard;
  options.generation = options_.generation;
  options.optimizer = options_.spec.optimizer();
  options.deterministic = options_.spec.deterministic();
  options.strategy = options_.spec.strategy();
  options.nan = options_.spec.exchange().nan();
  options.payload = tensor::NumberTypeOf(options_.spec.exchange().payload());
  options.total_steps = request.total_steps();
  options.checkpoint_every_steps = options_.spec.checkpoint().every_steps();
  {
    absl::MutexLock lock(&mutex_);
    options.worker_parameters = worker_parameters_;
    if (options_.sums_only) MakeSummingOnly(&options);
  }
  if (!options_.sums_only) {
    TFD_RETURN_IF_ERROR(MakeSnapshots(layout, options.optimizer));
  }
  TFD_ASSIGN_OR_RETURN(shard_,
                       Shard::Create(options, layout, snapshots_.get()));
  if (options_.sums_only) {
    options.upstream->SetOnAnswer(
        [shard = shard_.get()](uint32_t chunk, const absl::Status& status) {
          shard->HandleUpstream(chunk, status);
        });
    spdlog::info("sums for {} workers of this node, from step {} on",
                 layout.slots(), shard_->step());
  } else {
    TFD_RETURN_IF_ERROR(Restore(layout));
  }
  first_ = request;
  fences_ = std::vector<std::atomic<uint64_t>>(layout.slots());
  absl::MutexLock lock(&mutex_);
  SetFences();
  shard_ptr_.store(shard_.get(), std::memory_order_release);
  return absl::OkStatus();
}

// What comes of the sums is for the shards of the job.
void ShardHost::MakeSummingOnly(ShardOptions* options) const {
  options->upstream = upstream_.get();
  options->payload = tensor::NumberType::kFloat32;
  options->nan = v1::ExchangeSpec::IGNORE;
}

absl::Status ShardHost::MakeSnapshots(const tensor::Layout& layout,
                                      const v1::OptimizerSpec& spec) {
  TFD_ASSIGN_OR_RETURN(const std::unique_ptr<Optimizer> optimizer,
                       MakeOptimizer(spec));
  SnapshotWriterOptions snapshots;
  snapshots.shard = options_.shard;
  snapshots.generation = options_.generation;
  snapshots.state_names = optimizer->state_names();
  snapshots_ =
      std::make_unique<SnapshotWriter>(snapshots, layout, store_, on_saved_);
  return absl::OkStatus();
}

absl::Status ShardHost::Restore(const tensor::Layout& layout) {
  v1::CheckpointRef restore;
  {
    absl::MutexLock lock(&mutex_);
    restore = membership_->restore();
  }
  if (!restore.uri().empty()) {
    TFD_ASSIGN_OR_RETURN(const tensor::CheckpointReader checkpoint,
                         store_->OpenCheckpoint(restore));
    TFD_RETURN_IF_ERROR(shard_->Restore(checkpoint));
    spdlog::info("restored {} of {} chunks at step {} from {}",
                 shard_->chunks(), layout.chunks(), shard_->step(),
                 checkpoint.folder());
  } else {
    spdlog::info("holds {} of {} chunks of {} parameters", shard_->chunks(),
                 layout.chunks(),
                 FormatCount(static_cast<int64_t>(layout.elements())));
  }
  // What a worker of an all-reduce job saves: each holds a part of the state.
  const uint64_t bytes = shard_->elements() * sizeof(float);
  spdlog::info("{} of parameters here, and {} of the state of {}",
               FormatBytes(bytes),
               FormatBytes(bytes * shard_->optimizer().state_names().size()),
               shard_->optimizer().name());
  return absl::OkStatus();
}

void ShardHost::StreamBegins() {
  absl::MutexLock lock(&mutex_);
  ++streams_;
}

void ShardHost::StreamEnds() {
  absl::MutexLock lock(&mutex_);
  --streams_;
}

absl::Status ShardHost::AwaitNoStreams(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  const auto none = [this] {
    mutex_.AssertReaderHeld();
    return streams_ == 0;
  };
  if (mutex_.AwaitWithTimeout(absl::Condition(&none), timeout)) {
    return absl::OkStatus();
  }
  return absl::DeadlineExceededError(
      absl::StrCat(streams_,
                   " of the other workers have not taken their last "
                   "parameters from this one"));
}

absl::Status ShardHost::CheckStream(const StreamSender& sender) const {
  if (sender.generation != options_.generation) {
    return absl::FailedPreconditionError(absl::StrCat(
        "generation: the stream is of ", sender.generation, ", ", options_.task,
        " of ", options_.generation, "; the older one must end"));
  }
  const Shard* shard = this->shard();
  if (shard == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(options_.task, " was not opened; Open comes first"));
  }
  if (sender.slot >= shard->layout().slots()) {
    return absl::InvalidArgumentError(
        absl::StrCat("slot: ", sender.slot, ", but a step has ",
                     shard->layout().slots(), " slots"));
  }
  return CheckFence(sender);
}

absl::Status ShardHost::CheckFence(const StreamSender& sender) const {
  const uint64_t named = fences_[sender.slot].load(std::memory_order_acquire);
  if (named == 0 || named == sender.incarnation) return absl::OkStatus();
  return LostItsPlace(absl::StrCat("slot ", sender.slot));
}

absl::StatusOr<v1::CheckpointManifest> ShardHost::Manifest(int64_t step) const {
  const Shard* shard = this->shard();
  if (shard == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        options_.task, " has no layout yet; no worker has opened it"));
  }
  v1::CheckpointManifest manifest;
  manifest.set_format_version(tensor::kManifestVersion);
  manifest.set_generation(options_.generation);
  manifest.set_step(step);
  manifest.mutable_cursor()->set_step(step);
  manifest.mutable_cursor()->set_steps_per_epoch(first_.steps_per_epoch());
  manifest.mutable_cursor()->set_records(first_.records());
  manifest.set_seed(options_.spec.seed());
  manifest.set_slots(shard->layout().slots());
  *manifest.mutable_tensors() = shard->layout().group().tensors();
  manifest.set_optimizer(shard->optimizer().name());
  return manifest;
}

}  // namespace tfd::ps
