#include "data/tfrecord_file.h"

#include <arrow/buffer.h>
#include <arrow/io/buffered.h>
#include <arrow/io/compressed.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <arrow/util/byte_size.h>
#include <arrow/util/compression.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/crc32c.h"
#include "common/fs/file_system.h"
#include "common/status.h"
#include "data/arrow_file.h"
#include "data/arrow_status.h"
#include "data/example_columns.h"

namespace tfd::data {
namespace {

constexpr size_t kLengthBytes = 8;
constexpr size_t kCrcBytes = 4;
constexpr size_t kRecordHeadBytes = kLengthBytes + kCrcBytes;
// What a protobuf can be.
constexpr uint64_t kMaxRecordBytes = (uint64_t{1} << 31) - 1;
// A record is read in pieces of this: its length may be a lie.
constexpr uint64_t kReadPieceBytes = 16 << 20;
constexpr int64_t kReadAheadBytes = 1 << 20;
// A batch is full at either.
constexpr int64_t kExamplesAtATime = 4096;
constexpr uint64_t kExampleBytesAtATime = 16 << 20;
// gzip's own default; Arrow's takes five times as long for a hundredth less.
constexpr int kGzipLevel = 6;
constexpr char kGzipMagic[] = "\x1f\x8b";

// As TensorFlow stores it, so that the checksum of data that holds checksums is
// not weak.
uint32_t MaskedCrc(const void* data, size_t size_bytes) {
  const uint32_t crc = ExtendCrc32c(0, data, size_bytes);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

template <typename T>
T LittleEndian(const char* bytes) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value |= static_cast<T>(static_cast<uint8_t>(bytes[i])) << (8 * i);
  }
  return value;
}

template <typename T>
void AppendLittleEndian(T value, std::string* out) {
  for (size_t i = 0; i < sizeof(T); ++i) {
    out->push_back(static_cast<char>(value >> (8 * i)));
  }
}

bool LengthIsSound(const char* head) {
  return MaskedCrc(head, kLengthBytes) ==
         LittleEndian<uint32_t>(head + kLengthBytes);
}

absl::StatusOr<std::unique_ptr<arrow::util::Codec>> Gzip() {
  auto codec = arrow::util::Codec::Create(arrow::Compression::GZIP, kGzipLevel);
  if (!codec.ok()) return FromArrow(codec);
  return *std::move(codec);
}

// The records of a file, as bytes.
class RecordStream {
 public:
  static absl::StatusOr<RecordStream> Open(const std::string& path);

  // False at the end of the file.
  absl::StatusOr<bool> Next(std::string* record);
  // "record 5 at byte 4020", of the last one.
  std::string Place() const {
    return absl::StrCat("record ", number_, " at byte ", offset_,
                        is_compressed_ ? " (uncompressed)" : "");
  }

 private:
  RecordStream() = default;

  // How many bytes there were, up to `wanted`.
  absl::StatusOr<size_t> Read(size_t wanted, char* out);

  // For as long as the stream that uses it.
  std::shared_ptr<arrow::util::Codec> codec_;
  std::shared_ptr<arrow::io::InputStream> input_;
  bool is_compressed_ = false;
  int64_t number_ = -1;
  uint64_t offset_ = 0;
  uint64_t next_offset_ = 0;
};

absl::StatusOr<RecordStream> RecordStream::Open(const std::string& path) {
  RecordStream stream;
  TFD_ASSIGN_OR_RETURN(auto file, OpenForArrow(path, ReadBy::kCopying));
  auto head = file->ReadAt(0, kRecordHeadBytes);
  if (!head.ok()) return FromArrow(head);
  const std::string bytes = (*head)->ToString();
  const bool is_plain =
      bytes.size() == kRecordHeadBytes && LengthIsSound(bytes.data());
  if (!is_plain && absl::StartsWith(bytes, kGzipMagic)) {
    TFD_ASSIGN_OR_RETURN(stream.codec_, Gzip());
    auto input = arrow::io::CompressedInputStream::Make(stream.codec_.get(),
                                                        std::move(file));
    if (!input.ok()) return FromArrow(input);
    stream.input_ = *std::move(input);
    stream.is_compressed_ = true;
    return stream;
  }
  auto input = arrow::io::BufferedInputStream::Create(
      kReadAheadBytes, arrow::default_memory_pool(), std::move(file));
  if (!input.ok()) return FromArrow(input);
  stream.input_ = *std::move(input);
  return stream;
}

absl::StatusOr<size_t> RecordStream::Read(size_t wanted, char* out) {
  size_t there = 0;
  while (there < wanted) {
    auto count =
        input_->Read(static_cast<int64_t>(wanted - there), out + there);
    if (!count.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(Place(), is_compressed_ ? ", compressed with gzip," : "",
                       " cannot be read: ", count.status().message()));
    }
    if (*count == 0) break;
    there += static_cast<size_t>(*count);
  }
  next_offset_ += there;
  return there;
}

