// Images/s of one process that trains, with the threads of OMP_NUM_THREADS (1
// where it is not set): what a job's workers are compared with.
//
//   BM_TrainTfd      forward, backward into the flat gradient, adam over the
//                    flat parameters: a worker and its shard without the
//                    exchange between them
//   BM_TrainLibTorch the same model by LibTorch alone, as a user would write
//   it:
//                    zero_grad, forward, backward, torch::optim::Adam
//   BM_ScoreTfd      evaluation
//
// Workload: random 28 × 28 images of 10 classes in memory, batch 64 (256 to
// score), float32. The argument is the number of the model in kModels.
//
//   OMP_NUM_THREADS=1 bench/worker_step_bench --benchmark_repetitions=5
#include <benchmark/benchmark.h>
#include <torch/torch.h>

#include <cstdlib>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "common/tuning.h"
#include "ps/optimizer.h"
#include "worker/model.h"

namespace tfd::worker {
namespace {

constexpr int64_t kSide = 28;
constexpr int64_t kClasses = 10;
constexpr int64_t kBatch = 64;
constexpr int64_t kScoreBatch = 256;
constexpr double kLearningRate = 0.001;

struct NamedModel {
  const char* name;
  v1::ModelSpec::Builtin builtin;
};
constexpr NamedModel kModels[] = {{"linear", v1::ModelSpec::LINEAR},
                                  {"mlp", v1::ModelSpec::MLP},
                                  {"cnn", v1::ModelSpec::CNN},
                                  {"lenet", v1::ModelSpec::LENET}};
constexpr int kLastModel = 3;

std::unique_ptr<Model> MakeModel(benchmark::State& state) {
  const NamedModel& wanted = kModels[state.range(0)];
  state.SetLabel(wanted.name);
  ModelOptions options;
  options.spec.set_builtin(wanted.builtin);
  options.spec.set_classes(kClasses);
  if (wanted.builtin == v1::ModelSpec::MLP) options.spec.add_hidden(512);
  options.record_shape = {kSide, kSide};
  absl::StatusOr<std::unique_ptr<Model>> model = Model::Create(options);
  if (!model.ok()) {
    state.SkipWithError(std::string(model.status().message()).c_str());
    return nullptr;
  }
  return *std::move(model);
}

struct RandomRecords {
  explicit RandomRecords(int64_t count)
      : features(torch::rand({count, 1, kSide, kSide})),
        labels(torch::randint(kClasses, {count}, torch::kInt64)) {}
  Records view() const {
    return {features.data_ptr<float>(), labels.data_ptr<int64_t>(),
            labels.size(0)};
  }
  torch::Tensor features;
  torch::Tensor labels;
};

void BM_TrainTfd(benchmark::State& state) {
  const std::unique_ptr<Model> model = MakeModel(state);
  if (model == nullptr) return;
  const RandomRecords records(kBatch);
  v1::OptimizerSpec spec;
  spec.set_name(v1::OptimizerSpec::ADAM);
  spec.set_lr(kLearningRate);
  spec.set_beta1(0.9);
  spec.set_beta2(0.999);
  spec.set_epsilon(1e-8);
  const auto optimizer = ps::MakeOptimizer(spec);
  const size_t elements = model->parameters().size();
  std::vector<std::vector<float>> moments(2, std::vector<float>(elements));
  std::vector<float*> arrays = {moments[0].data(), moments[1].data()};
  std::vector<float> sum(elements);
  std::vector<float> next(elements);
  uint64_t updates = 0;
  for (auto _ : state) {
    const absl::StatusOr<Scores> scores =
        model->ComputeGradient(records.view(), updates);
    if (!scores.ok()) {
      state.SkipWithError(std::string(scores.status().message()).c_str());
      break;
    }
    std::copy(model->gradient().begin(), model->gradient().end(), sum.begin());
    (*optimizer)
        ->Apply({kLearningRate, 1, ++updates},
                {model->parameters(), sum, arrays, absl::MakeSpan(next)});
    std::copy(next.begin(), next.end(), model->parameters().begin());
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}

void BM_TrainLibTorch(benchmark::State& state) {
  const std::unique_ptr<Model> model = MakeModel(state);
  if (model == nullptr) return;
  const RandomRecords records(kBatch);
  std::istringstream saved(*model->Serialize());
  torch::jit::setGraphExecutorOptimize(false);
  torch::jit::Module module = torch::jit::load(saved);
  module.train();
  std::vector<torch::Tensor> parameters;
  for (const torch::Tensor& parameter : module.parameters()) {
    parameters.push_back(parameter);
  }
  torch::optim::Adam optimizer(parameters, kLearningRate);
  double loss_sum = 0;
  for (auto _ : state) {
    optimizer.zero_grad();
    const torch::Tensor loss = torch::nn::functional::cross_entropy(
        module.forward({records.features}).toTensor(), records.labels);
    loss.backward();
    optimizer.step();
    loss_sum += loss.item<double>();
  }
  benchmark::DoNotOptimize(loss_sum);
  state.SetItemsProcessed(state.iterations() * kBatch);
}

void BM_ScoreTfd(benchmark::State& state) {
  const std::unique_ptr<Model> model = MakeModel(state);
  if (model == nullptr) return;
  const RandomRecords records(kScoreBatch);
  Scores scores;
  for (auto _ : state) {
    if (!model->Score(records.view(), &scores).ok()) {
      state.SkipWithError("scoring failed");
      break;
    }
  }
  state.SetItemsProcessed(state.iterations() * kScoreBatch);
}

BENCHMARK(BM_TrainTfd)->DenseRange(0, kLastModel)->UseRealTime();
BENCHMARK(BM_TrainLibTorch)->DenseRange(0, kLastModel)->UseRealTime();
BENCHMARK(BM_ScoreTfd)->DenseRange(0, kLastModel)->UseRealTime();

}  // namespace
}  // namespace tfd::worker

int main(int argc, char** argv) {
  tfd::TuneForThroughput();
  const char* threads = std::getenv("OMP_NUM_THREADS");
  tfd::worker::SetComputeThreads(threads == nullptr ? 1 : std::atoi(threads));
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
