#include "data/feed/feed_process.h"

#include <signal.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/log.h"
#include "common/net/endpoint.h"
#include "common/net/server.h"
#include "common/poll.h"
#include "common/random.h"
#include "common/spec/job_spec.h"
#include "common/status.h"
#include "common/task/coordinator_link.h"
#include "common/task/exit_code.h"
#include "common/units.h"
#include "data/feed/disk_alarm.h"
#include "data/feed/feed_service.h"
#include "data/feed/spool_keeper.h"

namespace tfd::data {
namespace {

// 128 + SIGTERM.
constexpr int kTerminatedExitCode = 143;
// A task that was told to stop is gone after a second, whatever hangs.
constexpr absl::Duration kStopTimeout = absl::Milliseconds(900);
// A record batch in one message; gRPC refuses a larger one in words.
constexpr int kMaxMessageBytes = 256 << 20;
// How long a producer waits for the coordinator to grant a partition, and how
// long of it the feed cannot be stopped.
constexpr absl::Duration kSealTimeout = absl::Minutes(2);
constexpr absl::Duration kSealSlice = absl::Milliseconds(500);
// How often leases are looked at; a coordinator that does not answer is asked
// again after kTendRetry.
constexpr absl::Duration kTendInterval = absl::Seconds(20);
constexpr absl::Duration kTendRetry = absl::Seconds(2);
// Also how long it may keep the feed from ending.
constexpr absl::Duration kReviewTimeout = absl::Milliseconds(500);

// Owns everything of one feed. Threads: this one (waits), gRPC's, one per DoPut
// call (FeedService), the link's and the keeper's (asks what may be dropped).
class FeedProcess {
 public:
  FeedProcess(const TaskEnvironment& environment, Interrupt* interrupt)
      : environment_(environment), interrupt_(interrupt) {}
  ~FeedProcess() { Stop(); }

  absl::Status Run() {
    TFD_ASSIGN_OR_RETURN(SpoolOptions options, SpoolOptionsOf(environment_));
    TFD_ASSIGN_OR_RETURN(spool_, Spool::Open(std::move(options)));
    StartKeeper();
    TFD_RETURN_IF_ERROR(StartServer());
    StartLink();
    return WaitForTheEnd();
  }

 private:
  absl::Status StartServer() {
    FeedContext context;
    context.job = environment_.job;
    context.task = environment_.task;
    context.generation = environment_.generation;
    context.spool = spool_.get();
    context.seal = [this](const v1::SealPartitionRequest& request) {
      return Seal(request);
    };
    context.make_room = [this] {
      keeper_->ReviewAll();
      const absl::Status status = keeper_->Tend(SteadyNow());
      if (!status.ok()) spdlog::warn("{}", std::string(status.message()));
    };
    context.disk = &disk_;
    service_ = std::make_unique<FeedService>(
        std::move(context), environment_.feed_token, environment_.token);
    net::ServerOptions options;
    options.max_message_bytes = kMaxMessageBytes;
    options.unix_path =
        absl::StrCat(environment_.socket_folder, "/", RandomId(), ".sock");
    TFD_ASSIGN_OR_RETURN(server_,
                         net::Server::Start(options, {service_.get()}));
    return absl::OkStatus();
  }

  void StartKeeper() {
    SpoolKeeperOptions options;
    options.job = environment_.job;
    options.generation = environment_.generation;
    options.review = [this](const v1::ReviewAttemptsRequest& request) {
      return Review(request);
    };
    options.tell = [this](const v1::SpoolNotice& notice) { Tell(notice); };
    const v1::DataSpec& data = environment_.spec.data();
    for (const auto& [name, dataset] :
         {std::make_pair("train", &data.train()),
          std::make_pair("validation", &data.validation())}) {
      if (!dataset->has_unsealed_timeout()) continue;
      options.leases[name] = absl::Milliseconds(dataset->unsealed_timeout());
    }
    keeper_ = std::make_unique<SpoolKeeper>(std::move(options), spool_.get());
    keeper_thread_ = std::thread([this] {
      bool failed = false;
      while (keeper_->Await(kTendInterval)) {
        const absl::Status status = keeper_->Tend(SteadyNow());
        if (!status.ok() && !failed) {
          spdlog::warn("{}", std::string(status.message()));
        }
        failed = !status.ok();
        // What is wanted stays so: the next try is not to be at once.
        if (failed && stopping_.WaitForNotificationWithTimeout(kTendRetry)) {
          return;
        }
      }
    });
  }

