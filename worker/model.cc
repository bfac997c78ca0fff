#include "worker/model.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/script.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <mutex>
#include <numeric>
#include <optional>
#include <sstream>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/fs/file_system.h"
#include "common/fs/remote_file_system.h"
#include "common/status.h"
#include "worker/models/definition.h"
#include "worker/models/flat_module.h"
#include "worker/models/layer_taps.h"
#include "worker/models/script_module.h"
#include "worker/torch_error.h"

namespace tfd::worker {
namespace {

torch::Device ToTorch(const Device& device) {
  switch (device.kind) {
    case Device::Kind::kCpu:
      return torch::Device(torch::kCPU);
  }
  return torch::Device(torch::kCPU);
}

// A view of `data` on the host, where that is the device, else a copy there.
// (from_blob takes no const; nobody writes to it.)
torch::Tensor FromHost(const void* data, at::IntArrayRef shape,
                       torch::ScalarType type, const torch::Device& device) {
  const torch::Tensor host =
      torch::from_blob(const_cast<void*>(data), shape,
                       torch::TensorOptions().dtype(type).device(torch::kCPU));
  return device.is_cpu() ? host : host.to(device);
}

// Images [records, channels, height, width] in the order records, height,
// width, channels: convolutions and pooling are up to twice as fast on it. Of a
// single channel both orders are the same numbers, and the strides alone say
// which one is meant.
torch::Tensor ChannelsLast(const torch::Tensor& images) {
  if (images.size(1) > 1) {
    return images.contiguous(torch::MemoryFormat::ChannelsLast);
  }
  const int64_t width = images.size(3);
  const int64_t pixels = images.size(2) * width;
  return images.as_strided(images.sizes(), {pixels, 1, width, 1});
}

// Of outputs [records, classes]; a record is right where its row has its
// largest number at the label.
Scores ScoresOf(const torch::Tensor& outputs, const Records& records,
                double mean_loss) {
  const torch::Tensor host = outputs.detach().to(torch::kCPU).contiguous();
  const int64_t classes = host.size(1);
  Scores scores;
  scores.records = records.count;
  scores.loss_sum = mean_loss * static_cast<double>(records.count);
  for (int64_t i = 0; i < records.count; ++i) {
    const float* row = host.data_ptr<float>() + i * classes;
    if (std::max_element(row, row + classes) - row == records.labels[i]) {
      ++scores.correct;
    }
  }
  return scores;
}

}  // namespace

double Scores::accuracy() const {
  return records == 0
             ? 0
             : static_cast<double>(correct) / static_cast<double>(records);
}

Scores& Scores::operator+=(const Scores& other) {
  records += other.records;
  correct += other.correct;
  loss_sum += other.loss_sum;
  return *this;
}

double Scores::loss() const {
  return records == 0 ? 0 : loss_sum / static_cast<double>(records);
}

int64_t LayerOutput::width() const { return ShapeElements(shape); }

void SetComputeThreads(int threads) {
  at::set_num_threads(threads);
  // A second call is refused by LibTorch with an exception; the number is the
  // same then.
  static const bool once = [] {
    at::set_num_interop_threads(1);
    return true;
  }();
  (void)once;
}

struct Model::Impl {
  torch::jit::Module module;
  torch::Device device = torch::Device(torch::kCPU);
  FlatModule flat;
  std::string name;  // for messages
  bool training = true;
  bool fail_on_nan = true;
  // Takes images in that order.
  bool channels_last = false;
  StepEvents events;
  // Gradients are complete in the last part of a step alone.
  bool last_part = true;
  // Hold the hooks; a parameter itself does not hold its accumulator.
  std::vector<std::shared_ptr<torch::autograd::Node>> accumulators;
  std::optional<LayerTaps> taps;

  void SetTraining(bool on);
  void Seed(uint64_t seed);
  // `layers` may be null; else it becomes what the taps give.
  absl::StatusOr<torch::Tensor> Outputs(
      const Records& records, at::IntArrayRef input, int64_t classes,
      std::vector<torch::jit::IValue>* layers = nullptr);
};

// Runs when a parameter's gradient of a step has been added up. (The same hook
// that DDP uses.)
class GradientHook : public torch::autograd::FunctionPostHook {
 public:
  explicit GradientHook(std::function<void()> done) : done_(std::move(done)) {}
  torch::autograd::variable_list operator()(
      const torch::autograd::variable_list& outputs,
      const torch::autograd::variable_list&) override {
    done_();
    return outputs;
  }

