#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/common/spec/spec_testing.h"

namespace tfd::spec {
namespace {

using ::testing::IsEmpty;

v1::JobSpec Spec(const std::string& text) {
  v1::JobSpec spec;
  EXPECT_THAT(Fill(text, &spec), IsEmpty());
  return spec;
}

TEST(DescribeDifferenceTest, EqualSpecsHaveNone) {
  EXPECT_EQ(DescribeDifference(Spec(kGoodSpec), Spec(kGoodSpec)), "");
}

TEST(DescribeDifferenceTest, NamesEachFieldOnALine) {
  EXPECT_EQ(
      DescribeDifference(
          Spec("name: a\noptimizer: {name: sgd, lr: 0.01}\nresume: true\n"
               "model: {hidden: [1, 2]}\ntasks: {ps: {memory: 1GiB}}\n"
               "data: {train: {columns: {label: a, x: b}, timeout: 1m}}"),
          Spec("name: b\noptimizer: {name: adam, lr: 0.1}\nseed: 0\n"
               "model: {hidden: [1]}\ntasks: {ps: {memory: 1073741825}}\n"
               "data: {train: {columns: {label: c, y: b}, timeout: 90s}}")),
      "name: \"a\" against \"b\"\n"
      "model.hidden: [1, 2] against [1]\n"
      "optimizer.name: sgd against adam\n"
      "optimizer.lr: 0.01 against 0.1\n"
      "tasks.ps.memory: 1GiB against 1073741825\n"
      "data.train.columns.label: \"a\" against \"c\"\n"
      "data.train.columns.x: \"b\" against absent\n"
      "data.train.columns.y: absent against \"b\"\n"
      "data.train.timeout: 1m against 90s\n"
      "seed: absent against 0\n"
      "resume: true against absent");
}

TEST(DescribeDifferenceTest, SeesAMessageThatIsOnlyThere) {
  EXPECT_EQ(
      DescribeDifference(Spec("tasks: {evaluator: {}}"), Spec("tasks: {}")),
      "tasks.evaluator: {} against absent");
}

}  // namespace
}  // namespace tfd::spec
