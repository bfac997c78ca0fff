#include "data/file_format.h"

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace tfd::data {
namespace {

using v1::DatasetSpec;

struct NameEnding {
  const char* ending;
  DatasetSpec::Format format;
};

constexpr NameEnding kNameEndings[] = {
    {".csv", DatasetSpec::CSV},
    {".parquet", DatasetSpec::PARQUET},
    {".pq", DatasetSpec::PARQUET},
    {".arrow", DatasetSpec::ARROW},
    {".arrows", DatasetSpec::ARROW},
    {".feather", DatasetSpec::ARROW},
    {".ipc", DatasetSpec::ARROW},
    {".tfrecord", DatasetSpec::TFRECORD},
    {".tfrecords", DatasetSpec::TFRECORD},
    {".tfrecord.gz", DatasetSpec::TFRECORD},
    {".tfrecords.gz", DatasetSpec::TFRECORD},
    {".idx", DatasetSpec::IDX},
    // As MNIST's files are called: images-idx3-ubyte.
    {"-ubyte", DatasetSpec::IDX},
};

}  // namespace

std::string FormatWord(DatasetSpec::Format format) {
  return absl::AsciiStrToLower(DatasetSpec::Format_Name(format));
}

absl::StatusOr<DatasetSpec::Format> FormatOfWord(const std::string& word) {
  for (const DatasetSpec::Format format :
       {DatasetSpec::IDX, DatasetSpec::CSV, DatasetSpec::PARQUET,
        DatasetSpec::ARROW, DatasetSpec::TFRECORD}) {
    if (FormatWord(format) == word) return format;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the format \"", word,
                   "\" is not known; there are idx, csv, parquet, arrow and "
                   "tfrecord"));
}

std::optional<DatasetSpec::Format> FormatOfName(const std::string& path) {
  const std::string name = absl::AsciiStrToLower(path);
  for (const NameEnding& known : kNameEndings) {
    if (absl::EndsWith(name, known.ending)) return known.format;
  }
  return std::nullopt;
}

}  // namespace tfd::data
