#include "ps/shard_client.h"

#include <map>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/net/endpoint.h"
#include "common/status.h"
#include "ps/exchange.h"
#include "ps/gradient_encoder.h"
#include "ps/shard_host.h"

namespace tfd::ps {
namespace {

absl::Status CheckOptions(const ExchangeOptions& options,
                          const tensor::Layout& layout,
                          const tensor::ParameterVersions& parameters) {
  const auto& shards = layout.group().shards();
  if (static_cast<size_t>(shards.size()) > options.shards.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the layout has ", shards.size(), " shards, but only ",
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
  if (options.connections < 1) {
    return absl::InvalidArgumentError("connections: 0 is less than 1");
  }
  if (!(options.top_k > 0 && options.top_k <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "top_k: ", options.top_k, " is not more than 0 and at most 1"));
  }
  for (const tensor::FlatBuffer& version : parameters) {
    if (version.elements() != layout.elements()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the layout has ", layout.elements(),
                       " elements, the parameters ", version.elements()));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ShardAddress> ShardAddressOf(const v1::Member& member,
                                            Transport transport) {
  v1::Endpoint endpoint = member.endpoint();
  if (transport == v1::ExchangeSpec::TCP) endpoint.clear_unix_path();
  absl::StatusOr<std::string> target = net::DialTarget(endpoint);
  if (!target.ok()) return Annotate(target.status(), member.task());
  ShardAddress address = {member.task(), *std::move(target), ""};
  if (transport == v1::ExchangeSpec::AUTO &&
      endpoint.host_id() == net::HostId()) {
    address.memory_path = endpoint.memory_path();
  }
  return address;
}

absl::StatusOr<std::vector<ShardAddress>> ShardAddresses(
    const v1::Membership& membership, absl::string_view role,
    Transport transport) {
  const std::string prefix = absl::StrCat(role, "/");
  std::map<int, ShardAddress> by_number;
  for (const v1::Member& member : membership.members()) {
    absl::string_view number_text = member.task();
    int number = 0;
    if (!absl::ConsumePrefix(&number_text, prefix)) continue;
    if (!absl::SimpleAtoi(number_text, &number)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the membership has a task of a strange name: ", member.task()));
    }
    TFD_ASSIGN_OR_RETURN(by_number[number], ShardAddressOf(member, transport));
  }
  std::vector<ShardAddress> shards;
  shards.reserve(by_number.size());
  for (auto& [number, address] : by_number) {
    shards.push_back(std::move(address));
  }
  if (shards.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the membership has no task of role ", role));
  }
  return shards;
}

absl::StatusOr<std::unique_ptr<Exchange>> Exchange::Open(
    const ExchangeOptions& options, const tensor::Layout& layout,
    std::shared_ptr<const tensor::ParameterVersions> parameters,
    absl::Time deadline) {
  TFD_RETURN_IF_ERROR(CheckOptions(options, layout, *parameters));
  auto encoder = std::make_unique<GradientEncoder>(
      layout, tensor::NumberTypeOf(options.payload), options.top_k,
      !options.memory.empty());
  std::vector<const SharedMemory*> memory;
  if (encoder->shareable() && !options.memory.empty()) {
    memory = options.memory;
    for (const tensor::FlatBuffer& version : *parameters) {
      if (version.shared_memory() != nullptr) {
        memory.push_back(version.shared_memory());
      }
    }
  }
  if (options.own_shard != nullptr) {
    options.own_shard->SetWorkerParameters(parameters);
  }
  if (encoder->memory() != nullptr) memory.push_back(encoder->memory());
  std::vector<std::unique_ptr<ShardChannel>> channels;
  for (size_t i = 0; i < layout.shards(); ++i) {
    const ShardAddress& shard = options.shards[i];
    if (options.own_shard != nullptr && shard.task == options.task) {
      channels.push_back(
          MakeLocalShardChannel(options.own_shard, encoder->owner()));
      continue;
    }
    ShardChannelOptions channel;
    channel.target = shard.target;
    channel.token = options.token;
    channel.slot = options.slot;
    channel.generation = options.generation;
    channel.incarnation = options.incarnation;
    channel.max_payload_bytes = layout.chunk_elements() * sizeof(float);
    channel.connections = options.connections;
    std::unique_ptr<ShardChannel> over_sockets = MakeGrpcShardChannel(channel);
    if (shard.memory_path.empty() || memory.empty()) {
      channels.push_back(std::move(over_sockets));
      continue;
    }
    channel.memory_path = shard.memory_path;
    channel.memory = memory;
    // A push and a pull of each chunk.
    channel.max_in_flight = 2 * layout.chunks();
    channels.push_back(
        MakeSharedShardChannel(std::move(channel), std::move(over_sockets)));
  }
  auto exchange = std::make_unique<ExchangeImpl>(
      options, layout, std::move(parameters), std::move(encoder),
      std::move(channels), deadline);
  TFD_RETURN_IF_ERROR(exchange->WaitUntilOpen(deadline));
  return exchange;
}

}  // namespace tfd::ps
