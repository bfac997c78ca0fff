#include "data/feed/spool_keeper.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "common/units.h"

namespace tfd::data {
namespace {

// Attempts in one question, which is a message.
constexpr size_t kMaxAttemptsPerQuestion = 1000;

}  // namespace

SpoolKeeper::SpoolKeeper(SpoolKeeperOptions options, Spool* spool)
    : options_(std::move(options)), spool_(spool) {}

void SpoolKeeper::ReviewAll() {
  absl::MutexLock lock(&mutex_);
  wanted_.all = true;
}

void SpoolKeeper::ReviewProducer(const std::string& dataset,
                                 const std::string& producer) {
  absl::MutexLock lock(&mutex_);
  wanted_.producers.emplace(dataset, producer);
}

bool SpoolKeeper::Await(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  const auto has_news = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return stopped_ || !wanted_.empty();
  };
  mutex_.AwaitWithTimeout(absl::Condition(&has_news), timeout);
  return !stopped_;
}

void SpoolKeeper::Stop() {
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
}

absl::Duration SpoolKeeper::LeaseOf(const std::string& dataset) const {
  const auto found = options_.leases.find(dataset);
  return found == options_.leases.end() ? options_.lease : found->second;
}

bool SpoolKeeper::IsExpired(const Spool::Known& attempt, absl::Time now) const {
  return !attempt.held && attempt.grant == 0 &&
         now - attempt.idle_since >= LeaseOf(attempt.key.dataset);
}

absl::Status SpoolKeeper::Tend(absl::Time now) {
  absl::MutexLock tending(&tending_);
  Wanted wanted;
  {
    absl::MutexLock lock(&mutex_);
    std::swap(wanted, wanted_);
  }
  std::vector<Spool::Known> attempts = spool_->Attempts();
  attempts.erase(std::remove_if(attempts.begin(), attempts.end(),
                                [&](const Spool::Known& attempt) {
                                  return !wanted.all &&
                                         !IsExpired(attempt, now) &&
                                         wanted.producers.count(
                                             {attempt.key.dataset,
                                              attempt.key.producer}) == 0;
                                }),
                 attempts.end());
  absl::Status status;
  for (size_t at = 0; status.ok() && at < attempts.size();
       at += kMaxAttemptsPerQuestion) {
    const auto begin = attempts.begin() + static_cast<std::ptrdiff_t>(at);
    const size_t count =
        std::min(kMaxAttemptsPerQuestion, attempts.size() - at);
    status = Review({begin, begin + static_cast<std::ptrdiff_t>(count)}, now);
  }
  if (!status.ok()) {
    absl::MutexLock lock(&mutex_);
    wanted_.all = wanted_.all || wanted.all;
    wanted_.producers.insert(wanted.producers.begin(), wanted.producers.end());
  }
  return status;
}

absl::Status SpoolKeeper::Review(const std::vector<Spool::Known>& attempts,
                                 absl::Time now) {
  v1::ReviewAttemptsRequest request;
  request.set_job(options_.job);
  request.set_generation(options_.generation);
  for (const Spool::Known& known : attempts) {
    v1::Attempt& attempt = *request.add_attempts();
    attempt.set_dataset(known.key.dataset);
    attempt.set_producer(known.key.producer);
    attempt.set_partition(known.key.partition);
    attempt.set_attempt(known.key.attempt);
  }
  TFD_ASSIGN_OR_RETURN(const v1::ReviewAttemptsResponse answer,
                       options_.review(request));
  std::vector<Spool::Known> vanished;
  for (size_t i = 0; i < attempts.size(); ++i) {
    const Spool::Known& known = attempts[i];
    const auto standing = answer.standings(static_cast<int>(i));
    // It had the partition when the coordinator was asked, and then not.
    const bool is_aborted =
        known.grant != 0 && standing == v1::ReviewAttemptsResponse::OPEN;
    if (standing == v1::ReviewAttemptsResponse::VOID || is_aborted) {
      const absl::Status why = absl::AbortedError(absl::StrCat(
          known.key.ToString(),
          " is dropped: its producer has aborted, or has not begun, or another "
          "attempt is sealed; begin, then push with a new attempt"));
      if (spool_->Discard(known, why)) {
        spdlog::info("{}", std::string(why.message()));
      }
    } else if (standing == v1::ReviewAttemptsResponse::SEALED) {
      if (known.grant == 0) spool_->MarkSealed(known.key);
    } else if (standing == v1::ReviewAttemptsResponse::OPEN &&
               IsExpired(known, now) && spool_->DiscardIdle(known)) {
      vanished.push_back(known);
    }
  }
  Tell(vanished);
  return absl::OkStatus();
}

void SpoolKeeper::Tell(const std::vector<Spool::Known>& dropped) {
  struct Sum {
    std::set<std::string> partitions;
    uint64_t size_bytes = 0;
  };
  std::map<std::pair<std::string, std::string>, Sum> sums;
  for (const Spool::Known& known : dropped) {
    Sum& sum = sums[{known.key.dataset, known.key.producer}];
    sum.partitions.insert(known.key.partition);
    sum.size_bytes += known.size_bytes;
  }
  for (const auto& [producer, sum] : sums) {
    v1::SpoolNotice notice;
    notice.set_kind(v1::SpoolNotice::DATA_DROPPED);
    notice.set_message(absl::StrCat(
        "nobody has gone on for ", tfd::FormatDuration(LeaseOf(producer.first)),
        " with what producer ", producer.second, " of ", producer.first,
        " left unsealed on this node: ", FormatBytes(sum.size_bytes), " in ",
        sum.partitions.size(), " partition",
        sum.partitions.size() == 1 ? "" : "s", " (first ",
        *sum.partitions.begin(),
        ") are dropped. If the producer is gone, the dataset still waits for "
        "it: run it again, or abort it"));
    spdlog::warn("{}", notice.message());
    options_.tell(notice);
  }
}

}  // namespace tfd::data
