#include "data/image_dataset.h"

#include <arrow/array.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/fs/remote_file_system.h"
#include "common/status.h"
#include "common/units.h"
#include "data/columns.h"
#include "data/file_format.h"
#include "data/file_pattern.h"
#include "data/image/fetch.h"
#include "data/image_features.h"
#include "data/record_checks.h"
#include "data/record_schema.h"
#include "data/table_dataset.h"

namespace tfd::data {
namespace {

using Source = v1::ImageSpec::Source;

// What absent fields of an image spec mean, for specs without defaults.
constexpr int64_t kTimeoutMs = 10000;
constexpr int kFetches = 16;
// So much of a path or a URL is shown.
constexpr size_t kMaxValueText = 300;

// The rows of one record batch.
struct ImageRows {
  // The first record that is past it.
  uint64_t end = 0;
  // Which of the files.
  size_t file = 0;
  std::shared_ptr<arrow::Array> cells;
  // The label, and what owns the memory.
  RecordRows labels;
};

struct ImageTable {
  std::vector<std::string> files;
  std::string column;
  std::vector<ImageRows> parts;
};

// The bytes of a file that is one: nothing that a row names makes this wait,
// and nothing is read that is larger than images may be.
absl::StatusOr<std::string> ReadRegularFile(const std::string& path,
                                            const ImageForm& form) {
  if (path.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError("this is no path: it has a byte 0");
  }
  const int file = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (file < 0) return ErrnoStatus(errno, "opening it");
  absl::StatusOr<std::string> bytes = std::string();
  struct stat info = {};
  if (fstat(file, &info) != 0) {
    bytes = ErrnoStatus(errno, "opening it");
  } else if (!S_ISREG(info.st_mode)) {
    bytes = absl::InvalidArgumentError("this is no file");
  } else if (const absl::Status size = CheckImageBytes(info.st_size, form);
             !size.ok()) {
    bytes = size;
  } else {
    bytes->resize(info.st_size);
    size_t done = 0;
    while (done < bytes->size()) {
      const ssize_t count =
          read(file, bytes->data() + done, bytes->size() - done);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) {
        bytes = ErrnoStatus(errno, "reading it");
        break;
      }
      if (count == 0) bytes->resize(done);  // was cut short meanwhile
      done += count;
    }
  }
  close(file);
  return bytes;
}

std::string ShownValue(absl::string_view value) {
  std::string text = absl::Utf8SafeCEscape(value.substr(0, kMaxValueText));
  if (value.size() > kMaxValueText) text += "…";
  return absl::StrCat("\"", text, "\"");
}

class ImageDataset : public Dataset {
 public:
  ImageDataset(DatasetInfo info, ImageTable table, const v1::DatasetSpec& spec,
               const ImageForm& form, int64_t allowed_bad_rows)
      : info_(std::move(info)),
        table_(std::move(table)),
        source_(spec.image().source() == v1::ImageSpec::SOURCE_UNSPECIFIED
                    ? v1::ImageSpec::BYTES
                    : spec.image().source()),
        form_(form),
        transform_(info_.preprocess),
        allowed_bad_rows_(allowed_bad_rows) {
    fetch_.timeout = absl::Milliseconds(
        spec.image().has_timeout() ? spec.image().timeout() : kTimeoutMs);
    fetch_.at_a_time =
        spec.image().has_fetches() ? spec.image().fetches() : kFetches;
    fetch_.max_bytes = form_.max_bytes;
  }

  const DatasetInfo& info() const override { return info_; }

  absl::Status ReadBatch(absl::Span<const uint64_t> records,
                         Batch* out) const override {
    TFD_RETURN_IF_ERROR(CheckRecords(info_, records));
    out->Resize(static_cast<int64_t>(records.size()), info_.elements);
    TFD_RETURN_IF_ERROR(ReadLabels(records, out->labels()));
    std::vector<absl::StatusOr<std::string>> fetched;
    if (source_ == v1::ImageSpec::URL) {
      TFD_ASSIGN_OR_RETURN(fetched, FetchAll(records));
    }
    for (size_t i = 0; i < records.size(); ++i) {
      float* const to = out->features() + i * info_.elements;
      const absl::Status read = fetched.empty() ? ReadRow(records[i], to)
                                                : ReadFetched(fetched[i], to);
      if (read.ok()) continue;
      const std::string text = ErrorText(records[i], read);
      if (++bad_rows_ > allowed_bad_rows_) return TooMany(text, read.code());
      std::fill(to, to + info_.elements, 0.0F);
      out->errors().push_back({static_cast<int64_t>(i), text});
      // Its memory is of no more use.
      if (!fetched.empty()) fetched[i] = std::string();
    }
    return absl::OkStatus();
  }

