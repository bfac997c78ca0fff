#include "common/spec/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tfd/v1/job_spec.pb.h"

namespace tfd::spec {
namespace {

using ::testing::HasSubstr;

FieldSuggestion AtRoot(absl::string_view name) {
  return SuggestField(v1::JobSpec::descriptor(), v1::JobSpec::descriptor(), "",
                      name);
}

FieldSuggestion InOptimizer(absl::string_view name) {
  return SuggestField(v1::JobSpec::descriptor(),
                      v1::OptimizerSpec::descriptor(), "optimizer", name);
}

TEST(SuggestFieldTest, FindsTyposShortFormsAndLongForms) {
  EXPECT_EQ(InOptimizer("momentun").path, "optimizer.momentum");
  EXPECT_EQ(InOptimizer("learning_rate").path, "optimizer.lr");
  EXPECT_EQ(InOptimizer("schedule_name").path, "optimizer.schedule");
  EXPECT_EQ(AtRoot("Name").path, "name");
  EXPECT_EQ(AtRoot("task").path, "tasks");
}

TEST(SuggestFieldTest, FindsTheSameNameAtAnotherLevel) {
  EXPECT_EQ(AtRoot("epochs").path, "stop.epochs");
  EXPECT_EQ(AtRoot("batch_size").path, "data.train.batch_size");
  EXPECT_EQ(InOptimizer("seed").path, "seed");
}

TEST(SuggestFieldTest, ANameThatIsEverywhereIsNoHint) {
  const FieldSuggestion suggestion = SuggestField(
      v1::JobSpec::descriptor(), v1::ModelSpec::descriptor(), "model", "name");
  EXPECT_EQ(suggestion.path, "");
  EXPECT_THAT(suggestion.text, HasSubstr("there is builtin, torchscript"));
}

TEST(SuggestFieldTest, ShortNamesAreNotNearEverything) {
  EXPECT_EQ(InOptimizer("xx").path, "");
  EXPECT_EQ(AtRoot("zzz").path, "");
  EXPECT_EQ(AtRoot(std::string(100000, 'n')).path, "");
}

}  // namespace
}  // namespace tfd::spec
