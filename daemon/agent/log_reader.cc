#include "daemon/agent/log_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace tfd::agent {
namespace {

// More rotated files than any agent keeps are not looked for.
constexpr int kMaxFiles = 100;
// How often the files are listed again because they were just rotated. (Where
// the newest could not be created, on a full disk, no listing is final.)
constexpr int kMaxAttempts = 20;
constexpr size_t kBlockBytes = 64 << 10;
constexpr size_t kMaxReportedLine = 500;
constexpr uint64_t kMaxReportedBytes = 64 << 10;
constexpr char kGapNotice[] =
    "[tfd-agent: lines may be missing here: the log was rotated faster than it "
    "was read]\n";

absl::StatusOr<UniqueDescriptor> OpenFolderAt(int parent,
                                              const std::string& name) {
  UniqueDescriptor opened(openat(parent, name.c_str(),
                                 O_RDONLY | O_DIRECTORY | O_CLOEXEC |
                                     (parent == AT_FDCWD ? 0 : O_NOFOLLOW)));
  if (opened.valid()) return opened;
  return absl::ErrnoToStatus(errno,
                             absl::StrCat("cannot open the folder ", name));
}

// The number of bytes of the UTF-8 sequence that `text` begins with; 0 where
// it begins with none (RFC 3629: no surrogates, no overlong forms).
size_t Utf8Length(absl::string_view text) {
  const auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xC2 && first <= 0xDF   ? 2
                        : first >= 0xE0 && first <= 0xEF ? 3
                        : first >= 0xF0 && first <= 0xF4 ? 4
                                                         : 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  if ((first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) > 0x9F) ||
      (first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) > 0x8F)) {
    return 0;
  }
  return length;
}

// Reads [begin, end) of a file backwards until `lines` lines are found, which
// it counts down. Where the first of them begins; `begin` where there are too
// few. `at_end_of_log` is true for the newest file alone and is cleared.
uint64_t FindTail(int descriptor, uint64_t begin, uint64_t end, int& lines,
                  bool& at_end_of_log) {
  std::string block;
  while (end > begin) {
    const uint64_t from = end - std::min<uint64_t>(kBlockBytes, end - begin);
    block.resize(end - from);
    const ssize_t got =
        pread(descriptor, block.data(), block.size(), static_cast<off_t>(from));
    if (got != static_cast<ssize_t>(block.size())) return end;
    for (size_t i = block.size(); i > 0; --i) {
      // The line end that closes the last line begins no other.
      const bool closes_last = std::exchange(at_end_of_log, false);
      if (block[i - 1] != '\n' || closes_last) continue;
      if (--lines == 0) return from + i;
    }
    end = from;
  }
  return begin;
}

}  // namespace

absl::StatusOr<UniqueDescriptor> OpenLogFolder(const std::string& root,
                                               const TaskKey& key) {
  absl::StatusOr<UniqueDescriptor> logs = OpenFolderAt(AT_FDCWD, root);
  if (!logs.ok()) return logs.status();
  absl::StatusOr<UniqueDescriptor> job = OpenFolderAt(logs->get(), key.job);
  if (!job.ok()) return job.status();
  return OpenFolderAt(job->get(), key.LogFolder());
}

LogReader::LogReader(int folder, std::string name)
    : folder_(folder), name_(std::move(name)) {
  files_ = List();
}

std::deque<LogReader::File> LogReader::List() const {
  std::deque<File> files;
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    files = ListOnce();
    if (files.empty() || IsNewest(files.back())) break;
  }
  return files;
}

