#include "common/spec/job_spec.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <fstream>

#include "common/testing/temp_folder.h"
#include "tests/common/spec/spec_testing.h"

namespace tfd::spec {
namespace {

using ::google::protobuf::util::MessageDifferencer;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class LoadJobSpecTest : public ::testing::Test {
 protected:
  LoadJobSpecTest() {
    options_.path = folder_ / "job.yaml";
    options_.work_folder = "/work-folder";
    options_.variables = {{"HOME", "/home/ada"}};
  }

  absl::StatusOr<v1::JobSpec> Load(const std::string& text) {
    std::ofstream(options_.path) << text;
    return LoadJobSpec(options_);
  }
  std::string Error(const std::string& text) {
    return std::string(Load(text).status().message());
  }

  testing::TempFolder folder_;
  LoadOptions options_;
};

TEST_F(LoadJobSpecTest, FillsDefaultsAndMakesPathsAbsolute) {
  absl::StatusOr<v1::JobSpec> spec = Load(R"(
name: a
model: lenet
data:
  train: {format: idx, features: x, labels: ../y, batch_size: 4}
  validation: {format: csv, path: ~/v.csv, columns: {label: c}}
stop: {steps: 1}
storage: runs/a
)");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->data().train().features(), folder_ / "x");
  EXPECT_EQ(spec->data().train().labels(),
            std::filesystem::path(folder_.path()).parent_path() / "y");
  EXPECT_EQ(spec->data().validation().path(), "/home/ada/v.csv");
  EXPECT_EQ(spec->storage().uri(), "/work-folder/runs/a");
  EXPECT_EQ(spec->loss().name(), v1::LossSpec::CROSS_ENTROPY);
  EXPECT_EQ(spec->optimizer().lr(), 0.01);
  EXPECT_TRUE(spec->optimizer().has_momentum());
  EXPECT_FALSE(spec->optimizer().has_beta1());
  EXPECT_EQ(spec->optimizer().schedule().name(), v1::ScheduleSpec::CONSTANT);
  EXPECT_EQ(spec->model().classes(), 10);
  EXPECT_EQ(spec->tasks().ps().count(), 1);
  EXPECT_EQ(spec->tasks().worker().count(), 1);
  EXPECT_EQ(spec->tasks().worker().cpus(), 1);
  EXPECT_EQ(spec->tasks().worker().memory(), 512u << 20);
  EXPECT_FALSE(spec->tasks().has_evaluator());
  EXPECT_TRUE(spec->data().train().shuffle());
  EXPECT_FALSE(spec->data().validation().shuffle());
  EXPECT_EQ(spec->data().validation().batch_size(), 256);
  EXPECT_FALSE(spec->data().train().has_producers());
  EXPECT_EQ(spec->checkpoint().every_steps(), 500);
  EXPECT_EQ(spec->exchange().chunk_bytes(), 1u << 20);
  EXPECT_EQ(spec->seed(), 1);
  EXPECT_THAT(RolesOf(*spec),
              ElementsAre(::testing::Field(&RolePlan::role, "ps"),
                          ::testing::Field(&RolePlan::role, "worker")));
  EXPECT_FALSE(HasPushedData(*spec));
}

TEST_F(LoadJobSpecTest, ADefaultNeverReplacesWhatIsWritten) {
  absl::StatusOr<v1::JobSpec> spec =
      Load(std::string(kGoodSpec) +
           "seed: 0\noptimizer: {name: adam, beta1: 0}\n"
           "checkpoint: {every_steps: 0}\ntasks: {evaluator: {count: 0}}\n");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->seed(), 0);
  EXPECT_EQ(spec->optimizer().beta1(), 0);
  EXPECT_EQ(spec->optimizer().lr(), 0.001);
  EXPECT_EQ(spec->checkpoint().every_steps(), 0);
  EXPECT_EQ(RolesOf(*spec).size(), 2);
}

TEST_F(LoadJobSpecTest, TheLearningRateOfAdamIsADefaultOnly) {
  options_.assignments = {"optimizer={name: adam, lr: 0.5}"};
  EXPECT_EQ(Load(kGoodSpec)->optimizer().lr(), 0.5);
}

TEST_F(LoadJobSpecTest, AZeroThatIsWrittenIsOutOfBoundsAndNotAbsent) {
  options_.assignments = {"data.preprocess=[{normalise: {std: 0}}]"};
  EXPECT_THAT(Error(kGoodSpec),
              HasSubstr("data.preprocess[0].normalise.std: 0 is out of bounds: "
                        "it must be more than 0"));
}

TEST_F(LoadJobSpecTest, AFolderHasOneSpelling) {
  for (const std::string storage :
       {"/runs/a", "/runs/a/", "/runs/b/../a", "//runs/./a", "../runs/a/",
        "../work-folder/../runs/a"}) {
    options_.assignments = {absl::StrCat("storage=", storage)};
    absl::StatusOr<v1::JobSpec> spec = Load(kGoodSpec);
    ASSERT_TRUE(spec.ok()) << spec.status();
    EXPECT_EQ(spec->storage().uri(), "/runs/a") << storage;
  }
}

TEST_F(LoadJobSpecTest, DefaultsAreIdempotentAndValidateAgain) {
  absl::StatusOr<v1::JobSpec> spec = Load(R"(
name: a
model: mlp
optimizer: {name: adam, schedule: one_cycle}
tasks: {worker: {count: 3}, evaluator: {}}
data:
  train: {format: pushed, columns: {features: f, label: l}, batch_size: 4}
  validation: {format: idx, features: a, labels: b}
stop: {epochs: 1}
storage: {uri: "file:///runs/a", shared: true}
)");
  ASSERT_TRUE(spec.ok()) << spec.status();
  v1::JobSpec again = *spec;
  ApplyDefaults(&again);
  EXPECT_TRUE(MessageDifferencer::Equals(again, *spec));
  EXPECT_THAT(Show(ValidateJobSpec(again, {})), ElementsAre());
  EXPECT_THAT(spec->model().hidden(), ElementsAre(256, 128));
  EXPECT_EQ(spec->data().train().producers(), 1);
  EXPECT_EQ(spec->data().train().timeout(), 3600000);
  EXPECT_EQ(spec->storage().uri(), "file:///runs/a");
  EXPECT_TRUE(HasPushedData(*spec));
  const std::vector<RolePlan> roles = RolesOf(*spec);
  ASSERT_EQ(roles.size(), 3);
  EXPECT_EQ(roles[1].count, 3);
  EXPECT_EQ(roles[2].role, "evaluator");
  EXPECT_EQ(roles[2].count, 1);
}

TEST_F(LoadJobSpecTest, TextValuesAndRelationsAreReportedTogetherInOrder) {
  EXPECT_EQ(Error(R"(name: Bad Name
model: {builtin: lenet, clases: 10}
optimizer: {lr: 5000, momentum: heavy}
data:
  train: {format: idx, features: a, batch_size: 64}
storage: gs://x
)"),
            absl::StrCat(options_.path,
                         ":1:7: name: \"Bad Name\" is not allowed: it "
                         "must be lower case letters, digits and dashes "
                         "(not first or last), 63 at most\n",
                         options_.path,
                         ":2:25: model.clases: unknown field; did you "
                         "mean classes?\n",
                         options_.path,
                         ":3:17: optimizer.lr: 5000 is out of bounds: it "
                         "must be more than 0 and at most 1000\n",
                         options_.path,
                         ":3:33: optimizer.momentum: \"heavy\" is not a "
                         "number\n",
                         options_.path,
                         ":5:3: data.train.labels: is required: text\n",
                         options_.path,
                         ":6:10: storage.uri: \"gs://x\" is not known here: "
                         "use a path (of a folder that all nodes share, "
                         "where there are several), s3://… or hdfs://…\n",
                         options_.path,
                         ": stop: is required: fields (epochs, steps, "
                         "target)"));
}

TEST_F(LoadJobSpecTest, WhatOnlyFollowsFromAnotherProblemIsNotReported) {
  // The typo in batch_size is the whole trouble; so is that in the format, the
  // model and the optimizer.
  EXPECT_THAT(Error("name: a\nmodel: {builtin: mpl, hidden: [3]}\n"
                    "optimizer: {name: adm, beta1: 0.5}\n"
                    "data: {train: {format: idxx, features: a, batchsize: 4}}\n"
                    "stop: {epochs: 1}\nstorage: s\n"),
              AllOf(HasSubstr(":2:18: model.builtin: "),
                    HasSubstr(":3:19: optimizer.name: "),
                    HasSubstr(":4:24: data.train.format: "),
                    HasSubstr(":4:43: data.train.batchsize: "),
                    ::testing::ResultOf(
                        [](const std::string& text) {
                          return std::count(text.begin(), text.end(), '\n');
                        },
                        3)));
}

TEST_F(LoadJobSpecTest, AssignmentsComeAfterTheTextAndAreNamed) {
  options_.assignments = {"optimizer.lr=0.5", "optimizer.lr=0.25"};
  EXPECT_EQ(Load(kGoodSpec)->optimizer().lr(), 0.25);
  options_.assignments = {"stop.epochs=0", "nope=1"};
  EXPECT_THAT(Error(kGoodSpec),
              AllOf(HasSubstr("--set stop.epochs=0: stop.epochs: 0 is out of "
                              "bounds: it must be at least 1"),
                    HasSubstr("--set nope=1: nope: unknown field")));
}

TEST_F(LoadJobSpecTest, AnAssignmentMendsWhatIsWrongInTheText) {
  const std::string text = std::string(kGoodSpec) + "seed: x\n";
  EXPECT_THAT(Error(text), HasSubstr("seed"));
  options_.assignments = {"seed=3"};
  absl::StatusOr<v1::JobSpec> spec = Load(text);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->seed(), 3);
}

