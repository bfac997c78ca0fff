#include "ps/exchange.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/crc32c.h"
#include "common/status.h"
#include "common/units.h"
#include "common/version.h"
#include "tensor/accumulate.h"
#include "tensor/safetensors.h"

namespace tfd::ps {
namespace {

// For gRPC to let go of payloads of streams that have ended.
constexpr absl::Duration kReleaseTimeout = absl::Seconds(5);
// After a lost connection one repeat is usual; more mean that somebody else
// pushes for this slot.
constexpr int kMaxAborted = 8;

// The shard of this process has written them where they belong.
bool IsThere(const tensor::Payload& payload, absl::Span<float> parameters) {
  return payload.size_bytes() > 0 &&
         payload.spans()[0].data() ==
             reinterpret_cast<const std::byte*>(parameters.data());
}

}  // namespace

ExchangeImpl::ExchangeImpl(
    const ExchangeOptions& options, tensor::Layout layout,
    std::shared_ptr<const tensor::ParameterVersions> parameters,
    std::unique_ptr<GradientEncoder> encoder,
    std::vector<std::unique_ptr<ShardChannel>> channels, absl::Time deadline)
    : options_(options),
      layout_(std::move(layout)),
      parameters_(std::move(parameters)),
      encoder_(std::move(encoder)),
      chunks_(layout_.chunks()) {
  open_request_.set_protocol_version(kProtocolVersion);
  open_request_.set_generation(options_.generation);
  open_request_.set_task(options_.task);
  open_request_.set_incarnation(options_.incarnation);
  *open_request_.mutable_layout() = layout_.ToProto(options_.generation);
  open_request_.set_total_steps(options_.total_steps);
  open_request_.set_steps_per_epoch(options_.steps_per_epoch);
  open_request_.set_records(options_.records);
  const absl::Time now = absl::Now();
  links_.resize(channels.size());
  for (size_t i = 0; i < channels.size(); ++i) {
    links_[i].channel = std::move(channels[i]);
    links_[i].retry_at = now;
    links_[i].lost_since = now;
    links_[i].give_up_at = deadline;
  }
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "exchange");
    Run();
  });
}

ExchangeImpl::~ExchangeImpl() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  // From here on nothing is opened or connected any more.
  thread_.join();
  std::vector<std::shared_ptr<ShardStream>> streams;
  {
    absl::MutexLock lock(&mutex_);
    for (const ShardLink& link : links_) {
      if (link.stream != nullptr) streams.push_back(link.stream);
      link.channel->CancelOpen();
    }
  }
  for (const auto& stream : streams) stream->Close();
  streams.clear();
  {
    absl::MutexLock lock(&mutex_);
    const auto quiet = [this] {
      mutex_.AssertReaderHeld();
      return streams_alive_ == 0 && opens_under_way_ == 0;
    };
    mutex_.Await(absl::Condition(&quiet));
  }
  // The caller's buffers may go away after this.
  const absl::Status released =
      WaitForOldPayloads(absl::Now() + kReleaseTimeout);
  if (!released.ok()) spdlog::error("{}", std::string(released.message()));
}

// ----------------------------------------------------------------- rounds

absl::Status ExchangeImpl::BeginRound(v1::ChunkKind kind, const StepInfo& info,
                                      uint64_t reply_step) {
  absl::MutexLock lock(&mutex_);
  if (!failed_.ok()) return failed_;
  if (round_.active) {
    return absl::FailedPreconditionError(
        absl::StrCat(RoundName(), " is still under way; WaitStep comes first"));
  }
  if (kind == v1::PUSH && (!have_parameters_ || info.step != next_step_)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "step ", info.step, " cannot begin: ",
        have_parameters_ ? absl::StrCat("the next one is ", next_step_)
                         : std::string("Initialise comes first")));
  }
  std::fill(chunks_.begin(), chunks_.end(), ChunkState());
  round_.kind = kind;
  round_.info = info;
  round_.reply_step = reply_step;
  round_.unanswered = layout_.chunks();
  round_.active = true;
  return absl::OkStatus();
}

