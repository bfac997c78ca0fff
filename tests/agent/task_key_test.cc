#include "daemon/agent/task_key.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"

namespace tfd::agent {
namespace {

TEST(TaskKeyTest, NamesItsFolders) {
  const TaskKey key = *ParseTaskKey("mnist-x1", "worker/12", 3);
  EXPECT_EQ(key.Task(), "worker/12");
  EXPECT_EQ(key.LogFolder(), "worker-12");
  EXPECT_EQ(key.StateFolder(), "worker-12-g3");
  EXPECT_EQ(key.ToString(), "mnist-x1 worker/12 (generation 3)");
}

TEST(TaskKeyTest, ReadsItsFolderBack) {
  const TaskKey key = *ParseTaskKey("mnist-x1", "worker/12", 3);
  EXPECT_EQ(*ParseFolderName("mnist-x1", key.StateFolder()), key);
}

TEST(TaskKeyTest, RefusesNamesThatLeaveTheFolder) {
  for (const char* job :
       {"", ".", "..", "../x", "a/b", ".hidden", "a b", "ä", "a\nb"}) {
    EXPECT_FALSE(ParseTaskKey(job, "worker/0", 1).ok()) << job;
  }
  EXPECT_FALSE(ParseTaskKey(std::string(101, 'a'), "worker/0", 1).ok());
  EXPECT_FALSE(ParseTaskKey(absl::string_view("a\0b", 3), "worker/0", 1).ok());
  for (const char* task :
       {"", "worker", "worker/", "/0", "../0", "worker/-1", "worker/01",
        "worker/+1", "worker/0/1", "Worker/0", "worker/1000000", "worker/x"}) {
    EXPECT_FALSE(ParseTaskKey("job", task, 1).ok()) << task;
  }
}

TEST(TaskKeyTest, RefusesFoldersThatAreNotOfTasks) {
  for (const char* folder :
       {"", "worker", "worker-0", "worker-0-g", "worker-g1", "worker-0-gx",
        "-0-g1", "worker-0-g01", "x.tmp"}) {
    EXPECT_FALSE(ParseFolderName("job", folder).ok()) << folder;
  }
}

TEST(TaskKeyTest, SaysWhatATaskIsCalled) {
  const auto key = ParseTaskKey("job", "worker:0", 1);
  EXPECT_TRUE(absl::StrContains(key.status().message(), "\"worker:0\""));
  EXPECT_TRUE(absl::StrContains(key.status().message(), "worker/0"));
}

TEST(TaskKeyTest, GenerationsAreOfTheSameTask) {
  const TaskKey one = *ParseTaskKey("job", "worker/0", 1);
  EXPECT_TRUE(one.SameTask(*ParseTaskKey("job", "worker/0", 2)));
  EXPECT_FALSE(one.SameTask(*ParseTaskKey("job", "worker/1", 1)));
  EXPECT_FALSE(one.SameTask(*ParseTaskKey("bob", "worker/0", 1)));
  EXPECT_FALSE(one.SameTask(*ParseTaskKey("job", "ps/0", 1)));
}

}  // namespace
}  // namespace tfd::agent
