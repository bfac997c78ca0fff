#include "ps/shard_client.h"

#include <map>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/net/endpoint.h"
#include "common/status.h"
#include "ps/exchange.h"

namespace tfd::ps {
namespace {

constexpr char kShardRolePrefix[] = "ps/";

absl::Status CheckOptions(const ExchangeOptions& options,
                          const tensor::Layout& layout,
                          absl::Span<float> parameters) {
  const auto& shards = layout.group().shards();
  if (static_cast<size_t>(shards.size()) != options.shards.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the layout has ", shards.size(), " shards, but ",
                     options.shards.size(), " are known"));
  }
  for (int i = 0; i < shards.size(); ++i) {
    if (shards[i] != options.shards[i].task) {
      return absl::InvalidArgumentError(
          absl::StrCat("shard ", i, " of the layout is ", shards[i], ", but ",
                       options.shards[i].task, " is given for it"));
    }
  }
  if (options.slot >= layout.slots()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "slot ", options.slot, ", but a step has ", layout.slots(), " slots"));
  }
  if (parameters.size() != layout.elements()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the layout has ", layout.elements(),
                     " elements, the parameter buffer ", parameters.size()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<ShardAddress>> ShardAddresses(
    const v1::Membership& membership) {
  std::map<int, ShardAddress> by_number;
  for (const v1::Member& member : membership.members()) {
    absl::string_view number_text = member.task();
    int number = 0;
    if (!absl::ConsumePrefix(&number_text, kShardRolePrefix)) continue;
    if (!absl::SimpleAtoi(number_text, &number)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the membership has a task of a strange name: ", member.task()));
    }
    absl::StatusOr<std::string> target = net::DialTarget(member.endpoint());
    if (!target.ok()) return Annotate(target.status(), member.task());
    by_number[number] = {member.task(), *std::move(target)};
  }
  std::vector<ShardAddress> shards;
  for (auto& [number, address] : by_number) {
    shards.push_back(std::move(address));
  }
  if (shards.empty()) {
    return absl::InvalidArgumentError(
        "the membership has no parameter server (role ps)");
  }
  return shards;
}

absl::StatusOr<std::unique_ptr<Exchange>> Exchange::Open(
    const ExchangeOptions& options, const tensor::Layout& layout,
    absl::Span<float> parameters, absl::Time deadline) {
  TFD_RETURN_IF_ERROR(CheckOptions(options, layout, parameters));
  std::vector<std::unique_ptr<ShardChannel>> channels;
  for (const ShardAddress& shard : options.shards) {
    ShardChannelOptions channel;
    channel.target = shard.target;
    channel.token = options.token;
    channel.slot = options.slot;
    channel.generation = options.generation;
    channel.max_payload_bytes = layout.chunk_elements() * sizeof(float);
    channels.push_back(MakeGrpcShardChannel(std::move(channel)));
  }
  auto exchange = std::make_unique<ExchangeImpl>(options, layout, parameters,
                                                 std::move(channels), deadline);
  TFD_RETURN_IF_ERROR(exchange->WaitUntilOpen(deadline));
  return exchange;
}

}  // namespace tfd::ps