  absl::Status ReadLabels(absl::Span<const uint64_t> records,
                          int64_t* out) const override {
    TFD_RETURN_IF_ERROR(CheckRecords(info_, records));
    for (size_t i = 0; i < records.size(); ++i) {
      const auto [part, row] = Find(records[i]);
      out[i] = info_.has_labels ? LabelAt(part->labels.label, row) : 0;
    }
    return absl::OkStatus();
  }

 private:
  // The rows that have the record, and its place there.
  std::pair<const ImageRows*, int64_t> Find(uint64_t record) const {
    const auto part =
        std::upper_bound(table_.parts.begin(), table_.parts.end(), record,
                         [](uint64_t number, const ImageRows& rows) {
                           return number < rows.end;
                         });
    return {&*part,
            static_cast<int64_t>(record - part->end) + part->labels.rows};
  }

  absl::StatusOr<absl::string_view> CellOf(uint64_t record) const {
    const auto [part, row] = Find(record);
    return BytesAt(*part->cells, row);
  }

  absl::Status ReadRow(uint64_t record, float* out) const {
    TFD_ASSIGN_OR_RETURN(const absl::string_view cell, CellOf(record));
    if (source_ == v1::ImageSpec::BYTES) {
      return ReadImage(cell, form_, transform_, out);
    }
    TFD_ASSIGN_OR_RETURN(const std::string path, PathOf(record, cell));
    TFD_ASSIGN_OR_RETURN(const std::string bytes, ReadRegularFile(path, form_));
    return ReadImage(bytes, form_, transform_, out);
  }

  absl::Status ReadFetched(const absl::StatusOr<std::string>& bytes,
                           float* out) const {
    if (!bytes.ok()) return bytes.status();
    return ReadImage(*bytes, form_, transform_, out);
  }

  // Relative to the folder of the table that has it.
  absl::StatusOr<std::string> PathOf(uint64_t record,
                                     absl::string_view cell) const {
    if (cell.empty()) return absl::InvalidArgumentError("there is no path");
    if (cell[0] == '/') return std::string(cell);
    const std::string& file = table_.files[Find(record).first->file];
    if (IsRemoteUri(file)) {
      return absl::InvalidArgumentError(
          "a table that is not in a folder of this machine needs whole paths, "
          "that begin with /");
    }
    const size_t slash = file.rfind('/');
    return slash == std::string::npos
               ? std::string(cell)
               : absl::StrCat(file.substr(0, slash + 1), cell);
  }

  // A fetcher has connections, which it keeps; each is one thread's at a time.
  absl::StatusOr<std::vector<absl::StatusOr<std::string>>> FetchAll(
      absl::Span<const uint64_t> records) const {
    std::vector<std::string> urls;
    for (const uint64_t record : records) {
      // What cannot be read is no URL either; ReadRow would say why.
      urls.emplace_back(CellOf(record).value_or(absl::string_view()));
    }
    std::unique_ptr<UrlFetcher> fetcher;
    {
      absl::MutexLock lock(&mutex_);
      if (!idle_.empty()) {
        fetcher = std::move(idle_.back());
        idle_.pop_back();
      }
    }
    if (fetcher == nullptr) {
      TFD_ASSIGN_OR_RETURN(fetcher, UrlFetcher::Make(fetch_));
    }
    std::vector<absl::StatusOr<std::string>> fetched = fetcher->Fetch(urls);
    for (size_t i = 0; i < records.size(); ++i) {
      const auto cell = CellOf(records[i]);
      if (!cell.ok()) fetched[i] = cell.status();
    }
    absl::MutexLock lock(&mutex_);
    idle_.push_back(std::move(fetcher));
    return fetched;
  }

