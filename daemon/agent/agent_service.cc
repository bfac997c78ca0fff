#include "daemon/agent/agent_service.h"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/net/server.h"
#include "common/status.h"
#include "daemon/agent/log_reader.h"

namespace tfd::agent {
namespace {

// How much later than written a follower may see a line.
constexpr absl::Duration kFollowInterval = absl::Milliseconds(100);
constexpr size_t kMaxMessageBytes = 256 << 10;

// One of a task's two logs on its way to a reader.
struct LogStream {
  v1::LogLines::Stream stream;
  LogReader reader;
};

enum class Sent { kNothing, kSome, kReaderGone };

// At most one message, so that neither stream starves the other.
Sent SendSome(LogStream& log, const std::string& task, bool finished,
              grpc::ServerWriter<v1::LogLines>& writer) {
  std::string text = log.reader.Read(kMaxMessageBytes, finished);
  if (text.empty()) return Sent::kNothing;
  v1::LogLines lines;
  lines.set_task(task);
  lines.set_stream(log.stream);
  lines.set_text(std::move(text));
  return writer.Write(lines) ? Sent::kSome : Sent::kReaderGone;
}

}  // namespace

AgentService::AgentService(AgentServiceOptions options)
    : options_(std::move(options)) {}

void AgentService::Stop() {
  if (!stopped_.HasBeenNotified()) stopped_.Notify();
}

grpc::Status AgentService::ReadTaskLogs(
    grpc::ServerContext* context, const v1::ReadTaskLogsRequest* request,
    grpc::ServerWriter<v1::LogLines>* writer) {
  if (absl::Status status = net::CheckToken(*context, options_.token);
      !status.ok()) {
    return ToGrpc(status);
  }
  const absl::StatusOr<TaskKey> key =
      ParseTaskKey(request->job(), request->task(), /*generation=*/0);
  if (!key.ok()) return ToGrpc(key.status());
  const absl::StatusOr<UniqueDescriptor> folder =
      OpenLogFolder(options_.log_folder, *key);
  if (!folder.ok()) {
    return ToGrpc(absl::NotFoundError(
        absl::StrCat("no logs of ", key->job, " ", key->Task(),
                     " on this node: ", folder.status().message())));
  }
  LogStream logs[] = {
      {v1::LogLines::STDOUT, LogReader(folder->get(), "stdout.log")},
      {v1::LogLines::STDERR, LogReader(folder->get(), "stderr.log")},
  };
  for (LogStream& log : logs) {
    if (request->tail() > 0) log.reader.SeekToTail(request->tail());
  }
  while (!context->IsCancelled()) {
    // Asked before reading: what a task wrote before its end is then read.
    const bool follow = request->follow() && options_.is_alive(*key);
    bool some = true;
    while (some) {
      some = false;
      for (LogStream& log : logs) {
        const Sent sent =
            SendSome(log, request->task(), /*finished=*/!follow, *writer);
        if (sent == Sent::kReaderGone) return grpc::Status::CANCELLED;
        some = some || sent == Sent::kSome;
      }
    }
    if (!follow) return grpc::Status::OK;
    if (stopped_.WaitForNotificationWithTimeout(kFollowInterval)) {
      return ToGrpc(absl::UnavailableError(
          "the agent ends; its tasks and their logs stay"));
    }
  }
  return grpc::Status::CANCELLED;
}

}  // namespace tfd::agent