// From the newest on, while a rotation goes from the oldest on: where they meet
// a file is seen twice or a number is free. Right, unless a rotation was
// completed meanwhile: then there is a newer file.
std::deque<LogReader::File> LogReader::ListOnce() const {
  std::deque<File> files;
  int missing = 0;
  for (int number = 0; number < kMaxFiles && missing < 2; ++number) {
    const std::string name =
        number == 0 ? name_ : absl::StrCat(name_, ".", number);
    File file;
    file.descriptor = UniqueDescriptor(openat(
        folder_, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    struct stat info;
    if (!file.descriptor.valid() || fstat(file.descriptor.get(), &info) != 0 ||
        !S_ISREG(info.st_mode)) {
      ++missing;
      continue;
    }
    missing = 0;
    file.device = info.st_dev;
    file.inode = info.st_ino;
    const bool twice = !files.empty() && files.front().inode == file.inode &&
                       files.front().device == file.device;
    if (!twice) files.push_front(std::move(file));
  }
  return files;
}

bool LogReader::IsNewest(const File& file) const {
  struct stat info;
  return fstatat(folder_, name_.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
         info.st_ino == file.inode && info.st_dev == file.device;
}

void LogReader::SeekToTail(int lines, uint64_t max_bytes) {
  bool at_end_of_log = true;
  size_t first = files_.size();
  while (first > 0 && lines > 0 && max_bytes > 0) {
    File& file = files_[--first];
    struct stat info;
    if (fstat(file.descriptor.get(), &info) != 0) continue;
    const uint64_t size = static_cast<uint64_t>(info.st_size);
    const uint64_t begin = size - std::min(size, max_bytes);
    file.read_bytes =
        FindTail(file.descriptor.get(), begin, size, lines, at_end_of_log);
    max_bytes -= std::min(max_bytes, size);
  }
  files_.erase(files_.begin(), files_.begin() + static_cast<ptrdiff_t>(first));
}

std::string LogReader::Read(size_t max_bytes, bool finished) {
  while (true) {
    const size_t line_end =
        absl::string_view(carry_).substr(0, max_bytes).rfind('\n');
    if (line_end != std::string::npos) return Take(line_end + 1);
    if (carry_.size() >= max_bytes) return Take(max_bytes);
    if (Fill(max_bytes) == 0) break;
  }
  return finished ? Take(carry_.size()) : "";
}

size_t LogReader::Fill(size_t max_bytes) {
  while (true) {
    if (files_.empty() && !FindNewer()) return 0;
    File& file = files_.front();
    const size_t wanted =
        std::max(max_bytes, carry_.size() + 1) - carry_.size();
    const size_t before = carry_.size();
    carry_.resize(before + wanted);
    const ssize_t got = pread(file.descriptor.get(), carry_.data() + before,
                              wanted, static_cast<off_t>(file.read_bytes));
    carry_.resize(before + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (got > 0) {
      file.read_bytes += static_cast<size_t>(got);
      return static_cast<size_t>(got);
    }
    if (files_.size() == 1) {
      if (!FindNewer()) return 0;
      // Written to the last byte before it was rotated, and that is done now:
      // look once more before it is left.
      struct stat info;
      if (fstat(file.descriptor.get(), &info) == 0 &&
          static_cast<uint64_t>(info.st_size) > file.read_bytes) {
        continue;
      }
    }
    files_.pop_front();
  }
}

bool LogReader::FindNewer() {
  if (files_.empty()) {
    files_ = List();
    return !files_.empty();
  }
  const File& last = files_.back();
  if (IsNewest(last)) return false;
  std::deque<File> all = List();
  const auto found = std::find_if(all.begin(), all.end(), [&](const File& one) {
    return one.inode == last.inode && one.device == last.device;
  });
  if (found == all.end() && !all.empty()) carry_ += kGapNotice;
  const auto newer = found == all.end() ? all.begin() : std::next(found);
  const bool any = newer != all.end();
  std::move(newer, all.end(), std::back_inserter(files_));
  return any;
}

std::string LogReader::Take(size_t bytes) {
  std::string taken = carry_.substr(0, bytes);
  carry_.erase(0, bytes);
  return taken;
}

std::vector<std::string> LastLines(int folder, const std::string& name,
                                   int lines) {
  LogReader reader(folder, name);
  reader.SeekToTail(lines, kMaxReportedBytes);
  std::string text;
  while (true) {
    const std::string more = reader.Read(kBlockBytes, /*finished=*/true);
    if (more.empty()) break;
    text += more;
  }
  if (!text.empty() && text.back() == '\n') text.pop_back();
  if (text.empty()) return {};
  std::vector<std::string> result;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const bool cut = line.size() > kMaxReportedLine;
    result.push_back(ToValidUtf8(line.substr(0, kMaxReportedLine)) +
                     (cut ? "…" : ""));
  }
  if (result.size() > static_cast<size_t>(lines)) {
    result.erase(result.begin(), result.end() - lines);
  }
  return result;
}

std::string ToValidUtf8(absl::string_view text) {
  std::string valid;
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    const unsigned char first = static_cast<unsigned char>(text[0]);
    const bool control =
        (first < 0x20 && first != '\t' && first != '\n') || first == 0x7F;
    if (length == 0 || control) {
      valid += '?';
      text.remove_prefix(1);
      continue;
    }
    valid.append(text.data(), length);
    text.remove_prefix(length);
  }
  return valid;
}

}  // namespace tfd::agent