absl::StatusOr<bool> RecordStream::Next(std::string* record) {
  ++number_;
  offset_ = next_offset_;
  const auto cut_short = [this] {
    return absl::InvalidArgumentError(absl::StrCat(
        Place(), ": the file ends within it: truncated? Fetch it again"));
  };
  char head[kRecordHeadBytes];
  TFD_ASSIGN_OR_RETURN(const size_t head_bytes, Read(sizeof(head), head));
  if (head_bytes == 0) return false;
  if (head_bytes == sizeof(head) && !LengthIsSound(head)) {
    return absl::InvalidArgumentError(
        absl::StrCat(Place(), ": the checksum of its length is wrong: ",
                     number_ == 0 ? "is it a TFRecord file, and not damaged?"
                                  : "the file is damaged; fetch it again"));
  }
  if (head_bytes < sizeof(head)) return cut_short();
  const auto length = LittleEndian<uint64_t>(head);
  if (length > kMaxRecordBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(Place(), ": is of ", length,
                     " bytes, and a tf.Example has less than 2 GiB"));
  }
  record->clear();
  while (record->size() < length + kCrcBytes) {
    const size_t done = record->size();
    const size_t piece =
        std::min<uint64_t>(kReadPieceBytes, length + kCrcBytes - done);
    record->resize(done + piece);
    TFD_ASSIGN_OR_RETURN(const size_t count, Read(piece, &(*record)[done]));
    if (count < piece) return cut_short();
  }
  const auto crc = LittleEndian<uint32_t>(record->data() + length);
  record->resize(length);
  if (crc != MaskedCrc(record->data(), length)) {
    return absl::InvalidArgumentError(
        absl::StrCat(Place(), ": the checksum of its ", length,
                     " bytes is wrong: the file is damaged; fetch it again"));
  }
  return true;
}

class TfRecordReader : public TableReader {
 public:
  static absl::StatusOr<std::unique_ptr<TableReader>> Open(
      const std::string& path, ExampleTypes types);

  const std::shared_ptr<arrow::Schema>& schema() const override {
    return schema_;
  }

  absl::Status Select(const std::vector<int>& columns) override {
    selected_ = columns;
    return absl::OkStatus();
  }

  absl::StatusOr<std::shared_ptr<arrow::RecordBatch>> Next() override;

  uint64_t memory_bytes() const override { return memory_bytes_; }

 private:
  explicit TfRecordReader(RecordStream records)
      : records_(std::move(records)) {}

  // False at the end; else the example is in example_.
  absl::StatusOr<bool> NextExample();
  absl::Status LearnTypes(ExampleTypes types);

  RecordStream records_;
  std::string record_;
  v1::Example example_;
  std::shared_ptr<arrow::Schema> schema_;
  std::vector<int> selected_;
  uint64_t memory_bytes_ = 0;
};

absl::StatusOr<bool> TfRecordReader::NextExample() {
  TFD_ASSIGN_OR_RETURN(const bool is_there, records_.Next(&record_));
  if (is_there && !example_.ParseFromString(record_)) {
    return absl::InvalidArgumentError(
        absl::StrCat(records_.Place(), ": its ", record_.size(),
                     " bytes are no tf.Example: what wrote it?"));
  }
  return is_there;
}

