// What the worker's tests share: small specs, data and models.
#ifndef TFD_TESTS_WORKER_WORKER_TESTING_H_
#define TFD_TESTS_WORKER_WORKER_TESTING_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/data/idx_files.h"
#include "tfd/v1/job_spec.pb.h"
#include "worker/model.h"

namespace tfd::worker {

inline constexpr uint32_t kTestSide = 8;
inline constexpr int kTestClasses = 4;

// The value of a StatusOr that must be OK.
template <typename Value>
Value Must(absl::StatusOr<Value> value) {
  EXPECT_TRUE(value.ok()) << value.status();
  return *std::move(value);
}

inline v1::ModelSpec TestModel(v1::ModelSpec::Builtin builtin,
                               int classes = kTestClasses) {
  v1::ModelSpec spec;
  spec.set_builtin(builtin);
  spec.set_classes(classes);
  if (builtin == v1::ModelSpec::MLP) spec.add_hidden(16);
  return spec;
}

inline std::unique_ptr<Model> MakeModel(const v1::ModelSpec& spec,
                                        std::vector<int64_t> record_shape,
                                        uint64_t seed = 1) {
  ModelOptions options;
  options.spec = spec;
  options.record_shape = std::move(record_shape);
  options.seed = seed;
  return Must(Model::Create(options));
}

// 8 × 8 images whose class is the bright quarter, with some noise that follows
// from the record's number.
inline void WriteQuarters(const std::string& images, const std::string& labels,
                          uint32_t records, uint64_t seed = 1) {
  std::string pixels = data::IdxHeader(0x08, {records, kTestSide, kTestSide});
  std::string classes = data::IdxHeader(0x08, {records});
  uint64_t random = seed * 2 + 1;
  for (uint32_t r = 0; r < records; ++r) {
    const uint32_t label = (r * 7 + r / 3) % kTestClasses;
    for (uint32_t p = 0; p < kTestSide * kTestSide; ++p) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      const bool lower = p / kTestSide >= kTestSide / 2;
      const bool right = p % kTestSide >= kTestSide / 2;
      const bool bright = label == 2u * lower + right;
      pixels.push_back(
          static_cast<char>((random >> 40) % 120 + (bright ? 100 : 0)));
    }
    classes.push_back(static_cast<char>(label));
  }
  data::WriteBytes(images, pixels);
  data::WriteBytes(labels, classes);
}

// A job with its data in `folder`, which is also its storage.
inline v1::JobSpec TestJob(const std::string& folder,
                           v1::ModelSpec::Builtin builtin, int64_t steps) {
  v1::JobSpec spec;
  spec.set_name("test");
  spec.set_seed(3);
  *spec.mutable_model() = TestModel(builtin);
  spec.mutable_loss()->set_name(v1::LossSpec::CROSS_ENTROPY);
  spec.mutable_optimizer()->set_name(v1::OptimizerSpec::SGD);
  spec.mutable_optimizer()->set_lr(0.1);
  spec.mutable_optimizer()->set_momentum(0);
  spec.mutable_optimizer()->mutable_schedule()->set_name(
      v1::ScheduleSpec::CONSTANT);
  spec.mutable_tasks()->mutable_worker()->set_count(1);
  for (const auto& [name, dataset] :
       {std::pair{"train", spec.mutable_data()->mutable_train()},
        std::pair{"validation", spec.mutable_data()->mutable_validation()}}) {
    dataset->set_format(v1::DatasetSpec::IDX);
    dataset->set_features(absl::StrCat(folder, "/", name, "-images"));
    dataset->set_labels(absl::StrCat(folder, "/", name, "-labels"));
    dataset->set_batch_size(20);
  }
  spec.mutable_data()->mutable_train()->set_shuffle(true);
  spec.mutable_stop()->set_steps(steps);
  spec.mutable_storage()->set_uri(folder);
  spec.mutable_checkpoint()->set_every_steps(0);
  spec.mutable_exchange()->set_chunk_bytes(4096);
  spec.set_deterministic(true);
  return spec;
}

}  // namespace tfd::worker

#endif  // TFD_TESTS_WORKER_WORKER_TESTING_H_
