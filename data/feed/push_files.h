// Pushing files into a dataset of a running job, each row exactly once.
#ifndef TFD_DATA_FEED_PUSH_FILES_H_
#define TFD_DATA_FEED_PUSH_FILES_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "data/feed/push_client.h"

namespace tfd::data {

struct PushFilesOptions {
  PushTarget target;
  // Files and patterns; their rows are pushed in this order.
  std::vector<std::string> files;
  // A word of file_format.h; empty: by the names.
  std::string format;
  // idx: the file of labels, for one file of features.
  std::string labels;
  // NAME,NAME,…: only these columns, the label last; empty: all. The columns of
  // idx get these names.
  std::string columns;
  // How long it goes on without any progress.
  absl::Duration timeout = absl::Minutes(5);
  // A partition ends with its file, or the batch that makes it as large.
  int64_t partition_bytes = 32 << 20;
};

struct PushProgress {
  int64_t rows = 0;
  uint64_t size_bytes = 0;
  // Of these rows, how many a node had already.
  int64_t rows_before = 0;
  int64_t partitions = 0;
  // What it waits for; empty where it goes on.
  std::string waits_for;
};

// Begins, pushes partition after partition, and commits. A partition's attempt
// follows from its bytes: whoever does the same again after a kill goes on
// behind the rows that the nodes have, and commits once; with other files it is
// AlreadyExists, with what to do. `progress` is told of all that goes on; its
// error ends it, and all that was pushed stays as it is.
absl::StatusOr<PushProgress> PushFiles(
    const PushFilesOptions& options,
    const std::function<absl::Status(const PushProgress&)>& progress);

}  // namespace tfd::data

#endif  // TFD_DATA_FEED_PUSH_FILES_H_