absl::Status ExchangeImpl::Ask(uint32_t chunk, const float* numbers) {
  v1::ChunkKind kind;
  {
    absl::MutexLock lock(&mutex_);
    if (!failed_.ok()) return failed_;
    if (chunk >= layout_.chunks() || !round_.active || chunks_[chunk].claimed) {
      return absl::FailedPreconditionError(absl::StrCat(
          "chunk ", chunk, " of ", layout_.chunks(), " cannot be pushed ",
          round_.active ? "twice" : "outside of a step"));
    }
    chunks_[chunk].claimed = true;
    kind = round_.kind;
  }
  const EncodedGradient payload = PayloadFor(kind, chunk, numbers);
  std::shared_ptr<ShardStream> stream;
  tensor::ChunkRequest header;
  {
    absl::MutexLock lock(&mutex_);
    chunks_[chunk].payload = payload;
    chunks_[chunk].asked = true;
    // Without a stream it is sent when there is one again.
    stream = links_[layout_.ShardOf(chunk)].stream;
    header = RequestFor(chunk);
  }
  if (stream != nullptr) Send(*stream, header, payload.bytes);
  return absl::OkStatus();
}

// Pulls and idle pushes have no numbers, but say what they want.
EncodedGradient ExchangeImpl::PayloadFor(v1::ChunkKind kind, uint32_t chunk,
                                         const float* numbers) const {
  if (numbers == nullptr) return {{}, encoder_->TypeOf(chunk)};
  if (kind == v1::PUSH) return encoder_->Encode(chunk, numbers);
  return {tensor::AsBytes({numbers, layout_.ChunkRange(chunk).elements()}),
          tensor::NumberType::kFloat32};
}

absl::Status ExchangeImpl::AskAll(const float* flat) {
  for (uint32_t chunk = 0; chunk < layout_.chunks(); ++chunk) {
    {
      absl::MutexLock lock(&mutex_);
      if (chunks_[chunk].claimed) continue;
    }
    TFD_RETURN_IF_ERROR(
        Ask(chunk, flat == nullptr ? nullptr
                                   : flat + layout_.ChunkRange(chunk).begin));
  }
  return absl::OkStatus();
}

tensor::ChunkRequest ExchangeImpl::RequestFor(uint32_t chunk) const {
  tensor::ChunkRequest request;
  request.generation = options_.generation;
  request.kind = round_.kind;
  request.slot = options_.slot;
  request.step = static_cast<uint64_t>(round_.info.step);
  request.chunk = chunk;
  request.payload_type = chunks_[chunk].payload.type;
  request.entries = chunks_[chunk].payload.entries;
  if (round_.kind == v1::PUSH) {
    request.idle = round_.info.idle || chunks_[chunk].payload.bytes.empty();
    request.weight = request.idle ? 0 : round_.info.weight;
    request.batch = round_.info.batch;
    request.last = round_.info.last;
  }
  return request;
}

void ExchangeImpl::Send(ShardStream& stream, tensor::ChunkRequest header,
                        tensor::ByteSpan payload) const {
  if (options_.checksums) {
    header.payload_crc32c = ExtendCrc32c(0, payload.data(), payload.size());
  }
  stream.Send(header, payload);
}

void ExchangeImpl::OnReply(size_t shard, tensor::ReceivedReply reply) {
  const uint32_t chunk = reply.header.chunk;
  {
    absl::MutexLock lock(&mutex_);
    if (!failed_.ok()) return;
    // Belongs to something that has been answered over another connection.
    if (!round_.active || chunk >= chunks_.size() || !chunks_[chunk].asked ||
        chunks_[chunk].answered ||
        (reply.header.code == 0 && reply.header.step < round_.reply_step)) {
      return;
    }
    if (reply.header.code == static_cast<int>(absl::StatusCode::kAborted) &&
        ++chunks_[chunk].aborted < kMaxAborted) {
      // Falls through to AskAgain, outside of the lock.
    } else {
      const absl::Status status = CheckReply(shard, reply);
      if (!status.ok()) return Fail(Annotate(status, ShardName(shard)));
      chunks_[chunk].answered = true;
    }
  }
  if (reply.header.code != 0) return AskAgain(shard, reply.header);
  if (options_.on_arrived) options_.on_arrived(chunk);
  const tensor::FlatRange range = layout_.ChunkRange(chunk);
  Arrived arrived = {shard, std::move(reply), {}};
  {
    absl::MutexLock lock(&mutex_);
    arrived.parameters = (*parameters_)[1 - version_].span().subspan(
        range.begin, range.elements());
    // Who waits can copy while this thread receives the next one. From memory
    // nothing has to be received.
    if (waiting_ && !arrived.reply.payload.in_place()) {
      arrived_.push_back(std::move(arrived));
      return;
    }
  }
  TakeArrived(arrived);
}

