// Records in record batches, in memory or mapped: pushed partitions, and files
// of tables.
#ifndef TFD_DATA_ROWS_DATASET_H_
#define TFD_DATA_ROWS_DATASET_H_

#include <memory>
#include <string>
#include <vector>

#include "common/fs/file_system.h"
#include "data/dataset.h"
#include "data/record_schema.h"

namespace tfd::data {

// What the rows of `schema`, of these widths, are; info.records is not set.
DatasetInfo InfoOf(std::string source, const RecordSchema& schema,
                   const RowWidths& widths, const Preprocess& preprocess);

// Batches of rows as one dataset, their order being the records'. `files` are
// what the rows point into, where they do not own it. info.records is counted
// here.
std::unique_ptr<Dataset> MakeRowsDataset(
    DatasetInfo info, std::vector<RecordRows> batches,
    std::vector<std::unique_ptr<RandomAccessFile>> files = {});

}  // namespace tfd::data

#endif  // TFD_DATA_ROWS_DATASET_H_