 private:
  const std::function<void()> done_;
};

void Model::Impl::SetTraining(bool on) {
  if (training == on) return;
  module.train(on);
  training = on;
}

// Of what the model's own operators draw (dropout).
void Model::Impl::Seed(uint64_t seed) {
  at::Generator generator = at::globalContext().defaultGenerator(device);
  std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_current_seed(seed);
}

absl::StatusOr<torch::Tensor> Model::Impl::Outputs(
    const Records& records, at::IntArrayRef input, int64_t classes,
    std::vector<torch::jit::IValue>* layers) {
  std::vector<int64_t> shape = {records.count};
  shape.insert(shape.end(), input.begin(), input.end());
  // With its optimisation the graph executor is 10 % slower here (and the
  // setting belongs to the thread).
  torch::jit::GraphOptimizerEnabledGuard unoptimised(false);
  flat.LoadCounters();
  torch::Tensor features =
      FromHost(records.features, shape, torch::kFloat32, device);
  if (features.dim() == 4 && channels_last) features = ChannelsLast(features);
  torch::jit::IValue result;
  if (layers != nullptr && taps.has_value()) {
    *layers = taps->Run(module, features);
    result = layers->front();
    layers->erase(layers->begin());
  } else {
    result = module.forward({features});
  }
  if (!result.isTensor()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " gives a ", result.tagKind(),
                     " and not one tensor [records, classes]"));
  }
  torch::Tensor outputs = result.toTensor();
  if (outputs.dim() != 2 || outputs.size(0) != records.count ||
      outputs.size(1) != classes) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, " gives ",
        ShapeText({outputs.sizes().data(), outputs.sizes().size()}), " for ",
        records.count, " records, and [", records.count, ", ", classes,
        "] is wanted: model.classes is ", classes));
  }
  if (outputs.scalar_type() != torch::kFloat32) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " gives ", c10::toString(outputs.scalar_type()),
                     " numbers, and float32 is wanted"));
  }
  return outputs;
}

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::~Model() = default;

absl::StatusOr<std::unique_ptr<Model>> Model::Create(
    const ModelOptions& options) {
  const std::string name = ModelText(options.spec);
  TFD_ASSIGN_OR_RETURN(std::vector<int64_t> input,
                       ResolveInputShape(options.spec, options.record_shape));
  auto impl = std::make_unique<Impl>();
  impl->name = name;
  impl->device = ToTorch(options.device);
  impl->fail_on_nan = options.fail_on_nan;
  if (options.spec.torchscript().empty()) {
    TFD_ASSIGN_OR_RETURN(const ModelDefinition definition,
                         DefineBuiltin(options.spec, input));
    TFD_RETURN_IF_ERROR(CatchTorch(absl::StrCat("building ", name), [&] {
      impl->module = BuildModule(definition, options.seed, impl->device);
      return absl::OkStatus();
    }));
  } else {
    const std::string& path = options.spec.torchscript();
    TFD_RETURN_IF_ERROR(LocalFileSystem()->Stat(path).status());
    TFD_RETURN_IF_ERROR(CatchTorch(absl::StrCat("loading ", name), [&] {
      impl->module = LoadModule(path, impl->device);
      impl->module.train(true);
      return absl::OkStatus();
    }));
  }
  auto model = absl::WrapUnique(new Model(std::move(impl)));
  model->input_ = std::move(input);
  model->impl_->channels_last = WantsChannelsLast(model->impl_->module);
  model->classes_ = options.spec.classes();
  TFD_RETURN_IF_ERROR(CatchTorch(absl::StrCat("preparing ", name), [&] {
    TFD_ASSIGN_OR_RETURN(
        model->impl_->flat,
        FlatModule::Bind(model->impl_->module, model->impl_->device));
    return absl::OkStatus();
  }));
  return model;
}