TEST_F(LoadJobSpecTest, AFileThatIsNoSpecSaysSo) {
  EXPECT_THAT(LoadJobSpec(options_).status().message(),
              HasSubstr("does not exist"));
  EXPECT_THAT(Error(""), HasSubstr("is empty; tfd init writes"));
  EXPECT_THAT(Error("# only a comment\n\n"), HasSubstr("is empty"));
  EXPECT_THAT(Error("a: b: c"),
              AllOf(HasSubstr("not valid YAML"), Not(HasSubstr("required"))));
  EXPECT_THAT(Error("[1, 2]"),
              AllOf(HasSubstr("takes fields"), Not(HasSubstr("required"))));
  EXPECT_THAT(Error(std::string(2 << 20, 'x')),
              HasSubstr("is larger than 1048576 bytes"));
  options_.path = folder_.path();
  EXPECT_THAT(LoadJobSpec(options_).status().message(),
              HasSubstr("is a folder"));
}

TEST_F(LoadJobSpecTest, ARelativePathIsOneOfTheWorkFolder) {
  std::ofstream(options_.path) << kGoodSpec;
  options_.work_folder = folder_.path();
  options_.path = "job.yaml";
  absl::StatusOr<v1::JobSpec> spec = LoadJobSpec(options_);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->storage().uri(), folder_ / "runs/good");
}

}  // namespace
}  // namespace tfd::spec
