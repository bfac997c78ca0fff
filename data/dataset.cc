#include "data/dataset.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <numeric>

#include "common/status.h"
#include "data/csv.h"
#include "data/idx.h"
#include "data/image_dataset.h"
#include "data/pushed.h"
#include "data/table_dataset.h"

namespace tfd::data {
namespace {

// A cache line, and the widest vector register.
constexpr size_t kAlignment = 64;

void* AllocateAligned(size_t size_bytes) {
  const size_t rounded =
      (size_bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* memory = std::aligned_alloc(kAlignment, std::max(rounded, kAlignment));
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void Batch::Free::operator()(void* memory) const { std::free(memory); }

void Batch::Resize(int64_t records, int64_t elements) {
  const size_t features = static_cast<size_t>(records) * elements;
  if (features > feature_capacity_ || !features_) {
    features_.reset(
        static_cast<float*>(AllocateAligned(features * sizeof(float))));
    feature_capacity_ = features;
  }
  if (static_cast<size_t>(records) > label_capacity_ || !labels_) {
    labels_.reset(
        static_cast<int64_t*>(AllocateAligned(records * sizeof(int64_t))));
    label_capacity_ = records;
  }
  size_ = records;
  elements_ = elements;
  errors_.clear();
}

absl::StatusOr<std::unique_ptr<Dataset>> OpenDataset(
    const v1::DatasetSpec& spec, const Preprocess& preprocess,
    const OpenOptions& options) {
  if (spec.has_image()) return OpenImages(spec, preprocess, options);
  switch (spec.format()) {
    case v1::DatasetSpec::IDX:
      return OpenIdx(spec, preprocess, options);
    case v1::DatasetSpec::CSV:
      return OpenCsv(spec, preprocess, options);
    case v1::DatasetSpec::PUSHED:
      return OpenPushed(spec, preprocess, options);
    case v1::DatasetSpec::PARQUET:
    case v1::DatasetSpec::ARROW:
    case v1::DatasetSpec::TFRECORD:
      return OpenTables(spec, preprocess, options);
    default:
      return absl::InvalidArgumentError(
          "the dataset has no format: set it to idx, csv, parquet, arrow, "
          "tfrecord or pushed");
  }
}

absl::StatusOr<LabelRange> HeadLabels(const Dataset& dataset, uint64_t count) {
  std::vector<uint64_t> records(std::min(count, dataset.info().records));
  std::iota(records.begin(), records.end(), uint64_t{0});
  std::vector<int64_t> labels(records.size());
  TFD_RETURN_IF_ERROR(dataset.ReadLabels(records, labels.data()));
  LabelRange range;
  if (labels.empty()) return range;
  const auto [smallest, largest] =
      std::minmax_element(labels.begin(), labels.end());
  range.smallest = *smallest;
  range.largest = *largest;
  return range;
}

}  // namespace tfd::data