  absl::StatusOr<v1::ReviewAttemptsResponse> Review(
      const v1::ReviewAttemptsRequest& request) {
    const std::shared_ptr<CoordinatorLink> link = Link();
    if (link == nullptr) return absl::UnavailableError("not connected yet");
    return link->ReviewAttempts(request, kReviewTimeout);
  }

  void Tell(const v1::SpoolNotice& notice) {
    v1::TaskMessage message;
    *message.mutable_spool_notice() = notice;
    if (const auto link = Link()) link->Send(std::move(message));
  }

  // On the link's thread.
  void Hear(const v1::TaskCommand& command) {
    if (command.has_producer_aborted()) {
      keeper_->ReviewProducer(command.producer_aborted().dataset(),
                              command.producer_aborted().producer());
    } else if (command.has_membership()) {
      // An abort may have been missed while the link was down.
      keeper_->ReviewAll();
    }
  }

  void StartLink() {
    CoordinatorLinkOptions options;
    options.coordinator = environment_.coordinator;
    options.token = environment_.token;
    options.hello = MakeHello(environment_, RandomUint64());
    *options.hello.mutable_endpoint() = server_->endpoint();
    options.on_command = [this](const v1::TaskCommand& command) {
      Hear(command);
    };
    options.on_lost = [this](const absl::Status& status) { End(status); };
    absl::MutexLock lock(&mutex_);
    link_ = CoordinatorLink::Start(std::move(options));
  }

  // On a DoPut's thread. Asks in slices, so that a feed that is told to stop
  // does not wait for a coordinator that is away.
  absl::Status Seal(const v1::SealPartitionRequest& request) {
    const absl::Time deadline = absl::Now() + kSealTimeout;
    while (true) {
      const std::shared_ptr<CoordinatorLink> link = Link();
      if (stopping_.HasBeenNotified())
        return absl::UnavailableError("the feed is stopping");
      const absl::Status status =
          link == nullptr ? absl::DeadlineExceededError("not connected yet")
                          : link->SealPartition(request, kSealSlice);
      if (!absl::IsDeadlineExceeded(status)) return status;
      if (absl::Now() > deadline) {
        return absl::UnavailableError(absl::StrCat(
            "the coordinator has not granted the partition in ",
            tfd::FormatDuration(kSealTimeout),
            "; its rows are in the spool: try again with the same attempt (",
            std::string(status.message()), ")"));
      }
    }
  }

  std::shared_ptr<CoordinatorLink> Link() {
    absl::MutexLock lock(&mutex_);
    return link_;
  }

  absl::Status WaitForTheEnd() {
    spdlog::info("takes pushed data at {} and {}",
                 server_->endpoint().unix_path(), server_->endpoint().tcp());
    const int signal_number = interrupt_->Wait(absl::InfiniteDuration());
    if (signal_number != 0) {
      return absl::CancelledError(
          absl::StrCat("stopped by signal ", signal_number));
    }
    absl::MutexLock lock(&mutex_);
    return ended_.value_or(absl::InternalError("woken without a reason"));
  }

  // The first reason counts.
  void End(const absl::Status& status) {
    {
      absl::MutexLock lock(&mutex_);
      if (!ended_.has_value()) ended_ = status;
    }
    interrupt_->Wake();
  }

