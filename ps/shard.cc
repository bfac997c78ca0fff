#include "ps/shard.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "tensor/gradient_reader.h"

namespace tfd::ps {

absl::StatusOr<std::unique_ptr<Shard>> Shard::Create(
    const ShardOptions& options, const tensor::Layout& layout,
    SnapshotSink* snapshots) {
  if (options.shard >= layout.shards()) {
    return absl::InvalidArgumentError(
        absl::StrCat("this is shard ", options.shard, ", but the layout has ",
                     layout.shards(), " shards"));
  }
  if (options.total_steps <= 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "total_steps: ", options.total_steps, "; there is nothing to train"));
  }
  if (options.upstream != nullptr &&
      (options.worker_parameters == nullptr || layout.shards() != 1 ||
       options.strategy.sync() != v1::StrategySpec::BSP ||
       options.payload != tensor::NumberType::kFloat32)) {
    return absl::InvalidArgumentError(
        "the workers of a node sum in one of them, with bsp, as float32, where "
        "it has its parameters");
  }
  TFD_ASSIGN_OR_RETURN(std::unique_ptr<Optimizer> optimizer,
                       MakeOptimizer(options.optimizer));
  return std::unique_ptr<Shard>(
      new Shard(options, layout, std::move(optimizer), snapshots));
}

Shard::Shard(const ShardOptions& options, const tensor::Layout& layout,
             std::unique_ptr<Optimizer> optimizer, SnapshotSink* snapshots)
    : options_(options), layout_(layout), optimizer_(std::move(optimizer)) {
  context_.optimizer = optimizer_.get();
  context_.optimizer_spec = options_.optimizer;
  context_.snapshots = snapshots;
  context_.upstream = options_.upstream;
  context_.layout = &layout_;
  context_.nan = options_.nan;
  if (options_.strategy.sync() != v1::StrategySpec::SYNC_UNSPECIFIED) {
    context_.sync = options_.strategy.sync();
  }
  context_.staleness = options_.strategy.staleness();
  size_t elements = 0;
  for (const uint32_t chunk : layout_.ChunksOf(options_.shard)) {
    elements += layout_.ChunkRange(chunk).elements();
  }
  context_.worker_parameters = options_.worker_parameters.get();
  // Forward writes buffers (batch norm's) where they are, while others may
  // still read them from here.
  const bool has_buffers = layout_.buffers_begin() < layout_.elements();
  if (options_.worker_parameters != nullptr && !has_buffers &&
      context_.sync == v1::StrategySpec::BSP &&
      options_.payload == tensor::NumberType::kFloat32) {
    context_.pool = std::make_shared<ParameterPool>(options_.worker_parameters);
  } else {
    context_.pool = std::make_shared<ParameterPool>(
        elements, options_.share_memory, options_.payload);
  }
  context_.slots = layout_.slots();
  context_.deterministic = options_.deterministic;
  context_.planned_steps = options_.total_steps;
  total_steps_ = options_.total_steps;
  context_.total_steps = &total_steps_;
  context_.checkpoint_every_steps = options_.checkpoint_every_steps;
  for (const uint32_t chunk : layout_.ChunksOf(options_.shard)) {
    chunks_.push_back(std::make_unique<Chunk>(
        &context_, chunk, layout_.ChunkRange(chunk), &stats_));
  }
}

absl::Status Shard::Restore(const tensor::CheckpointReader& checkpoint) {
  const v1::CheckpointManifest& manifest = checkpoint.manifest();
  const std::string difference = tensor::DescribeTensorDifference(
      manifest.tensors(), "in the checkpoint", layout_.group().tensors(),
      "in this job's model");
  if (!difference.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "checkpoint ", checkpoint.folder(), " is of another model: ",
        difference, "; use --overwrite, or another storage"));
  }
  if (manifest.optimizer() != optimizer_->name()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "checkpoint ", checkpoint.folder(), " was trained with ",
        manifest.optimizer(), ", this job says optimizer: ", optimizer_->name(),
        "; resume with the same one"));
  }
  for (const std::unique_ptr<Chunk>& chunk : chunks_) {
    TFD_RETURN_IF_ERROR(chunk->Restore(checkpoint));
  }
  return absl::OkStatus();
}

void Shard::Handle(tensor::ReceivedRequest request, ReplyCallback reply) {
  stats_.requests.fetch_add(1, std::memory_order_relaxed);
  const absl::Status status = Check(request);
  if (!status.ok()) {
    stats_.requests_refused.fetch_add(1, std::memory_order_relaxed);
    return reply(ErrorReply(request.header, status));
  }
  stats_.payload_bytes.fetch_add(request.payload.size_bytes(),
                                 std::memory_order_relaxed);
  const tensor::NumberType type = request.header.payload_type;
  if (type != tensor::NumberType::kFloat32) {
    reply = [reply = std::move(reply), type](ShardReply answer) {
      if (answer.parameters) answer.header.payload_type = type;
      reply(std::move(answer));
    };
  }
  if (request.header.kind == v1::PUSH && request.header.last) {
    // Before any chunk can complete the step. All slots say the same.
    total_steps_ = static_cast<int64_t>(request.header.step) + 1;
  }
  Chunk& chunk = *chunks_[request.header.chunk / layout_.shards()];
  chunk.Deliver(std::move(request), std::move(reply));
}