  // "FILE: row 3, column "image", "http://…": …".
  std::string ErrorText(uint64_t record, const absl::Status& error) const {
    const auto [part, row] = Find(record);
    const auto cell = BytesAt(*part->cells, row);
    const bool has_value = source_ != v1::ImageSpec::BYTES && cell.ok();
    return absl::StrCat(
        table_.files[part->file], ": row ", part->labels.numbers.At(row),
        ", column \"", table_.column, "\"", has_value ? ", " : "",
        has_value ? ShownValue(*cell) : "", ": ", error.message());
  }

  absl::Status TooMany(const std::string& text, absl::StatusCode code) const {
    if (allowed_bad_rows_ == 0) {
      return {code, absl::StrCat(text,
                                 " (bad_rows: skip:N lets so many such rows "
                                 "pass, in predict.input)")};
    }
    return {code, absl::StrCat(text, " (and bad_rows lets ", allowed_bad_rows_,
                               " pass, which there were)")};
  }

  DatasetInfo info_;
  const ImageTable table_;
  const Source source_;
  const ImageForm form_;
  const AffineTransform transform_;
  FetchOptions fetch_;
  const int64_t allowed_bad_rows_;
  mutable std::atomic<int64_t> bad_rows_{0};
  mutable absl::Mutex mutex_;
  mutable std::vector<std::unique_ptr<UrlFetcher>> idle_
      ABSL_GUARDED_BY(mutex_);
};

// Reads the tables, one after the other.
class ImageTableReader {
 public:
  ImageTableReader(const v1::DatasetSpec& spec, const OpenOptions& options)
      : spec_(spec), options_(options) {}

  absl::StatusOr<ImageTable> Read() {
    TFD_ASSIGN_OR_RETURN(const ColumnNames names, ColumnsOf(spec_));
    TFD_ASSIGN_OR_RETURN(table_.files, FilesOf(spec_.path()));
    for (size_t file = 0; file < table_.files.size(); ++file) {
      const absl::Status read = ReadFile(names, file);
      if (read.ok()) continue;
      const std::string& name = table_.files[file];
      return absl::StartsWith(read.message(), name) ? read
                                                    : Annotate(read, name);
    }
    if (records_ == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(spec_.path(), ": ", NoRowsText(left_out_)));
    }
    return std::move(table_);
  }

  bool has_labels() const { return has_labels_; }
  // Rows with nulls.
  int64_t left_out() const { return left_out_; }

 private:
  absl::Status ChooseColumns(const ColumnNames& names,
                             const std::vector<std::string>& there) {
    drop_nulls_ = names.nulls.kind == NullPolicy::Kind::kDrop;
    const bool has_label =
        std::find(there.begin(), there.end(), names.label) != there.end();
    label_ =
        has_label || options_.labels == Labels::kRequired ? names.label : "";
    if (label_.empty() && options_.labels == Labels::kRequired) {
      return absl::InvalidArgumentError(absl::StrCat(
          "which column is the label? Write columns: {label: NAME}; it has ",
          NamesText(there)));
    }
    std::vector<std::string> columns = names.features;
    if (columns.empty()) {
      std::copy_if(there.begin(), there.end(), std::back_inserter(columns),
                   [this](const std::string& name) { return name != label_; });
    }
    if (columns.size() != 1) {
      return absl::InvalidArgumentError(absl::StrCat(
          "which column has the images? Write columns: {features: NAME}; it "
          "has ",
          NamesText(there)));
    }
    table_.column = columns[0];
    return absl::OkStatus();
  }

