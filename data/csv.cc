#include "data/csv.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/nearest_name.h"
#include "common/status.h"
#include "common/units.h"
#include "data/columns.h"
#include "data/csv_table.h"
#include "data/file_pattern.h"
#include "data/record_checks.h"

namespace tfd::data {
namespace {

absl::Status NoSuchColumn(const std::string& file, const std::string& name,
                          const std::vector<std::string>& header) {
  const std::string nearest = NearestName(name, header);
  return absl::InvalidArgumentError(absl::StrCat(
      file, ":1: has no column \"", name, "\"; it has ", NamesText(header),
      nearest.empty() ? ""
                      : absl::StrCat("; did you mean \"", nearest, "\"?")));
}

// The spec's columns as they are in the header of the first file.
absl::StatusOr<CsvColumns> ChooseColumns(const std::string& file,
                                         const ColumnNames& names,
                                         const OpenOptions& options) {
  TFD_ASSIGN_OR_RETURN(const std::vector<std::string> header,
                       ReadCsvHeader(file));
  const auto has = [&header](const std::string& name) {
    return std::find(header.begin(), header.end(), name) != header.end();
  };
  CsvColumns columns;
  columns.nulls = names.nulls;
  columns.label = names.label;
  if (names.label.empty()) {
    if (options.labels == Labels::kRequired) {
      return absl::InvalidArgumentError(
          absl::StrCat(options.name, ": which column of ", file,
                       " is the label? Write columns: {label: NAME}; it has ",
                       NamesText(header)));
    }
  } else if (!has(names.label)) {
    if (options.labels == Labels::kRequired) {
      return NoSuchColumn(file, names.label, header);
    }
    columns.label.clear();
  }
  columns.features = names.features;
  for (const std::string& name : names.features) {
    if (!has(name)) return NoSuchColumn(file, name, header);
  }
  if (names.features.empty()) {
    for (const std::string& name : header) {
      if (name != columns.label) columns.features.push_back(name);
    }
  }
  if (columns.features.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        file, ":1: has no column but the label \"", columns.label, "\""));
  }
  return columns;
}

// A file after the first must have the same columns, in any order.
absl::Status CheckSameColumns(const std::string& first, const std::string& file,
                              const ColumnNames& names,
                              const CsvColumns& columns) {
  TFD_ASSIGN_OR_RETURN(std::vector<std::string> header, ReadCsvHeader(file));
  std::vector<std::string> wanted = columns.features;
  if (!columns.label.empty()) wanted.push_back(columns.label);
  for (const std::string& name : wanted) {
    if (std::find(header.begin(), header.end(), name) == header.end()) {
      return Annotate(NoSuchColumn(file, name, header),
                      absl::StrCat("unlike ", first));
    }
  }
  if (names.features.empty() && header.size() != wanted.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        file, ":1: has ", header.size(), " columns, and ", first, " has ",
        wanted.size(), ": name those wanted in columns: {features: …}"));
  }
  return absl::OkStatus();
}

class CsvDataset : public Dataset {
 public:
  CsvDataset(DatasetInfo info, std::vector<CsvBlock> blocks)
      : info_(std::move(info)),
        transform_(info_.preprocess),
        blocks_(std::move(blocks)) {
    uint64_t end = 0;
    for (const CsvBlock& block : blocks_) {
      end += block.features.size() / info_.elements;
      block_ends_.push_back(end);
    }
  }

  const DatasetInfo& info() const override { return info_; }

  absl::Status ReadBatch(absl::Span<const uint64_t> records,
                         Batch* out) const override {
    TFD_RETURN_IF_ERROR(CheckRecords(info_, records));
    out->Resize(static_cast<int64_t>(records.size()), info_.elements);
    for (size_t i = 0; i < records.size(); ++i) {
      const auto [block, row] = Find(records[i]);
      transform_.Apply(info_.dtype,
                       block->features.data() + row * info_.elements,
                       info_.elements, out->features() + i * info_.elements);
      out->labels()[i] = info_.has_labels ? block->labels[row] : 0;
    }
    return absl::OkStatus();
  }

  absl::Status ReadLabels(absl::Span<const uint64_t> records,
                          int64_t* out) const override {
    TFD_RETURN_IF_ERROR(CheckRecords(info_, records));
    for (size_t i = 0; i < records.size(); ++i) {
      const auto [block, row] = Find(records[i]);
      out[i] = info_.has_labels ? block->labels[row] : 0;
    }
    return absl::OkStatus();
  }

 private:
  // The block that has the record, and its row there.
  std::pair<const CsvBlock*, size_t> Find(uint64_t record) const {
    const size_t block =
        std::upper_bound(block_ends_.begin(), block_ends_.end(), record) -
        block_ends_.begin();
    return {&blocks_[block],
            record - (block == 0 ? 0 : block_ends_[block - 1])};
  }

  const DatasetInfo info_;
  const AffineTransform transform_;
  const std::vector<CsvBlock> blocks_;
  // The first record that is past each block.
  std::vector<uint64_t> block_ends_;
};

uint64_t SizeBytesOf(const CsvBlock& block) {
  return block.features.size() * sizeof(float) +
         block.labels.size() * sizeof(int64_t);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> OpenCsv(const v1::DatasetSpec& spec,
                                                 const Preprocess& preprocess,
                                                 const OpenOptions& options) {
  if (spec.path().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.name, ": a csv dataset needs `path`"));
  }
  TFD_ASSIGN_OR_RETURN(const ColumnNames names, ColumnsOf(spec));
  TFD_ASSIGN_OR_RETURN(const std::vector<std::string> files,
                       FilesOf(spec.path()));
  TFD_ASSIGN_OR_RETURN(const CsvColumns columns,
                       ChooseColumns(files[0], names, options));
  DatasetInfo info;
  info.source = spec.path();
  info.elements = static_cast<int64_t>(columns.features.size());
  info.shape = {info.elements};
  info.dtype = Dtype::kFloat32;
  info.has_labels = !columns.label.empty();
  info.preprocess = preprocess.Resolve(info.dtype);
  std::vector<CsvBlock> blocks;
  uint64_t memory_bytes = 0;
  const auto take = [&](CsvBlock block) -> absl::Status {
    info.left_out += static_cast<uint64_t>(block.left_out);
    if (block.features.empty()) return absl::OkStatus();
    info.records += block.features.size() / info.elements;
    memory_bytes += SizeBytesOf(block);
    if (memory_bytes > options.max_memory_bytes) {
      return absl::ResourceExhaustedError(absl::StrCat(
          spec.path(), ": CSV is held in memory, and this is more than ",
          FormatBytes(options.max_memory_bytes), " after ",
          FormatCount(static_cast<int64_t>(info.records)),
          " records: convert it to the format arrow, whose files are mapped "
          "(tfd data convert)"));
    }
    blocks.push_back(std::move(block));
    return absl::OkStatus();
  };
  for (const std::string& file : files) {
    if (file != files[0]) {
      TFD_RETURN_IF_ERROR(CheckSameColumns(files[0], file, names, columns));
    }
    TFD_RETURN_IF_ERROR(ReadCsv(file, columns, options.classes, take));
  }
  if (info.records == 0 && info.left_out > 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        spec.path(), ": ", NoRowsText(static_cast<int64_t>(info.left_out))));
  }
  if (info.records == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        spec.path(), ": has a header line and no record after it"));
  }
  return std::make_unique<CsvDataset>(std::move(info), std::move(blocks));
}

}  // namespace tfd::data
