#include "common/spec/yaml_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/common/spec/spec_testing.h"

namespace tfd::spec {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

TEST(FillFromYamlTest, FillsEveryKindOfField) {
  v1::JobSpec spec;
  EXPECT_THAT(Fill(R"(
name: all
seed: 18446744073709551615
deterministic: true
model: {builtin: mlp, hidden: [256, 128], classes: 1e3}
optimizer: {name: adam, lr: 1e-3}
tasks: {ps: {count: 2, cpus: 0.5, memory: 512MiB}}
data:
  preprocess: [{scale: 0.5}, {normalise: {mean: -1, std: 2}}]
  train:
    format: pushed
    columns: {features: image, label: class}
    timeout: 1h30m
stop:
  target: {metric: loss, at_most: 0.25}
)",
                   &spec),
              IsEmpty());
  EXPECT_EQ(spec.name(), "all");
  EXPECT_EQ(spec.seed(), 18446744073709551615u);
  EXPECT_TRUE(spec.deterministic());
  EXPECT_EQ(spec.model().builtin(), v1::ModelSpec::MLP);
  EXPECT_THAT(spec.model().hidden(), ElementsAre(256, 128));
  EXPECT_EQ(spec.model().classes(), 1000);
  EXPECT_EQ(spec.optimizer().lr(), 1e-3);
  EXPECT_EQ(spec.tasks().ps().count(), 2);
  EXPECT_EQ(spec.tasks().ps().memory(), 512u << 20);
  EXPECT_FALSE(spec.tasks().has_worker());
  ASSERT_EQ(spec.data().preprocess_size(), 2);
  EXPECT_EQ(spec.data().preprocess(0).scale(), 0.5);
  EXPECT_EQ(spec.data().preprocess(1).normalise().mean(), -1);
  EXPECT_EQ(spec.data().train().columns().at("label"), "class");
  EXPECT_EQ(spec.data().train().timeout(), 90 * 60 * 1000);
  EXPECT_TRUE(spec.stop().target().has_at_most());
  EXPECT_FALSE(spec.stop().target().has_at_least());
}

TEST(FillFromYamlTest, AScalarFillsTheFieldThatAMessageIsShortFor) {
  v1::JobSpec spec;
  EXPECT_THAT(Fill("loss: cross_entropy\nstorage: runs/x\n"
                   "optimizer: {name: sgd, schedule: cosine}",
                   &spec),
              IsEmpty());
  EXPECT_EQ(spec.loss().name(), v1::LossSpec::CROSS_ENTROPY);
  EXPECT_EQ(spec.storage().uri(), "runs/x");
  EXPECT_EQ(spec.optimizer().schedule().name(), v1::ScheduleSpec::COSINE);
}

TEST(FillFromYamlTest, AZeroThatIsWrittenIsNotAbsent) {
  v1::JobSpec spec;
  EXPECT_THAT(Fill("seed: 0", &spec), IsEmpty());
  EXPECT_TRUE(spec.has_seed());
}

TEST(FillFromYamlTest, ReportsEverythingAtOnceInTheOrderOfTheText) {
  v1::JobSpec spec;
  EXPECT_THAT(
      Fill("name: [a]\noptimizer: {lr: fast, nmae: sgd}\nseed: -1", &spec),
      ElementsAre(AllOf(StartsWith("1:7 name: "), HasSubstr("a list")),
                  AllOf(StartsWith("2:17 optimizer.lr: "),
                        HasSubstr("\"fast\" is not a number")),
                  AllOf(StartsWith("2:23 optimizer.nmae: "),
                        HasSubstr("did you mean name?")),
                  AllOf(StartsWith("3:7 seed: -1 is out of bounds: it must be "
                                   "at least 0"))));
}

TEST(FillFromYamlTest, ColumnsCountCharactersAndNotBytes) {
  v1::JobSpec spec;
  EXPECT_THAT(Fill("{name: 'größe', lr: 1}", &spec),
              ElementsAre(StartsWith("1:17 lr: ")));
}

TEST(FillFromYamlTest, AFieldAtTheWrongLevelIsToldItsPlace) {
  v1::JobSpec spec;
  EXPECT_THAT(Fill("batch_size: 64\nlr: 0.1", &spec),
              ElementsAre(HasSubstr("did you mean data.train.batch_size or "
                                    "data.validation.batch_size or "
                                    "predict.input.batch_size?"),
                          HasSubstr("did you mean optimizer.lr?")));
}

TEST(FillFromYamlTest, ANameThatIsNearNothingGetsTheListOfNames) {
  v1::JobSpec spec;
  EXPECT_THAT(Fill("strategy: {quorum: 3}", &spec),
              ElementsAre(HasSubstr("there is name, sync, staleness")));
}

