#include "daemon/coordinator/journal/state_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status.h"

namespace tfd::coordinator {
namespace {

constexpr mode_t kPrivate = 0700;
constexpr size_t kMaxOwnerBytes = 256;

std::string Self() {
  char host[kMaxOwnerBytes] = "";
  gethostname(host, sizeof(host) - 1);
  return absl::StrCat("pid ", getpid(), " on ", host);
}

std::string ReadOwner(int descriptor) {
  char text[kMaxOwnerBytes];
  const ssize_t size = pread(descriptor, text, sizeof(text), 0);
  return size > 0 ? std::string(text, size) : "pid unknown";
}

}  // namespace

StateFolder::StateFolder(std::string path, int descriptor)
    : path_(std::move(path)), descriptor_(descriptor) {}

StateFolder::StateFolder(StateFolder&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

StateFolder& StateFolder::operator=(StateFolder&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

StateFolder::~StateFolder() {
  if (descriptor_ >= 0) close(descriptor_);
}

absl::StatusOr<StateFolder> StateFolder::Open(const std::string& path) {
  std::error_code error;
  const bool created = std::filesystem::create_directories(path, error);
  if (error) {
    return ErrnoStatus(error.value(),
                       absl::StrCat("cannot create the state folder ", path));
  }
  if (created) chmod(path.c_str(), kPrivate);
  const std::string lock = path + "/lock";
  const int descriptor = open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot open ", lock));
  }
  StateFolder folder(path, descriptor);
  if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) {
      return ErrnoStatus(errno, absl::StrCat("cannot lock ", lock));
    }
    return absl::FailedPreconditionError(absl::StrCat(
        "the state folder ", path, " is in use by another tfd-coordinator (",
        ReadOwner(descriptor), "): stop it, or name another --state-dir"));
  }
  const std::string self = Self();
  if (ftruncate(descriptor, 0) != 0 ||
      pwrite(descriptor, self.data(), self.size(), 0) !=
          static_cast<ssize_t>(self.size())) {
    return ErrnoStatus(errno, absl::StrCat("cannot write ", lock));
  }
  return folder;
}

}  // namespace tfd::coordinator
