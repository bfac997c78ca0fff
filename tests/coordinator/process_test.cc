// The program itself: started, killed, started again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/child_process.h"
#include "common/net/channel.h"
#include "common/status.h"
#include "common/testing/temp_folder.h"
#include "tests/coordinator/testing/cluster.h"

namespace tfd::coordinator {
namespace {

using ::testing::HasSubstr;
using tfd::testing::TempFolder;

constexpr absl::Duration kPatience = testing::kPatience;

std::string Program() {
  const absl::StatusOr<std::string> folder = ProgramFolder();
  EXPECT_TRUE(folder.ok()) << folder.status();
  return *folder + "/../bin/tfd-coordinator";
}

class Process : public ::testing::Test {
 protected:
  // Starts it and waits until its address file is there.
  void Start() {
    std::filesystem::remove(folder_ / "address");
    ChildOptions options;
    options.command = {Program(),           "--state-dir",
                       folder_ / "state",   "--listen",
                       "127.0.0.1:0",       "--unix",
                       folder_ / "s",       "--address-file",
                       folder_ / "address", "--dies-with-parent"};
    options.stderr_path = folder_ / "log";
    absl::StatusOr<ChildProcess> child = ChildProcess::Start(options);
    ASSERT_TRUE(child.ok()) << child.status();
    child_.emplace(*std::move(child));
    const absl::Time deadline = absl::Now() + kPatience;
    while (!std::filesystem::exists(folder_ / "address")) {
      // It ends early only if something is wrong; then its log says what.
      const absl::StatusOr<ChildExit> exit =
          child_->Wait(absl::Milliseconds(2));
      ASSERT_FALSE(exit.ok()) << exit->ToString() << Log();
      ASSERT_LT(absl::Now(), deadline) << Log();
    }
  }
  std::string Log() {
    std::ifstream file(folder_ / "log");
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::vector<std::string> Address() {
    std::ifstream file(folder_ / "address");
    std::vector<std::string> lines;
    std::string line;
    while (std::getline(file, line)) lines.push_back(line);
    return lines;
  }
  absl::StatusOr<v1::Job> Call(bool submit) {
    grpc::ClientContext context;
    net::SetTimeout(context, kPatience);
    context.set_wait_for_ready(true);
    net::DialOptions dial;
    dial.own_connection = true;
    const auto stub =
        v1::Coordinator::NewStub(net::Dial(Address().at(1), dial));
    v1::Job job;
    grpc::Status status;
    if (submit) {
      v1::SubmitJobRequest request;
      request.set_id("j");
      *request.mutable_spec() = testing::Spec(1, 0);
      status = stub->SubmitJob(&context, request, &job);
    } else {
      v1::GetJobRequest request;
      request.set_id("j");
      status = stub->GetJob(&context, request, &job);
    }
    if (!status.ok()) return FromGrpc(status);
    return job;
  }

  TempFolder folder_;
  std::optional<ChildProcess> child_;
};

TEST_F(Process, SaysWhereItIsAndStopsInOrder) {
  Start();
  ASSERT_EQ(Address().size(), 2u);
  EXPECT_EQ(Address()[0], "unix:" + (folder_ / "s"));
  EXPECT_THAT(Address()[1], HasSubstr("127.0.0.1:"));
  ASSERT_TRUE(child_->Signal(SIGTERM).ok());
  const absl::StatusOr<ChildExit> exit = child_->Wait(kPatience);
  ASSERT_TRUE(exit.ok()) << exit.status();
  EXPECT_TRUE(exit->ok()) << exit->ToString();
}

TEST_F(Process, AnAcknowledgedJobSurvivesAKill) {
  Start();
  const absl::StatusOr<v1::Job> submitted = Call(/*submit=*/true);
  ASSERT_TRUE(submitted.ok()) << submitted.status();
  ASSERT_TRUE(child_->Signal(SIGKILL).ok());
  ASSERT_TRUE(child_->Wait(kPatience).ok());
  Start();
  const absl::StatusOr<v1::Job> job = Call(/*submit=*/false);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->state(), v1::QUEUED);
  EXPECT_EQ(job->submitted_at().seconds(), submitted->submitted_at().seconds());
  // Submitted again it is the same one.
  ASSERT_TRUE(Call(/*submit=*/true).ok());
}

TEST_F(Process, AFolderInUseIsRefusedWithTheOthersPid) {
  Start();
  const absl::StatusOr<RunResult> second = RunToEnd(
      {Program(), "--state-dir", folder_ / "state", "--listen", "127.0.0.1:0"},
      "", kPatience);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->exit.code, 2);
  EXPECT_THAT(second->errors, HasSubstr(absl::StrCat("pid ", child_->pid())));
}

TEST_F(Process, ATakenPortIsNamed) {
  Start();
  const absl::StatusOr<RunResult> second =
      RunToEnd({Program(), "--state-dir", folder_ / "other", "--listen",
                Address().at(1)},
               "", kPatience);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->exit.code, 2);
  EXPECT_THAT(second->errors, HasSubstr(Address().at(1)));
}

TEST_F(Process, BadFlagsAreExplained) {
  for (const std::vector<std::string>& flags :
       std::vector<std::vector<std::string>>{
           {"--lease", "soon"}, {"--lease", "1s"}, {"--nonsense"}, {}}) {
    std::vector<std::string> command = {Program()};
    if (!flags.empty()) {
      command.insert(command.end(), {"--state-dir", folder_ / "other"});
    }
    command.insert(command.end(), flags.begin(), flags.end());
    const absl::StatusOr<RunResult> result = RunToEnd(command, "", kPatience);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->exit.code, 2) << result->errors;
    EXPECT_THAT(result->errors, HasSubstr("--"));
  }
}

}  // namespace
}  // namespace tfd::coordinator
