// The exchange behind shard_client.h: what is asked of which shard in the round
// under way, and how lost connections come back. Rounds: the first parameters
// (INIT or PULL), then one PUSH per step.
#ifndef TFD_PS_EXCHANGE_H_
#define TFD_PS_EXCHANGE_H_

#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "ps/gradient_encoder.h"
#include "ps/shard_channel.h"
#include "ps/shard_client.h"

namespace tfd::ps {

// Thread-safe. Owns one thread, "exchange", which opens and reopens shards;
// answers are taken on the channels' threads.
class ExchangeImpl final : public Exchange {
 public:
  ExchangeImpl(const ExchangeOptions& options, tensor::Layout layout,
               std::shared_ptr<const tensor::ParameterVersions> parameters,
               std::unique_ptr<GradientEncoder> encoder,
               std::vector<std::unique_ptr<ShardChannel>> channels,
               absl::Time deadline);
  ~ExchangeImpl() override;

  // Until every shard is open; names those that are not.
  absl::Status WaitUntilOpen(absl::Time deadline);

  const tensor::Layout& layout() const override { return layout_; }
  int64_t step() const override;
  bool initialised() const override;
  int version() const override;
  absl::Status Initialise(absl::Time deadline) override;
  absl::Status BeginStep(const StepInfo& step) override;
  absl::Status PushChunk(uint32_t chunk, const float* gradient) override;
  absl::Status PushAll(const float* gradient) override;
  absl::Status WaitStep(absl::Time deadline) override;
  void Cancel(const absl::Status& why) override;
  std::string WaitsFor() const override;
  ExchangeStats stats() const override;

 private:
  enum class Link { kLost, kOpening, kConnected };
  struct ShardLink {
    std::unique_ptr<ShardChannel> channel;
    Link link = Link::kLost;
    bool was_open = false;
    // Counts the streams, so that a late event of an old one is told apart.
    uint64_t connection = 0;
    uint64_t closed_connection = 0;
    std::shared_ptr<ShardStream> stream;
    absl::Time retry_at;
    absl::Time lost_since;
    absl::Time give_up_at;
    absl::Status last_error;
    v1::OpenResponse opened;
  };
  struct ChunkState {
    EncodedGradient payload;
    // Somebody prepares the request; it is asked for in this round; the answer
    // is there (or being copied).
    bool claimed = false;
    bool asked = false;
    bool answered = false;
    // How often the shard took it for given up, because another stream of this
    // slot asked too.
    int aborted = 0;
  };
  struct Round {
    v1::ChunkKind kind = v1::CHUNK_KIND_UNSPECIFIED;
    StepInfo info;
    // What an answer must say.
    uint64_t reply_step = 0;
    uint32_t unanswered = 0;
    bool active = false;
  };
  // An answer whose parameters have not been copied yet.
  struct Arrived {
    size_t shard;
    tensor::ReceivedReply reply;
    // Where they belong.
    absl::Span<float> parameters;
  };
  struct OpenResult {
    size_t shard;
    absl::StatusOr<v1::OpenResponse> response;
  };

  // The thread.
  void Run();
  bool HasWork(absl::Time now) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  absl::Time NextRetry() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void OpenLost();
  void TakeOpenResult(const OpenResult& result);
  absl::Status CheckReopened(const ShardLink& link,
                             const v1::OpenResponse& response) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void Connect(size_t shard);

  // The channels' threads.
  void OnReply(size_t shard, tensor::ReceivedReply reply);
  absl::Status CheckReply(size_t shard,
                          const tensor::ReceivedReply& reply) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void TakeArrived(const Arrived& arrived);
  void TakeBack(size_t shard, const tensor::ChunkReply& reply);
  void AskAgain(size_t shard, const tensor::ChunkReply& reply);
  void OnClosed(size_t shard, uint64_t connection, const absl::Status& status);

  // The caller's.
  absl::Status BeginRound(v1::ChunkKind kind, const StepInfo& info,
                          uint64_t reply_step);
  void Send(ShardStream& stream, tensor::ChunkRequest header,
            tensor::ByteSpan payload) const;
  absl::Status Ask(uint32_t chunk, const float* numbers);
  EncodedGradient PayloadFor(v1::ChunkKind kind, uint32_t chunk,
                             const float* numbers) const;
  absl::Status AskAll(const float* flat);
  absl::Status WaitRound(absl::Time deadline);
  absl::Status WaitForOldPayloads(absl::Time deadline);

  void LoseLink(ShardLink& link, const absl::Status& why)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Fail(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  tensor::ChunkRequest RequestFor(uint32_t chunk) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  std::string ShardName(size_t shard) const;
  std::string RoundName() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  std::string DescribeWait(absl::Time now) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  std::string DescribeLinks(absl::Time now) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  const ExchangeOptions options_;
  const tensor::Layout layout_;
  const std::shared_ptr<const tensor::ParameterVersions> parameters_;
  const std::unique_ptr<GradientEncoder> encoder_;
  v1::OpenRequest open_request_;

  mutable absl::Mutex mutex_;
  absl::Status failed_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<ShardLink> links_ ABSL_GUARDED_BY(mutex_);
  std::deque<OpenResult> open_results_ ABSL_GUARDED_BY(mutex_);
  size_t opens_under_way_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t streams_alive_ ABSL_GUARDED_BY(mutex_) = 0;
  // Of streams that have ended, whose payloads may still be read by gRPC.
  std::vector<std::shared_ptr<StreamRecord>> ended_ ABSL_GUARDED_BY(mutex_);
  // Somebody waits for the round and takes what has arrived.
  bool waiting_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Arrived> arrived_ ABSL_GUARDED_BY(mutex_);
  std::vector<ChunkState> chunks_ ABSL_GUARDED_BY(mutex_);
  Round round_ ABSL_GUARDED_BY(mutex_);
  bool have_parameters_ ABSL_GUARDED_BY(mutex_) = false;
  int version_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t next_step_ ABSL_GUARDED_BY(mutex_) = 0;
  ExchangeStats stats_ ABSL_GUARDED_BY(mutex_);

  std::thread thread_;
};

}  // namespace tfd::ps

#endif  // TFD_PS_EXCHANGE_H_
