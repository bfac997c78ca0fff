#include "worker/worker_task.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/fs/file_system.h"
#include "common/random.h"
#include "common/spec/job_spec.h"
#include "common/status.h"
#include "common/task/coordinator_link.h"
#include "common/units.h"
#include "data/batch_plan.h"
#include "data/prefetcher.h"
#include "ps/node_exchange.h"
#include "ps/node_plan.h"
#include "ps/shard_client.h"
#include "ps/shard_task.h"
#include "spdlog/spdlog.h"
#include "tensor/layout.h"
#include "worker/finisher.h"
#include "worker/job_data.h"
#include "worker/model.h"
#include "worker/predict_task.h"
#include "worker/step_trace.h"
#include "worker/training_loop.h"

namespace tfd::worker {
namespace {

// The coordinator itself gives a gang up that is not complete after 60 s.
constexpr absl::Duration kGangPatience = absl::Seconds(90);
// For shards to be there and to have (or be given) their parameters.
constexpr absl::Duration kShardPatience = absl::Seconds(60);
// For what was sent to leave this process at its end, also where the
// coordinator is being restarted just then.
constexpr absl::Duration kClosePatience = absl::Seconds(90);

constexpr absl::string_view kEvaluatorRole = "evaluator";
constexpr absl::string_view kWorkerRole = "worker";
constexpr absl::string_view kPsRole = "ps";
// For the other workers' last steps and the last checkpoint.
constexpr absl::Duration kLeavePatience = absl::Minutes(10);

// Names of the members of a role, in the order of their numbers.
std::vector<std::string> TasksOfRole(const v1::Membership& membership,
                                     absl::string_view role) {
  std::vector<std::string> tasks;
  for (size_t number = 0;; ++number) {
    const std::string name = absl::StrCat(role, "/", number);
    const bool there = std::any_of(
        membership.members().begin(), membership.members().end(),
        [&name](const v1::Member& member) { return member.task() == name; });
    if (!there) return tasks;
    tasks.push_back(name);
  }
}

// Nobody has pushed in time; another process would wait as long, for the same.
absl::Status NotPushed(const absl::Status& status) {
  if (!absl::IsDeadlineExceeded(status)) return status;
  return absl::FailedPreconditionError(status.message());
}

// What the shards are told of the training, and the coordinator.
struct TrainingLength {
  int64_t slots = 1;
  // Records of one slot in one step.
  int64_t step_records = 0;
  int64_t total_steps = 0;
  // 0 where nobody knows yet.
  int64_t steps_per_epoch = 0;
  int64_t records = 0;
};

// One run of the task; its methods are the phases, in order.
class TaskRun {
 public:
  TaskRun(const TaskEnvironment& environment, TaskControl* control)
      : environment_(environment),
        spec_(environment.spec),
        control_(control),
        incarnation_(RandomUint64()),
        trace_(spec_.trace().steps()) {}
  ~TaskRun() { Stop(); }

  absl::Status Run();

 private:
  bool is_evaluator() const { return environment_.role == kEvaluatorRole; }
  bool is_finisher() const {
    return is_evaluator() ||
           (spec_.tasks().evaluator().count() == 0 && environment_.number == 0);
  }

  // Each worker holds a part of the parameters.
  bool is_shard() const {
    return !is_evaluator() &&
           spec_.strategy().name() == v1::StrategySpec::ALLREDUCE;
  }
  // The workers of a node sum in one of them.
  bool sums_on_node() const {
    return !is_evaluator() &&
           spec_.exchange().aggregate() == v1::ExchangeSpec::NODE;
  }
  absl::string_view shard_role() const {
    return is_shard() ? kWorkerRole : kPsRole;
  }

  absl::Status StartShard();
  void StartLink();
  void Send(v1::TaskMessage message);
  absl::Status LeaveShard(int64_t last_step);
  void Stop();
  absl::StatusOr<std::vector<v1::Partition>> AwaitPartitions(
      const std::string& dataset);
  PushedAccess Access();
  absl::Status OpenTrainingData();
  absl::Status OpenGrowingData();
  absl::Status OpenDataAndModel();
  absl::Status Train();
  absl::StatusOr<TrainingLength> LengthOf(int64_t slots) const;
  absl::StatusOr<std::unique_ptr<data::Prefetcher>> StartReading(
      int64_t first_step, int64_t slots);
  absl::StatusOr<std::unique_ptr<ps::Exchange>> OpenExchange(
      const v1::Membership& membership, const TrainingLength& length);
  TrainingOptions LoopOptions(const TrainingLength& length) const;
  void SendPlan(const TrainingLength& length);
  void TakeGrown(const data::GrowingLength& grown, int64_t slots);
  absl::Status WriteTrace() const;
  absl::Status Finish();

