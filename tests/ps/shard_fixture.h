// A shard without any transport, and requests to it.
#ifndef TFD_TESTS_PS_SHARD_FIXTURE_H_
#define TFD_TESTS_PS_SHARD_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ps/shard.h"
#include "tensor/safetensors.h"
#include "tests/ps/exchange_fixture.h"

namespace tfd::ps {

inline constexpr uint64_t kShardGeneration = 3;

// Takes snapshots and keeps them.
class FakeSink : public SnapshotSink {
 public:
  void Add(int64_t step, ChunkSnapshot chunk) override {
    absl::MutexLock lock(&mutex_);
    taken.emplace_back(step, std::move(chunk));
  }
  void WhenThereIsRoom(int64_t step, std::function<void()> go_on) override {
    if (has_room) return go_on();
    waiting.emplace_back(step, std::move(go_on));
  }

  absl::Mutex mutex_;
  std::vector<std::pair<int64_t, ChunkSnapshot>> taken;
  bool has_room = true;
  std::vector<std::pair<int64_t, std::function<void()>>> waiting;
};

// An answer, with a copy of its parameters.
struct Answer {
  int calls = 0;
  tensor::ChunkReply header;
  std::vector<float> parameters;
};

class ShardTest : public ::testing::Test {
 protected:
  void Make(int workers, const v1::JobSpec& spec, int64_t total_steps = 100,
            int64_t every = 0, size_t buffers = 0) {
    ShardOptions options;
    options.shard = 0;
    options.generation = kShardGeneration;
    options.optimizer = spec.optimizer();
    options.deterministic = spec.deterministic();
    options.strategy = spec.strategy();
    options.nan = spec.exchange().nan();
    options.payload = tensor::NumberTypeOf(spec.exchange().payload());
    options.total_steps = total_steps;
    options.checkpoint_every_steps = every;
    layout_ = std::make_unique<tensor::Layout>(TestLayout(
        workers, 1, 64, TestTransport::kSockets, /*buffers=*/buffers));
    auto shard = Shard::Create(options, *layout_, &sink_);
    ASSERT_TRUE(shard.ok()) << shard.status();
    shard_ = *std::move(shard);
  }

  tensor::ReceivedRequest Request(v1::ChunkKind kind, uint32_t slot,
                                  uint64_t step, uint32_t chunk = 0) {
    tensor::ReceivedRequest request;
    request.header.generation = kShardGeneration;
    request.header.kind = kind;
    request.header.slot = slot;
    request.header.step = step;
    request.header.chunk = chunk;
    return request;
  }

  static tensor::Payload PayloadOf(const std::vector<float>& values) {
    auto owner = std::make_shared<std::vector<float>>(values);
    return tensor::Payload({tensor::AsBytes(*owner)}, owner);
  }

  static tensor::Payload PayloadOf(const std::vector<float>& values,
                                   tensor::NumberType type) {
    auto owner = std::make_shared<std::vector<std::byte>>(
        values.size() * tensor::BytesPerNumber(type));
    tensor::Narrow(type, values, owner->data());
    return tensor::Payload({*owner}, owner);
  }

  tensor::ReceivedRequest Push(uint32_t slot, uint64_t step, float value,
                               double weight = 1, uint32_t chunk = 0) {
    tensor::ReceivedRequest request = Request(v1::PUSH, slot, step, chunk);
    request.header.weight = weight;
    request.payload = PayloadOf(std::vector<float>(Elements(chunk), value));
    return request;
  }

  size_t Elements(uint32_t chunk = 0) const {
    return layout_->ChunkRange(chunk).elements();
  }

  std::shared_ptr<Answer> Handle(tensor::ReceivedRequest request) {
    auto answer = std::make_shared<Answer>();
    shard_->Handle(std::move(request), [answer](ShardReply reply) {
      ++answer->calls;
      answer->header = reply.header;
      if (reply.parameters) {
        answer->parameters.resize(reply.parameters.span().size());
        tensor::Widen(reply.header.payload_type,
                      {reply.parameters.bytes(reply.header.payload_type)},
                      absl::MakeSpan(answer->parameters));
      }
    });
    return answer;
  }

  void Init(float value) {
    for (uint32_t chunk = 0; chunk < layout_->chunks(); ++chunk) {
      tensor::ReceivedRequest request = Request(v1::INIT, 0, 0, chunk);
      request.payload = PayloadOf(std::vector<float>(Elements(chunk), value));
      EXPECT_EQ(Handle(std::move(request))->header.code, 0);
    }
  }

  void ExpectRefused(tensor::ReceivedRequest request, absl::StatusCode code,
                     const std::string& words) {
    const auto answer = Handle(std::move(request));
    EXPECT_EQ(answer->calls, 1);
    EXPECT_EQ(answer->header.code, static_cast<int>(code));
    EXPECT_THAT(answer->header.message, ::testing::HasSubstr(words));
  }

  FakeSink sink_;
  std::unique_ptr<tensor::Layout> layout_;
  std::unique_ptr<Shard> shard_;
};

}  // namespace tfd::ps

#endif  // TFD_TESTS_PS_SHARD_FIXTURE_H_
