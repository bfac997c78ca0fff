#include "worker/worker_task.h"

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/random.h"
#include "common/status.h"
#include "common/task/coordinator_link.h"
#include "common/units.h"
#include "common/version.h"
#include "data/batch_plan.h"
#include "data/prefetcher.h"
#include "ps/shard_client.h"
#include "spdlog/spdlog.h"
#include "tensor/layout.h"
#include "worker/finisher.h"
#include "worker/job_data.h"
#include "worker/model.h"
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

// One run of the task; its methods are the phases, in order.
class TaskRun {
 public:
  TaskRun(const TaskEnvironment& environment, TaskControl* control)
      : environment_(environment),
        spec_(environment.spec),
        control_(control),
        incarnation_(RandomUint64()) {}

  absl::Status Run();

 private:
  bool is_evaluator() const { return environment_.role == kEvaluatorRole; }
  bool is_finisher() const {
    return is_evaluator() ||
           (spec_.tasks().evaluator().count() == 0 && environment_.number == 0);
  }

  void StartLink();
  absl::StatusOr<std::vector<v1::Partition>> AwaitPartitions(
      const std::string& dataset);
  absl::Status OpenDataAndModel();
  absl::Status Train();
  absl::StatusOr<std::unique_ptr<ps::Exchange>> OpenExchange(
      const v1::Membership& membership, const data::BatchPlan& plan);
  void SendPlan(const data::BatchPlan& plan);
  absl::Status Finish();

  const TaskEnvironment& environment_;
  const v1::JobSpec& spec_;
  TaskControl* const control_;
  const uint64_t incarnation_;
  const absl::Time started_ = absl::Now();

  std::unique_ptr<CoordinatorLink> link_;
  std::unique_ptr<data::Dataset> training_;  // workers only
  std::unique_ptr<data::Dataset> validation_;
  InputFacts input_;
  std::unique_ptr<Model> model_;
};

void TaskRun::StartLink() {
  CoordinatorLinkOptions options;
  options.coordinator = environment_.coordinator;
  options.token = environment_.token;
  options.hello.set_protocol_version(kProtocolVersion);
  options.hello.set_job(environment_.job);
  options.hello.set_task(environment_.task);
  options.hello.set_generation(environment_.generation);
  options.hello.set_incarnation(incarnation_);
  options.hello.set_pid(getpid());
  options.on_command = [control = control_](const v1::TaskCommand& command) {
    control->OnCommand(command);
  };
  options.on_lost = [control = control_](const absl::Status& status) {
    control->End(Annotate(status, "the connection to the coordinator"));
  };
  link_ = CoordinatorLink::Start(std::move(options));
}

absl::StatusOr<std::vector<v1::Partition>> TaskRun::AwaitPartitions(
    const std::string& dataset) {
  const v1::DatasetSpec& spec =
      dataset == "train" ? spec_.data().train() : spec_.data().validation();
  spdlog::info("waiting for the pushed dataset {}", dataset);
  TFD_ASSIGN_OR_RETURN(
      const v1::DatasetReady ready,
      control_->AwaitDataset(dataset, absl::Milliseconds(spec.timeout())));
  return std::vector<v1::Partition>(ready.partitions().begin(),
                                    ready.partitions().end());
}

absl::Status TaskRun::OpenDataAndModel() {
  const worker::AwaitPartitions await = [this](const std::string& dataset) {
    return AwaitPartitions(dataset);
  };
  if (is_evaluator()) {
    TFD_ASSIGN_OR_RETURN(input_, LearnFacts(spec_, await));
  } else {
    TFD_ASSIGN_OR_RETURN(training_, OpenTraining(spec_, await));
    input_ = FactsOf(*training_);
  }
  if (is_finisher() && HasValidation(spec_)) {
    TFD_ASSIGN_OR_RETURN(validation_,
                         OpenValidation(spec_, input_.preprocess, await));
  }
  SetComputeThreads(spec_.deterministic() ? 1 : environment_.Threads());
  ModelOptions options;
  options.spec = spec_.model();
  options.record_shape = input_.shape;
  options.seed = spec_.seed();
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
    const v1::Membership& membership, const data::BatchPlan& plan) {
  ps::ExchangeOptions options;
  options.task = environment_.task;
  options.incarnation = incarnation_;
  options.generation = environment_.generation;
  options.token = environment_.token;
  options.total_steps = plan.total_steps();
  options.steps_per_epoch = plan.steps_per_epoch();
  options.records = static_cast<int64_t>(plan.records());
  TFD_ASSIGN_OR_RETURN(options.shards, ps::ShardAddresses(membership));
  tensor::LayoutParts parts;
  parts.members = TasksOfRole(membership, "worker");
  for (const ps::ShardAddress& shard : options.shards) {
    parts.shards.push_back(shard.task);
  }
  parts.tensors = model_->tensors();
  parts.chunk_elements = spec_.exchange().chunk_bytes() / sizeof(float);
  TFD_ASSIGN_OR_RETURN(const tensor::Layout layout,
                       tensor::Layout::Build(parts));
  TFD_ASSIGN_OR_RETURN(options.slot, layout.SlotOf(environment_.task));
  return ps::Exchange::Open(options, layout, model_->parameters(),
                            absl::Now() + kShardPatience);
}

