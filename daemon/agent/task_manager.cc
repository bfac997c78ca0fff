#include "daemon/agent/task_manager.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/poll.h"
#include "daemon/agent/task_folder.h"
#include "daemon/agent/task_report.h"
#include "spdlog/spdlog.h"

namespace tfd::agent {
namespace {

// Beyond the grace time a shim may need ten seconds for processes that do not
// die of SIGKILL at once; one that is silent for longer hangs.
constexpr absl::Duration kShimPatience = absl::Seconds(15);

std::vector<std::string> FoldersIn(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator it(path, error), end;
       !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it->is_directory(ignored)) names.push_back(it->path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

void LogIfBad(const absl::Status& status) {
  if (!status.ok()) spdlog::warn("{}", std::string(status.message()));
}

v1::TaskReport FailedToStart(const std::string& job, const std::string& task,
                             uint64_t generation, const absl::Status& why) {
  v1::TaskReport report;
  report.set_job(job);
  report.set_task(task);
  report.set_generation(generation);
  report.set_phase(v1::TaskReport::ENDED);
  report.set_ended_at_ms(NowMs());
  report.mutable_exit()->set_kind(v1::ExitCause::START_FAILED);
  report.mutable_exit()->set_message(std::string(why.message()));
  return report;
}

// In one line.
std::string Describe(const v1::ExitCause& exit) {
  const std::string message =
      exit.message().substr(0, exit.message().find('\n'));
  const std::string why = message.empty() ? "" : absl::StrCat(": ", message);
  switch (exit.kind()) {
    case v1::ExitCause::EXITED:
      return absl::StrCat("exit code ", exit.code(), why);
    case v1::ExitCause::SIGNALED:
      return absl::StrCat("killed by signal ", exit.signal(), why);
    default:
      return absl::StrCat("could not be started", why);
  }
}

}  // namespace

TaskManager::TaskManager(TaskManagerOptions options)
    : launcher_(std::move(options.launcher)),
      on_report_(std::move(options.on_report)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

absl::StatusOr<std::unique_ptr<TaskManager>> TaskManager::Start(
    TaskManagerOptions options) {
  auto manager =
      std::unique_ptr<TaskManager>(new TaskManager(std::move(options)));
  if (!manager->wake_.valid()) {
    return absl::ErrnoToStatus(errno, "cannot make an eventfd");
  }
  manager->Adopt();
  manager->thread_ = std::thread([raw = manager.get()] { raw->Run(); });
  return manager;
}

TaskManager::~TaskManager() {
  Leave([](Mail& mail) { mail.quit = true; });
  if (thread_.joinable()) thread_.join();
}

void TaskManager::SetCluster(const std::string& cluster_id) {
  Leave([&](Mail& mail) {
    mail.cluster = cluster_id;
    // It may be another cluster's, and this one is about to say its own.
    mail.desired.reset();
  });
}

void TaskManager::SetDesired(v1::DesiredState desired) {
  Leave([&](Mail& mail) { mail.desired = std::move(desired); });
}

absl::Status TaskManager::StopAll(absl::Duration timeout) {
  Leave([](Mail& mail) { mail.stop_all = true; });
  const absl::MutexLock lock(&mutex_);
  const auto all_ended = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return !mail_.stop_all && alive_.empty();
  };
  if (mutex_.AwaitWithTimeout(absl::Condition(&all_ended), timeout)) {
    return absl::OkStatus();
  }
  return absl::DeadlineExceededError(absl::StrCat(
      "still running after ", absl::FormatDuration(timeout), ": ",
      absl::StrJoin(alive_, ", ", [](std::string* out, const TaskKey& key) {
        out->append(key.ToString());
      })));
}

std::vector<v1::TaskReport> TaskManager::Reports() const {
  const absl::MutexLock lock(&mutex_);
  std::vector<v1::TaskReport> reports;
  for (const auto& [key, report] : reports_) reports.push_back(report);
  return reports;
}

bool TaskManager::IsAlive(const TaskKey& key) const {
  const absl::MutexLock lock(&mutex_);
  return std::any_of(alive_.begin(), alive_.end(),
                     [&](const TaskKey& alive) { return alive.SameTask(key); });
}

int TaskManager::AliveTasks() const {
  const absl::MutexLock lock(&mutex_);
  return static_cast<int>(alive_.size());
}

void TaskManager::Adopt() {
  for (const std::string& job : FoldersIn(launcher_.TasksFolder())) {
    if (!CheckJobName(job).ok()) continue;
    jobs_.insert(job);
    for (const std::string& folder :
         FoldersIn(absl::StrCat(launcher_.TasksFolder(), "/", job))) {
      const absl::StatusOr<TaskKey> key = ParseFolderName(job, folder);
      if (key.ok()) AdoptTask(*key);
    }
  }
}

void TaskManager::AdoptTask(const TaskKey& key) {
  const std::string folder = launcher_.TaskFolder(key);
  const absl::StatusOr<Launch> launch = ReadLaunch(folder);
  if (!launch.ok() || TaskProcess::VoidUnclaimed(folder)) {
    spdlog::info("{} had not been started", key.ToString());
    LogIfBad(launcher_.DeleteTask(key));
    return;
  }
  Task& task = tasks_[key];
  task.cluster = launch->cluster;
  task.process = TaskProcess::Adopt(folder);
  {
    const absl::MutexLock lock(&mutex_);
    alive_.insert(key);
  }
  if (std::optional<v1::TaskReport> report = LookAt(key, task)) {
    Publish(key, *std::move(report));
  }
  if (task.phase != TaskPhase::kEnded) {
    spdlog::info("adopted {}, pid {}", key.ToString(), task.process->pid());
  }
}

void TaskManager::Run() {
  while (TakeMail()) {
    LookAtAll();
    if (!stopping_all_) ConvergeUntilDone();
    Wait();
  }
}

bool TaskManager::TakeMail() {
  uint64_t count;
  (void)!read(wake_.get(), &count, sizeof(count));
  Mail mail;
  {
    const absl::MutexLock lock(&mutex_);
    mail = std::exchange(mail_, Mail());
    // Until its tasks are told to stop it is not taken in: see StopAll.
    mail_.stop_all = mail.stop_all;
  }
  if (mail.cluster && *mail.cluster != desired_.cluster) {
    desired_ = Desired();
    desired_.cluster = *std::move(mail.cluster);
    launches_.clear();
  }
  if (mail.desired) TakeDesired(*std::move(mail.desired));
  if (mail.stop_all) {
    stopping_all_ = true;
    for (const auto& [key, task] : tasks_) {
      if (task.phase == TaskPhase::kRunning) {
        Do(StopTask{key, "the agent ends and takes its tasks along"});
      }
    }
    const absl::MutexLock lock(&mutex_);
    mail_.stop_all = false;
  }
  return !mail.quit;
}

void TaskManager::TakeDesired(v1::DesiredState desired) {
  desired_.known = true;
  desired_.tasks.clear();
  launches_.clear();
  for (v1::TaskLaunch& launch : *desired.mutable_tasks()) {
    const absl::StatusOr<TaskKey> key =
        ParseTaskKey(launch.job(), launch.task(), launch.generation());
    if (!key.ok()) {
      spdlog::error("refused to start a task: {}",
                    std::string(key.status().message()));
      on_report_(FailedToStart(launch.job(), launch.task(), launch.generation(),
                               key.status()));
      continue;
    }
    desired_.tasks.insert(*key);
    launches_[*key] = std::move(launch);
  }
}

void TaskManager::ConvergeUntilDone() {
  while (true) {
    const std::vector<Action> actions = Converge(desired_, DescribeActual());
    if (actions.empty()) return;
    for (const Action& action : actions) {
      spdlog::info("{}", ToString(action));
      std::visit([this](const auto& one) { Do(one); }, action);
    }
  }
}

Actual TaskManager::DescribeActual() const {
  Actual actual;
  for (const auto& [key, task] : tasks_) {
    actual.tasks.push_back(ActualTask{key, task.cluster, task.phase});
  }
  actual.jobs = jobs_;
  return actual;
}

void TaskManager::Do(const StartTask& start) {
  const TaskKey& key = start.key;
  Task& task = tasks_[key];
  task.cluster = desired_.cluster;
  jobs_.insert(key.job);
  absl::StatusOr<StartedShim> shim =
      launcher_.Start(launches_.at(key), key, desired_.cluster);
  if (!shim.ok()) {
    SetFailedToStart(key, shim.status());
    return;
  }
  {
    const absl::MutexLock lock(&mutex_);
    alive_.insert(key);
  }
  task.process.emplace(launcher_.TaskFolder(key), *std::move(shim));
}

void TaskManager::Do(const StopTask& stop) {
  Task& task = tasks_.at(stop.key);
  task.phase = TaskPhase::kStopping;
  task.process->Stop(launcher_.options().grace + kShimPatience);
}

void TaskManager::Do(const DropTask& drop) {
  LogIfBad(launcher_.DeleteTask(drop.key));
  tasks_.erase(drop.key);
  const absl::MutexLock lock(&mutex_);
  reports_.erase(drop.key);
}

void TaskManager::Do(const ForgetJob& forget) {
  LogIfBad(launcher_.DeleteJob(forget.job));
  jobs_.erase(forget.job);
}

void TaskManager::Wait() const {
  std::vector<pollfd> descriptors = {{wake_.get(), POLLIN, 0}};
  absl::Time look_at = absl::InfiniteFuture();
  for (const auto& [key, task] : tasks_) {
    if (task.process) task.process->Watch(descriptors, look_at);
  }
  PollUntil(descriptors.data(), static_cast<int>(descriptors.size()), look_at);
}

void TaskManager::LookAtAll() {
  std::vector<std::pair<TaskKey, v1::TaskReport>> news;
  for (auto& [key, task] : tasks_) {
    if (std::optional<v1::TaskReport> report = LookAt(key, task)) {
      news.emplace_back(key, *std::move(report));
    }
  }
  // The first that failed is its job's cause. (One that started has ended at
  // no time yet, 0.)
  std::stable_sort(news.begin(), news.end(), [](const auto& a, const auto& b) {
    return a.second.ended_at_ms() < b.second.ended_at_ms();
  });
  for (const auto& [key, report] : news) Publish(key, report);
}

std::optional<v1::TaskReport> TaskManager::LookAt(const TaskKey& key,
                                                  Task& task) const {
  if (task.phase == TaskPhase::kEnded) return std::nullopt;
  switch (task.process->Look()) {
    case TaskProcess::State::kStarting:
      return std::nullopt;
    case TaskProcess::State::kRunning:
      if (std::exchange(task.reported, true)) return std::nullopt;
      return StartedReport(key, task.process->pid());
    case TaskProcess::State::kEnded:
      break;
  }
  task.phase = TaskPhase::kEnded;
  return EndedReport(key, task.process->pid(), task.process->exit(),
                     launcher_.TaskFolder(key), launcher_.options().log_folder);
}

void TaskManager::SetFailedToStart(const TaskKey& key,
                                   const absl::Status& why) {
  tasks_[key].phase = TaskPhase::kEnded;
  Publish(key, FailedToStart(key.job, key.Task(), key.generation, why));
}

void TaskManager::Publish(const TaskKey& key, const v1::TaskReport& report) {
  const bool ended = report.phase() == v1::TaskReport::ENDED;
  if (ended) {
    spdlog::info("{} ended: {}", key.ToString(), Describe(report.exit()));
  }
  {
    const absl::MutexLock lock(&mutex_);
    reports_[key] = report;
  }
  on_report_(report);
  if (!ended) return;
  // Last: who waits for the end of all tasks has been told of it by then.
  const absl::MutexLock lock(&mutex_);
  alive_.erase(key);
}

void TaskManager::Leave(const std::function<void(Mail&)>& write) {
  {
    const absl::MutexLock lock(&mutex_);
    write(mail_);
  }
  const uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof(one));
}

}  // namespace tfd::agent