absl::StatusOr<std::unique_ptr<Model>> Model::LoadExport(
    const std::string& path, const std::vector<int64_t>& input, int64_t classes,
    const Device& device) {
  TFD_ASSIGN_OR_RETURN(const Location place, ResolveUri(path));
  TFD_RETURN_IF_ERROR(place.file_system->Stat(place.path).status());
  std::istringstream bytes;
  const bool is_remote = IsRemoteUri(place.path);
  if (is_remote) {
    TFD_ASSIGN_OR_RETURN(const std::string read,
                         ReadFile(*place.file_system, place.path));
    bytes.str(read);
  }
  auto impl = std::make_unique<Impl>();
  impl->name = path;
  impl->device = ToTorch(device);
  impl->training = false;
  TFD_RETURN_IF_ERROR(CatchTorch(absl::StrCat("loading ", path), [&] {
    impl->module = is_remote ? torch::jit::load(bytes, impl->device)
                             : LoadModule(place.path, impl->device);
    impl->module.eval();
    return absl::OkStatus();
  }));
  auto model = absl::WrapUnique(new Model(std::move(impl)));
  model->input_ = input;
  model->impl_->channels_last = WantsChannelsLast(model->impl_->module);
  model->classes_ = classes;
  return model;
}

void Model::Observe(StepEvents events) {
  impl_->events = std::move(events);
  if (!impl_->accumulators.empty()) return;
  for (size_t i = 0; i < impl_->flat.trained().size(); ++i) {
    impl_->accumulators.push_back(
        torch::autograd::impl::grad_accumulator(impl_->flat.trained()[i]));
    impl_->accumulators.back()->add_post_hook(
        std::make_unique<GradientHook>([impl = impl_.get(), i] {
          if (impl->last_part) impl->events.gradient_done(i);
        }));
  }
}

int64_t Model::RecordElements() const {
  return std::accumulate(input_.begin(), input_.end(), int64_t{1},
                         std::multiplies<>());
}

const std::vector<tensor::TensorShape>& Model::tensors() const {
  return impl_->flat.tensors();
}

size_t Model::buffers() const { return impl_->flat.buffers(); }

absl::Span<float> Model::parameters() const {
  return impl_->flat.parameters().span();
}

absl::Span<const float> Model::gradient() const {
  return impl_->flat.gradient().span();
}

const std::shared_ptr<const tensor::ParameterVersions>& Model::versions()
    const {
  return impl_->flat.versions();
}

void Model::UseVersion(int version) { impl_->flat.UseVersion(version); }

std::vector<const SharedMemory*> Model::shared_memory() const {
  const SharedMemory* memory = impl_->flat.gradient().shared_memory();
  if (memory == nullptr) return {};
  return {memory};
}

void Model::AnnounceBuffers() {
  impl_->flat.StoreBuffers();
  const size_t trained = impl_->flat.trained().size();
  for (size_t i = trained; i < tensors().size(); ++i) {
    impl_->events.gradient_done(i);
  }
}

// Adds the gradient of `share` times the mean loss.
absl::StatusOr<Scores> Model::AddGradient(const Records& records,
                                          double share) {
  impl_->events.forward();
  TFD_ASSIGN_OR_RETURN(const torch::Tensor outputs,
                       impl_->Outputs(records, input_, classes_));
  torch::Tensor loss = at::cross_entropy_loss(
      outputs,
      FromHost(records.labels, {records.count}, torch::kInt64, impl_->device));
  const auto loss_value = loss.item<double>();
  if (impl_->fail_on_nan && !std::isfinite(loss_value)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the loss is ", loss_value,
        ": training has diverged or the data holds such numbers; try a "
        "smaller optimizer.lr"));
  }
  if (share != 1) loss = loss * share;
  // Forward was what changes them.
  if (impl_->last_part) AnnounceBuffers();
  impl_->events.backward();
  loss.backward();
  return ScoresOf(outputs, records, loss_value);
}

absl::StatusOr<Scores> Model::ComputeGradient(const Records& records,
                                              uint64_t seed, int64_t part) {
  if (part <= 0) part = records.count;
  const auto compute = [&]() -> absl::StatusOr<Scores> {
    impl_->SetTraining(true);
    // Gradients are added to what is there; views must stay, so they are set
    // to zero and not dropped.
    impl_->flat.gradient().SetZero();
    impl_->Seed(seed);
    Scores all;
    for (int64_t begin = 0; begin < records.count; begin += part) {
      Records some;
      some.features = records.features + begin * RecordElements();
      some.labels = records.labels + begin;
      some.count = std::min(part, records.count - begin);
      impl_->last_part = begin + some.count == records.count;
      TFD_ASSIGN_OR_RETURN(
          const Scores scores,
          AddGradient(some, static_cast<double>(some.count) /
                                static_cast<double>(records.count)));
      all += scores;
    }
    TFD_RETURN_IF_ERROR(impl_->flat.CheckOtherBuffers());
    return all;
  };
  return CatchTorch(absl::StrCat("a step of ", impl_->name), compute);
}