void TaskRun::SendPlan(const data::BatchPlan& plan) {
  v1::TaskMessage message;
  v1::TrainingPlan& sent = *message.mutable_plan();
  sent.set_total_steps(plan.total_steps());
  sent.set_steps_per_epoch(plan.steps_per_epoch());
  sent.set_records(static_cast<int64_t>(plan.records()));
  sent.set_global_batch_size(plan.batch_size() * plan.slots());
  link_->Send(std::move(message));
}

absl::Status TaskRun::Train() {
  TFD_ASSIGN_OR_RETURN(const v1::Membership membership,
                       control_->AwaitMembership(kGangPatience));
  const auto slots =
      static_cast<int64_t>(TasksOfRole(membership, "worker").size());
  TFD_ASSIGN_OR_RETURN(
      const data::BatchPlan plan,
      data::TrainingBatchPlan(spec_, training_->info().records, slots));
  SendPlan(plan);
  TFD_ASSIGN_OR_RETURN(const std::unique_ptr<ps::Exchange> exchange,
                       OpenExchange(membership, plan));
  data::PrefetcherOptions prefetch;
  prefetch.slot = environment_.number;
  prefetch.first_step = exchange->step();
  TFD_ASSIGN_OR_RETURN(
      const std::unique_ptr<data::Prefetcher> batches,
      data::Prefetcher::Start(training_.get(), plan, prefetch));
  TFD_RETURN_IF_ERROR(exchange->Initialise(absl::Now() + kShardPatience));
  spdlog::info(
      "training {} of {} steps, {} records a step, first step after "
      "{}",
      plan.total_steps() - exchange->step(), plan.total_steps(),
      plan.batch_size() * slots, tfd::FormatDuration(absl::Now() - started_));

  TrainingOptions options;
  options.slot = environment_.number;
  options.seed = spec_.seed();
  TrainingParts parts;
  parts.model = model_.get();
  parts.exchange = exchange.get();
  parts.batches = batches.get();
  parts.plan = &plan;
  parts.control = control_;
  if (environment_.number == 0) {
    parts.report = [this](const v1::Metrics& metrics) {
      v1::TaskMessage message;
      *message.mutable_metrics() = metrics;
      link_->Send(std::move(message));
    };
  }
  TFD_RETURN_IF_ERROR(TrainingLoop(options, parts).Run());
  v1::TaskMessage message;
  message.mutable_done()->set_step(plan.total_steps());
  link_->Send(std::move(message));
  spdlog::info("took all {} steps; {} waiting for the exchange",
               plan.total_steps(),
               tfd::FormatDuration(exchange->stats().waited));
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
  parts.send = [this](v1::TaskMessage message) {
    link_->Send(std::move(message));
  };
  TFD_ASSIGN_OR_RETURN(const std::unique_ptr<Finisher> finisher,
                       Finisher::Create(std::move(options), std::move(parts)));
  return finisher->Serve();
}

absl::Status TaskRun::Run() {
  StartLink();
  TFD_RETURN_IF_ERROR(OpenDataAndModel());
  if (!is_evaluator()) TFD_RETURN_IF_ERROR(Train());
  if (is_finisher()) return Finish();
  return link_->Close(kClosePatience);
}

}  // namespace

absl::Status RunTask(const TaskEnvironment& environment, TaskControl* control) {
  return TaskRun(environment, control).Run();
}

}  // namespace tfd::worker
