// How an exchange opens its shards, loses them and opens them again.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status.h"
#include "common/units.h"
#include "ps/exchange.h"

namespace tfd::ps {
namespace {

constexpr absl::Duration kRetryInterval = absl::Milliseconds(100);

// The shard has understood and says no; trying again would not help.
bool IsFinal(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kNotFound:
      return true;
    default:
      return false;
  }
}

}  // namespace

void ExchangeImpl::Run() {
  while (true) {
    std::deque<OpenResult> results;
    {
      absl::MutexLock lock(&mutex_);
      const auto wake = [this] {
        mutex_.AssertReaderHeld();
        return stopping_ || HasWork(absl::Now());
      };
      mutex_.AwaitWithDeadline(absl::Condition(&wake), NextRetry());
      if (stopping_) return;
      results.swap(open_results_);
    }
    for (const OpenResult& result : results) TakeOpenResult(result);
    OpenLost();
  }
}

bool ExchangeImpl::HasWork(absl::Time now) const {
  return !open_results_.empty() || NextRetry() <= now;
}

absl::Time ExchangeImpl::NextRetry() const {
  absl::Time next = absl::InfiniteFuture();
  if (!failed_.ok()) return next;
  for (const ShardLink& link : links_) {
    if (link.link == Link::kLost) next = std::min(next, link.retry_at);
  }
  return next;
}

void ExchangeImpl::OpenLost() {
  const absl::Time now = absl::Now();
  for (size_t i = 0; i < layout_.shards(); ++i) {
    ShardChannel* channel = nullptr;
    absl::Time deadline;
    {
      absl::MutexLock lock(&mutex_);
      ShardLink& link = links_[i];
      if (!failed_.ok() || link.link != Link::kLost || link.retry_at > now) {
        continue;
      }
      if (now >= link.give_up_at) {
        Fail(absl::UnavailableError(
            absl::StrCat(ShardName(i), " has been out of reach for ",
                         tfd::FormatDuration(now - link.lost_since), " (",
                         std::string(link.last_error.message()),
                         "); its process or node may be gone")));
        continue;
      }
      link.link = Link::kOpening;
      ++opens_under_way_;
      channel = link.channel.get();
      deadline = link.give_up_at;
    }
    channel->Open(open_request_, deadline,
                  [this, i](const absl::StatusOr<v1::OpenResponse>& response) {
                    absl::MutexLock lock(&mutex_);
                    open_results_.push_back({i, response});
                    --opens_under_way_;
                  });
  }
}

void ExchangeImpl::TakeOpenResult(const OpenResult& result) {
  {
    absl::MutexLock lock(&mutex_);
    ShardLink& link = links_[result.shard];
    absl::Status status = result.response.status();
    if (status.ok()) status = CheckReopened(link, *result.response);
    if (!status.ok()) {
      if (IsFinal(status)) {
        return Fail(Annotate(status, ShardName(result.shard)));
      }
      link.link = Link::kLost;
      link.retry_at = absl::Now() + kRetryInterval;
      link.last_error = status;
      return;
    }
    if (!link.was_open) link.opened = *result.response;
    if (link.was_open) ++stats_.reconnects;
    link.was_open = true;
  }
  Connect(result.shard);
}

absl::Status ExchangeImpl::CheckReopened(
    const ShardLink& link, const v1::OpenResponse& response) const {
  if (!link.was_open || !have_parameters_) return absl::OkStatus();
  if (response.initialised() && response.step() >= next_step_) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "it came back without what it had: it is at step ", response.step(),
      response.initialised() ? "" : " and without parameters",
      ", this job at step ", next_step_,
      "; it was restarted, so the job has to go on from a checkpoint"));
}

void ExchangeImpl::Connect(size_t shard) {
  ShardChannel* channel = nullptr;
  uint64_t connection = 0;
  {
    absl::MutexLock lock(&mutex_);
    channel = links_[shard].channel.get();
    connection = ++links_[shard].connection;
    ++streams_alive_;
  }
  StreamEvents events;
  events.on_reply = [this, shard](tensor::ReceivedReply reply) {
    OnReply(shard, std::move(reply));
  };
  events.on_closed = [this, shard, connection](const absl::Status& status) {
    OnClosed(shard, connection, status);
  };
  const std::shared_ptr<ShardStream> stream =
      channel->Connect(std::move(events));
  // What was asked for and not answered, for want of a connection or over the
  // one that was lost, goes out (again): the shard knows what it has.
  std::vector<std::pair<tensor::ChunkRequest, tensor::ByteSpan>> requests;
  {
    absl::MutexLock lock(&mutex_);
    ShardLink& link = links_[shard];
    if (link.closed_connection == connection) {
      ended_.push_back(stream->record());
      return;
    }
    link.stream = stream;
    link.link = Link::kConnected;
    for (const uint32_t chunk :
         layout_.ChunksOf(static_cast<uint32_t>(shard))) {
      if (round_.active && chunks_[chunk].asked && !chunks_[chunk].answered) {
        requests.push_back({RequestFor(chunk), chunks_[chunk].payload.bytes});
      }
    }
  }
  for (const auto& [header, payload] : requests) {
    Send(*stream, header, payload);
  }
}

void ExchangeImpl::OnClosed(size_t shard, uint64_t connection,
                            const absl::Status& status) {
  absl::MutexLock lock(&mutex_);
  ShardLink& link = links_[shard];
  if (link.connection == connection) {
    link.closed_connection = connection;
    if (link.stream != nullptr) ended_.push_back(link.stream->record());
    LoseLink(link, status);
    if (IsFinal(status)) Fail(Annotate(status, ShardName(shard)));
  }
  --streams_alive_;
}

void ExchangeImpl::LoseLink(ShardLink& link, const absl::Status& why) {
  link.link = Link::kLost;
  link.stream = nullptr;
  link.last_error = why;
  link.lost_since = absl::Now();
  link.retry_at = link.lost_since;
  link.give_up_at = link.lost_since + options_.reconnect_timeout;
}

void ExchangeImpl::Fail(const absl::Status& status) {
  if (failed_.ok()) failed_ = status;
}

}  // namespace tfd::ps
