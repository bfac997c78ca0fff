#include "ps/chunk.h"

#include <algorithm>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "ps/schedule.h"
#include "tensor/accumulate.h"

namespace tfd::ps {
namespace {

ShardReply ParametersReply(v1::ChunkKind kind, uint32_t chunk, uint64_t step,
                           ParameterRef parameters) {
  ShardReply reply;
  reply.header.kind = kind;
  reply.header.chunk = chunk;
  reply.header.step = step;
  reply.parameters = std::move(parameters);
  return reply;
}

}  // namespace

ShardReply ErrorReply(const tensor::ChunkRequest& request,
                      const absl::Status& status) {
  ShardReply reply;
  reply.header.kind = request.kind;
  reply.header.chunk = request.chunk;
  reply.header.step = request.step;
  reply.header.code = static_cast<int32_t>(status.code());
  reply.header.message = std::string(status.message());
  return reply;
}

bool IsCheckpointStep(int64_t step, int64_t every_steps, int64_t total_steps) {
  if (step <= 0) return false;
  return step == total_steps || (every_steps > 0 && step % every_steps == 0);
}

Chunk::Chunk(const ChunkContext* context, uint32_t number,
             tensor::FlatRange range, ShardStats* stats)
    : context_(context),
      number_(number),
      range_(range),
      stats_(stats),
      sum_(range.elements()),
      slots_(context->slots) {
  for (size_t i = 0; i < context_->optimizer->state_names().size(); ++i) {
    state_.push_back(tensor::FloatBuffer::Zeros(range.elements()));
  }
}

void Chunk::Deliver(tensor::ReceivedRequest request, ReplyCallback reply) {
  std::vector<Item> items;
  {
    absl::MutexLock lock(&mutex_);
    inbox_.push_back({std::move(request), std::move(reply)});
    if (owned_) return;
    owned_ = true;
    items.swap(inbox_);
  }
  while (true) {
    for (Item& item : items) Process(std::move(item));
    items.clear();
    absl::MutexLock lock(&mutex_);
    if (inbox_.empty()) {
      owned_ = false;
      return;
    }
    items.swap(inbox_);
  }
}

void Chunk::Process(Item item) {
  switch (item.request.header.kind) {
    case v1::INIT:
      return Init(item.request, item.reply);
    case v1::PULL:
      return Pull(item.request.header, std::move(item.reply));
    case v1::PUSH:
      return Push(std::move(item.request), std::move(item.reply));
    default:
      return Refuse(item.request.header, item.reply,
                    absl::InvalidArgumentError("kind: is not set"));
  }
}

void Chunk::Init(const tensor::ReceivedRequest& request,
                 const ReplyCallback& reply) {
  if (!initialised()) {
    current_ = FreeBuffer();
    tensor::CopyFloats(request.payload.spans(), current_.writable());
    initialised_.store(true, std::memory_order_release);
  }
  reply(ParametersReply(v1::INIT, number_, step(), ParameterRef()));
  AnswerPulls();
}

void Chunk::Pull(const tensor::ChunkRequest& request, ReplyCallback reply) {
  Slot& slot = slots_[request.slot];
  if (!initialised() || request.step > step()) {
    // One waiting pull a slot: a repeated one, on a new stream, replaces it.
    if (slot.pull_reply) {
      Refuse(request, slot.pull_reply,
             absl::AbortedError("the same slot pulled again"));
    }
    slot.pull_reply = std::move(reply);
    slot.pull_step = request.step;
    return;
  }
  absl::StatusOr<ParameterRef> parameters = ParametersAt(request.step);
  if (!parameters.ok()) return Refuse(request, reply, parameters.status());
  reply(
      ParametersReply(v1::PULL, number_, request.step, *std::move(parameters)));
}

void Chunk::Push(tensor::ReceivedRequest request, ReplyCallback reply) {
  const tensor::ChunkRequest& header = request.header;
  if (!initialised()) {
    return Refuse(header, reply,
                  absl::FailedPreconditionError(
                      absl::StrCat(Name(),
                                   " has no parameters yet; slot 0 sends INIT "
                                   "before anybody pushes")));
  }
  if (header.step > step()) {
    return Refuse(header, reply,
                  absl::FailedPreconditionError(
                      absl::StrCat("step: a push for step ", header.step,
                                   ", but ", Name(), " is at step ", step(),
                                   "; with bsp a step begins when "
                                   "the one before is complete")));
  }
  Slot& slot = slots_[header.slot];
  if (header.step < step()) {
    stats_->pushes_repeated.fetch_add(1, std::memory_order_relaxed);
    absl::StatusOr<ParameterRef> parameters = ParametersAt(header.step + 1);
    if (!parameters.ok()) return Refuse(header, reply, parameters.status());
    return reply(ParametersReply(v1::PUSH, number_, header.step + 1,
                                 *std::move(parameters)));
  }
  if (slot.given) {
    stats_->pushes_repeated.fetch_add(1, std::memory_order_relaxed);
    Refuse(header, slot.push_reply,
           absl::AbortedError("the same slot pushed this again"));
    slot.push_reply = std::move(reply);
    return;
  }
  stats_->pushes_applied.fetch_add(1, std::memory_order_relaxed);
  slot.given = true;
  slot.weight = header.weight;
  slot.push_reply = std::move(reply);
  ++given_;
  if (context_->deterministic) {
    slot.held = std::move(request.payload);
    while (next_in_order_ < slots_.size() && slots_[next_in_order_].given) {
      Slot& next = slots_[next_in_order_++];
      Sum(next.weight, next.held);
      next.held = tensor::Payload();
    }
  } else {
    Sum(slot.weight, request.payload);
  }
  if (given_ == slots_.size()) CompleteStep();
}

void Chunk::Sum(double weight, const tensor::Payload& payload) {
  // Idle, or nothing in the batch; 0 · NaN must not count either.
  if (weight == 0) return;
  if (total_weight_ == 0) {
    tensor::SetScaled(static_cast<float>(weight), payload.spans(), sum_.span());
  } else {
    tensor::AddScaled(static_cast<float>(weight), payload.spans(), sum_.span());
  }
  total_weight_ += weight;
}

void Chunk::CompleteStep() {
  if (total_weight_ > 0) {
    Update();
  } else {
    previous_ = current_;
  }
  step_.fetch_add(1, std::memory_order_release);
  total_weight_ = 0;
  given_ = 0;
  next_in_order_ = 0;
  const auto now = static_cast<int64_t>(step());
  const bool checkpoint = IsCheckpointStep(
      now, context_->checkpoint_every_steps, context_->total_steps);
  AnswerStep();
  // After the answers, so that the copies are not waited for; before any push
  // of the next step, since this thread owns the chunk.
  if (checkpoint) TakeSnapshot();
}

void Chunk::Update() {
  // A policy for NaN and infinity in the sum belongs here, before anything has
  // changed: `sum_` is complete and nobody has been answered.
  UpdateInfo info;
  info.learning_rate =
      LearningRate(context_->optimizer_spec, static_cast<int64_t>(step()),
                   context_->total_steps);
  info.gradient_scale = static_cast<float>(1 / total_weight_);
  info.update = ++updates_;
  absl::InlinedVector<float*, 2> state;
  for (tensor::FloatBuffer& buffer : state_) state.push_back(buffer.data());
  ParameterRef next = FreeBuffer();
  context_->optimizer->Apply(info, {current_.span(), sum_.span(),
                                    absl::MakeSpan(state), next.writable()});
  previous_ = std::exchange(current_, std::move(next));
}

void Chunk::AnswerStep() {
  std::vector<ReplyCallback> replies;
  replies.reserve(slots_.size());
  for (Slot& slot : slots_) {
    replies.push_back(std::exchange(slot.push_reply, nullptr));
    slot.given = false;
  }
  const uint64_t now = step();
  auto answer = [replies = std::move(replies), parameters = current_, now,
                 number = number_] {
    for (const ReplyCallback& reply : replies) {
      reply(ParametersReply(v1::PUSH, number, now, parameters));
    }
  };
  if (IsCheckpointStep(static_cast<int64_t>(now),
                       context_->checkpoint_every_steps,
                       context_->total_steps)) {
    context_->snapshots->WhenThereIsRoom(static_cast<int64_t>(now),
                                         std::move(answer));
  } else {
    answer();
  }
  AnswerPulls();
}

void Chunk::TakeSnapshot() {
  ChunkSnapshot snapshot;
  snapshot.range = range_;
  snapshot.parameters = current_;
  snapshot.updates = updates_;
  for (const tensor::FloatBuffer& buffer : state_) {
    tensor::FloatBuffer copy(buffer.size());
    std::copy(buffer.span().begin(), buffer.span().end(), copy.data());
    snapshot.state.push_back(std::move(copy));
  }
  context_->snapshots->Add(static_cast<int64_t>(step()), std::move(snapshot));
}

void Chunk::AnswerPulls() {
  for (Slot& slot : slots_) {
    if (!slot.pull_reply || slot.pull_step > step()) continue;
    const ReplyCallback reply = std::exchange(slot.pull_reply, nullptr);
    absl::StatusOr<ParameterRef> parameters = ParametersAt(slot.pull_step);
    if (parameters.ok()) {
      reply(ParametersReply(v1::PULL, number_, slot.pull_step,
                            *std::move(parameters)));
    } else {
      tensor::ChunkRequest request;
      request.kind = v1::PULL;
      request.chunk = number_;
      request.step = slot.pull_step;
      Refuse(request, reply, parameters.status());
    }
  }
}

void Chunk::Refuse(const tensor::ChunkRequest& request,
                   const ReplyCallback& reply, const absl::Status& status) {
  stats_->requests_refused.fetch_add(1, std::memory_order_relaxed);
  reply(ErrorReply(request, status));
}

absl::StatusOr<ParameterRef> Chunk::ParametersAt(uint64_t step) const {
  const uint64_t now = this->step();
  if (step == now) return current_;
  if (step + 1 == now && previous_) return previous_;
  return absl::OutOfRangeError(absl::StrCat(
      "step: parameters after ", step, " steps are wanted, but ", Name(),
      " has those after ", now, previous_ ? " and the step before" : ""));
}

ParameterRef Chunk::FreeBuffer() {
  // One free buffer is found here in the usual case: of three, one is the
  // current version, one the version before. More are there only while slow
  // peers or a snapshot still read old versions.
  ParameterRef free;
  const auto is_extra = [&free](const ParameterRef& buffer) {
    if (!buffer.IsUnique()) return false;
    if (free) return true;
    free = buffer;
    return false;
  };
  buffers_.erase(std::remove_if(buffers_.begin(), buffers_.end(), is_extra),
                 buffers_.end());
  if (!free) {
    free = ParameterRef::Allocate(range_.elements());
    buffers_.push_back(free);
  }
  return free;
}

absl::Status Chunk::Restore(const tensor::CheckpointReader& checkpoint) {
  current_ = FreeBuffer();
  TFD_RETURN_IF_ERROR(checkpoint.ReadParameters(range_, current_.writable()));
  for (size_t i = 0; i < state_.size(); ++i) {
    TFD_RETURN_IF_ERROR(checkpoint.ReadState(
        context_->optimizer->state_names()[i], range_, state_[i].span()));
  }
  updates_ = checkpoint.updates();
  step_.store(checkpoint.manifest().step(), std::memory_order_release);
  initialised_.store(true, std::memory_order_release);
  return absl::OkStatus();
}

std::string Chunk::Name() const { return absl::StrCat("chunk ", number_); }

}  // namespace tfd::ps
