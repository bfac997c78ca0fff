#include "data/pushed.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/crc32c.h"
#include "common/fs/file_system.h"
#include "common/status.h"
#include "common/units.h"
#include "data/columns.h"
#include "data/ipc_stream.h"
#include "data/record_checks.h"

namespace tfd::data {
namespace {

constexpr uint64_t kChecksumBlockBytes = 1 << 20;

std::string NameOf(const v1::Partition& partition) {
  return absl::StrCat("partition ", partition.partition(), " of producer ",
                      partition.producer(), " (", partition.path(), ")");
}

absl::StatusOr<uint32_t> FileChecksum(const RandomAccessFile& file) {
  if (file.mapping() != nullptr) {
    return ExtendCrc32c(0, file.mapping(), file.size_bytes());
  }
  uint32_t crc = 0;
  std::string block;
  for (uint64_t offset = 0; offset < file.size_bytes();
       offset += block.size()) {
    block.resize(std::min(kChecksumBlockBytes, file.size_bytes() - offset));
    TFD_RETURN_IF_ERROR(file.Read(offset, block.size(), block.data()));
    crc = ExtendCrc32c(crc, block.data(), block.size());
  }
  return crc;
}

absl::Status CheckAgainstSeal(const v1::Partition& partition,
                              const RandomAccessFile& file,
                              const IpcFileRows& rows, bool verify_checksum) {
  if (!rows.finished || rows.rows != partition.rows()) {
    return absl::DataLossError(absl::StrCat(
        "has ", FormatCount(rows.rows), " rows",
        rows.finished ? "" : " and no end", ", and ",
        FormatCount(partition.rows()),
        " were sealed: was the spool changed behind the feed's back?"));
  }
  if (!verify_checksum) return absl::OkStatus();
  TFD_ASSIGN_OR_RETURN(const uint32_t crc, FileChecksum(file));
  if (crc == partition.crc32c()) return absl::OkStatus();
  return absl::DataLossError(absl::StrFormat(
      "has the checksum %08x, and %08x was sealed: is the disk of the spool "
      "damaged?",
      crc, partition.crc32c()));
}

class PushedDataset : public Dataset {
 public:
  struct Part {
    // The first record that is past it.
    uint64_t end = 0;
    RecordRows rows;
  };

  PushedDataset(DatasetInfo info,
                std::vector<std::unique_ptr<RandomAccessFile>> files,
                std::vector<Part> parts)
      : info_(std::move(info)),
        transform_(info_.preprocess),
        files_(std::move(files)),
        parts_(std::move(parts)) {}

  const DatasetInfo& info() const override { return info_; }

  absl::Status ReadBatch(absl::Span<const uint64_t> records,
                         Batch* out) const override {
    TFD_RETURN_IF_ERROR(CheckRecords(info_, records));
    out->Resize(static_cast<int64_t>(records.size()), info_.elements);
    float* to = out->features();
    for (size_t i = 0; i < records.size(); ++i) {
      const auto [part, row] = Find(records[i]);
      for (const ColumnView& column : part->rows.features) {
        transform_.Apply(
            column.dtype,
            column.base + row * column.width * SizeBytes(column.dtype),
            column.width, to);
        to += column.width;
      }
      out->labels()[i] = LabelAt(part->rows.label, row);
    }
    return absl::OkStatus();
  }

  absl::Status ReadLabels(absl::Span<const uint64_t> records,
                          int64_t* out) const override {
    TFD_RETURN_IF_ERROR(CheckRecords(info_, records));
    for (size_t i = 0; i < records.size(); ++i) {
      const auto [part, row] = Find(records[i]);
      out[i] = LabelAt(part->rows.label, row);
    }
    return absl::OkStatus();
  }

 private:
  // The part that has the record, and its row there.
  std::pair<const Part*, int64_t> Find(uint64_t record) const {
    const auto part = std::upper_bound(
        parts_.begin(), parts_.end(), record,
        [](uint64_t number, const Part& p) { return number < p.end; });
    return {&*part, static_cast<int64_t>(record - part->end) + part->rows.rows};
  }

  const DatasetInfo info_;
  const AffineTransform transform_;
  const std::vector<std::unique_ptr<RandomAccessFile>> files_;
  const std::vector<Part> parts_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> OpenPushed(
    const v1::DatasetSpec& spec, const Preprocess& preprocess,
    const OpenOptions& options) {
  TFD_ASSIGN_OR_RETURN(const ColumnNames names, ColumnsOf(spec));
  DatasetInfo info;
  info.source = absl::StrCat("pushed dataset ", options.name);
  std::vector<std::unique_ptr<RandomAccessFile>> files;
  std::vector<PushedDataset::Part> parts;
  std::unique_ptr<RecordSchema> schema;
  RowWidths widths;
  for (const v1::Partition& partition : options.partitions) {
    TFD_ASSIGN_OR_RETURN(Location location, ResolveUri(partition.path()));
    auto file = location.file_system->OpenForReading(location.path);
    if (!file.ok()) return Annotate(file.status(), NameOf(partition));
    auto rows = ReadIpcFile(**file, names, options.classes, &widths);
    if (!rows.ok()) return Annotate(rows.status(), NameOf(partition));
    TFD_RETURN_IF_ERROR(Annotate(
        CheckAgainstSeal(partition, **file, *rows, options.verify_checksums),
        NameOf(partition)));
    for (RecordRows& batch : rows->batches) {
      if (batch.rows == 0) continue;
      info.records += batch.rows;
      parts.push_back({info.records, std::move(batch)});
    }
    if (schema && rows->rows > 0) {
      TFD_RETURN_IF_ERROR(
          Annotate(rows->schema->CheckSameRecords(*schema), NameOf(partition)));
    }
    if (rows->rows > 0) schema = std::move(rows->schema);
    files.push_back(*std::move(file));
  }
  if (info.records == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        info.source, ": its ", options.partitions.size(),
        " partitions have no rows: what did its producers write?"));
  }
  info.shape = schema->Shape(widths);
  info.elements = 0;
  for (const int64_t width : widths) info.elements += width;
  info.dtype = schema->dtype();
  info.has_labels = true;
  info.preprocess = preprocess.Resolve(info.dtype);
  return std::make_unique<PushedDataset>(std::move(info), std::move(files),
                                         std::move(parts));
}

}  // namespace tfd::data
