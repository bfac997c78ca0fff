// Parquet into batches of float32, as a worker trains on them: opens the file
// and reads every record once in order, in batches of 64, again and again for
// the time given, on one core. Prints a line of JSON with the median of the
// passes' records per second; bench/peers/parquet_batches.py does the same with
// pyarrow.
//
//   usage: parquet_bench --seconds=S FILE
//
// FILE has the columns image and label.
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/status.h"
#include "data/dataset.h"

namespace tfd {
namespace {

constexpr uint64_t kBatchRecords = 64;
constexpr size_t kFewestPasses = 3;

double Now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Records per second of one pass.
absl::StatusOr<double> Pass(const std::string& file) {
  v1::DatasetSpec spec;
  spec.set_format(v1::DatasetSpec::PARQUET);
  spec.set_path(file);
  (*spec.mutable_columns())["features"] = "image";
  (*spec.mutable_columns())["label"] = "label";
  const double begin = Now();
  TFD_ASSIGN_OR_RETURN(const auto dataset,
                       data::OpenDataset(spec, data::Preprocess(v1::DataSpec()),
                                         data::OpenOptions()));
  const uint64_t records = dataset->info().records;
  std::vector<uint64_t> numbers;
  data::Batch batch;
  for (uint64_t first = 0; first < records; first += kBatchRecords) {
    numbers.resize(std::min(kBatchRecords, records - first));
    std::iota(numbers.begin(), numbers.end(), first);
    TFD_RETURN_IF_ERROR(dataset->ReadBatch(numbers, &batch));
  }
  return static_cast<double>(records) / (Now() - begin);
}

int Run(const std::string& file, double seconds) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(0, &one);
  if (sched_setaffinity(0, sizeof(one), &one) != 0) std::perror("affinity");
  std::vector<double> rates;
  const double end = Now() + seconds;
  while (rates.size() < kFewestPasses || Now() < end) {
    const absl::StatusOr<double> rate = Pass(file);
    if (!rate.ok()) {
      std::fprintf(stderr, "%s\n", rate.status().ToString().c_str());
      return EXIT_FAILURE;
    }
    rates.push_back(*rate);
  }
  std::sort(rates.begin(), rates.end());
  std::printf("{\"records_per_s\": %.0f}\n", rates[rates.size() / 2]);
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace tfd

int main(int argc, char** argv) {
  const std::string flag = "--seconds=";
  if (argc != 3 || std::string(argv[1]).compare(0, flag.size(), flag) != 0) {
    std::fprintf(stderr, "usage: parquet_bench --seconds=S FILE\n");
    return EXIT_FAILURE;
  }
  return tfd::Run(argv[2], std::atof(argv[1] + flag.size()));
}
