// What a spec is refused for although each field of it is right by itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/common/spec/spec_testing.h"

namespace tfd::spec {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Case {
  const char* name;
  // Applied to kGoodSpec, in order.
  std::vector<std::string> assignments;
  // The one problem, "FIELD: MESSAGE…"; empty: none.
  std::string problem;
};

class RelationsTest : public ::testing::TestWithParam<Case> {};

std::string CaseName(const ::testing::TestParamInfo<Case>& test) {
  return test.param.name;
}

// What is wrong with `text` after the assignments of `test` have been applied.
std::vector<std::string> ProblemsOf(const char* text, const Case& test) {
  v1::JobSpec spec;
  EXPECT_THAT(Fill(text, &spec), IsEmpty());
  for (const std::string& assignment : test.assignments) {
    EXPECT_THAT(Show(SetField(assignment, {}, &spec)), IsEmpty());
  }
  ApplyDefaults(&spec);
  std::vector<std::string> problems;
  for (const Problem& problem : ValidateJobSpec(spec, {})) {
    problems.push_back(problem.field + ": " + problem.message);
  }
  return problems;
}

void ExpectProblem(const std::vector<std::string>& problems,
                   const std::string& expected) {
  if (expected.empty()) {
    EXPECT_THAT(problems, IsEmpty());
  } else {
    EXPECT_THAT(problems, ElementsAre(::testing::StartsWith(expected)));
  }
}

TEST_P(RelationsTest, IsRefusedWithWhatToDo) {
  ExpectProblem(ProblemsOf(kGoodSpec, GetParam()), GetParam().problem);
}

const char kEvaluator[] = "tasks.evaluator={}";

INSTANTIATE_TEST_SUITE_P(
    Model, RelationsTest,
    ::testing::Values(
        Case{"Good", {}, ""},
        Case{"None", {"model={}"}, "model.builtin: a model is required"},
        Case{"Both",
             {"model.torchscript=/n.pt"},
             "model.torchscript: is given and so is builtin: lenet"},
        Case{"TorchScript", {"model={torchscript: /n.pt}"}, ""},
        Case{"HiddenOfLenet",
             {"model.hidden=[3]"},
             "model.hidden: is only for builtin: mlp, and builtin is lenet"},
        Case{"HiddenOfTorchScript",
             {"model={torchscript: /n.pt, hidden: [3]}"},
             "model.hidden: is only for builtin: mlp"},
        Case{"InputNoImage",
             {"model.input=[784]"},
             "model.input: has 1 numbers, and lenet takes images"},
        Case{"InputTooSmall",
             {"model.input=[1, 8, 8]"},
             "model.input: an image of 8 × 8 is too small: lenet takes at "
             "least 16 × 16"},
        Case{"InputOfCnn", {"model={builtin: cnn, input: [1, 8, 8]}"}, ""},
        Case{"InputOfMlp", {"model={builtin: mlp, input: [5]}"}, ""}),
    CaseName);

INSTANTIATE_TEST_SUITE_P(
    Optimizer, RelationsTest,
    ::testing::Values(
        Case{"MomentumOfAdam",
             {"optimizer={name: adam, momentum: 0.9}"},
             "optimizer.momentum: is only for name: sgd, and name is adam; "
             "remove it"},
        Case{"BetaOfSgd",
             {"optimizer={beta2: 0.9}"},
             "optimizer.beta2: is only for name: adam, and name is sgd"},
        Case{"EpsilonOfSgd",
             {"optimizer={epsilon: 0.9}"},
             "optimizer.epsilon: is only for name: adam"},
        Case{"BetaOfOne",
             {"optimizer={name: adam, beta1: 1}"},
             "optimizer.beta1: 1 is out of bounds: it must be less than 1"},
        Case{"WarmUpOfOneCycle",
             {"optimizer.schedule={name: one_cycle, warmup_steps: 5}"},
             "optimizer.schedule.warmup_steps: is only for name: constant, "
             "cosine, and name is one_cycle"},
        Case{"PeakOfCosine",
             {"optimizer.schedule={name: cosine, peak_at: 0.5}"},
             "optimizer.schedule.peak_at: is only for name: one_cycle"},
        Case{"WarmUpTooLong",
             {"stop={steps: 10}", "optimizer.schedule.warmup_steps=10"},
             "optimizer.schedule.warmup_steps: a warm-up of 10 steps does not "
             "end before training does, after stop.steps: 10"},
        Case{"ScheduleWithoutLength",
             {"stop={target: {metric: accuracy, at_least: 0.9}}", kEvaluator,
              "optimizer.schedule=cosine"},
             "optimizer.schedule.name: cosine needs to know how long training "
             "is: give stop.epochs or stop.steps"},
        Case{"ScheduleWithEpochs", {"optimizer.schedule=one_cycle"}, ""}),
    CaseName);

INSTANTIATE_TEST_SUITE_P(
    Tasks, RelationsTest,
    ::testing::Values(
        Case{
            "NoPs", {"tasks.ps.count=0"}, "tasks.ps.count: 0 is out of bounds"},
        Case{"NoWorker",
             {"tasks.worker.count=0"},
             "tasks.worker.count: 0 is out of bounds"},
        Case{"TwoEvaluators",
             {"tasks.evaluator.count=2"},
             "tasks.evaluator.count: 2 is out of bounds: it must be 0 or 1"},
        Case{"EvaluatorWithoutData",
             {kEvaluator, "data.validation="},
             "tasks.evaluator: has nothing to score checkpoints by"},
        Case{"NoEvaluatorWithoutData",
             {"tasks.evaluator.count=0", "data.validation="},
             ""}),
    CaseName);

INSTANTIATE_TEST_SUITE_P(
    Data, RelationsTest,
    ::testing::Values(
        Case{"BothBatchSizes",
             {"data.train.global_batch_size=64"},
             "data.train.global_batch_size: is given and so is batch_size"},
        Case{"NoBatchSize",
             {"data.train.batch_size="},
             "data.train.batch_size: is required: how many records"},
        Case{"UnevenGlobalBatch",
             {"data.train.batch_size=", "data.train.global_batch_size=100",
              "tasks.worker.count=3"},
             "data.train.global_batch_size: 100 does not divide evenly by 3 "
             "workers; 99 or 102 does"},
        Case{"TinyGlobalBatch",
             {"data.train.batch_size=", "data.train.global_batch_size=2",
              "tasks.worker.count=3"},
             "data.train.global_batch_size: 2 does not divide evenly by 3 "
             "workers; 3 does"},
        Case{"GlobalBatchOfValidation",
             {"data.validation.global_batch_size=64"},
             "data.validation.global_batch_size: is only for train"},
        Case{"IdxWithoutLabels",
             {"data.train.labels="},
             "data.train.labels: is required"},
        Case{"IdxWithPath",
             {"data.train.path=/x"},
             "data.train.path: is only for format: csv, parquet, arrow, "
             "tfrecord, and format is idx"},
        Case{"IdxWithColumns",
             {"data.train.columns={label: a}"},
             "data.train.columns: is only for format: csv, pushed, parquet, "
             "arrow, tfrecord"},
        Case{"IdxWithSpool",
             {"data.train.spool_bytes=1GiB"},
             "data.train.spool_bytes: is only for format: pushed"},
        Case{"CsvWithoutPath",
             {"data.train={format: csv, columns: {label: a}, batch_size: 4}"},
             "data.train.path: is required"},
        Case{"CsvWithoutLabel",
             {"data.train={format: csv, path: /a, batch_size: 4}"},
             "data.train.columns.label: is required for the format csv: write "
             "columns: {label: NAME}"},
        Case{"CsvWithFeatures",
             {"data.train={format: csv, path: /a, features: /b, columns: "
              "{label: a}, batch_size: 4}"},
             "data.train.features: is only for format: idx"},
        Case{"CsvColumnReversed",
             {"data.train={format: csv, path: /a, columns: {label: a, image: "
              "features}, batch_size: 4}"},
             "data.train.columns.image: is the wrong way round: write "
             "features: image"},
        Case{"CsvColumnTypo",
             {"data.train={format: csv, path: /a, columns: {label: a, feature: "
              "b}, batch_size: 4}"},
             "data.train.columns.feature: is not known; did you mean "
             "features?"},
        Case{"PushedWithoutFeatures",
             {"data.train={format: pushed, columns: {label: a}, batch_size: "
              "4}"},
             "data.train.columns.features: is required for the format pushed"},
        Case{"PushedWithPath",
             {"data.train={format: pushed, path: /a, columns: {label: a, "
              "features: b}, batch_size: 4}"},
             "data.train.path: is only for format: csv, parquet, arrow, "
             "tfrecord, and format is pushed"},
        Case{"ParquetWithoutLabel",
             {"data.train={format: parquet, path: /a, batch_size: 4}"},
             "data.train.columns.label: is required for the format parquet: "
             "write columns: {label: NAME}"},
        Case{"TfRecordWithFeatures",
             {"data.train={format: tfrecord, path: /a, features: /b, columns: "
              "{label: a}, batch_size: 4}"},
             "data.train.features: is only for format: idx"},
        Case{"PathInS3",
             {"data.train={format: arrow, path: \"s3://a/b-*\", columns: "
              "{label: "
              "a}, batch_size: 4}"},
             ""},
        Case{"PathElsewhere",
             {"data.train={format: arrow, path: \"gs://a/b\", columns: {label: "
              "a}, batch_size: 4}"},
             "data.train.path: \"gs://a/b\" is not known here"},
        Case{"PreprocessNothing",
             {"data.preprocess=[{}]"},
             "data.preprocess[0]: does nothing"},
        Case{"PreprocessScaleZero",
             {"data.preprocess=[{scale: 0}]"},
             "data.preprocess[0].scale: 0 would make all features equal"},
        Case{"PreprocessWithoutStd",
             {"data.preprocess=[{normalise: {mean: 1}}]"},
             "data.preprocess[0].normalise.std: is required"}),
    CaseName);

std::vector<std::string> WithTarget(const std::string& target) {
  return {kEvaluator, "stop.target=" + target};
}

INSTANTIATE_TEST_SUITE_P(
    Stop, RelationsTest,
    ::testing::Values(
        Case{"Never", {"stop={}"}, "stop: is required: when training ends"},
        Case{"Target", WithTarget("{metric: accuracy, at_least: 0.9}"), ""},
        Case{"TargetWithoutBound", WithTarget("{metric: accuracy}"),
             "stop.target: needs at_least (for accuracy) or at_most"},
        Case{"TargetWithBothBounds",
             WithTarget("{metric: loss, at_most: 1, at_least: 0}"),
             "stop.target: has at_least and at_most"},
        Case{"TargetWithoutMetric", WithTarget("{at_most: 1}"),
             "stop.target.metric: is required"},
        Case{"TargetOfOtherMetric", WithTarget("{metric: auc, at_least: 0.9}"),
             "stop.target.metric: \"auc\" is not allowed: it must be accuracy "
             "or loss"},
        Case{"TargetInPercent", WithTarget("{metric: accuracy, at_least: 99}"),
             "stop.target.at_least: 99 is out of bounds: accuracy is a share, "
             "more than 0 and at most 1; write 0.99"},
        Case{"TargetOfAccuracyAtMost",
             WithTarget("{metric: accuracy, at_most: 0.5}"),
             "stop.target.at_most: accuracy grows"},
        Case{"TargetOfLossAtLeast", WithTarget("{metric: loss, at_least: 0.5}"),
             "stop.target.at_least: loss falls"},
        Case{"TargetOfLossZero", WithTarget("{metric: loss, at_most: 0}"),
             "stop.target.at_most: 0 is out of bounds"},
        Case{"TargetWithoutData",
             {"stop.target={metric: loss, at_most: 1}", "data.validation="},
             "stop.target: is a metric of validation data, and there is none"},
        Case{"TargetWithoutEvaluator",
             {"stop.target={metric: loss, at_most: 1}"},
             "stop.target: would never be noticed: without an evaluator"},
        Case{"TargetWithoutCheckpoints",
             {kEvaluator, "stop.target={metric: loss, at_most: 1}",
              "checkpoint.every_steps=0"},
             "stop.target: would never be noticed: with "
             "checkpoint.every_steps: 0"}),
    CaseName);

INSTANTIATE_TEST_SUITE_P(
    Rest, RelationsTest,
    ::testing::Values(
        Case{"ResumeAndOverwrite",
             {"resume=true", "overwrite=true"},
             "overwrite: and resume exclude each other"},
        Case{"OddChunks",
             {"exchange.chunk_bytes=5001"},
             "exchange.chunk_bytes: 5001 is not a whole number of parameters "
             "of 4 bytes; write 5000"},
        Case{"TopKOfEverything", {"exchange.top_k=1", "resume=true"}, ""},
        Case{"TopKThatSaves", {"exchange={payload: bfloat16, top_k: 0.3}"}, ""},
        Case{"TopKThatSavesNothing",
             {"exchange.top_k=0.5"},
             "exchange.top_k: 0.5 saves nothing: a number is sent with its "
             "place, which takes 4 bytes; write less than 0.5"},
        Case{"TopKOf16BitsThatSavesNothing",
             {"exchange={payload: float16, top_k: 0.4}"},
             "exchange.top_k: 0.4 saves nothing: a number is sent with its "
             "place, which takes 4 bytes; write less than 0.33"},
        Case{"TopKResumedToTheBit",
             {"exchange.top_k=0.1", "deterministic=true", "resume=true"},
             "exchange.top_k: does not go with resume and deterministic"},
        Case{"Aggregate",
             {"exchange={aggregate: node, payload: bfloat16, nan: skip}"},
             ""},
        Case{"AggregateAllReduce",
             {"exchange.aggregate=node", "strategy={name: allreduce}",
              "tasks={worker: {count: 2}}"},
             "exchange.aggregate: node is for parameter servers: with the "
             "strategy allreduce each worker holds a part"},
        Case{"AggregateWithoutBsp",
             {"exchange.aggregate=node", "strategy={sync: async}"},
             "exchange.aggregate: node needs strategy.sync: bsp"},
        Case{"AggregateInTheOrderOfSlots",
             {"exchange.aggregate=node", "deterministic=true"},
             "exchange.aggregate: node does not go with deterministic"},
        Case{"AggregateTheLargest",
             {"exchange={aggregate: node, top_k: 0.1}"},
             "exchange.aggregate: node does not go with top_k below 1"},
        Case{"AllReduceWithServers",
             {"strategy.name=allreduce", "tasks.ps.count=2"},
             "tasks.ps.count: 2 parameter servers would have nothing to do"},
        Case{"DeterministicWithoutBsp",
             {"strategy={sync: ssp}", "deterministic=true"},
             "deterministic: true needs strategy.sync: bsp"},
        Case{"NoRestarts", {"restart.max_failures=0"}, ""},
        Case{"FewerWorkers",
             {"tasks.worker={count: 2, min: 1}"},
             "tasks.worker.min: 1 is not there yet: going on with fewer"},
        Case{"PublishAtSeal",
             {"data.train={format: pushed, columns: {label: a, features: b}, "
              "batch_size: 4, publish: seal}"},
             ""},
        Case{"PublishAtSealInAFixedOrder",
             {"data.train={format: pushed, columns: {label: a, features: b}, "
              "batch_size: 4, publish: seal}",
              "deterministic=true"},
             "data.train.publish: seal does not go with deterministic"},
        Case{"StreamOfTwoPasses",
             {"data.train={format: pushed, columns: {label: a, features: b}, "
              "batch_size: 4, stream: true}",
              "stop={epochs: 2}"},
             "stop.epochs: 2 passes over a stream are not possible"},
        Case{"StreamThatIsSealed",
             {"data.train={format: pushed, columns: {label: a, features: b}, "
              "batch_size: 4, stream: true, publish: seal}",
              "stop={epochs: 1}"},
             "data.train.publish: a stream is published with every batch"},
        Case{"ScheduleOfAStream",
             {"data.train={format: pushed, columns: {label: a, features: b}, "
              "batch_size: 4, stream: true}",
              "stop={epochs: 1}", "optimizer.schedule=cosine"},
             "optimizer.schedule.name: needs to know how long training is, "
             "which nobody does"},
        Case{"ScheduleOfAStreamWithAnEnd",
             {"data.train={format: pushed, columns: {label: a, features: b}, "
              "batch_size: 4, stream: true}",
              "stop={steps: 10}", "optimizer.schedule=cosine"},
             ""},
        Case{"StreamToJudgeBy",
             {"data.validation={format: pushed, columns: {label: a, features: "
              "b}, stream: true}"},
             "data.validation.stream: is only for train"},
        Case{"S3", {"storage=s3://bucket/x"}, ""},
        Case{"ModelInS3",
             {"model={torchscript: \"s3://bucket/net.pt\"}"},
             "model.torchscript: \"s3://bucket/net.pt\" is not known here"},
        Case{"OtherStorage",
             {"storage=gs://bucket/x"},
             "storage.uri: \"gs://bucket/x\" is not known here"}),
    CaseName);

constexpr char kPredicts[] = R"(name: answers
predict: {model: /m, input: {format: csv, path: /a.csv}, output: /o}
)";