TEST(FillFromYamlTest, ADottedNameIsToldToNest) {
  v1::JobSpec spec;
  EXPECT_THAT(Fill("optimizer.lr: 0.1", &spec),
              ElementsAre(HasSubstr("write optimizer: {lr: …}")));
}

TEST(FillFromYamlTest, AMissingColonIsGuessed) {
  v1::JobSpec spec;
  EXPECT_THAT(Fill("optimizer: {lr 0.1}", &spec),
              ElementsAre(HasSubstr("is a colon missing? write lr: …")));
}

TEST(FillFromYamlTest, ARepeatedNameIsRefusedAndTheFirstStays) {
  v1::JobSpec spec;
  EXPECT_THAT(Fill("name: a\nseed: 2\nname: b", &spec),
              ElementsAre(StartsWith("3:1 name: is given twice, first in line "
                                     "1")));
  EXPECT_EQ(spec.name(), "a");
  EXPECT_THAT(Fill("data: {train: {columns: {label: a, label: b}}}", &spec),
              ElementsAre(HasSubstr("data.train.columns.label: is given "
                                    "twice")));
}

TEST(FillFromYamlTest, TwoFieldsOfAOneofAreRefused) {
  v1::JobSpec spec;
  EXPECT_THAT(
      Fill("data: {preprocess: [{scale: 1, normalise: {std: 1}}]}", &spec),
      ElementsAre(AllOf(StartsWith("1:32 data.preprocess[0].normalise: "),
                        HasSubstr("excludes scale"))));
}

TEST(FillFromYamlTest, AScalarInPlaceOfAListIsToldHowToWriteIt) {
  v1::JobSpec spec;
  EXPECT_THAT(Fill("model: {hidden: 128}", &spec),
              ElementsAre(HasSubstr("takes a list and not \"128\"; write "
                                    "[128]")));
  EXPECT_THAT(Fill("data: {preprocess: {scale: 2}}", &spec),
              ElementsAre(HasSubstr("takes a list and not fields; write "
                                    "[{scale: …}]")));
}

TEST(FillFromYamlTest, WrongKindsSayWhatIsGivenAndWhatIsWanted) {
  v1::JobSpec spec;
  EXPECT_THAT(Fill("tasks: 3", &spec),
              ElementsAre(AllOf(HasSubstr("takes fields (ps, worker, "
                                          "evaluator) and not \"3\""))));
  EXPECT_THAT(Fill("data: {train: {columns: label}}", &spec),
              ElementsAre(HasSubstr("takes names with values")));
  EXPECT_THAT(Fill("deterministic: yes", &spec),
              ElementsAre(HasSubstr("\"yes\" is not true or false")));
  EXPECT_THAT(Fill("optimizer: Adam", &spec),
              ElementsAre(HasSubstr("\"Adam\" is not one of sgd, adam; did you "
                                    "mean adam?")));
  EXPECT_THAT(Fill("stop: {steps: 1.5}", &spec),
              ElementsAre(HasSubstr("\"1.5\" is not a whole number")));
  EXPECT_THAT(Fill("stop: {steps: '60,000'}", &spec),
              ElementsAre(HasSubstr("write 60000")));
  EXPECT_THAT(Fill("stop: {steps: 1e40}", &spec),
              ElementsAre(HasSubstr("1e40 is out of bounds")));
  // Beyond 2^53 the text is not exactly this number.
  EXPECT_THAT(Fill("seed: 1e17", &spec),
              ElementsAre(HasSubstr("1e17 is out of bounds")));
  EXPECT_THAT(Fill("optimizer: {lr: .inf}", &spec),
              ElementsAre(HasSubstr("optimizer.lr")));
  EXPECT_THAT(Fill("optimizer: {lr: nan}", &spec),
              ElementsAre(HasSubstr("not a finite number")));
  EXPECT_THAT(Fill("tasks: {ps: {memory: lots}}", &spec),
              ElementsAre(HasSubstr("\"lots\" is not a size such as 512MiB")));
  EXPECT_THAT(Fill("data: {train: {timeout: soon}}", &spec),
              ElementsAre(HasSubstr("is not a duration such as")));
  EXPECT_THAT(Fill("just text", &spec),
              ElementsAre(HasSubstr("takes fields (name, model")));
}

TEST(FillFromYamlTest, AnEmptyValueIsRefused) {
  v1::JobSpec spec;
  EXPECT_THAT(Fill("name:\ncheckpoint:\ndata: {preprocess: }", &spec),
              ElementsAre(HasSubstr("name: is empty; write text"),
                          HasSubstr("checkpoint: is empty; write"),
                          HasSubstr("takes a list and not nothing")));
}

