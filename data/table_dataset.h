// Files of tables (Parquet, Arrow IPC, TFRecord) as a dataset.
#ifndef TFD_DATA_TABLE_DATASET_H_
#define TFD_DATA_TABLE_DATASET_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "data/dataset.h"
#include "data/table_file.h"

namespace tfd::data {

// The file of one of the formats that are read as tables, csv among them, whose
// columns have the types that their first rows seem to have.
absl::StatusOr<std::unique_ptr<TableReader>> OpenTable(
    v1::DatasetSpec::Format format, const std::string& path);

// spec.path (with * in its last part: several files, in the order of names) and
// spec.columns. All is read here, once, and only the columns that are needed;
// what is not mapped is held in memory, up to options.max_memory_bytes. Nulls,
// numbers that are not finite, labels that are no classes, records of another
// size and files that are damaged are refused with file, place, row (from 0 in
// each file) and column.
absl::StatusOr<std::unique_ptr<Dataset>> OpenTables(
    const v1::DatasetSpec& spec, const Preprocess& preprocess,
    const OpenOptions& options);

}  // namespace tfd::data

#endif  // TFD_DATA_TABLE_DATASET_H_
