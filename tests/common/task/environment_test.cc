#include "common/task/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "common/testing/temp_folder.h"

namespace tfd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class TaskEnvironmentTest : public ::testing::Test {
 protected:
  TaskEnvironmentTest() {
    v1::JobSpec spec;
    spec.set_name("mnist");
    spec.mutable_tasks()->mutable_worker()->set_cpus(2.5);
    spec.mutable_tasks()->mutable_evaluator()->set_cpus(0.5);
    std::ofstream(folder_ / "spec.pb") << spec.SerializeAsString();
    std::ofstream(folder_ / "token") << "secret\n";
    std::ofstream(folder_ / "feed_token") << "push";
    variables_ = {{kCoordinatorVariable, "unix:/run/c.sock"},
                  {kJobVariable, "mnist-x1"},
                  {kTaskVariable, "worker/3"},
                  {kGenerationVariable, "2"},
                  {kTokenFileVariable, folder_ / "token"},
                  {kSpecFileVariable, folder_ / "spec.pb"},
                  {kExitFileVariable, folder_ / "exit"},
                  {kSocketFolderVariable, "/tmp/s"}};
  }

  std::string ErrorOf() {
    const auto result = ParseTaskEnvironment(variables_);
    EXPECT_TRUE(absl::IsInvalidArgument(result.status())) << result.status();
    return std::string(result.status().message());
  }

  testing::TempFolder folder_;
  std::map<std::string, std::string> variables_;
};

TEST_F(TaskEnvironmentTest, IsReadWithItsFiles) {
  const auto environment = ParseTaskEnvironment(variables_);
  ASSERT_TRUE(environment.ok()) << environment.status();
  EXPECT_EQ(environment->coordinator, "unix:/run/c.sock");
  EXPECT_EQ(environment->job, "mnist-x1");
  EXPECT_EQ(environment->role, "worker");
  EXPECT_EQ(environment->number, 3);
  EXPECT_EQ(environment->generation, 2u);
  EXPECT_EQ(environment->token, "secret");
  EXPECT_EQ(environment->spec.name(), "mnist");
  EXPECT_EQ(environment->exit_file, folder_ / "exit");
  EXPECT_EQ(environment->socket_folder, "/tmp/s");
}

TEST_F(TaskEnvironmentTest, ComesFromTheProcessEnvironment) {
  for (const auto& [name, value] : variables_) {
    setenv(name.c_str(), value.c_str(), 1);
  }
  const auto environment = ReadTaskEnvironment();
  for (const auto& [name, value] : variables_) unsetenv(name.c_str());
  ASSERT_TRUE(environment.ok()) << environment.status();
  EXPECT_EQ(environment->task, "worker/3");
  EXPECT_TRUE(absl::IsInvalidArgument(ReadTaskEnvironment().status()));
}

TEST_F(TaskEnvironmentTest, AMissingVariableIsNamedWithWhatToDo) {
  for (const auto& [name, value] : std::map(variables_)) {
    variables_.erase(name);
    EXPECT_THAT(ErrorOf(), AllOf(HasSubstr(name), HasSubstr("not set"),
                                 HasSubstr("tfd run")));
    variables_[name] = value;
  }
}

TEST_F(TaskEnvironmentTest, AWrongValueIsShown) {
  for (const char* task :
       {"worker", "chief/0", "worker/x", "worker/-1", "/0"}) {
    variables_[kTaskVariable] = task;
    EXPECT_THAT(ErrorOf(), AllOf(HasSubstr(kTaskVariable), HasSubstr(task)));
  }
  variables_[kTaskVariable] = "worker/0";
  variables_[kGenerationVariable] = "newest";
  EXPECT_THAT(ErrorOf(), HasSubstr("newest"));
}

TEST_F(TaskEnvironmentTest, AMissingOrWrongFileIsNamed) {
  variables_[kSpecFileVariable] = folder_ / "nothing.pb";
  EXPECT_THAT(ErrorOf(),
              AllOf(HasSubstr(kSpecFileVariable), HasSubstr("nothing.pb")));
  variables_[kSpecFileVariable] = folder_ / "token";
  EXPECT_THAT(ErrorOf(), HasSubstr("no serialized JobSpec"));
  variables_[kSpecFileVariable] = folder_ / "spec.pb";
  std::ofstream(folder_ / "token") << "\n";
  EXPECT_THAT(ErrorOf(),
              AllOf(HasSubstr(kTokenFileVariable), HasSubstr("is empty")));
}

TEST_F(TaskEnvironmentTest, AFeedHasATokenAndASpoolOfItsOwn) {
  variables_[kTaskVariable] = "feed/0";
  EXPECT_THAT(ErrorOf(), HasSubstr(kFeedTokenFileVariable));
  variables_[kFeedTokenFileVariable] = folder_ / "feed_token";
  EXPECT_THAT(ErrorOf(), HasSubstr(kSpoolFolderVariable));
  variables_[kSpoolFolderVariable] = "/var/spool";
  const auto environment = ParseTaskEnvironment(variables_);
  ASSERT_TRUE(environment.ok()) << environment.status();
  EXPECT_EQ(environment->feed_token, "push");
  EXPECT_EQ(environment->spool_folder, "/var/spool");
}

TEST_F(TaskEnvironmentTest, AWorkerThatServesIsNotOpenToAll) {
  v1::JobSpec spec;
  spec.mutable_predict()->set_model("/m");
  std::ofstream(folder_ / "spec.pb") << spec.SerializeAsString();
  EXPECT_THAT(ErrorOf(), HasSubstr(kFeedTokenFileVariable));
  variables_[kFeedTokenFileVariable] = folder_ / "feed_token";
  EXPECT_EQ(ParseTaskEnvironment(variables_)->feed_token, "push");
  // Files have no callers.
  spec.mutable_predict()->mutable_input();
  std::ofstream(folder_ / "spec.pb") << spec.SerializeAsString();
  EXPECT_EQ(ParseTaskEnvironment(variables_)->feed_token, "");
}

TEST_F(TaskEnvironmentTest, ThreadsAreTheRolesCpusAndAtLeastOne) {
  TaskEnvironment environment = *ParseTaskEnvironment(variables_);
  EXPECT_EQ(environment.Threads(), 2);
  environment.role = "evaluator";
  EXPECT_EQ(environment.Threads(), 1);
  environment.role = "feed";
  EXPECT_EQ(environment.Threads(), 1);
}

TEST_F(TaskEnvironmentTest, TheExitFileHoldsWhatWasWrong) {
  const std::string path = folder_ / "exit";
  EXPECT_EQ(ReadExitFile(path), "");
  WriteExitFile(path, absl::OkStatus());
  EXPECT_EQ(ReadExitFile(path), "");
  WriteExitFile(path, absl::NotFoundError("/data/x does not exist"));
  EXPECT_EQ(ReadExitFile(path), "/data/x does not exist");
}

TEST_F(TaskEnvironmentTest, AnExitFileThatCannotBeWrittenIsNoCrash) {
  WriteExitFile("/no/such/folder/exit", absl::InternalError("x"));
  EXPECT_EQ(ReadExitFile("/no/such/folder/exit"), "");
  EXPECT_EQ(ReadExitFile(folder_.path()), "");
}

}  // namespace
}  // namespace tfd
