// What a feed does with one DoPut call: DESIGN section 5, "Pushed data".
//
//   client                                   feed
//   descriptor ["jobs", job, dataset,
//     producer, partition, attempt], schema →
//                                          ← {"offset": rows it has of it}
//   record batches, maybe {"offset": rows} →
//                                          ← {"offset": rows in the spool} …
//   {"rows": all of the partition's}       →
//   done writing                           →
//                        (durable, and the coordinator grants the partition)
//                                          ← {"sealed": true, "rows": N,
//                                             "crc32c": C}, or ALREADY_EXISTS
//
// A stream that breaks seals nothing; one that is ended in order seals what is
// there, unless the producer has said how many rows there are and it is another
// number. {"rows": N} may come with any message, also beside an offset.
#ifndef TFD_DATA_FEED_PUT_SESSION_H_
#define TFD_DATA_FEED_PUT_SESSION_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "data/feed/flight_data.h"
#include "data/feed/spool.h"
#include "tfd/v1/task.pb.h"

namespace grpc {
class ByteBuffer;
}

namespace tfd::data {

class DiskAlarm;
class PutStream;

// What every session of a feed shares.
struct FeedContext {
  std::string job;
  // This feed's task and its generation.
  std::string task;
  uint64_t generation = 0;
  Spool* spool = nullptr;
  // Asks the coordinator; blocks until it has answered, or the feed stops.
  // AlreadyExists where another attempt has the partition.
  std::function<absl::Status(const v1::SealPartitionRequest&)> seal;
  // For a spool that is full: deletes what nobody needs any more, so that it is
  // worth another try. Null: nothing can be done.
  std::function<void()> make_room;
  // Who waits for a disk that is full. Null: nobody.
  DiskAlarm* disk = nullptr;
  // How long a producer is held back for a spool that is full and gets room as
  // training goes on; it is looked at again after `room_interval`.
  absl::Duration room_timeout = absl::Minutes(10);
  absl::Duration room_interval = absl::Milliseconds(200);
  // How long a producer may be silent.
  absl::Duration idle_timeout = absl::Hours(1);
  // How long a message to the producer may take.
  absl::Duration write_timeout = absl::Minutes(1);
};

// One call. Thread-compatible: runs on the stream's thread.
class PutSession {
 public:
  PutSession(const FeedContext& context, PutStream* stream);

  // The whole call; what it ends with is for the client.
  absl::Status Run();

 private:
  // OutOfRange at the end of the stream.
  absl::StatusOr<FlightData> ReadNext();
  absl::StatusOr<AttemptKey> ParseDescriptor(const std::string& bytes) const;
  // What a message says of itself and of the partition.
  absl::Status TakeStatements(const std::string& app_metadata);
  // InvalidArgument where the producer has said another number of rows.
  absl::Status CheckTotal() const;
  // What the coordinator is asked about the partition.
  v1::SealPartitionRequest RequestFor(const AttemptKey& key) const;
  // From the spool; where that knows of another attempt that is sealed, the
  // coordinator has the last word.
  absl::StatusOr<std::unique_ptr<AttemptWriter>> Acquire(const AttemptKey& key);
  absl::Status Take(const FlightData& data);
  // Writes to the spool, which may have to wait for room in it or on the disk.
  absl::Status Write(const std::function<absl::Status()>& write);
  absl::Status WriteWhereThereIsRoom(
      const std::function<absl::Status()>& write);
  absl::Status Seal();
  std::string OffsetText() const;

  const FeedContext& context_;
  PutStream* const stream_;
  FlightDataReader reader_;
  std::unique_ptr<AttemptWriter> writer_;
  // What the descriptor says.
  std::string dataset_;
  // Of the whole partition, once the producer has said it.
  std::optional<int64_t> total_rows_;
};

// InvalidArgument unless `name` can be the name of a file: as the coordinator
// asks for it, too.
absl::Status CheckName(const char* what, const std::string& name);

}  // namespace tfd::data

#endif  // TFD_DATA_FEED_PUT_SESSION_H_
