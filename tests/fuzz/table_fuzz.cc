// Files of tables of any bytes, as TFD_FUZZ_FORMAT: nothing crashes, waits or
// reads what is not there, and what is accepted can be read to its last record.
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "data/dataset.h"

namespace tfd::data {
namespace {

// Small, so that an input is quick.
constexpr uint64_t kMaxMemoryBytes = 16 << 20;
constexpr uint64_t kRecordsAtATime = 1024;
constexpr const char* kPolicies[] = {"refuse", "drop", "fill:0", "fill:-1.5"};

[[noreturn]] void Fail(const std::string& why) {
  std::fprintf(stderr, "table_fuzz: %s\n", why.c_str());
  std::abort();
}

std::string PathOfFile() {
  return absl::StrCat("/dev/shm/tfd-table-fuzz-", getpid());
}

// The one file that all inputs are written to, one after the other.
const std::string& WriteFile(const uint8_t* data, size_t size) {
  static const std::string* const path = [] {
    std::atexit([] { std::remove(PathOfFile().c_str()); });
    return new std::string(PathOfFile());
  }();
  std::FILE* const file = std::fopen(path->c_str(), "wb");
  if (file == nullptr) Fail(absl::StrCat("cannot write ", *path));
  const bool written = std::fwrite(data, 1, size, file) == size;
  if (std::fclose(file) != 0 || !written) {
    Fail(absl::StrCat("cannot write ", *path));
  }
  return *path;
}

void ReadAll(const Dataset& dataset) {
  const uint64_t records = dataset.info().records;
  Batch batch;
  std::vector<uint64_t> numbers;
  for (uint64_t first = 0; first < records; first += numbers.size()) {
    numbers.resize(std::min(kRecordsAtATime, records - first));
    std::iota(numbers.begin(), numbers.end(), first);
    const absl::Status read = dataset.ReadBatch(numbers, &batch);
    if (!read.ok()) Fail(read.ToString());
  }
}

void Read(uint8_t how, const std::string& path) {
  v1::DatasetSpec spec;
  spec.set_format(v1::DatasetSpec::TFD_FUZZ_FORMAT);
  spec.set_path(path);
  (*spec.mutable_columns())["label"] = "label";
  if ((how & 4) != 0) (*spec.mutable_columns())["features"] = "x";
  spec.set_nulls(kPolicies[how & 3]);
  OpenOptions options;
  options.max_memory_bytes = kMaxMemoryBytes;
  options.labels = (how & 8) != 0 ? Labels::kIfAny : Labels::kRequired;
  const auto dataset = OpenDataset(spec, Preprocess(v1::DataSpec()), options);
  if (dataset.ok()) ReadAll(**dataset);
}

}  // namespace
}  // namespace tfd::data

// The first byte says how, the rest is the file.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  tfd::data::Read(data[0], tfd::data::WriteFile(data + 1, size - 1));
  return 0;
}