void Shard::HandleUpstream(uint32_t chunk, const absl::Status& status) {
  chunks_[chunk]->DeliverUpstream(status);
}

absl::Status Shard::Check(const tensor::ReceivedRequest& request) const {
  const tensor::ChunkRequest& header = request.header;
  if (header.generation != options_.generation) {
    return absl::FailedPreconditionError(absl::StrCat(
        "generation: the request is of ", header.generation, ", this shard of ",
        options_.generation, "; a task of a stale generation must end"));
  }
  if (header.chunk >= layout_.chunks() ||
      layout_.ShardOf(header.chunk) != options_.shard) {
    return absl::InvalidArgumentError(absl::StrCat(
        "chunk: ", header.chunk, " of ", layout_.chunks(), " is not on shard ",
        options_.shard, " of ", layout_.shards()));
  }
  if (header.slot >= layout_.slots()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "slot: ", header.slot, ", but a step has ", layout_.slots(), " slots"));
  }
  switch (header.kind) {
    case v1::PULL:
      if (request.payload.size_bytes() > 0) {
        return absl::InvalidArgumentError("payload: a PULL has none");
      }
      break;
    case v1::INIT:
      if (header.slot != 0) {
        return absl::InvalidArgumentError(absl::StrCat(
            "slot: INIT comes from slot 0, not from ", header.slot));
      }
      break;
    case v1::PUSH:
      TFD_RETURN_IF_ERROR(CheckPush(request));
      break;
    default:
      return absl::InvalidArgumentError("kind: is not set");
  }
  return CheckPayload(request);
}

absl::Status Shard::CheckPayload(const tensor::ReceivedRequest& request) const {
  const tensor::ChunkRequest& header = request.header;
  const tensor::FlatRange range = layout_.ChunkRange(header.chunk);
  if (header.payload_type != tensor::NumberType::kFloat32 &&
      (header.payload_type != options_.payload || header.kind == v1::INIT ||
       range.end > layout_.buffers_begin())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "payload_type: ", tensor::NumberTypeName(header.payload_type),
        " for a ", v1::ChunkKind_Name(header.kind), " of chunk ", header.chunk,
        ", but this job's exchange.payload is ",
        tensor::NumberTypeName(options_.payload),
        ", and initial parameters and buffers are always float32"));
  }
  const bool gradient = header.kind == v1::PUSH && !header.idle &&
                        range.end <= layout_.buffers_begin();
  if (header.entries > 0 && !gradient) {
    return absl::InvalidArgumentError(absl::StrCat(
        "entries: ", header.entries, " for a ", v1::ChunkKind_Name(header.kind),
        " of chunk ", header.chunk,
        "; only a gradient may be sent in part, and no buffer"));
  }
  if (header.kind == v1::PULL || (header.kind == v1::PUSH && header.idle)) {
    return absl::OkStatus();
  }
  TFD_RETURN_IF_ERROR(
      tensor::CheckGradient(header, request.payload, range.elements()));
  return tensor::CheckPayloadCrc(header.payload_crc32c, request.payload);
}

absl::Status Shard::CheckPush(const tensor::ReceivedRequest& request) const {
  const tensor::ChunkRequest& header = request.header;
  if (!std::isfinite(header.weight) || header.weight < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("weight: ", header.weight, " is no number of records"));
  }
  if (header.idle &&
      (header.weight != 0 || request.payload.size_bytes() != 0)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "idle: an idle slot gives nothing, but this has weight ", header.weight,
        " and ", request.payload.size_bytes(), " bytes"));
  }
  const int64_t total_steps = total_steps_;
  if (header.step >= static_cast<uint64_t>(total_steps)) {
    return absl::InvalidArgumentError(absl::StrCat("step: ", header.step,
                                                   ", but the training has ",
                                                   total_steps, " steps"));
  }
  return absl::OkStatus();
}

int64_t Shard::step() const {
  uint64_t step = chunks_.empty() ? 0 : chunks_[0]->step();
  for (const auto& chunk : chunks_) step = std::min(step, chunk->step());
  return static_cast<int64_t>(step);
}

int64_t Shard::StepOf(uint32_t slot) const {
  uint64_t step = chunks_.empty() ? 0 : chunks_[0]->StepOf(slot);
  for (const auto& chunk : chunks_) step = std::min(step, chunk->StepOf(slot));
  return static_cast<int64_t>(step);
}

uint64_t Shard::elements() const {
  uint64_t elements = 0;
  for (const auto& chunk : chunks_) elements += chunk->range().elements();
  return elements;
}

bool Shard::initialised() const {
  return std::all_of(chunks_.begin(), chunks_.end(),
                     [](const auto& chunk) { return chunk->initialised(); });
}

}  // namespace tfd::ps