TEST(FillFromYamlTest, VariablesAndHomeExpand) {
  v1::JobSpec spec;
  EXPECT_THAT(Fill("data: {train: {path: \"${DATA}/a-*.csv\"}}\nstorage: "
                   "~/runs\nname: $${DATA}",
                   &spec),
              IsEmpty());
  EXPECT_EQ(spec.data().train().path(), "/data/a-*.csv");
  EXPECT_EQ(spec.storage().uri(), "/home/ada/runs");
  EXPECT_EQ(spec.name(), "${DATA}");
}

TEST(FillFromYamlTest, AVariableThatIsNotSetIsNamedWithWhatToType) {
  v1::JobSpec spec;
  EXPECT_THAT(Fill("storage: ${NOWHERE}/x", &spec),
              ElementsAre(AllOf(StartsWith("1:10 storage.uri: "),
                                HasSubstr("the variable NOWHERE is not set"),
                                HasSubstr("export NOWHERE=…"))));
}

TEST(FillFromYamlTest, AnchorsAliasesAndMergeKeysWork) {
  v1::JobSpec spec;
  EXPECT_THAT(Fill(R"(
data:
  train: &set {format: idx, features: a, labels: b}
  validation:
    <<: *set
    features: c
tasks: {ps: &role {cpus: 2}, worker: *role})",
                   &spec),
              IsEmpty());
  EXPECT_EQ(spec.data().validation().format(), v1::DatasetSpec::IDX);
  EXPECT_EQ(spec.data().validation().features(), "c");
  EXPECT_EQ(spec.data().validation().labels(), "b");
  EXPECT_EQ(spec.tasks().worker().cpus(), 2);
}

TEST(FillFromYamlTest, AnAliasOfItselfIsRefused) {
  v1::JobSpec spec;
  EXPECT_THAT(Fill("tasks: &t {ps: *t}", &spec),
              ::testing::Contains(HasSubstr("cannot contain itself")));
}

TEST(FillFromYamlTest, AliasesOfAliasesDoNotGrow) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 30; ++i) {
    absl::StrAppend(&text, "a", i, ": &a", i, " [*a", i - 1, ", *a", i - 1,
                    ", *a", i - 1, ", *a", i - 1, "]\n");
  }
  v1::JobSpec spec;
  EXPECT_THAT(Fill(text, &spec), SizeIs(30));
}

TEST(FillFromYamlTest, WhatIsNoYamlIsOneProblemWithItsPlaceAndCause) {
  v1::JobSpec spec;
  EXPECT_THAT(Fill("name: a\ndata: b: c", &spec),
              ElementsAre(AllOf(StartsWith("2:8 : not valid YAML"),
                                HasSubstr("space after each colon"))));
  EXPECT_THAT(Fill("a:\n\t- b", &spec), ElementsAre(HasSubstr("a tab")));
  EXPECT_THAT(Fill("train: {path: ${DATA}/x}", &spec),
              ElementsAre(HasSubstr("put quotes around text with a variable")));
  EXPECT_THAT(Fill("name: \"a\nseed: 1\n", &spec),
              ElementsAre(AllOf(StartsWith("1:7 "),
                                HasSubstr("this quote is never closed"))));
  EXPECT_THAT(Fill("name: a\n---\nname: b", &spec),
              ElementsAre(HasSubstr("a second YAML document")));
  EXPECT_THAT(Fill("\xff\xfe\x01", &spec), ElementsAre(HasSubstr("not UTF-8")));
  EXPECT_THAT(Fill("? [a]\n: b", &spec), SizeIs(1));
  EXPECT_THAT(Fill(std::string(100000, '['), &spec), SizeIs(1));
}

TEST(FillFromYamlTest, QuotesThatAreClosedAreFine) {
  v1::JobSpec spec;
  EXPECT_THAT(Fill("name: 'it''s'", &spec), IsEmpty());
  EXPECT_EQ(spec.name(), "it's");
  EXPECT_THAT(Fill("name: \"a \\\" b\"", &spec), IsEmpty());
  EXPECT_EQ(spec.name(), "a \" b");
  EXPECT_THAT(Fill("name: \"two\n  lines\"", &spec), IsEmpty());
  EXPECT_EQ(spec.name(), "two lines");
}

TEST(ProblemsToStatusTest, NamesFileLineColumnAndField) {
  EXPECT_TRUE(ProblemsToStatus("a.yaml", {}).ok());
  const absl::Status status = ProblemsToStatus(
      "a.yaml", {{{3, 4}, "stop.steps", "is odd"},
                 {{0, 0, "--set seed=x"}, "seed", "is no number"},
                 {{}, "name", "is required"},
                 {{1, 2}, "", "not valid YAML"}});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "a.yaml:3:4: stop.steps: is odd\n"
            "--set seed=x: seed: is no number\n"
            "a.yaml: name: is required\n"
            "a.yaml:1:2: not valid YAML");
}

}  // namespace
}  // namespace tfd::spec
