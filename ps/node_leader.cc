#include "ps/node_leader.h"

#include <pthread.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status.h"

namespace tfd::ps {
namespace {

// Ends only a wait, which is begun again: the workers of the node have
// deadlines of their own, and Stop wakes.
constexpr absl::Duration kStepPatience = absl::Minutes(1);

}  // namespace

absl::StatusOr<std::unique_ptr<NodeLeader>> NodeLeader::Start(
    ExchangeOptions options, const tensor::Layout& layout,
    std::shared_ptr<const tensor::ParameterVersions> parameters,
    absl::Duration patience) {
  TFD_ASSIGN_OR_RETURN(tensor::FlatBuffer means,
                       tensor::FlatBuffer::Allocate(layout.elements()));
  std::unique_ptr<NodeLeader> leader(new NodeLeader(std::move(means)));
  const SharedMemory* const memory = leader->means_.shared_memory();
  if (memory == nullptr) {
    options.memory.clear();
  } else if (!options.memory.empty()) {
    options.memory = {memory};
  }
  options.on_arrived = nullptr;
  options.on_copied = [leader = leader.get()](uint32_t chunk, absl::Time) {
    leader->Arrived(chunk);
  };
  TFD_ASSIGN_OR_RETURN(leader->exchange_,
                       Exchange::Open(options, layout, std::move(parameters),
                                      absl::Now() + patience));
  TFD_RETURN_IF_ERROR(leader->exchange_->Initialise(absl::Now() + patience));
  leader->first_step_ = static_cast<uint64_t>(leader->exchange_->step());
  leader->thread_ = std::thread([leader = leader.get()] {
    pthread_setname_np(pthread_self(), "node-leader");
    leader->Run();
  });
  return leader;
}

NodeLeader::~NodeLeader() {
  if (exchange_ != nullptr) Stop();
}

void NodeLeader::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  exchange_->Cancel(absl::CancelledError("the leader of the node has ended"));
  if (thread_.joinable()) thread_.join();
}

void NodeLeader::SetOnAnswer(OnAnswer on_answer) {
  on_answer_ = std::move(on_answer);
}

absl::Span<float> NodeLeader::MeanOf(uint32_t chunk) {
  const tensor::FlatRange range = exchange_->layout().ChunkRange(chunk);
  return means_.span().subspan(range.begin, range.elements());
}

void NodeLeader::Push(const NodeContribution& contribution) {
  absl::Status status;
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_ || !failed_.ok()) return;
    status = BeginStep(contribution);
  }
  if (status.ok()) {
    status = exchange_->PushChunk(
        contribution.chunk,
        contribution.idle ? nullptr : MeanOf(contribution.chunk).data());
  }
  if (status.ok()) return;
  // The thread tells all chunks.
  exchange_->Cancel(status);
  absl::MutexLock lock(&mutex_);
  if (failed_.ok()) failed_ = status;
}

absl::Status NodeLeader::BeginStep(const NodeContribution& contribution) {
  if (begun_) {
    if (contribution.weight == weight_) return absl::OkStatus();
    return absl::InternalError(
        absl::StrCat("chunk ", contribution.chunk, " of step ",
                     contribution.step, " has the weight ", contribution.weight,
                     ", another one of the same ", "step ", weight_));
  }
  StepInfo info;
  info.step = static_cast<int64_t>(contribution.step);
  info.weight = contribution.weight;
  info.last = contribution.last;
  TFD_RETURN_IF_ERROR(exchange_->BeginStep(info));
  begun_ = true;
  weight_ = contribution.weight;
  missing_ = exchange_->layout().chunks();
  return absl::OkStatus();
}

void NodeLeader::Arrived(uint32_t chunk) {
  {
    absl::MutexLock lock(&mutex_);
    if (!begun_) return;  // the first parameters
    if (--missing_ == 0) {
      last_ = chunk;
      return;
    }
  }
  on_answer_(chunk, absl::OkStatus());
}

void NodeLeader::Run() {
  while (true) {
    absl::Status ended = EndStep();
    uint32_t last = 0;
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) return;
      if (failed_.ok()) failed_ = ended;
      ended = failed_;
      begun_ = false;
      last = last_;
    }
    if (ended.ok()) {
      on_answer_(last, ended);
      continue;
    }
    for (uint32_t i = 0; i < exchange_->layout().chunks(); ++i) {
      on_answer_(i, ended);
    }
    return;
  }
}

// Waits for a step and then for its end.
absl::Status NodeLeader::EndStep() {
  {
    absl::MutexLock lock(&mutex_);
    const auto wake = [this] {
      mutex_.AssertReaderHeld();
      return begun_ || stopping_ || !failed_.ok();
    };
    mutex_.Await(absl::Condition(&wake));
    if (stopping_ || !failed_.ok()) return failed_;
  }
  while (true) {
    const absl::Time deadline = absl::Now() + kStepPatience;
    absl::Status status = exchange_->WaitStep(deadline);
    if (!absl::IsDeadlineExceeded(status) || absl::Now() < deadline) {
      return status;
    }
  }
}

}  // namespace tfd::ps
