// The formats that files of records have, in words and in names.
#ifndef TFD_DATA_FILE_FORMAT_H_
#define TFD_DATA_FILE_FORMAT_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "tfd/v1/job_spec.pb.h"

namespace tfd::data {

// "parquet", as specs write it.
std::string FormatWord(v1::DatasetSpec::Format format);

// InvalidArgument, naming those there are, where the word is none of a file's.
absl::StatusOr<v1::DatasetSpec::Format> FormatOfWord(const std::string& word);

// By the ending of a file's name: .parquet, .arrow, .tfrecord.gz, -ubyte, …;
// none where it says nothing.
std::optional<v1::DatasetSpec::Format> FormatOfName(const std::string& path);

}  // namespace tfd::data

#endif  // TFD_DATA_FILE_FORMAT_H_
