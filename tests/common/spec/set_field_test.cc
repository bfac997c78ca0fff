#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "tests/common/spec/spec_testing.h"

namespace tfd::spec {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

std::vector<std::string> Set(const std::string& assignment, v1::JobSpec* spec,
                             Positions* positions = nullptr) {
  return Show(SetField(assignment, {{"HOME", "/home/ada"}, {"LR", "0.5"}}, spec,
                       positions));
}

v1::JobSpec Example() {
  v1::JobSpec spec;
  EXPECT_THAT(Fill(R"(
model: {builtin: mlp, hidden: [4, 5], classes: 3}
optimizer: {name: adam, lr: 0.1}
data:
  preprocess: [{scale: 0.5}]
  train: {columns: {label: y, features: x}}
)",
                   &spec),
              IsEmpty());
  return spec;
}

TEST(SetFieldTest, ReplacesAScalar) {
  v1::JobSpec spec = Example();
  EXPECT_THAT(Set("optimizer.lr=1e-2", &spec), IsEmpty());
  EXPECT_EQ(spec.optimizer().lr(), 0.01);
  EXPECT_EQ(spec.optimizer().name(), v1::OptimizerSpec::ADAM);
  EXPECT_THAT(Set("optimizer.lr=${LR}", &spec), IsEmpty());
  EXPECT_EQ(spec.optimizer().lr(), 0.5);
}

TEST(SetFieldTest, ReplacesAWholeMessageByAMap) {
  v1::JobSpec spec = Example();
  EXPECT_THAT(Set("model={builtin: linear}", &spec), IsEmpty());
  EXPECT_EQ(spec.model().builtin(), v1::ModelSpec::LINEAR);
  EXPECT_FALSE(spec.model().has_classes());
}

TEST(SetFieldTest, AScalarForAMessageLeavesItsOtherFields) {
  v1::JobSpec spec = Example();
  EXPECT_THAT(Set("optimizer=sgd", &spec), IsEmpty());
  EXPECT_EQ(spec.optimizer().name(), v1::OptimizerSpec::SGD);
  EXPECT_EQ(spec.optimizer().lr(), 0.1);
}

TEST(SetFieldTest, ReplacesAListOrOneElementOrAppends) {
  v1::JobSpec spec = Example();
  EXPECT_THAT(Set("model.hidden[1]=7", &spec), IsEmpty());
  EXPECT_THAT(spec.model().hidden(), ElementsAre(4, 7));
  EXPECT_THAT(Set("model.hidden[2]=8", &spec), IsEmpty());
  EXPECT_THAT(spec.model().hidden(), ElementsAre(4, 7, 8));
  EXPECT_THAT(Set("model.hidden=[9]", &spec), IsEmpty());
  EXPECT_THAT(spec.model().hidden(), ElementsAre(9));
  EXPECT_THAT(Set("data.preprocess[0].scale=2", &spec), IsEmpty());
  EXPECT_EQ(spec.data().preprocess(0).scale(), 2);
  EXPECT_THAT(Set("data.preprocess[1]={normalise: {std: 3}}", &spec),
              IsEmpty());
  EXPECT_EQ(spec.data().preprocess(1).normalise().std(), 3);
}

TEST(SetFieldTest, AListOfTextsIsYamlAndOneOfThemIsNot) {
  v1::JobSpec spec;
  EXPECT_THAT(Set("predict.outputs=[fc1, features.3]", &spec), IsEmpty());
  EXPECT_THAT(spec.predict().outputs(), ElementsAre("fc1", "features.3"));
  EXPECT_THAT(Set("predict.outputs[1]=a: b", &spec), IsEmpty());
  EXPECT_THAT(spec.predict().outputs(), ElementsAre("fc1", "a: b"));
}

TEST(SetFieldTest, ReplacesAddsAndRemovesAnEntryOfAMap) {
  v1::JobSpec spec = Example();
  EXPECT_THAT(Set("data.train.columns.label=z", &spec), IsEmpty());
  EXPECT_THAT(spec.data().train().columns(),
              UnorderedElementsAre(Pair("label", "z"), Pair("features", "x")));
  EXPECT_THAT(Set("data.train.columns.a.b=c", &spec), IsEmpty());
  EXPECT_EQ(spec.data().train().columns().at("a.b"), "c");
  EXPECT_THAT(Set("data.train.columns.label=", &spec), IsEmpty());
  EXPECT_THAT(spec.data().train().columns(),
              UnorderedElementsAre(Pair("a.b", "c"), Pair("features", "x")));
}