  absl::Status ReadFile(const ColumnNames& names, size_t file) {
    TFD_ASSIGN_OR_RETURN(const std::unique_ptr<TableReader> reader,
                         OpenTable(spec_.format(), table_.files[file]));
    const arrow::Schema& schema = *reader->schema();
    if (table_.column.empty()) {
      TFD_RETURN_IF_ERROR(ChooseColumns(names, schema.field_names()));
    }
    const int cells = schema.GetFieldIndex(table_.column);
    if (cells < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("there is no column \"", table_.column, "\"; it has ",
                       NamesText(schema.field_names())));
    }
    const arrow::DataType& type = *schema.field(cells)->type();
    if (!IsBytesOrText(type)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "column \"", table_.column, "\" has the type ", type.ToString(),
          ", and images are binary, or text that names them (image: path or "
          "url)"));
    }
    // Checks the labels.
    TFD_ASSIGN_OR_RETURN(
        const RecordSchema labels,
        RecordSchema::OfTable(reader->schema(), {{}, label_, names.nulls}));
    has_labels_ = labels.has_label();
    std::vector<int> columns = labels.Columns();
    columns.push_back(cells);
    std::sort(columns.begin(), columns.end());
    TFD_RETURN_IF_ERROR(reader->Select(columns));
    int64_t rows = 0;
    while (true) {
      TFD_ASSIGN_OR_RETURN(const std::shared_ptr<arrow::RecordBatch> batch,
                           reader->Next());
      if (!batch) return absl::OkStatus();
      TFD_RETURN_IF_ERROR(Add(labels, batch, file, rows));
      TFD_RETURN_IF_ERROR(CheckMemory(reader->memory_bytes()));
      rows += batch->num_rows();
    }
  }

  absl::Status Add(const RecordSchema& labels,
                   const std::shared_ptr<arrow::RecordBatch>& batch,
                   size_t file, int64_t first_row) {
    if (batch->num_rows() == 0) return absl::OkStatus();
    RowWidths widths;
    ImageRows rows;
    rows.file = file;
    RowNumbers numbers;
    numbers.first = first_row;
    std::shared_ptr<arrow::RecordBatch> there = batch;
    if (drop_nulls_) {
      const int cells = batch->schema()->GetFieldIndex(table_.column);
      TFD_ASSIGN_OR_RETURN(there, DropNulls(batch, {cells}, &numbers));
    }
    TFD_ASSIGN_OR_RETURN(
        rows.labels,
        labels.ViewRows(there, numbers, options_.classes, &widths));
    left_out_ += batch->num_rows() - rows.labels.rows;
    if (rows.labels.rows == 0) return absl::OkStatus();
    rows.cells = rows.labels.owner->GetColumnByName(table_.column);
    records_ += rows.labels.rows;
    rows.end = records_;
    table_.parts.push_back(std::move(rows));
    return absl::OkStatus();
  }

  absl::Status CheckMemory(uint64_t more_bytes) {
    memory_bytes_ += more_bytes;
    if (memory_bytes_ <= options_.max_memory_bytes) return absl::OkStatus();
    return absl::ResourceExhaustedError(
        absl::StrCat("what is read of the format ", FormatWord(spec_.format()),
                     " is held in memory, and ", spec_.path(), " is more than ",
                     FormatBytes(options_.max_memory_bytes), " after ",
                     FormatCount(static_cast<int64_t>(records_)),
                     " records: convert it to the format arrow, whose files "
                     "are mapped where "
                     "they are not compressed (tfd data convert)"));
  }

  const v1::DatasetSpec& spec_;
  const OpenOptions& options_;
  ImageTable table_;
  std::string label_;
  bool drop_nulls_ = false;
  int64_t left_out_ = 0;
  bool has_labels_ = false;
  uint64_t records_ = 0;
  uint64_t memory_bytes_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> OpenImages(
    const v1::DatasetSpec& spec, const Preprocess& preprocess,
    const OpenOptions& options) {
  if (spec.path().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.name, ": the format ", FormatWord(spec.format()),
                     " needs `path`"));
  }
  TFD_ASSIGN_OR_RETURN(const ImageForm form,
                       ImageFormOf(spec.image(), options.record_shape));
  TFD_ASSIGN_OR_RETURN(const int64_t allowed, AllowedBadRows(spec.bad_rows()));
  ImageTableReader reader(spec, options);
  TFD_ASSIGN_OR_RETURN(ImageTable table, reader.Read());
  DatasetInfo info;
  info.source = spec.path();
  info.records = table.parts.back().end;
  info.left_out = static_cast<uint64_t>(reader.left_out());
  info.shape = form.shape();
  info.elements = form.elements();
  info.dtype = Dtype::kUint8;
  info.has_labels = reader.has_labels();
  info.preprocess = preprocess.Resolve(info.dtype);
  return std::make_unique<ImageDataset>(std::move(info), std::move(table), spec,
                                        form, allowed);
}

}  // namespace tfd::data
