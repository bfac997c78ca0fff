#include "worker/predict_task.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/net/server.h"
#include "common/random.h"
#include "common/status.h"
#include "common/task/coordinator_link.h"
#include "common/units.h"
#include "spdlog/spdlog.h"
#include "worker/predict_parts.h"
#include "worker/predict_service.h"
#include "worker/trained_model.h"

namespace tfd::worker {
namespace {

// As for training: the coordinator gives an incomplete gang up after 60 s.
constexpr absl::Duration kPredictGangPatience = absl::Seconds(90);
constexpr absl::Duration kPredictClosePatience = absl::Seconds(90);
constexpr absl::Duration kReportInterval = absl::Milliseconds(500);
// A record batch in one message.
constexpr int kMaxExchangeMessageBytes = 256 << 20;

class PredictTask {
 public:
  PredictTask(const TaskEnvironment& environment, TaskControl* control)
      : environment_(environment),
        spec_(environment.spec.predict()),
        control_(control) {}
  // Calls end before what they use.
  ~PredictTask() {
    link_.reset();
    if (service_) service_->Stop();
    server_.reset();
  }

  absl::Status Run() {
    if (!spec_.has_input()) return Serve();
    StartLink(nullptr);
    TFD_ASSIGN_OR_RETURN(const v1::Membership membership,
                         control_->AwaitMembership(kPredictGangPatience));
    PartsOptions options;
    options.spec = spec_;
    options.worker = environment_.number;
    options.workers = static_cast<int>(
        std::count_if(membership.members().begin(), membership.members().end(),
                      [](const v1::Member& member) {
                        return absl::StartsWith(member.task(), "worker/");
                      }));
    options.threads = environment_.Threads();
    TFD_RETURN_IF_ERROR(
        PredictParts(options, [this, &options](const PartsProgress& progress) {
          Report(progress, options.workers);
          return control_->status();
        }));
    return link_->Close(kPredictClosePatience);
  }

 private:
  absl::Status Serve() {
    TFD_ASSIGN_OR_RETURN(
        TrainedModel model,
        OpenTrainedModel(TrainedModelOptionsOf(spec_, environment_.Threads())));
    PredictServiceOptions options;
    options.job = environment_.job;
    options.token = environment_.feed_token;
    options.top_k = spec_.top_k();
    TFD_ASSIGN_OR_RETURN(
        options.names,
        ReadLabelNames(spec_.labels(), model.description.classes));
    if (spec_.has_image()) {
      TFD_ASSIGN_OR_RETURN(options.image,
                           PushedImages(spec_.image(), model.description));
    }
    service_ = MakePredictService(options, std::move(model));
    net::ServerOptions server;
    server.max_message_bytes = kMaxExchangeMessageBytes;
    server.unix_path =
        absl::StrCat(environment_.socket_folder, "/", RandomId(), ".sock");
    TFD_ASSIGN_OR_RETURN(server_,
                         net::Server::Start(server, {service_->service()}));
    spdlog::info("answers pushed rows at {} and {}",
                 server_->endpoint().unix_path(), server_->endpoint().tcp());
    const v1::Endpoint endpoint = server_->endpoint();
    StartLink(&endpoint);
    // A job that serves has no end of its own, and nothing is assigned to it.
    return control_->AwaitAssignment().status();
  }

  void StartLink(const v1::Endpoint* endpoint) {
    CoordinatorLinkOptions options;
    options.coordinator = environment_.coordinator;
    options.token = environment_.token;
    options.hello = MakeHello(environment_, RandomUint64());
    if (endpoint != nullptr) *options.hello.mutable_endpoint() = *endpoint;
    options.on_command = [control = control_](const v1::TaskCommand& command) {
      control->OnCommand(command);
    };
    options.on_lost = [control = control_](const absl::Status& status) {
      control->End(Annotate(status, "the connection to the coordinator"));
    };
    link_ = CoordinatorLink::Start(std::move(options));
  }

  // The plan once, then figures, not too often.
  void Report(const PartsProgress& progress, int workers) {
    if (!planned_) {
      planned_ = true;
      v1::TaskMessage message;
      v1::TrainingPlan& plan = *message.mutable_plan();
      plan.set_total_steps(progress.parts);
      plan.set_steps_per_epoch(progress.parts);
      plan.set_records(progress.records);
      plan.set_global_batch_size(progress.part_records);
      link_->Send(std::move(message));
    }
    const absl::Time now = absl::Now();
    const bool last = progress.done_parts == progress.own_parts;
    if (!last && now - reported_ < kReportInterval) return;
    reported_ = now;
    v1::TaskMessage message;
    v1::Metrics& metrics = *message.mutable_metrics();
    // The others are about as far.
    metrics.set_step(std::min(progress.parts, progress.done_parts * workers));
    if (progress.seconds > 0) {
      (*metrics.mutable_values())["samples_per_s"] =
          static_cast<double>(progress.done_records) / progress.seconds *
          workers;
    }
    link_->Send(std::move(message));
  }

  const TaskEnvironment& environment_;
  const v1::PredictSpec& spec_;
  TaskControl* const control_;
  std::unique_ptr<PredictService> service_;
  std::unique_ptr<net::Server> server_;
  std::unique_ptr<CoordinatorLink> link_;
  bool planned_ = false;
  absl::Time reported_ = absl::InfinitePast();
};

}  // namespace

absl::Status RunPredictTask(const TaskEnvironment& environment,
                            TaskControl* control) {
  return PredictTask(environment, control).Run();
}

}  // namespace tfd::worker
