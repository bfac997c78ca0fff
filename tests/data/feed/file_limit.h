// A disk that is full, as far as a process can see it: no file may grow beyond
// a number of bytes.
#ifndef TFD_TESTS_DATA_FEED_FILE_LIMIT_H_
#define TFD_TESTS_DATA_FEED_FILE_LIMIT_H_

#include <signal.h>
#include <sys/resource.h>

#include <cstdint>

namespace tfd::data {

// Of the whole process, until it is destroyed.
class FileLimit {
 public:
  explicit FileLimit(uint64_t size_bytes) {
    // The kernel would end the process.
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = size_bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileLimit() { setrlimit(RLIMIT_FSIZE, &before_); }
  FileLimit(const FileLimit&) = delete;
  FileLimit& operator=(const FileLimit&) = delete;

 private:
  rlimit before_ = {};
};

}  // namespace tfd::data

#endif  // TFD_TESTS_DATA_FEED_FILE_LIMIT_H_