class PredictTest : public ::testing::TestWithParam<Case> {};

TEST_P(PredictTest, IsRefusedWithWhatToDo) {
  ExpectProblem(ProblemsOf(kPredicts, GetParam()), GetParam().problem);
}

TEST(PredictDefaultsTest, AreOneWorkerAndNothingThatTrains) {
  v1::JobSpec spec;
  ASSERT_THAT(Fill(kPredicts, &spec), IsEmpty());
  ApplyDefaults(&spec);
  EXPECT_FALSE(spec.tasks().has_ps());
  EXPECT_EQ(spec.tasks().worker().count(), 1);
  EXPECT_FALSE(spec.has_optimizer());
  EXPECT_GT(spec.predict().input().batch_size(), 0);
}

INSTANTIATE_TEST_SUITE_P(
    Predict, PredictTest,
    ::testing::Values(
        Case{"Files", {}, ""}, Case{"Serves", {"predict={model: /m}"}, ""},
        Case{"WithAModelToTrain",
             {"model=lenet"},
             "model: does not go with predict"},
        Case{
            "WithStorage", {"storage=/s"}, "storage: does not go with predict"},
        Case{"NoModel", {"predict.model=''"}, "predict.model: is required"},
        Case{"NoOutput", {"predict.output=''"}, "predict.output: is required"},
        Case{"OutputOfWhatIsPushed",
             {"predict={model: /m, output: /o}"},
             "predict.output: is only with input"},
        Case{"PushedInput",
             {"predict.input={format: pushed, columns: {features: a}}"},
             "predict.input.format: pushed is for training"},
        Case{"Servers", {"tasks.ps.count=1"}, "tasks.ps: is for training"},
        Case{"IdxWithoutLabels",
             {"predict.input={format: idx, features: /f}"},
             ""},
        Case{"Images",
             {"predict.input.image={source: url, timeout: 2s}",
              "predict.input.bad_rows='skip:10'", "predict.outputs=[fc1]"},
             ""},
        Case{"PushedImages",
             {"predict={model: /m, image: {height: 8, width: 8}}"},
             ""},
        Case{"ImagesOfTwoChannels",
             {"predict.input.image={channels: 2}"},
             "predict.input.image.channels: 2 is not allowed"},
        Case{"ImagesWithoutWidth",
             {"predict.input.image={height: 8}"},
             "predict.input.image.width: is missing"},
        Case{"TimeoutOfBytes",
             {"predict.input.image={timeout: 2s}"},
             "predict.input.image.timeout: is only for source: url"},
        Case{"BadRowsInWords",
             {"predict.input.image=bytes", "predict.input.bad_rows=skip"},
             "predict.input.bad_rows: \"skip\" is not allowed: it must be "
             "fail, or skip:N"},
        Case{"BadRowsOfNumbers",
             {"predict.input.bad_rows='skip:1'"},
             "predict.input.bad_rows: is for images"},
        Case{"NullsDroppedOfWhatIsAnswered",
             {"predict.input.nulls=drop"},
             "predict.input.nulls: drop is for training"},
        Case{"NullsFilledOfWhatIsAnswered",
             {"predict.input.nulls='fill:-0.5'"},
             ""},
        Case{"NullsFilledWithWords",
             {"predict.input.nulls='fill:zero'"},
             "predict.input.nulls: \"fill:zero\" is not allowed: it must be "
             "refuse, drop, or fill:NUMBER"},
        Case{"NullsFilledInImages",
             {"predict.input.image=bytes", "predict.input.nulls='fill:0'"},
             "predict.input.nulls: fill is for numbers"},
        Case{"PushedUrls",
             {"predict={model: /m, image: url}"},
             "predict.image.source: is bytes where rows are pushed"},
        Case{"ImagesBesideTheInput",
             {"predict.image=bytes"},
             "predict.image: is for rows that are pushed"},
        Case{"OutputsInCsv",
             {"predict.format=csv", "predict.outputs=[fc1]"},
             "predict.outputs: are lists of numbers"},
        Case{"OutputsTwice",
             {"predict.outputs=[fc1, fc2, fc1]"},
             "predict.outputs[2]: \"fc1\" is there twice"},
        Case{"NoWorkers",
             {"tasks.worker.count=0"},
             "tasks.worker.count: 0 workers answer nothing"}),
    CaseName);

}  // namespace
}  // namespace tfd::spec