absl::Status TfRecordReader::LearnTypes(ExampleTypes types) {
  ExampleFacts facts;
  while (true) {
    TFD_ASSIGN_OR_RETURN(const bool is_there, NextExample());
    if (!is_there) break;
    const absl::Status added = facts.Add(example_);
    if (!added.ok()) return Annotate(added, records_.Place());
    if (types == ExampleTypes::kFirstRecord) break;
  }
  schema_ = facts.ToSchema();
  selected_.resize(schema_->num_fields());
  std::iota(selected_.begin(), selected_.end(), 0);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<TableReader>> TfRecordReader::Open(
    const std::string& path, ExampleTypes types) {
  TFD_ASSIGN_OR_RETURN(RecordStream records, RecordStream::Open(path));
  std::unique_ptr<TfRecordReader> reader(
      new TfRecordReader(std::move(records)));
  TFD_RETURN_IF_ERROR(reader->LearnTypes(types));
  // And again from the beginning.
  TFD_ASSIGN_OR_RETURN(reader->records_, RecordStream::Open(path));
  return reader;
}

absl::StatusOr<std::shared_ptr<arrow::RecordBatch>> TfRecordReader::Next() {
  ExampleColumns columns(schema_, selected_);
  uint64_t bytes = 0;
  while (columns.rows() < kExamplesAtATime && bytes < kExampleBytesAtATime) {
    TFD_ASSIGN_OR_RETURN(const bool is_there, NextExample());
    if (!is_there) break;
    const absl::Status appended = columns.Append(example_);
    if (!appended.ok()) return Annotate(appended, records_.Place());
    bytes += record_.size();
  }
  if (columns.rows() == 0) return nullptr;
  TFD_ASSIGN_OR_RETURN(std::shared_ptr<arrow::RecordBatch> batch,
                       columns.Take());
  memory_bytes_ = arrow::util::TotalBufferSize(*batch);
  return batch;
}

class TfRecordWriter : public TableWriter {
 public:
  static absl::StatusOr<std::unique_ptr<TableWriter>> Create(
      const std::string& path);

  absl::Status Write(const arrow::RecordBatch& batch) override;
  absl::Status Finish() override {
    TFD_RETURN_IF_ARROW_ERROR(output_->Close());
    return file_->Commit();
  }

 private:
  std::unique_ptr<WritableFile> file_;
  std::shared_ptr<arrow::util::Codec> codec_;
  std::shared_ptr<arrow::io::OutputStream> output_;
};

absl::StatusOr<std::unique_ptr<TableWriter>> TfRecordWriter::Create(
    const std::string& path) {
  auto made = std::make_unique<TfRecordWriter>();
  TFD_ASSIGN_OR_RETURN(Location location, ResolveUri(path));
  TFD_ASSIGN_OR_RETURN(made->file_,
                       location.file_system->OpenForWriting(location.path));
  made->output_ = std::make_shared<ArrowSink>(made->file_.get());
  if (absl::EndsWith(path, ".gz")) {
    TFD_ASSIGN_OR_RETURN(made->codec_, Gzip());
    auto compressed = arrow::io::CompressedOutputStream::Make(
        made->codec_.get(), made->output_);
    if (!compressed.ok()) return FromArrow(compressed);
    made->output_ = *std::move(compressed);
  }
  return made;
}

absl::Status TfRecordWriter::Write(const arrow::RecordBatch& batch) {
  std::string out;
  std::string record;
  v1::Example example;
  for (int64_t row = 0; row < batch.num_rows(); ++row) {
    example.Clear();
    TFD_RETURN_IF_ERROR(ToExample(batch, row, &example));
    record.clear();
    {
      // The same rows make the same bytes: maps in the order of their keys.
      google::protobuf::io::StringOutputStream stream(&record);
      google::protobuf::io::CodedOutputStream coded(&stream);
      coded.SetSerializationDeterministic(true);
      example.SerializeToCodedStream(&coded);
    }
    const size_t begin = out.size();
    AppendLittleEndian<uint64_t>(record.size(), &out);
    AppendLittleEndian<uint32_t>(MaskedCrc(&out[begin], kLengthBytes), &out);
    out += record;
    AppendLittleEndian<uint32_t>(MaskedCrc(record.data(), record.size()), &out);
  }
  return FromArrow(
      output_->Write(out.data(), static_cast<int64_t>(out.size())));
}

}  // namespace

absl::StatusOr<std::unique_ptr<TableReader>> OpenTfRecord(
    const std::string& path, ExampleTypes types) {
  return TfRecordReader::Open(path, types);
}

absl::StatusOr<std::unique_ptr<TableWriter>> CreateTfRecord(
    const std::string& path, std::shared_ptr<arrow::Schema> schema) {
  TFD_RETURN_IF_ERROR(CheckExampleColumns(*schema));
  return TfRecordWriter::Create(path);
}

}  // namespace tfd::data
