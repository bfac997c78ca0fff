#include "worker/check.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "common/testing/temp_folder.h"
#include "tests/worker/worker_testing.h"

namespace tfd::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CheckTest : public ::testing::Test {
 protected:
  CheckTest() : spec_(TestJob(folder_.path(), v1::ModelSpec::CNN, 100)) {
    WriteQuarters(folder_ / "train-images", folder_ / "train-labels", 90);
    WriteQuarters(folder_ / "validation-images", folder_ / "validation-labels",
                  30);
  }
  const testing::TempFolder folder_;
  v1::JobSpec spec_;
};

TEST_F(CheckTest, AGoodJobHasNoProblemsAndItsNumbers) {
  spec_.mutable_tasks()->mutable_worker()->set_count(2);
  const CheckResult result = CheckJob(spec_);
  EXPECT_THAT(result.problems, IsEmpty());
  EXPECT_EQ(result.records, 90);
  EXPECT_EQ(result.validation_records, 30);
  EXPECT_EQ(result.steps_per_epoch, 3);
  EXPECT_EQ(result.total_steps, 100);
  EXPECT_EQ(result.global_batch_size, 40);
  EXPECT_GT(result.parameters, 0);
  EXPECT_THAT(result.ToJson(), HasSubstr("\"total_steps\":100"));
}

TEST_F(CheckTest, EverythingThatIsWrongIsSaidAtOnce) {
  spec_.mutable_data()->mutable_validation()->set_labels(folder_ / "no-such");
  spec_.mutable_model()->set_classes(3);
  const CheckResult result = CheckJob(spec_);
  EXPECT_THAT(
      result.problems,
      ElementsAre(AllOf(HasSubstr("data.train"), HasSubstr("label")),
                  AllOf(HasSubstr("data.validation"), HasSubstr("no-such"))));
}

TEST_F(CheckTest, ATruncatedFileIsNamed) {
  std::filesystem::resize_file(folder_ / "train-images", 1000);
  EXPECT_THAT(CheckJob(spec_).problems,
              ElementsAre(AllOf(HasSubstr("train-images"), HasSubstr("90"))));
}

TEST_F(CheckTest, AModelThatCannotTakeTheDataIsNamed) {
  *spec_.mutable_model() = TestModel(v1::ModelSpec::LENET);
  EXPECT_THAT(CheckJob(spec_).problems,
              ElementsAre(AllOf(HasSubstr("lenet"), HasSubstr("[1, 8, 8]"))));
}

TEST_F(CheckTest, ValidationRecordsOfAnotherSizeAreNamed) {
  data::WriteImages(folder_ / "validation-images",
                    folder_ / "validation-labels", 3);
  spec_.mutable_model()->set_classes(10);
  EXPECT_THAT(
      CheckJob(spec_).problems,
      ElementsAre(AllOf(HasSubstr("data.validation"), HasSubstr("[2, 3]"))));
}

TEST_F(CheckTest, PushedDataIsLeftToTheJob) {
  v1::DatasetSpec& train = *spec_.mutable_data()->mutable_train();
  train.Clear();
  train.set_format(v1::DatasetSpec::PUSHED);
  train.set_batch_size(20);
  const CheckResult result = CheckJob(spec_);
  EXPECT_THAT(result.problems, IsEmpty());
  EXPECT_EQ(result.records, 0);
  EXPECT_EQ(result.total_steps, 0);
}

TEST_F(CheckTest, ASpecIsReadFromJsonAndFromBytes) {
  std::string json;
  ASSERT_TRUE(google::protobuf::util::MessageToJsonString(spec_, &json).ok());
  EXPECT_EQ(Must(ParseJobSpec("\n " + json)).SerializeAsString(),
            spec_.SerializeAsString());
  EXPECT_EQ(Must(ParseJobSpec(spec_.SerializeAsString())).SerializeAsString(),
            spec_.SerializeAsString());
  EXPECT_FALSE(ParseJobSpec("{\"nam\": 1}").ok());
  EXPECT_FALSE(ParseJobSpec("").ok());
}

}  // namespace
}  // namespace tfd::worker
