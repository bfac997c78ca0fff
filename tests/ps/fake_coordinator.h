// A coordinator that does what a test says (TaskLink alone), and tfd-ps
// processes that attach to it.
#ifndef TFD_TESTS_PS_FAKE_COORDINATOR_H_
#define TFD_TESTS_PS_FAKE_COORDINATOR_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/sync_stream.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/child_process.h"
#include "common/fs/file_system.h"
#include "common/net/server.h"
#include "common/status.h"
#include "common/task/environment.h"
#include "tfd/v1/task.grpc.pb.h"

namespace tfd::ps {

// Thread-safe.
class FakeCoordinator final : public v1::TaskLink::Service {
 public:
  static constexpr absl::Duration kTimeout = absl::Seconds(30);
  using Stream = grpc::ServerReaderWriter<v1::TaskCommand, v1::TaskMessage>;

  explicit FakeCoordinator(const std::string& socket) {
    net::ServerOptions options;
    options.tcp = "";
    options.unix_path = socket;
    absl::StatusOr<std::unique_ptr<net::Server>> server =
        net::Server::Start(options, {this});
    if (server.ok()) server_ = *std::move(server);
    address_ = "unix:" + socket;
  }
  ~FakeCoordinator() override { server_ = nullptr; }

  const std::string& address() const { return address_; }

  // From now on a task of another generation is refused.
  void Refuse(const std::string& why) {
    absl::MutexLock lock(&mutex_);
    refusal_ = why;
  }

  // The hello of a task, once it is there.
  std::optional<v1::TaskHello> WaitHello(const std::string& task) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&] {
      mutex_.AssertReaderHeld();
      return tasks_.count(task) > 0;
    };
    if (!mutex_.AwaitWithTimeout(absl::Condition(&there), kTimeout)) {
      return std::nullopt;
    }
    return tasks_[task].hello;
  }

  void Send(const std::string& task, const v1::TaskCommand& command) {
    absl::MutexLock lock(&mutex_);
    if (tasks_.count(task) > 0) tasks_[task].stream->Write(command);
  }

  // The first message (of any task) that `wanted` takes, removed.
  std::optional<v1::TaskMessage> WaitMessage(
      const std::function<bool(const v1::TaskMessage&)>& wanted) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&] {
      mutex_.AssertReaderHeld();
      return std::any_of(messages_.begin(), messages_.end(), wanted);
    };
    if (!mutex_.AwaitWithTimeout(absl::Condition(&there), kTimeout)) {
      return std::nullopt;
    }
    const auto it = std::find_if(messages_.begin(), messages_.end(), wanted);
    v1::TaskMessage found = *it;
    messages_.erase(it);
    return found;
  }

  grpc::Status Attach(grpc::ServerContext*, Stream* stream) override {
    v1::TaskMessage message;
    if (!stream->Read(&message) || !message.has_hello()) {
      return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "no hello");
    }
    const std::string task = message.hello().task();
    v1::TaskCommand welcome;
    welcome.mutable_welcome()->set_heartbeat_interval_ms(1000);
    welcome.mutable_welcome()->set_patience_ms(60000);
    {
      absl::MutexLock lock(&mutex_);
      if (!refusal_.empty()) {
        return grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, refusal_);
      }
      stream->Write(welcome);
      tasks_[task] = {message.hello(), stream};
    }
    while (stream->Read(&message)) {
      if (message.has_heartbeat()) continue;
      absl::MutexLock lock(&mutex_);
      messages_.push_back(message);
    }
    absl::MutexLock lock(&mutex_);
    const auto it = tasks_.find(task);
    if (it != tasks_.end() && it->second.stream == stream) tasks_.erase(it);
    return grpc::Status::OK;
  }

 private:
  struct Task {
    v1::TaskHello hello;
    Stream* stream;
  };

  std::string address_;
  absl::Mutex mutex_;
  std::map<std::string, Task> tasks_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::TaskMessage> messages_ ABSL_GUARDED_BY(mutex_);
  std::string refusal_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<net::Server> server_;
};

// A tfd-ps process of job "j", and its files in `folder`.
class PsTask {
 public:
  PsTask(std::string folder, int number, uint64_t generation)
      : folder_(std::move(folder)), number_(number), generation_(generation) {}

  std::string name() const { return absl::StrCat("ps/", number_); }
  std::string exit_file() const { return Path("exit"); }
  std::string log() const { return Path("log"); }
  ChildProcess& process() { return *process_; }

  absl::Status Start(const std::string& coordinator, const v1::JobSpec& spec,
                     const std::string& token) {
    FileSystem& files = *LocalFileSystem();
    TFD_RETURN_IF_ERROR(WriteFileAtomically(files, Path("token"), token));
    TFD_RETURN_IF_ERROR(
        WriteFileAtomically(files, Path("spec"), spec.SerializeAsString()));
    ChildOptions options;
    // bin and tests are siblings.
    TFD_ASSIGN_OR_RETURN(const std::string here, ProgramFolder());
    options.command = {std::filesystem::path(here).parent_path().string() +
                       "/bin/tfd-ps"};
    options.environment = {{kCoordinatorVariable, coordinator},
                           {kJobVariable, "j"},
                           {kTaskVariable, name()},
                           {kGenerationVariable, absl::StrCat(generation_)},
                           {kTokenFileVariable, Path("token")},
                           {kSpecFileVariable, Path("spec")},
                           {kExitFileVariable, exit_file()},
                           {kSocketFolderVariable, folder_}};
    options.stderr_path = log();
    options.dies_with_parent = true;
    TFD_ASSIGN_OR_RETURN(process_, ChildProcess::Start(options));
    return absl::OkStatus();
  }

 private:
  std::string Path(const std::string& what) const {
    return absl::StrCat(folder_, "/ps", number_, "-g", generation_, ".", what);
  }

  const std::string folder_;
  const int number_;
  const uint64_t generation_;
  std::optional<ChildProcess> process_;
};

}  // namespace tfd::ps

#endif  // TFD_TESTS_PS_FAKE_COORDINATOR_H_
