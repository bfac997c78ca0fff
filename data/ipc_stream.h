// The Arrow IPC stream format in a file, as the feed writes spool files: each
// message is ff ff ff ff, the size of its metadata in 4 bytes (little endian,
// padded to 8), the metadata (a FlatBuffers table), and the body; ff ff ff ff
// 00 00 00 00 is the end.
// https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format
#ifndef TFD_DATA_IPC_STREAM_H_
#define TFD_DATA_IPC_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/fs/file_system.h"
#include "data/record_schema.h"

namespace arrow {
class Buffer;
}

namespace tfd::data {

// What stands before the metadata of a message in a stream. `padding` zeros
// follow the metadata.
struct IpcPrefix {
  uint8_t bytes[8];
  size_t padding = 0;
};
IpcPrefix MakeIpcPrefix(size_t metadata_bytes);

// The end of a stream.
inline constexpr uint8_t kIpcEnd[8] = {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0};

// A range of the file that a message's part is in.
struct IpcMessagePlace {
  uint64_t metadata_offset = 0;
  uint64_t metadata_bytes = 0;
  uint64_t body_offset = 0;
  uint64_t body_bytes = 0;
  uint64_t end() const { return body_offset + body_bytes; }
};

enum class IpcNext {
  kMessage,
  // The end marker.
  kEnd,
  // The file ends here, or what follows is no whole message: where a killed
  // writer stopped.
  kTorn,
};

// Finds the message that begins at `offset`.
absl::StatusOr<IpcNext> FindIpcMessage(const RandomAccessFile& file,
                                       uint64_t offset, IpcMessagePlace* place);

// A part of a file as Arrow's buffer: mapped where possible, else read.
absl::StatusOr<std::shared_ptr<arrow::Buffer>> FileBuffer(
    const RandomAccessFile& file, uint64_t offset, uint64_t size_bytes);

// All rows in a file of record batches.
struct IpcFileRows {
  // Absent where the file has not even a whole schema.
  std::unique_ptr<RecordSchema> schema;
  std::vector<RecordRows> batches;
  // As the file has them, and how many of them are not in `batches`, because
  // of nulls.
  int64_t rows = 0;
  int64_t left_out = 0;
  // Where the last whole message ends; the end marker is not counted.
  uint64_t end = 0;
  // The end marker follows, and nothing after it.
  bool finished = false;
};

// Reads a file's messages up to its end or to where it is torn. The rows' views
// point into the mapped file (or into memory of their own). InvalidArgument
// names the place of a message that is whole and wrong.
absl::StatusOr<IpcFileRows> ReadIpcFile(const RandomAccessFile& file,
                                        const ColumnNames& names,
                                        int64_t classes, RowWidths* widths);

}  // namespace tfd::data

#endif  // TFD_DATA_IPC_STREAM_H_
