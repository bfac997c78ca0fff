#include "data/pushed.h"

#include <algorithm>
#include <iterator>
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
#include "data/rows_dataset.h"

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

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> OpenPushed(
    const v1::DatasetSpec& spec, const Preprocess& preprocess,
    const OpenOptions& options) {
  TFD_ASSIGN_OR_RETURN(const ColumnNames names, ColumnsOf(spec));
  const std::string source = absl::StrCat("pushed dataset ", options.name);
  std::vector<std::unique_ptr<RandomAccessFile>> files;
  std::vector<RecordRows> batches;
  std::unique_ptr<RecordSchema> schema;
  RowWidths widths;
  int64_t left_out = 0;
  for (const v1::Partition& partition : options.partitions) {
    auto file = options.open_partition
                    ? options.open_partition(partition)
                    : LocalFileSystem()->OpenForReading(partition.path());
    if (!file.ok()) return Annotate(file.status(), NameOf(partition));
    auto rows = ReadIpcFile(**file, names, options.classes, &widths);
    if (!rows.ok()) return Annotate(rows.status(), NameOf(partition));
    TFD_RETURN_IF_ERROR(Annotate(
        CheckAgainstSeal(partition, **file, *rows, options.verify_checksums),
        NameOf(partition)));
    std::move(rows->batches.begin(), rows->batches.end(),
              std::back_inserter(batches));
    left_out += rows->left_out;
    if (schema && rows->rows > 0) {
      TFD_RETURN_IF_ERROR(
          Annotate(rows->schema->CheckSameRecords(*schema), NameOf(partition)));
    }
    if (rows->rows > 0) schema = std::move(rows->schema);
    files.push_back(*std::move(file));
  }
  if (!schema || widths.empty()) {
    if (options.may_be_empty) return MakeRowsDataset({}, {});
    if (left_out > 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(source, ": ", NoRowsText(left_out)));
    }
    return absl::InvalidArgumentError(absl::StrCat(
        source, ": its ", options.partitions.size(),
        " partitions have no rows: what did its producers write?"));
  }
  DatasetInfo info = InfoOf(source, *schema, widths, preprocess);
  info.left_out = static_cast<uint64_t>(left_out);
  return MakeRowsDataset(std::move(info), std::move(batches), std::move(files));
}

}  // namespace tfd::data
