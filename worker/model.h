// A model that is trained, scored or asked: a torch::jit::Module whose trained
// parameters, and their gradients, are views of two flat buffers that the
// exchange sends and writes without a copy. LibTorch stays behind this header.
#ifndef TFD_WORKER_MODEL_H_
#define TFD_WORKER_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/shared_memory.h"
#include "tensor/flat_buffer.h"
#include "tensor/layout.h"
#include "tfd/v1/job_spec.pb.h"
#include "worker/device.h"

namespace tfd::worker {

// Threads of LibTorch in this process. Once, before the first model.
void SetComputeThreads(int threads);

struct ModelOptions {
  v1::ModelSpec spec;
  // Of one record of the data.
  std::vector<int64_t> record_shape;
  // Initial parameters of a built-in model follow from it.
  uint64_t seed = 1;
  Device device;
  // A loss that is no number ends the step before anything comes of it.
  bool fail_on_nan = true;
};

// Records in memory: float32 features one after the other, int64 labels.
struct Records {
  const float* features = nullptr;
  // Null where there are none.
  const int64_t* labels = nullptr;
  int64_t count = 0;
};

// A layer whose output is wanted beside the model's own.
struct LayerOutput {
  std::string name;
  // Of one record.
  std::vector<int64_t> shape;

  // Numbers of one record: the product of the shape.
  int64_t width() const;
};

// What a step tells while it goes on, on its thread.
struct StepEvents {
  // The forward pass over a part of the records begins; its backward pass does.
  std::function<void()> forward = [] {};
  std::function<void()> backward = [] {};
  // The gradient of a parameter (its index in tensors()) is complete, while
  // backward goes on, or what a buffer is after this step, before that; not
  // called for parameters that a step does not use. It must not touch
  // parameters().
  std::function<void(size_t tensor)> gradient_done = [](size_t) {};
};

// What a model made of some records.
struct Scores {
  int64_t records = 0;
  // The largest output was the label's.
  int64_t correct = 0;
  // Of all records together.
  double loss_sum = 0;

  double accuracy() const;
  double loss() const;
  Scores& operator+=(const Scores& other);
};

// Thread-compatible. Every error of LibTorch comes back as a Status that says
// what the model was doing.
class Model {
 public:
  // Builds or loads what the spec says. InvalidArgument where model and data
  // do not fit, NotFound where a file is missing.
  static absl::StatusOr<std::unique_ptr<Model>> Create(
      const ModelOptions& options);
  // An export's model.pt, for inference only: no parameters(), no gradient().
  static absl::StatusOr<std::unique_ptr<Model>> LoadExport(
      const std::string& path, const std::vector<int64_t>& input,
      int64_t classes, const Device& device);
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  // Names and shapes of the trained parameters and, after them, of the buffers,
  // in the order of the flat memory; and how many of them are buffers.
  const std::vector<tensor::TensorShape>& tensors() const;
  size_t buffers() const;
  // Shape of one record as the model takes it.
  const std::vector<int64_t>& input() const { return input_; }
  int64_t classes() const { return classes_; }

  // The flat memory: float32, in whole pages. There are two versions of the
  // parameters, and the model computes with the first until it is told
  // otherwise: parameters() is that one. At the buffers' place gradient() has
  // what they are after a step.
  absl::Span<float> parameters() const;
  const std::shared_ptr<const tensor::ParameterVersions>& versions() const;
  void UseVersion(int version);
  absl::Span<const float> gradient() const;
  // Where processes on this host can read the gradient in place; may be empty.
  std::vector<const SharedMemory*> shared_memory() const;

  // Forward, mean loss, backward, in training mode: gradient() is that of the
  // mean loss over these records, `part` at a time (0: all at once). What is
  // random in the model (dropout) follows from `seed`.
  absl::StatusOr<Scores> ComputeGradient(const Records& records, uint64_t seed,
                                         int64_t part = 0);

  // Of every ComputeGradient from now on. All are set.
  void Observe(StepEvents events);

  // Adds the scores of these records, in evaluation mode.
  absl::Status Score(const Records& records, Scores* scores);

  // From now on Forward also gives the outputs of these layers, by their names
  // in PyTorch's named_modules. Tries it with records of zeros. InvalidArgument
  // for a name that there is not, with those there are, and for a layer that
  // does not give a tensor whose first dimension is the records'.
  absl::Status TapLayers(const std::vector<std::string>& names);
  // As they were given to TapLayers.
  const std::vector<LayerOutput>& layers() const { return layers_; }

  // count × classes() outputs (logits), in evaluation mode; into `layers`,
  // unless it is null, for each of layers() count × width() numbers.
  absl::Status Forward(const Records& records, std::vector<float>* outputs,
                       std::vector<std::vector<float>>* layers = nullptr);

  // As torch.jit.load reads it, in evaluation mode.
  absl::StatusOr<std::string> Serialize();

 private:
  struct Impl;  // what needs LibTorch
  explicit Model(std::unique_ptr<Impl> impl);
  void AnnounceBuffers();
  absl::StatusOr<Scores> AddGradient(const Records& records, double share);
  int64_t RecordElements() const;

  std::unique_ptr<Impl> impl_;
  std::vector<int64_t> input_;
  int64_t classes_ = 0;
  std::vector<LayerOutput> layers_;
};

}  // namespace tfd::worker

#endif  // TFD_WORKER_MODEL_H_
