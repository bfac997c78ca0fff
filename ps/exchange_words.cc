// What an exchange says about itself: whom it waits for, and why.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/units.h"
#include "ps/exchange.h"
#include "ps/node_plan.h"

namespace tfd::ps {
namespace {

// Chunks named in a message.
constexpr size_t kChunksNamed = 4;

const char* KindName(v1::ChunkKind kind) {
  switch (kind) {
    case v1::INIT:
      return "initial parameters";
    case v1::PULL:
      return "first parameters";
    default:
      return "step";
  }
}

}  // namespace

std::string ExchangeImpl::ShardName(size_t shard) const {
  return absl::StrCat(options_.shards[shard].task, " (",
                      options_.shards[shard].target, ")");
}

std::string ExchangeImpl::RoundName() const {
  if (round_.kind == v1::PUSH) return absl::StrCat("step ", round_.info.step);
  return KindName(round_.kind);
}

std::string ExchangeImpl::DescribeWait(absl::Time now) const {
  std::vector<std::string> waits;
  uint32_t not_pushed = 0;
  for (uint32_t shard = 0; shard < layout_.shards(); ++shard) {
    std::vector<uint32_t> missing;
    for (const uint32_t chunk : layout_.ChunksOf(shard)) {
      if (!chunks_[chunk].asked) ++not_pushed;
      if (chunks_[chunk].asked && !chunks_[chunk].answered) {
        missing.push_back(chunk);
      }
    }
    if (missing.empty()) continue;
    const size_t named = std::min(missing.size(), kChunksNamed);
    std::string wait = absl::StrCat(
        ShardName(shard), ": chunk", missing.size() == 1 ? " " : "s ",
        absl::StrJoin(missing.begin(), missing.begin() + named, ", "));
    if (missing.size() > named) {
      absl::StrAppend(&wait, " and ", missing.size() - named, " more");
    }
    const ShardLink& link = links_[shard];
    if (link.link == Link::kConnected) {
      absl::StrAppend(&wait, " (connected; another worker has not ",
                      round_.kind == v1::PUSH ? "pushed its part" : "begun",
                      " yet",
                      layout_.group().name() == kNodeGroup
                          ? ", or a shard of the job has not answered the node"
                          : "",
                      ")");
    } else {
      absl::StrAppend(&wait, " (out of reach for ",
                      tfd::FormatDuration(now - link.lost_since), ": ",
                      std::string(link.last_error.message()), ")");
    }
    waits.push_back(std::move(wait));
  }
  if (not_pushed > 0) {
    waits.push_back(absl::StrCat(options_.task, " itself: ", not_pushed,
                                 " chunks were not pushed"));
  }
  return absl::StrCat(RoundName(), " of ", options_.task, " waits for ",
                      absl::StrJoin(waits, "; "));
}

std::string ExchangeImpl::DescribeLinks(absl::Time now) const {
  std::vector<std::string> waits;
  for (size_t i = 0; i < links_.size(); ++i) {
    const ShardLink& link = links_[i];
    if (link.was_open) continue;
    std::string wait = absl::StrCat(ShardName(i), " for ",
                                    tfd::FormatDuration(now - link.lost_since));
    if (!link.last_error.ok()) {
      absl::StrAppend(&wait, ": ", std::string(link.last_error.message()));
    }
    waits.push_back(std::move(wait));
  }
  return absl::StrJoin(waits, "; ");
}

}  // namespace tfd::ps
