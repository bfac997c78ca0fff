// Reading a partition that lies on another node, from that node's feed.
#ifndef TFD_DATA_FEED_FETCH_H_
#define TFD_DATA_FEED_FETCH_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/fs/file_system.h"
#include "tfd/v1/job.pb.h"

namespace tfd::data {

struct PartitionFetchOptions {
  // The feed, as net::Dial takes it, and what it asks for.
  std::string target;
  std::string token;
  // Of this process alone; created where it is missing.
  std::string folder;
  // How long a feed that is away is asked again, and how long it may take.
  absl::Duration patience = absl::Minutes(1);
  absl::Duration timeout = absl::Hours(1);
};

// A copy of a sealed partition's spool file, byte for byte, by DoGet. It has no
// name any more when this returns: the file's room is free as soon as it is
// closed, also by a kill.
absl::StatusOr<std::unique_ptr<RandomAccessFile>> FetchPartition(
    const std::string& dataset, const v1::Partition& partition,
    const PartitionFetchOptions& options);

}  // namespace tfd::data

#endif  // TFD_DATA_FEED_FETCH_H_