void ExchangeImpl::TakeArrived(const Arrived& arrived) {
  const tensor::ReceivedReply& reply = arrived.reply;
  const absl::Time begin =
      options_.on_copied ? absl::Now() : absl::InfinitePast();
  size_t copied_bytes = reply.payload.size_bytes();
  if (IsThere(reply.payload, arrived.parameters)) {
    copied_bytes = 0;
  } else if (copied_bytes > 0) {
    tensor::Widen(reply.header.payload_type, reply.payload.spans(),
                  arrived.parameters);
    if (!reply.payload.Unchanged()) {
      return TakeBack(arrived.shard, reply.header);
    }
  }
  if (options_.on_copied) options_.on_copied(reply.header.chunk, begin);
  absl::MutexLock lock(&mutex_);
  stats_.bytes_copied += copied_bytes;
  --round_.unanswered;
}

// The shard has gone on while its memory was read here: what was read is worth
// nothing.
void ExchangeImpl::TakeBack(size_t shard, const tensor::ChunkReply& reply) {
  {
    absl::MutexLock lock(&mutex_);
    chunks_[reply.chunk].answered = false;
    if (++chunks_[reply.chunk].aborted >= kMaxAborted) {
      return Fail(absl::AbortedError(
          absl::StrCat(ShardName(shard), " has changed chunk ", reply.chunk,
                       " ", kMaxAborted, " times while it was read")));
    }
  }
  AskAgain(shard, reply);
}

absl::Status ExchangeImpl::CheckReply(
    size_t shard, const tensor::ReceivedReply& reply) const {
  const tensor::ChunkReply& header = reply.header;
  if (header.code != 0) {
    return absl::Status(static_cast<absl::StatusCode>(header.code),
                        absl::StrCat("chunk ", header.chunk, " of ",
                                     RoundName(), ": ", header.message));
  }
  const tensor::NumberType type = chunks_[header.chunk].payload.type;
  const uint64_t expected_bytes =
      round_.kind == v1::INIT ? 0
                              : layout_.ChunkRange(header.chunk).elements() *
                                    tensor::BytesPerNumber(type);
  if (layout_.ShardOf(header.chunk) != shard || header.kind != round_.kind ||
      (header.step != round_.reply_step && round_.kind != v1::INIT) ||
      header.payload_type != type ||
      reply.payload.size_bytes() != expected_bytes) {
    return absl::InternalError(
        absl::StrCat("answered ", v1::ChunkKind_Name(header.kind), " of chunk ",
                     header.chunk, " at step ", header.step, " with ",
                     reply.payload.size_bytes(), " bytes of ",
                     tensor::NumberTypeName(header.payload_type), ", where ",
                     v1::ChunkKind_Name(round_.kind), " at step ",
                     round_.reply_step, " with ", expected_bytes, " bytes of ",
                     tensor::NumberTypeName(type), " was expected"));
  }
  return absl::OkStatus();
}

void ExchangeImpl::AskAgain(size_t shard, const tensor::ChunkReply& reply) {
  std::shared_ptr<ShardStream> stream;
  tensor::ChunkRequest header;
  tensor::ByteSpan payload;
  {
    absl::MutexLock lock(&mutex_);
    stream = links_[shard].stream;
    header = RequestFor(reply.chunk);
    payload = chunks_[reply.chunk].payload.bytes;
  }
  if (stream != nullptr) Send(*stream, header, payload);
}

absl::Status ExchangeImpl::WaitRound(absl::Time deadline) {
  while (true) {
    std::vector<Arrived> arrived;
    {
      absl::MutexLock lock(&mutex_);
      const auto more = [this] {
        mutex_.AssertReaderHeld();
        return !failed_.ok() || !arrived_.empty() || round_.unanswered == 0;
      };
      waiting_ = true;
      const bool in_time =
          mutex_.AwaitWithDeadline(absl::Condition(&more), deadline);
      waiting_ = false;
      if (!failed_.ok()) return failed_;
      if (!in_time) {
        return absl::DeadlineExceededError(DescribeWait(absl::Now()));
      }
      if (arrived_.empty()) break;
      arrived.swap(arrived_);
    }
    for (const Arrived& reply : arrived) TakeArrived(reply);
  }
  TFD_RETURN_IF_ERROR(WaitForOldPayloads(deadline));
  absl::MutexLock lock(&mutex_);
  round_.active = false;
  return absl::OkStatus();
}