  const TaskEnvironment& environment_;
  const v1::JobSpec& spec_;
  TaskControl* const control_;
  const uint64_t incarnation_;
  const absl::Time started_ = absl::Now();

  absl::Mutex link_mutex_;
  std::unique_ptr<CoordinatorLink> link_ ABSL_GUARDED_BY(link_mutex_);
  // Workers only: one of them.
  std::unique_ptr<data::Dataset> training_;
  std::unique_ptr<data::GrowingBatches> growing_;
  absl::Mutex grown_mutex_;
  data::GrowingLength grown_ ABSL_GUARDED_BY(grown_mutex_);
  std::unique_ptr<data::Dataset> validation_;
  InputFacts input_;
  std::unique_ptr<Model> model_;
  StepTrace trace_;
  // All-reduce, or where the workers of a node sum; reads the model's
  // gradients.
  std::unique_ptr<ps::ShardTask> shard_;
};

absl::Status TaskRun::StartShard() {
  ps::ShardTask::Events events;
  events.send = [this](v1::TaskMessage message) { Send(std::move(message)); };
  events.on_failed = [this](const absl::Status& status) {
    control_->End(status);
  };
  TFD_ASSIGN_OR_RETURN(shard_,
                       ps::ShardTask::Start(environment_, std::move(events)));
  return absl::OkStatus();
}

void TaskRun::Send(v1::TaskMessage message) {
  absl::MutexLock lock(&link_mutex_);
  if (link_ != nullptr) link_->Send(std::move(message));
}

// Its shard stays until nobody needs it any more.
absl::Status TaskRun::LeaveShard(int64_t last_step) {
  TFD_RETURN_IF_ERROR(
      AwaitPatiently(*control_, kLeavePatience, [this](absl::Duration timeout) {
        return shard_->host()->AwaitNoStreams(timeout);
      }));
  if (shard_->sums_only()) return absl::OkStatus();
  return AwaitPatiently(*control_, kLeavePatience,
                        [this, last_step](absl::Duration timeout) {
                          return shard_->AwaitCheckpoint(last_step, timeout);
                        });
}

// The link calls the shard; the shard sends over the link, if it is still
// there.
void TaskRun::Stop() {
  std::unique_ptr<CoordinatorLink> link;
  {
    absl::MutexLock lock(&link_mutex_);
    link = std::move(link_);
  }
  link.reset();
  shard_.reset();
}

void TaskRun::StartLink() {
  CoordinatorLinkOptions options;
  options.coordinator = environment_.coordinator;
  options.token = environment_.token;
  options.hello = MakeHello(environment_, incarnation_);
  if (shard_ != nullptr) {
    *options.hello.mutable_endpoint() = shard_->endpoint();
    if (shard_->restore().has_value()) {
      *options.hello.mutable_restore() = *shard_->restore();
    }
  }
  options.on_command = [this](const v1::TaskCommand& command) {
    control_->OnCommand(command);
    if (shard_ != nullptr) shard_->OnCommand(command);
  };
  options.on_lost = [control = control_](const absl::Status& status) {
    control->End(Annotate(status, "the connection to the coordinator"));
  };
  // Under the lock, so that nothing is sent before the link is there.
  absl::MutexLock lock(&link_mutex_);
  link_ = CoordinatorLink::Start(std::move(options));
}

absl::StatusOr<std::vector<v1::Partition>> TaskRun::AwaitPartitions(
    const std::string& dataset) {
  const v1::DatasetSpec& spec =
      dataset == "train" ? spec_.data().train() : spec_.data().validation();
  spdlog::info("waiting for the pushed dataset {}", dataset);
  const auto ready =
      control_->AwaitDataset(dataset, absl::Milliseconds(spec.timeout()));
  if (!ready.ok()) return NotPushed(ready.status());
  return std::vector<v1::Partition>(ready->partitions().begin(),
                                    ready->partitions().end());
}

PushedAccess TaskRun::Access() {
  PushedAccess access;
  access.await = [this](const std::string& dataset) {
    return AwaitPartitions(dataset);
  };
  access.open = [this](const std::string& dataset,
                       const v1::Partition& partition)
      -> absl::StatusOr<std::unique_ptr<RandomAccessFile>> {
    // What is pushed, is pushed once the membership is there.
    TFD_ASSIGN_OR_RETURN(const v1::Membership membership,
                         control_->AwaitMembership(kGangPatience));
    return FetchingFrom(membership, environment_)(dataset, partition);
  };
  return access;
}

// The evaluator only learns what a record is.
absl::Status TaskRun::OpenTrainingData() {
  if (spec::Grows(spec_)) return OpenGrowingData();
  TFD_ASSIGN_OR_RETURN(training_, OpenTraining(spec_, Access()));
  input_ = FactsOf(training_->info());
  if (is_evaluator()) training_.reset();
  return absl::OkStatus();
}

absl::Status TaskRun::OpenGrowingData() {
  TFD_ASSIGN_OR_RETURN(const v1::Membership membership,
                       control_->AwaitMembership(kGangPatience));
  GrowingSeat seat;
  seat.slots =
      static_cast<int64_t>(TasksOfRole(membership, kWorkerRole).size());
  if (!is_evaluator()) seat.slot = environment_.number;
  seat.cursor = membership.growth();
  const auto await = [this](int64_t number, absl::Duration timeout) {
    return control_->AwaitSegment("train", number, timeout);
  };
  const auto on_grown = [this,
                         slots = seat.slots](const data::GrowingLength& grown) {
    TakeGrown(grown, slots);
  };
  TFD_ASSIGN_OR_RETURN(
      growing_, OpenGrowing(spec_, seat, await, Access().open, on_grown));
  spdlog::info("waiting for the first rows of the pushed dataset train");
  TFD_RETURN_IF_ERROR(NotPushed(AwaitPatiently(
      *control_, absl::Milliseconds(spec_.data().train().timeout()),
      [this](absl::Duration timeout) {
        return growing_->AwaitFirst(timeout);
      })));
  input_ = FactsOf(growing_->info());
  if (is_evaluator()) growing_.reset();
  return absl::OkStatus();
}

// All workers would say the same.
void TaskRun::TakeGrown(const data::GrowingLength& grown, int64_t slots) {
  {
    absl::MutexLock lock(&grown_mutex_);
    grown_ = grown;
  }
  if (is_evaluator() || environment_.number != 0) return;
  v1::TaskMessage message;
  v1::TrainingPlan& plan = *message.mutable_plan();
  plan.set_total_steps(grown.total_steps);
  plan.set_records(grown.records);
  plan.set_segments(grown.segments);
  plan.set_open(grown.open);
  if (const auto records = data::StepRecordsOf(spec_, slots); records.ok()) {
    plan.set_global_batch_size(*records * slots);
  }
  Send(std::move(message));
}

absl::Status TaskRun::OpenDataAndModel() {
  TFD_RETURN_IF_ERROR(OpenTrainingData());
  if (is_finisher() && HasValidation(spec_)) {
    TFD_ASSIGN_OR_RETURN(validation_,
                         OpenValidation(spec_, input_.preprocess, Access()));
  }
  SetComputeThreads(spec_.deterministic() ? 1 : environment_.Threads());
  ModelOptions options;
  options.spec = spec_.model();
  options.record_shape = input_.shape;
  options.seed = spec_.seed();
  options.fail_on_nan = spec_.exchange().nan() == v1::ExchangeSpec::FAIL;
  TFD_ASSIGN_OR_RETURN(model_, Model::Create(options));
  if (validation_ != nullptr) {
    TFD_RETURN_IF_ERROR(CheckRecordsFit(*validation_, model_->input()));
  }
  spdlog::info("the model has {} parameters; ready after {}",
               FormatCount(static_cast<int64_t>(model_->parameters().size())),
               tfd::FormatDuration(absl::Now() - started_));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<ps::Exchange>> TaskRun::OpenExchange(
    const v1::Membership& membership, const TrainingLength& length) {
  ps::ExchangeOptions options;
  options.task = environment_.task;
  options.incarnation = incarnation_;
  options.generation = membership.generation();
  options.token = environment_.token;
  options.total_steps = length.total_steps;
  options.steps_per_epoch = length.steps_per_epoch;
  options.records = length.records;
  options.memory = model_->shared_memory();
  options.payload = spec_.exchange().payload();
  if (spec_.exchange().has_top_k()) {
    options.top_k = spec_.exchange().top_k();
  }
  if (spec_.exchange().has_connections()) {
    options.connections = spec_.exchange().connections();
  }
  if (is_shard()) options.own_shard = shard_->host();
  if (spec_.trace().steps() > 0) {
    options.on_arrived = [this](uint32_t chunk) { trace_.Arrived(chunk); };
    options.on_copied = [this](uint32_t chunk, absl::Time begin) {
      trace_.Copied(chunk, begin);
    };
  }
  TFD_ASSIGN_OR_RETURN(options.shards,
                       ps::ShardAddresses(membership, shard_role(),
                                          spec_.exchange().transport()));
  tensor::LayoutParts parts;
  for (const ps::ShardAddress& shard : options.shards) {
    parts.shards.push_back(shard.task);
  }
  parts.tensors = model_->tensors();
  parts.buffers = model_->buffers();
  parts.chunk_elements = spec_.exchange().chunk_bytes() / sizeof(float);
  if (sums_on_node()) {
    ps::NodeExchangeParts node;
    TFD_ASSIGN_OR_RETURN(node.plan,
                         ps::PlanNodes(membership, environment_.task));
    spdlog::info("{} of the {} workers of its node, one of {} nodes; {} sums",
                 environment_.task, node.plan.workers.size(),
                 node.plan.leaders.size(), node.plan.leader.task());
    node.layout = std::move(parts);
    node.parameters = model_->versions();
    node.host = shard_->host();
    node.transport = spec_.exchange().transport();
    return ps::OpenNodeExchange(options, node, kShardPatience);
  }
  parts.members = TasksOfRole(membership, kWorkerRole);
  TFD_ASSIGN_OR_RETURN(const tensor::Layout layout,
                       tensor::Layout::Build(parts));
  TFD_ASSIGN_OR_RETURN(options.slot, layout.SlotOf(environment_.task));
  return ps::Exchange::Open(options, layout, model_->versions(),
                            absl::Now() + kShardPatience);
}

absl::StatusOr<TrainingLength> TaskRun::LengthOf(int64_t slots) const {
  TrainingLength length;
  length.slots = slots;
  if (growing_ != nullptr) {
    TFD_ASSIGN_OR_RETURN(length.step_records,
                         data::StepRecordsOf(spec_, slots));
    length.total_steps = growing_->planned_steps();
    return length;
  }
  TFD_ASSIGN_OR_RETURN(
      const data::BatchPlan plan,
      data::TrainingBatchPlan(spec_, training_->info().records, slots));
  length.step_records = plan.batch_size();
  length.total_steps = plan.total_steps();
  length.steps_per_epoch = plan.steps_per_epoch();
  length.records = static_cast<int64_t>(plan.records());
  return length;
}

absl::StatusOr<std::unique_ptr<data::Prefetcher>> TaskRun::StartReading(
    int64_t first_step, int64_t slots) {
  data::PrefetcherOptions prefetch;
  prefetch.slot = environment_.number;
  prefetch.first_step = first_step;
  if (growing_ != nullptr) {
    return data::Prefetcher::Start(std::move(growing_), prefetch);
  }
  TFD_ASSIGN_OR_RETURN(
      const data::BatchPlan plan,
      data::TrainingBatchPlan(spec_, training_->info().records, slots));
  return data::Prefetcher::Start(training_.get(), plan, prefetch);
}

void TaskRun::SendPlan(const TrainingLength& length) {
  v1::TaskMessage message;
  v1::TrainingPlan& sent = *message.mutable_plan();
  sent.set_total_steps(length.total_steps);
  sent.set_steps_per_epoch(length.steps_per_epoch);
  sent.set_records(length.records);
  sent.set_global_batch_size(length.step_records * length.slots);
  Send(std::move(message));
}

TrainingOptions TaskRun::LoopOptions(const TrainingLength& length) const {
  TrainingOptions options;
  options.slot = environment_.number;
  options.slots = length.slots;
  options.steps_per_epoch = length.steps_per_epoch;
  options.seed = spec_.seed();
  options.batch_size = length.step_records / data::BatchesOfStep(spec_);
  if (spec::Grows(spec_)) {
    // For its producers, not for a disk.
    options.batch_patience = absl::Milliseconds(spec_.data().train().timeout());
  }
  return options;
}

absl::Status TaskRun::Train() {
  TFD_ASSIGN_OR_RETURN(const v1::Membership membership,
                       control_->AwaitMembership(kGangPatience));
  const auto slots =
      static_cast<int64_t>(TasksOfRole(membership, kWorkerRole).size());
  const bool grows = growing_ != nullptr;
  TFD_ASSIGN_OR_RETURN(const TrainingLength length, LengthOf(slots));
  if (!grows) SendPlan(length);
  TFD_ASSIGN_OR_RETURN(std::unique_ptr<ps::Exchange> exchange,
                       OpenExchange(membership, length));
  TFD_ASSIGN_OR_RETURN(const std::unique_ptr<data::Prefetcher> batches,
                       StartReading(exchange->step(), slots));
  TFD_RETURN_IF_ERROR(exchange->Initialise(absl::Now() + kShardPatience));
  model_->UseVersion(exchange->version());
  spdlog::info(
      "training {} steps from step {} on, {} records a step, with {} of {} "
      "shards through memory, first step after {}",
      grows ? std::string("all published")
            : absl::StrCat(length.total_steps - exchange->step()),
      exchange->step(), length.step_records * slots,
      exchange->stats().shards_in_place, exchange->layout().shards(),
      tfd::FormatDuration(absl::Now() - started_));

  TrainingParts parts;
  parts.model = model_.get();
  parts.exchange = exchange.get();
  parts.batches = batches.get();
  parts.control = control_;
  parts.trace = &trace_;
  if (environment_.number == 0) {
    parts.report = [this](const v1::Metrics& metrics) {
      v1::TaskMessage message;
      *message.mutable_metrics() = metrics;
      Send(std::move(message));
    };
  }
  TFD_ASSIGN_OR_RETURN(const int64_t steps,
                       TrainingLoop(LoopOptions(length), parts).Run());
  if (grows) {
    data::GrowingLength grown;
    {
      absl::MutexLock lock(&grown_mutex_);
      grown = grown_;
    }
    grown.total_steps = steps;
    grown.open = false;
    TakeGrown(grown, slots);
  }
  if (spec_.trace().steps() > 0) {
    // Not worth a training.
    if (const absl::Status written = WriteTrace(); !written.ok()) {
      spdlog::warn("there is no trace: {}", std::string(written.message()));
    }
  }
  v1::TaskMessage message;
  message.mutable_done()->set_step(steps);
  Send(std::move(message));
  const ps::ExchangeStats stats = exchange->stats();
  spdlog::info("took all {} steps; {} waiting for the exchange; sent {} bytes",
               steps, tfd::FormatDuration(stats.waited), stats.bytes_sent);
  exchange.reset();
  return shard_ != nullptr ? LeaveShard(steps) : absl::OkStatus();
}

absl::Status TaskRun::WriteTrace() const {
  TFD_ASSIGN_OR_RETURN(const Location storage,
                       ResolveUri(spec_.storage().uri()));
  const std::string path =
      spec::TracePath(storage.path, static_cast<int>(environment_.number));
  TFD_RETURN_IF_ERROR(storage.file_system->CreateFolder(
      std::filesystem::path(path).parent_path()));
  TFD_RETURN_IF_ERROR(WriteFileAtomically(
      *storage.file_system, path,
      trace_.ToJson(environment_.task, environment_.number)));
  spdlog::info("wrote the trace of the first {} steps to {}",
               spec_.trace().steps(), path);
  return absl::OkStatus();
}

absl::Status TaskRun::Finish() {
  FinisherOptions options;
  options.job = environment_.job;
  options.generation = environment_.generation;
  options.spec = spec_;
  options.input = input_;
  FinisherParts parts;
  parts.model = model_.get();
  parts.validation = std::move(validation_);
  parts.control = control_;
  parts.send = [this](v1::TaskMessage message) { Send(std::move(message)); };
  TFD_ASSIGN_OR_RETURN(const std::unique_ptr<Finisher> finisher,
                       Finisher::Create(std::move(options), std::move(parts)));
  return finisher->Serve();
}

absl::Status TaskRun::Run() {
  if (is_shard() || sums_on_node()) TFD_RETURN_IF_ERROR(StartShard());
  StartLink();
  TFD_RETURN_IF_ERROR(OpenDataAndModel());
  if (!is_evaluator()) TFD_RETURN_IF_ERROR(Train());
  if (is_finisher()) return Finish();
  CoordinatorLink* link = nullptr;
  {
    absl::MutexLock lock(&link_mutex_);
    link = link_.get();
  }
  return link->Close(kClosePatience);
}

}  // namespace

absl::Status RunTask(const TaskEnvironment& environment, TaskControl* control) {
  if (environment.spec.has_predict()) {
    return RunPredictTask(environment, control);
  }
  return TaskRun(environment, control).Run();
}

}  // namespace tfd::worker
