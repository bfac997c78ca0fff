// The journal in one SQLite file: WAL, synchronous=FULL, one writer thread that
// makes all that waits durable with one commit.
#ifndef TFD_DAEMON_COORDINATOR_JOURNAL_SQLITE_JOURNAL_H_
#define TFD_DAEMON_COORDINATOR_JOURNAL_SQLITE_JOURNAL_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/coordinator/journal/journal.h"

namespace tfd::coordinator {

struct SqliteJournalOptions {
  std::string path;
  // How long a commit that the disk refuses (it is full, say) is tried again.
  absl::Duration patience = absl::Seconds(60);
};

// Opens or creates the file. DataLoss where it is damaged or of another
// version. The destructor waits for what has been appended.
absl::StatusOr<std::unique_ptr<Journal>> OpenSqliteJournal(
    const SqliteJournalOptions& options);

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_JOURNAL_SQLITE_JOURNAL_H_