// Where no connection was lost there is nothing to wait for: an answer says
// that the request was read to its end.
absl::Status ExchangeImpl::WaitForOldPayloads(absl::Time deadline) {
  while (true) {
    std::shared_ptr<StreamRecord> record;
    {
      absl::MutexLock lock(&mutex_);
      if (ended_.empty()) return absl::OkStatus();
      record = ended_.back();
    }
    if (!record->WaitUntilReleased(deadline)) {
      return absl::DeadlineExceededError(
          "a connection that was lost still holds tensors that were sent");
    }
    absl::MutexLock lock(&mutex_);
    stats_.bytes_sent += record->bytes_sent;
    stats_.bytes_received += record->bytes_received;
    ended_.erase(std::find(ended_.begin(), ended_.end(), record));
  }
}

// ---------------------------------------------------------- the interface

absl::Status ExchangeImpl::WaitUntilOpen(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  const auto open = [this] {
    mutex_.AssertReaderHeld();
    return !failed_.ok() ||
           std::all_of(links_.begin(), links_.end(),
                       [](const ShardLink& link) { return link.was_open; });
  };
  const bool in_time =
      mutex_.AwaitWithDeadline(absl::Condition(&open), deadline);
  if (!failed_.ok()) return failed_;
  if (!in_time) {
    return absl::DeadlineExceededError(
        absl::StrCat("no handshake with ", DescribeLinks(absl::Now())));
  }
  next_step_ = links_[0].opened.step();
  for (const ShardLink& link : links_) {
    next_step_ = std::min<int64_t>(next_step_, link.opened.step());
  }
  return absl::OkStatus();
}

int64_t ExchangeImpl::step() const {
  absl::MutexLock lock(&mutex_);
  return next_step_;
}

bool ExchangeImpl::initialised() const {
  absl::MutexLock lock(&mutex_);
  return std::all_of(links_.begin(), links_.end(), [](const ShardLink& link) {
    return link.opened.initialised();
  });
}

int ExchangeImpl::version() const {
  absl::MutexLock lock(&mutex_);
  return version_;
}

absl::Status ExchangeImpl::Initialise(absl::Time deadline) {
  StepInfo info;
  info.step = step();
  const auto now = static_cast<uint64_t>(info.step);
  if (!initialised() && options_.slot == 0) {
    TFD_RETURN_IF_ERROR(BeginRound(v1::INIT, info, now));
    TFD_RETURN_IF_ERROR(AskAll((*parameters_)[0].data()));
    TFD_RETURN_IF_ERROR(WaitRound(deadline));
  }
  TFD_RETURN_IF_ERROR(BeginRound(v1::PULL, info, now));
  TFD_RETURN_IF_ERROR(AskAll(nullptr));
  TFD_RETURN_IF_ERROR(WaitRound(deadline));
  absl::MutexLock lock(&mutex_);
  have_parameters_ = true;
  version_ = 1 - version_;
  return absl::OkStatus();
}

absl::Status ExchangeImpl::BeginStep(const StepInfo& step) {
  TFD_RETURN_IF_ERROR(
      BeginRound(v1::PUSH, step, static_cast<uint64_t>(step.step) + 1));
  return step.idle ? AskAll(nullptr) : absl::OkStatus();
}

absl::Status ExchangeImpl::PushChunk(uint32_t chunk, const float* gradient) {
  return Ask(chunk, gradient);
}

absl::Status ExchangeImpl::PushAll(const float* gradient) {
  return AskAll(gradient);
}

absl::Status ExchangeImpl::WaitStep(absl::Time deadline) {
  const absl::Time begin = absl::Now();
  const absl::Status status = WaitRound(deadline);
  absl::MutexLock lock(&mutex_);
  stats_.waited += absl::Now() - begin;
  if (!status.ok()) return status;
  ++stats_.steps;
  ++next_step_;
  version_ = 1 - version_;
  return absl::OkStatus();
}

void ExchangeImpl::Cancel(const absl::Status& why) {
  absl::MutexLock lock(&mutex_);
  Fail(why);
}

std::string ExchangeImpl::WaitsFor() const {
  absl::MutexLock lock(&mutex_);
  return round_.active ? DescribeWait(absl::Now()) : std::string();
}

ExchangeStats ExchangeImpl::stats() const {
  absl::MutexLock lock(&mutex_);
  ExchangeStats stats = stats_;
  const auto add = [&stats](const StreamRecord& record) {
    stats.bytes_sent += record.bytes_sent;
    stats.bytes_received += record.bytes_received;
  };
  for (const ShardLink& link : links_) {
    if (link.stream == nullptr) continue;
    add(*link.stream->record());
    stats.shards_in_place += link.stream->record()->in_place ? 1 : 0;
  }
  for (const auto& record : ended_) add(*record);
  return stats;
}

}  // namespace tfd::ps