TEST(SetFieldTest, AnEmptyValueTakesTheFieldAway) {
  v1::JobSpec spec = Example();
  EXPECT_THAT(Set("optimizer.lr=", &spec), IsEmpty());
  EXPECT_FALSE(spec.optimizer().has_lr());
  EXPECT_THAT(Set("model.hidden=", &spec), IsEmpty());
  EXPECT_THAT(spec.model().hidden(), IsEmpty());
  EXPECT_THAT(Set("optimizer=", &spec), IsEmpty());
  EXPECT_FALSE(spec.has_optimizer());
}

TEST(SetFieldTest, TextIsTakenAsItStands) {
  v1::JobSpec spec;
  EXPECT_THAT(Set("data.train.path=*.csv: a", &spec), IsEmpty());
  EXPECT_EQ(spec.data().train().path(), "*.csv: a");
  EXPECT_THAT(Set("storage=~/a=b", &spec), IsEmpty());
  EXPECT_EQ(spec.storage().uri(), "/home/ada/a=b");
  EXPECT_THAT(Set("name='quoted'", &spec), IsEmpty());
  EXPECT_EQ(spec.name(), "quoted");
  EXPECT_THAT(Set("storage={uri: x, shared: true}", &spec), IsEmpty());
  EXPECT_EQ(spec.storage().uri(), "x");
}

TEST(SetFieldTest, ProblemsNameTheAssignmentAndChangeNothing) {
  const v1::JobSpec before = Example();
  v1::JobSpec spec = before;
  for (const auto& [assignment, message] :
       std::vector<std::pair<std::string, std::string>>{
           {"optimizer.lr=fast", "optimizer.lr: \"fast\" is not a number"},
           {"optimizer.rate=1", "optimizer.rate: unknown field"},
           {"lr=1", "did you mean optimizer.lr?"},
           {"optimizer.lr.x=1", "takes one value and has no part \".x\""},
           {"model.hidden[5]=1", "is a list of 2; write model.hidden[0]=…"},
           {"model.hidden[-1]=1", "is a list of 2"},
           {"model.hidden[x=1", "is a list of 2"},
           {"model.hidden[0].a=1", "has no part \".a\""},
           {"model[0]=1", "has no part \"[0]\""},
           {"model.hidden=[1, a]", "\"a\" is not a whole number"},
           {"model={builtin: mlp, nope: 1}", "model.nope: unknown field"},
           {"model={builtin: mlp", "not valid YAML"},
           {"data.train.columns[0]=1", "write data.train.columns.NAME=VALUE"},
           {"data.preprocess[0]=", "is empty"},
           {"name=\xff", "is not UTF-8 text"},
           {"optimizer.lr", "write --set FIELD=VALUE"},
           {"=1", "write --set FIELD=VALUE"},
           {"model.=1", "unknown field"},
       }) {
    EXPECT_THAT(Set(assignment, &spec),
                ElementsAre(::testing::AllOf(
                    StartsWith(absl::StrCat("--set ", assignment)),
                    HasSubstr(message))));
    EXPECT_TRUE(
        google::protobuf::util::MessageDifferencer::Equals(spec, before))
        << assignment;
  }
}

TEST(SetFieldTest, PositionsSayThatItCameFromTheCommandLine) {
  v1::JobSpec spec = Example();
  Positions positions = {{"model", {2, 1}},
                         {"model.builtin", {2, 9}},
                         {"model.hidden[0]", {2, 20}},
                         {"modelled", {3, 1}}};
  EXPECT_THAT(Set("model={classes: 5}", &spec, &positions), IsEmpty());
  EXPECT_EQ(positions.count("model.hidden[0]"), 0);
  EXPECT_EQ(positions.count("model.builtin"), 0);
  EXPECT_EQ(positions["model"].origin, "--set model={classes: 5}");
  EXPECT_EQ(positions["model.classes"].origin, "--set model={classes: 5}");
  EXPECT_EQ(positions["modelled"].line, 3);
}

}  // namespace
}  // namespace tfd::spec
