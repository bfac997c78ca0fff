#include "daemon/agent/log_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace tfd::agent {
namespace {

constexpr mode_t kLogMode = 0640;

std::string Rotated(const std::string& path, int number) {
  return number == 0 ? path : absl::StrCat(path, ".", number);
}

}  // namespace

LogFile::LogFile(std::string path, uint64_t max_bytes, int files)
    : path_(std::move(path)),
      max_bytes_(std::max<uint64_t>(max_bytes, 1)),
      files_(std::max(files, 1)) {}

LogFile::~LogFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

absl::Status LogFile::Open() {
  const int opened =
      open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, kLogMode);
  struct stat info;
  if (opened < 0 || fstat(opened, &info) != 0) {
    const int error = errno;
    if (opened >= 0) close(opened);
    return absl::ErrnoToStatus(error,
                               absl::StrCat("cannot open the log ", path_));
  }
  if (descriptor_ >= 0) close(descriptor_);
  descriptor_ = opened;
  size_bytes_ = static_cast<uint64_t>(info.st_size);
  at_line_start_ = true;
  return absl::OkStatus();
}

void LogFile::Write(absl::string_view data) {
  while (!data.empty()) {
    const size_t share = Share(data);
    Append(data.substr(0, share));
    data.remove_prefix(share);
    if (!data.empty() && !Rotate()) {
      lost_bytes_ += data.size();
      return;
    }
  }
}

size_t LogFile::Share(absl::string_view data) const {
  const uint64_t room = max_bytes_ - std::min(size_bytes_, max_bytes_);
  if (data.size() <= room) return data.size();
  const size_t line_end = data.substr(0, room).rfind('\n');
  if (line_end != absl::string_view::npos) return line_end + 1;
  // No line ends here: a line that begins here goes into the next file as a
  // whole, one that is longer than a file is cut.
  return at_line_start_ && size_bytes_ > 0 ? 0 : room;
}

bool LogFile::Rotate() {
  // Not there: renamed before, and opening the next one failed. Renaming again
  // would push the older files out one by one.
  const bool renamed_before = access(path_.c_str(), F_OK) != 0;
  for (int number = files_ - 1; number > 0 && !renamed_before; --number) {
    const std::string from = Rotated(path_, number - 1);
    if (rename(from.c_str(), Rotated(path_, number).c_str()) != 0 &&
        errno != ENOENT) {
      lost_errno_ = errno;
      return false;
    }
  }
  if (files_ == 1 && unlink(path_.c_str()) != 0 && errno != ENOENT) {
    lost_errno_ = errno;
    return false;
  }
  if (!Open().ok()) {
    lost_errno_ = errno;
    return false;
  }
  return true;
}

void LogFile::Append(absl::string_view data) {
  if (data.empty()) return;
  if (lost_bytes_ > 0) {
    const std::string notice = absl::StrCat(
        "\n[tfd-agent: ", lost_bytes_,
        " bytes of this log were lost: ", strerror(lost_errno_), "]\n");
    if (WriteAll(notice)) lost_bytes_ = 0;
  }
  if (lost_bytes_ > 0 || !WriteAll(data)) {
    lost_errno_ = errno;
    lost_bytes_ += data.size();
    return;
  }
  at_line_start_ = data.back() == '\n';
}

bool LogFile::WriteAll(absl::string_view data) {
  const uint64_t size_before = size_bytes_;
  while (!data.empty()) {
    const ssize_t count = write(descriptor_, data.data(), data.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      // A part of it would be counted as lost and be there all the same.
      const int error = count == 0 ? EIO : errno;
      if (ftruncate(descriptor_, static_cast<off_t>(size_before)) == 0) {
        size_bytes_ = size_before;
      }
      errno = error;
      return false;
    }
    size_bytes_ += static_cast<uint64_t>(count);
    data.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

}  // namespace tfd::agent
