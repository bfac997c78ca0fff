#include "common/spec/relations.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/spec/field.h"
#include "common/spec/job_spec.h"

namespace tfd::spec {
namespace {

using v1::ModelSpec;
using v1::OptimizerSpec;
using v1::ScheduleSpec;

// Channels, height, width.
constexpr int kImageDimensions = 3;
// The smallest images that the built-in models' pooling leaves something of.
constexpr int kCnnSmallestImage = 8;
constexpr int kLenetSmallestImage = 16;
// Chunks are cut between parameters.
constexpr uint64_t kParameterBytes = 4;

constexpr char kAccuracy[] = "accuracy";

void CheckModelInput(const ModelSpec& model, Reporter* reporter) {
  const bool lenet = model.builtin() == ModelSpec::LENET;
  if (model.input().empty() || (!lenet && model.builtin() != ModelSpec::CNN)) {
    return;
  }
  const std::string name = lenet ? "lenet" : "cnn";
  const int smallest = lenet ? kLenetSmallestImage : kCnnSmallestImage;
  if (model.input_size() != kImageDimensions) {
    reporter->Report(
        "model.input",
        absl::StrCat("has ", model.input_size(), " numbers, and ", name,
                     " takes images: write [channels, height, "
                     "width], for example [1, 28, 28]"),
        {"model.builtin"});
  } else if (model.input(1) < smallest || model.input(2) < smallest) {
    reporter->Report(
        "model.input",
        absl::StrCat("an image of ", model.input(1), " × ", model.input(2),
                     " is too small: ", name, " takes at least ", smallest,
                     " × ", smallest, "; mlp and linear take any"),
        {"model.builtin"});
  }
}

void CheckModel(const v1::JobSpec& spec, Reporter* reporter) {
  const ModelSpec& model = spec.model();
  const bool builtin = model.builtin() != ModelSpec::BUILTIN_UNSPECIFIED;
  const bool torchscript = !model.torchscript().empty();
  if (!builtin && !torchscript) {
    reporter->Report("model.builtin",
                     "a model is required: {builtin: lenet} (or linear, mlp, "
                     "cnn), or {torchscript: FILE}",
                     {"model.torchscript"});
  }
  if (builtin && torchscript) {
    reporter->Report(
        "model.torchscript",
        absl::StrCat(
            "is given and so is builtin: ",
            ValueName(ModelSpec::Builtin_descriptor()->FindValueByNumber(
                model.builtin())),
            "; a job trains one model, remove one"),
        {"model.builtin"});
  }
  if (torchscript && !builtin && !model.hidden().empty()) {
    reporter->Report("model.hidden",
                     "is only for builtin: mlp, and the model is a TorchScript "
                     "file with its own layers; remove it",
                     {"model.builtin"});
  }
  CheckModelInput(model, reporter);
}

void CheckBelowOne(const std::string& field, bool has, double value,
                   Reporter* reporter) {
  if (has && value >= 1) {
    reporter->Report(field, absl::StrCat(FormatDouble(value),
                                         " is out of bounds: it must be less "
                                         "than 1, else nothing is learnt"));
  }
}

void CheckOptimizer(const v1::JobSpec& spec, Reporter* reporter) {
  const OptimizerSpec& optimizer = spec.optimizer();
  CheckBelowOne("optimizer.beta1", optimizer.has_beta1(), optimizer.beta1(),
                reporter);
  CheckBelowOne("optimizer.beta2", optimizer.has_beta2(), optimizer.beta2(),
                reporter);
  const ScheduleSpec& schedule = optimizer.schedule();
  const bool has_length = spec.stop().has_steps() || spec.stop().has_epochs();
  if ((schedule.name() == ScheduleSpec::COSINE ||
       schedule.name() == ScheduleSpec::ONE_CYCLE) &&
      !has_length) {
    reporter->Report(
        "optimizer.schedule.name",
        absl::StrCat(
            ValueName(ScheduleSpec::Name_descriptor()->FindValueByNumber(
                schedule.name())),
            " needs to know how long training is: give stop.epochs or "
            "stop.steps, or take the schedule constant"),
        {"stop.epochs", "stop.steps"});
  }
  if (spec.stop().has_steps() && schedule.warmup_steps() > 0 &&
      schedule.warmup_steps() >= spec.stop().steps()) {
    reporter->Report("optimizer.schedule.warmup_steps",
                     absl::StrCat("a warm-up of ", schedule.warmup_steps(),
                                  " steps does not end before training does, "
                                  "after stop.steps: ",
                                  spec.stop().steps()),
                     {"stop.steps", "optimizer.schedule.name"});
  }
}

void CheckStrategy(const v1::JobSpec& spec, Reporter* reporter) {
  if (!spec.deterministic() ||
      spec.strategy().sync() == v1::StrategySpec::BSP) {
    return;
  }
  reporter->Report("deterministic",
                   "true needs strategy.sync: bsp: without it the order of "
                   "updates is that of their arrival",
                   {"strategy.sync"});
}

void CheckTasks(const v1::JobSpec& spec, Reporter* reporter) {
  const v1::TasksSpec& tasks = spec.tasks();
  if (spec.strategy().name() == v1::StrategySpec::PARAMETER_SERVER &&
      tasks.ps().count() < 1) {
    reporter->Report("tasks.ps.count",
                     "0 is out of bounds: the strategy parameter_server needs "
                     "at least 1",
                     {"strategy.name"});
  }
  if (spec.strategy().name() == v1::StrategySpec::ALLREDUCE &&
      tasks.ps().count() > 0) {
    reporter->Report(
        "tasks.ps.count",
        absl::StrCat(tasks.ps().count(),
                     " parameter servers would have nothing to do: "
                     "with the strategy allreduce each worker "
                     "holds a part of the parameters; leave "
                     "tasks.ps out"),
        {"strategy.name"});
  }
  if (tasks.worker().count() < 1) {
    reporter->Report("tasks.worker.count",
                     "0 is out of bounds: a job needs at least 1 worker");
  }
  if (!tasks.has_evaluator() || tasks.evaluator().count() == 0) return;
  if (tasks.evaluator().count() > 1) {
    reporter->Report(
        "tasks.evaluator.count",
        absl::StrCat(tasks.evaluator().count(),
                     " is out of bounds: it must be 0 or 1, as one evaluator "
                     "scores each checkpoint"));
  }
  if (!spec.data().has_validation()) {
    reporter->Report("tasks.evaluator",
                     "has nothing to score checkpoints by: add "
                     "data.validation, or remove the evaluator",
                     {"data.validation"});
  }
}

void CheckTargetBound(const v1::TargetSpec& target, Reporter* reporter) {
  if (target.has_at_least() == target.has_at_most()) {
    reporter->Report(
        "stop.target",
        target.has_at_least()
            ? "has at_least and at_most; only one of them says when to stop"
            : "needs at_least (for accuracy) or at_most (for loss)",
        {"stop.target.at_least", "stop.target.at_most"});
    return;
  }
  const bool accuracy = target.metric() == kAccuracy;
  const std::string field = absl::StrCat(
      "stop.target.", target.has_at_least() ? "at_least" : "at_most");
  const double bound =
      target.has_at_least() ? target.at_least() : target.at_most();
  const std::string shown = FormatDouble(bound);
  if (accuracy && target.has_at_most()) {
    reporter->Report(field,
                     "accuracy grows as a model gets better: write "
                     "at_least",
                     {"stop.target.metric"});
  } else if (!accuracy && target.has_at_least()) {
    reporter->Report(field, "loss falls as a model gets better: write at_most",
                     {"stop.target.metric"});
  } else if (accuracy && !(bound > 0 && bound <= 1)) {
    reporter->Report(
        field,
        absl::StrCat(shown,
                     " is out of bounds: accuracy is a share, more than "
                     "0 and at most 1",
                     bound > 1 && bound <= 100
                         ? absl::StrCat("; write ", FormatDouble(bound / 100))
                         : ""),
        {"stop.target.metric"});
  } else if (!accuracy && !(bound > 0)) {
    reporter->Report(field,
                     absl::StrCat(shown,
                                  " is out of bounds: no loss gets "
                                  "there, it must be more than 0"),
                     {"stop.target.metric"});
  }
}

void CheckStop(const v1::JobSpec& spec, Reporter* reporter) {
  const v1::StopSpec& stop = spec.stop();
  if (!stop.has_epochs() && !stop.has_steps() && !stop.has_target()) {
    reporter->Report("stop",
                     "is required: when training ends, for example {epochs: "
                     "5}, {steps: 1000} or {target: {metric: accuracy, "
                     "at_least: 0.99}}",
                     {"stop.epochs", "stop.steps", "stop.target"});
  }
  if (!stop.has_target()) return;
  if (stop.target().metric() == kAccuracy || stop.target().metric() == "loss") {
    CheckTargetBound(stop.target(), reporter);
  }
  if (!spec.data().has_validation()) {
    reporter->Report("stop.target",
                     "is a metric of validation data, and there is none: add "
                     "data.validation, or remove the target",
                     {"data.validation"});
  } else if (spec.tasks().evaluator().count() < 1) {
    reporter->Report("stop.target",
                     "would never be noticed: without an evaluator only the "
                     "last checkpoint is scored; add tasks: {evaluator: "
                     "{count: 1}}",
                     {"tasks.evaluator.count"});
  } else if (spec.checkpoint().every_steps() == 0) {
    reporter->Report("stop.target",
                     "would never be noticed: with checkpoint.every_steps: 0 "
                     "only the last step is a checkpoint; set every_steps to "
                     "how often the target is to be looked at",
                     {"checkpoint.every_steps"});
  }
}

void CheckAggregate(const v1::JobSpec& spec, Reporter* reporter) {
  constexpr char kField[] = "exchange.aggregate";
  if (spec.strategy().name() == v1::StrategySpec::ALLREDUCE) {
    reporter->Report(kField,
                     "node is for parameter servers: with the strategy "
                     "allreduce each worker holds a part of the parameters "
                     "itself; remove one of the two",
                     {"strategy.name"});
  } else if (spec.strategy().sync() != v1::StrategySpec::BSP) {
    reporter->Report(kField,
                     "node needs strategy.sync: bsp: without it there is no "
                     "step in which the workers of a node could wait for each "
                     "other",
                     {"strategy.sync"});
  }
  if (spec.deterministic()) {
    reporter->Report(kField,
                     "node does not go with deterministic: which gradients "
                     "are added up first depends on which workers run on one "
                     "host; remove one of the two",
                     {"deterministic"});
  }
  if (spec.exchange().has_top_k() && spec.exchange().top_k() < 1) {
    reporter->Report(kField,
                     "node does not go with top_k below 1: each worker's "
                     "largest numbers are others, so the sum of a node has "
                     "nearly all; remove one of the two",
                     {"exchange.top_k"});
  }
}

void CheckExchange(const v1::JobSpec& spec, Reporter* reporter) {
  const v1::ExchangeSpec& exchange = spec.exchange();
  if (exchange.chunk_bytes() % kParameterBytes != 0) {
    reporter->Report(
        "exchange.chunk_bytes",
        absl::StrCat(
            exchange.chunk_bytes(), " is not a whole number of parameters of ",
            kParameterBytes, " bytes; write ",
            exchange.chunk_bytes() / kParameterBytes * kParameterBytes));
  }
  if (exchange.aggregate() == v1::ExchangeSpec::NODE) {
    CheckAggregate(spec, reporter);
  }
  if (!exchange.has_top_k() || exchange.top_k() >= 1) return;
  const bool narrow = exchange.payload() == v1::ExchangeSpec::BFLOAT16 ||
                      exchange.payload() == v1::ExchangeSpec::FLOAT16;
  // Of a number, and of its place in the chunk.
  const double number_bytes = narrow ? 2 : 4;
  constexpr double kPlaceBytes = 4;
  if (exchange.top_k() * (number_bytes + kPlaceBytes) >= number_bytes) {
    reporter->Report(
        "exchange.top_k",
        absl::StrCat(FormatDouble(exchange.top_k()),
                     " saves nothing: a number is sent with its place, which "
                     "takes 4 bytes; write less than ",
                     narrow ? "0.33" : "0.5", ", or 1 for all"),
        {"exchange.payload"});
  }
  if (spec.deterministic() && spec.resume()) {
    reporter->Report(
        "exchange.top_k",
        "does not go with resume and deterministic: what workers had not sent "
        "yet is not in checkpoints, so a resumed job differs from an "
        "undisturbed one; remove one of the three",
        {"deterministic", "resume"});
  }
}

void CheckOutputs(const v1::PredictSpec& predict, Reporter* reporter) {
  for (int i = 0; i < predict.outputs_size(); ++i) {
    const std::string field = absl::StrCat("predict.outputs[", i, "]");
    const auto same = [&](int other) {
      return predict.outputs(other) == predict.outputs(i);
    };
    if (predict.outputs(i).empty()) {
      reporter->Report(field, "is empty: write the name of a layer");
    }
    for (int before = 0; before < i; ++before) {
      if (!same(before)) continue;
      reporter->Report(field, absl::StrCat("\"", predict.outputs(i),
                                           "\" is there twice; remove one"));
      break;
    }
  }
  if (predict.outputs_size() > 0 && predict.format() == v1::PredictSpec::CSV) {
    reporter->Report("predict.outputs",
                     "are lists of numbers, which csv does not have: write "
                     "format: jsonl or parquet",
                     {"predict.format"});
  }
}

// Of who pushes: a path or a URL would have this machine read for them.
void CheckPushedImages(const v1::PredictSpec& predict, Reporter* reporter) {
  if (predict.has_input()) {
    reporter->Report("predict.image",
                     "is for rows that are pushed: write it into input, as "
                     "predict.input.image");
    return;
  }
  if (predict.image().source() != v1::ImageSpec::BYTES) {
    reporter->Report("predict.image.source",
                     "is bytes where rows are pushed: a worker opens no paths "
                     "and URLs for who pushes them");
  }
  CheckImage(predict.image(), "predict.image", reporter);
}

void CheckPredict(const v1::JobSpec& spec, Reporter* reporter) {
  const v1::PredictSpec& predict = spec.predict();
  const v1::TasksSpec& tasks = spec.tasks();
  if (predict.has_input() && predict.output().empty()) {
    reporter->Report("predict.output",
                     "is required with input: the folder that the answers are "
                     "written to");
  }
  if (!predict.has_input() && !predict.output().empty()) {
    reporter->Report("predict.output",
                     "is only with input: answers to what is pushed go back to "
                     "who pushed it; remove it, or say what the input is");
  }
  if (predict.input().format() == v1::DatasetSpec::PUSHED) {
    reporter->Report("predict.input.format",
                     "pushed is for training: leave input out, and push to the "
                     "workers what they are to answer (docs/predict.md)");
  }
  if (predict.has_input()) {
    CheckImages(predict.input(), "predict.input", reporter);
    if (predict.input().nulls() == "drop") {
      reporter->Report("predict.input.nulls",
                       "drop is for training: each row of the input is "
                       "answered; write fill:NUMBER, or refuse");
    }
  }
  CheckOutputs(predict, reporter);
  if (predict.has_image()) CheckPushedImages(predict, reporter);
  if (tasks.has_ps() || tasks.has_evaluator()) {
    reporter->Report(tasks.has_ps() ? "tasks.ps" : "tasks.evaluator",
                     "is for training: workers are all that predict needs; "
                     "remove it");
  }
  if (tasks.worker().count() < 1) {
    reporter->Report("tasks.worker.count", "0 workers answer nothing");
  }
}

void CheckRest(const v1::JobSpec& spec, Reporter* reporter) {
  if (spec.resume() && spec.overwrite()) {
    reporter->Report("overwrite",
                     "and resume exclude each other: go on from what is in "
                     "storage, or replace it");
  }
}

}  // namespace

void CheckRelations(const v1::JobSpec& spec, Reporter* reporter) {
  if (spec.has_predict()) return CheckPredict(spec, reporter);
  CheckModel(spec, reporter);
  CheckOptimizer(spec, reporter);
  CheckStrategy(spec, reporter);
  CheckTasks(spec, reporter);
  CheckDataRelations(spec, reporter);
  CheckStop(spec, reporter);
  CheckExchange(spec, reporter);
  CheckRest(spec, reporter);
}

}  // namespace tfd::spec
