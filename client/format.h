// Jobs, tasks, nodes and events as people read them. Pure: message in, text
// out.
#ifndef TFD_CLIENT_FORMAT_H_
#define TFD_CLIENT_FORMAT_H_

#include <google/protobuf/message.h>

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tfd/v1/job.pb.h"

namespace tfd::client {

// Rows of cells under a header, in columns as wide as they need; lines end
// before column 100, the last cell being cut with "…" where it has to be.
class Table {
 public:
  explicit Table(std::vector<std::string> header);
  void Add(std::vector<std::string> row);
  std::string ToString() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// "RUNNING", without the prefixes of enum values.
std::string StateName(v1::JobState state);
std::string StateName(v1::TaskState state);
bool HasEnded(v1::JobState state);

// The tables of tfd jobs, tfd nodes; one job in full for tfd job.
std::string FormatJobs(const std::vector<v1::Job>& jobs, absl::Time now);
std::string FormatNodes(const std::vector<v1::Node>& nodes);
std::string FormatJob(const v1::Job& job, absl::Time now);
// "11:02:03  worker/0  TaskRunning  …".
std::string FormatEvent(const v1::Event& event);

// Why a job failed: the first failing task, its cause, its last lines.
std::string FormatCause(const v1::Job& job);
// "exit code 1", "killed by SIGKILL", "could not be started".
std::string FormatExit(const v1::ExitCause& exit);

// One line on how far a job is, at most `columns` long; `now` for the time
// left.
std::string FormatProgress(const v1::Job& job, absl::Time now, int columns);

// What `tfd run` says at the end: accuracy, time, where things are.
std::string FormatSummary(const v1::Job& job, const std::string& log_folder);

// The protobuf JSON mapping, with the names of the .proto.
std::string ToJson(const google::protobuf::Message& message);

}  // namespace tfd::client

#endif  // TFD_CLIENT_FORMAT_H_