absl::Status Model::Score(const Records& records, Scores* scores) {
  return CatchTorch(absl::StrCat("scoring ", impl_->name), [&] {
    impl_->SetTraining(false);
    torch::NoGradGuard no_grad;
    TFD_ASSIGN_OR_RETURN(const torch::Tensor outputs,
                         impl_->Outputs(records, input_, classes_));
    const torch::Tensor loss = at::cross_entropy_loss(
        outputs, FromHost(records.labels, {records.count}, torch::kInt64,
                          impl_->device));
    *scores += ScoresOf(outputs, records, loss.item<double>());
    return absl::OkStatus();
  });
}

absl::Status Model::TapLayers(const std::vector<std::string>& names) {
  layers_.clear();
  impl_->taps.reset();
  if (names.empty()) return absl::OkStatus();
  return CatchTorch(absl::StrCat("tapping ", impl_->name), [&]() {
    TFD_ASSIGN_OR_RETURN(impl_->taps, LayerTaps::Make(impl_->module, names));
    impl_->SetTraining(false);
    torch::NoGradGuard no_grad;
    constexpr int64_t kTrialRecords = 2;
    const std::vector<float> zeros(kTrialRecords * RecordElements());
    std::vector<torch::jit::IValue> given;
    TFD_RETURN_IF_ERROR(impl_
                            ->Outputs({zeros.data(), nullptr, kTrialRecords},
                                      input_, classes_, &given)
                            .status());
    for (size_t i = 0; i < names.size(); ++i) {
      const torch::Tensor tensor = given[i].toTensor();
      if (tensor.dim() < 1 || tensor.size(0) != kTrialRecords ||
          tensor.numel() < kTrialRecords) {
        return absl::InvalidArgumentError(absl::StrCat(
            "the layer \"", names[i], "\" gives ",
            ShapeText({tensor.sizes().data(), tensor.sizes().size()}), " for ",
            kTrialRecords,
            " records: an output of each record is wanted, [records, …]"));
      }
      layers_.push_back({names[i], tensor.sizes().slice(1).vec()});
    }
    return absl::OkStatus();
  });
}

absl::Status Model::Forward(const Records& records, std::vector<float>* outputs,
                            std::vector<std::vector<float>>* layers) {
  return CatchTorch(absl::StrCat("asking ", impl_->name), [&] {
    impl_->SetTraining(false);
    torch::NoGradGuard no_grad;
    std::vector<torch::jit::IValue> given;
    TFD_ASSIGN_OR_RETURN(const torch::Tensor tensor,
                         impl_->Outputs(records, input_, classes_,
                                        layers == nullptr ? nullptr : &given));
    const torch::Tensor host = tensor.to(torch::kCPU).contiguous();
    outputs->assign(host.data_ptr<float>(),
                    host.data_ptr<float>() + host.numel());
    if (layers == nullptr) return absl::OkStatus();
    layers->resize(given.size());
    for (size_t i = 0; i < given.size(); ++i) {
      const torch::Tensor layer =
          given[i].toTensor().to(torch::kCPU, torch::kFloat32).contiguous();
      if (layer.numel() != records.count * layers_[i].width()) {
        return absl::InvalidArgumentError(
            absl::StrCat("the layer \"", layers_[i].name, "\" gives ",
                         layer.numel(), " numbers for ", records.count,
                         " records, and gave ", layers_[i].width(),
                         " for one before: its outputs must be of one size"));
      }
      (*layers)[i].assign(layer.data_ptr<float>(),
                          layer.data_ptr<float>() + layer.numel());
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<std::string> Model::Serialize() {
  return CatchTorch(absl::StrCat("saving ", impl_->name),
                    [&]() -> absl::StatusOr<std::string> {
                      impl_->SetTraining(false);
                      impl_->flat.LoadCounters();
                      std::ostringstream stream;
                      impl_->module.save(stream);
                      return std::move(stream).str();
                    });
}

}  // namespace tfd::worker