  // Calls end before what they use: service, then server, link and spool.
  void Stop() {
    stopping_.Notify();
    if (keeper_) keeper_->Stop();
    if (service_) service_->Stop();
    server_.reset();
    if (keeper_thread_.joinable()) keeper_thread_.join();
    {
      absl::MutexLock lock(&mutex_);
      link_.swap(last_link_);
    }
    last_link_.reset();
    service_.reset();
    keeper_.reset();
    spool_.reset();
  }

  const TaskEnvironment& environment_;
  Interrupt* const interrupt_;
  std::unique_ptr<Spool> spool_;
  std::unique_ptr<SpoolKeeper> keeper_;
  std::thread keeper_thread_;
  DiskAlarm disk_{DiskAlarm::Options(),
                  [this](const v1::SpoolNotice& notice) { Tell(notice); }};
  std::unique_ptr<FeedService> service_;
  std::unique_ptr<net::Server> server_;
  absl::Notification stopping_;

  absl::Mutex mutex_;
  // Shared with the calls that seal.
  std::shared_ptr<CoordinatorLink> link_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<CoordinatorLink> last_link_;
  std::optional<absl::Status> ended_ ABSL_GUARDED_BY(mutex_);
};

void AddDataset(const v1::JobSpec& spec, const char* name,
                const v1::DatasetSpec& dataset, SpoolOptions* options,
                absl::Status* status) {
  if (dataset.format() != v1::DatasetSpec::PUSHED) return;
  auto columns = ColumnsOf(dataset);
  if (!columns.ok()) {
    *status = Annotate(columns.status(), absl::StrCat("data.", name));
    return;
  }
  SpoolDataset& added = options->datasets[name];
  added.columns = *std::move(columns);
  added.classes = spec.model().classes();
  added.spool_bytes = dataset.spool_bytes();
  // As the coordinator retires segments.
  added.drains =
      absl::string_view(name) == "train" && spec::GrowsAndIsReadOnce(spec);
}

}  // namespace

absl::StatusOr<SpoolOptions> SpoolOptionsOf(
    const TaskEnvironment& environment) {
  SpoolOptions options;
  options.folder = environment.spool_folder;
  options.boot_id = net::HostId();
  absl::Status status;
  const v1::DataSpec& data = environment.spec.data();
  AddDataset(environment.spec, "train", data.train(), &options, &status);
  AddDataset(environment.spec, "validation", data.validation(), &options,
             &status);
  TFD_RETURN_IF_ERROR(status);
  if (options.datasets.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("job ", environment.job,
                     " has no pushed dataset (format: pushed), so that there "
                     "is nothing to feed"));
  }
  return options;
}

absl::Status RunFeed(const TaskEnvironment& environment, Interrupt* interrupt) {
  FeedProcess process(environment, interrupt);
  absl::Status status = process.Run();
  const int code =
      absl::IsCancelled(status) ? kTerminatedExitCode : TaskExitCode(status);
  if (!absl::IsCancelled(status)) {
    WriteExitFile(environment.exit_file, status);
  }
  // A disk that hangs must not keep the process: what was acknowledged is in
  // the spool.
  std::thread([code] {
    absl::SleepFor(kStopTimeout);
    _exit(code);
  }).detach();
  return status;
}

int RunFeedTask(Interrupt* interrupt) {
  const absl::StatusOr<TaskEnvironment> environment = ReadTaskEnvironment();
  if (!environment.ok()) {
    spdlog::error("{}", std::string(environment.status().message()));
    return 1;
  }
  LogOptions log;
  log.name = absl::StrCat("job ", environment->job, " ", environment->task);
  // A file that cannot grow is a disk that is full, and no reason to die.
  signal(SIGXFSZ, SIG_IGN);
  absl::Status status = InitLogging(log);
  if (status.ok()) status = RunFeed(*environment, interrupt);
  if (absl::IsCancelled(status)) return kTerminatedExitCode;
  if (!status.ok()) {
    spdlog::error("{}", std::string(status.message()));
    return TaskExitCode(status);
  }
  return 0;
}

}  // namespace tfd::data
