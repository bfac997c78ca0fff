#include "daemon/coordinator/journal/sqlite_journal.h"

#include <deque>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/random.h"
#include "common/status.h"
#include "daemon/coordinator/journal/sqlite.h"
#include "spdlog/spdlog.h"

namespace tfd::coordinator {
namespace {

// Of the tables below; another one is refused.
constexpr uint64_t kFormatVersion = 1;
constexpr size_t kClusterIdLength = 12;
constexpr absl::Duration kRetryInterval = absl::Milliseconds(500);

// FULL: a commit is on the disk when it is said to be. An exclusive lock keeps
// the shared-memory file away and other writers out.
constexpr char kSetUp[] = R"(
  PRAGMA locking_mode = EXCLUSIVE;
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value);
  CREATE TABLE IF NOT EXISTS events(idx INTEGER PRIMARY KEY, data BLOB NOT NULL);
  CREATE TABLE IF NOT EXISTS snapshot(
    id INTEGER PRIMARY KEY CHECK (id = 0), idx INTEGER NOT NULL,
    data BLOB NOT NULL);
)";

struct Request {
  uint64_t term = 0;
  uint64_t index = 0;
  std::vector<std::string> events;
  // Compact instead of Append.
  bool is_snapshot = false;
  std::string snapshot;
  Journal::Done done;
};

class SqliteJournal : public Journal {
 public:
  SqliteJournal(std::unique_ptr<SqliteDatabase> database,
                absl::Duration patience)
      : database_(std::move(database)), patience_(patience) {}
  ~SqliteJournal() override;

  absl::StatusOr<Recovery> Recover() override;
  void Append(uint64_t term, uint64_t expected_index,
              std::vector<std::string> events, Done done) override;
  void Compact(uint64_t term, uint64_t index, std::string snapshot,
               Done done) override;

 private:
  void Push(Request request);
  void Run();
  absl::StatusOr<std::string> ReadMeta(const std::string& key);
  absl::Status WriteMeta(const std::string& key, const std::string& value);
  absl::Status StartTerm(Recovery* recovery);
  absl::Status ReadAll(Recovery* recovery);
  // Everything of `requests` in one transaction; each gets its own verdict.
  absl::Status Commit(const std::vector<Request>& requests,
                      std::vector<absl::Status>* verdicts);
  absl::Status CommitWithPatience(const std::vector<Request>& requests,
                                  std::vector<absl::Status>* verdicts);
  absl::Status Write(const Request& request, uint64_t* last_index);
  absl::Status WriteSnapshot(const Request& request);

  // The writer thread's, once it runs.
  const std::unique_ptr<SqliteDatabase> database_;
  const absl::Duration patience_;
  uint64_t term_ = 0;
  uint64_t last_index_ = 0;

  absl::Mutex mutex_;
  std::deque<Request> queue_ ABSL_GUARDED_BY(mutex_);
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread writer_;
};

SqliteJournal::~SqliteJournal() {
  {
    absl::MutexLock lock(&mutex_);
    ending_ = true;
  }
  if (writer_.joinable()) writer_.join();
}

absl::StatusOr<std::string> SqliteJournal::ReadMeta(const std::string& key) {
  TFD_ASSIGN_OR_RETURN(
      auto statement,
      database_->Prepare("SELECT value FROM meta WHERE key=?1"));
  statement->Bind(1, key);
  TFD_ASSIGN_OR_RETURN(const bool found, statement->Step());
  return found ? statement->Text(0) : std::string();
}

absl::Status SqliteJournal::WriteMeta(const std::string& key,
                                      const std::string& value) {
  TFD_ASSIGN_OR_RETURN(
      auto statement,
      database_->Prepare("INSERT OR REPLACE INTO meta VALUES(?1, ?2)"));
  statement->Bind(1, key);
  statement->Bind(2, value);
  return statement->Step().status();
}

absl::Status SqliteJournal::StartTerm(Recovery* recovery) {
  TFD_ASSIGN_OR_RETURN(const std::string format, ReadMeta("format"));
  if (format.empty()) {
    TFD_RETURN_IF_ERROR(WriteMeta("format", absl::StrCat(kFormatVersion)));
    TFD_RETURN_IF_ERROR(WriteMeta("cluster", RandomId(kClusterIdLength)));
  } else if (format != absl::StrCat(kFormatVersion)) {
    return absl::DataLossError(absl::StrCat(
        "the journal is of format ", format, ", this tfd-coordinator reads ",
        kFormatVersion, ": use the version that wrote it"));
  }
  TFD_ASSIGN_OR_RETURN(recovery->cluster_id, ReadMeta("cluster"));
  TFD_ASSIGN_OR_RETURN(const std::string term, ReadMeta("term"));
  if (!term.empty() && !absl::SimpleAtoi(term, &term_)) {
    return absl::DataLossError(
        absl::StrCat("the journal's term is \"", term, "\", no number"));
  }
  ++term_;
  recovery->term = term_;
  return WriteMeta("term", absl::StrCat(term_));
}

absl::Status SqliteJournal::ReadAll(Recovery* recovery) {
  TFD_ASSIGN_OR_RETURN(auto snapshot,
                       database_->Prepare("SELECT idx, data FROM snapshot"));
  TFD_ASSIGN_OR_RETURN(const bool has_snapshot, snapshot->Step());
  if (has_snapshot) {
    recovery->snapshot_index = snapshot->Number(0);
    recovery->snapshot = snapshot->Text(1);
  }
  last_index_ = recovery->snapshot_index;
  TFD_ASSIGN_OR_RETURN(
      auto events,
      database_->Prepare("SELECT idx, data FROM events WHERE idx > ?1 "
                         "ORDER BY idx"));
  events->Bind(1, last_index_);
  while (true) {
    TFD_ASSIGN_OR_RETURN(const bool more, events->Step());
    if (!more) return absl::OkStatus();
    if (events->Number(0) != ++last_index_) {
      return absl::DataLossError(absl::StrCat("the journal has no event ",
                                              last_index_, " but a later one"));
    }
    recovery->events.push_back(events->Text(1));
  }
}

absl::StatusOr<Recovery> SqliteJournal::Recover() {
  Recovery recovery;
  TFD_RETURN_IF_ERROR(database_->Execute("BEGIN IMMEDIATE"));
  TFD_RETURN_IF_ERROR(StartTerm(&recovery));
  TFD_RETURN_IF_ERROR(ReadAll(&recovery));
  TFD_RETURN_IF_ERROR(database_->Execute("COMMIT"));
  writer_ = std::thread([this] { Run(); });
  return recovery;
}

void SqliteJournal::Append(uint64_t term, uint64_t expected_index,
                           std::vector<std::string> events, Done done) {
  Request request;
  request.term = term;
  request.index = expected_index;
  request.events = std::move(events);
  request.done = std::move(done);
  Push(std::move(request));
}

void SqliteJournal::Compact(uint64_t term, uint64_t index, std::string snapshot,
                            Done done) {
  Request request;
  request.term = term;
  request.index = index;
  request.is_snapshot = true;
  request.snapshot = std::move(snapshot);
  request.done = std::move(done);
  Push(std::move(request));
}

void SqliteJournal::Push(Request request) {
  absl::MutexLock lock(&mutex_);
  queue_.push_back(std::move(request));
}

void SqliteJournal::Run() {
  while (true) {
    std::vector<Request> requests;
    {
      absl::MutexLock lock(&mutex_);
      const auto has_work = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        return ending_ || !queue_.empty();
      };
      mutex_.Await(absl::Condition(&has_work));
      if (queue_.empty()) return;
      requests.assign(std::make_move_iterator(queue_.begin()),
                      std::make_move_iterator(queue_.end()));
      queue_.clear();
    }
    std::vector<absl::Status> verdicts;
    const absl::Status status = CommitWithPatience(requests, &verdicts);
    for (size_t i = 0; i < requests.size(); ++i) {
      requests[i].done(status.ok() ? verdicts[i] : status);
    }
  }
}

absl::Status SqliteJournal::CommitWithPatience(
    const std::vector<Request>& requests, std::vector<absl::Status>* verdicts) {
  const absl::Time deadline = absl::Now() + patience_;
  while (true) {
    const absl::Status status = Commit(requests, verdicts);
    if (status.ok()) return status;
    // There may be no transaction to roll back.
    database_->Execute("ROLLBACK").IgnoreError();
    const bool may_pass =
        absl::IsResourceExhausted(status) || absl::IsUnavailable(status);
    if (!may_pass || absl::Now() >= deadline) return status;
    spdlog::error("{}; trying again for {}", std::string(status.message()),
                  absl::FormatDuration(deadline - absl::Now()));
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(&ending_), kRetryInterval);
    if (ending_) return status;
  }
}

absl::Status SqliteJournal::Commit(const std::vector<Request>& requests,
                                   std::vector<absl::Status>* verdicts) {
  verdicts->clear();
  uint64_t last_index = last_index_;
  TFD_RETURN_IF_ERROR(database_->Execute("BEGIN IMMEDIATE"));
  TFD_ASSIGN_OR_RETURN(const std::string term, ReadMeta("term"));
  for (const Request& request : requests) {
    if (term != absl::StrCat(request.term)) {
      verdicts->push_back(absl::FailedPreconditionError(
          absl::StrCat("term ", request.term, " has ended, the journal is at ",
                       term, ": another coordinator has taken over")));
    } else if (request.is_snapshot) {
      TFD_RETURN_IF_ERROR(WriteSnapshot(request));
      verdicts->push_back(absl::OkStatus());
    } else if (request.index != last_index) {
      verdicts->push_back(absl::FailedPreconditionError(
          absl::StrCat("the journal's last event is ", last_index, ", not ",
                       request.index)));
    } else {
      TFD_RETURN_IF_ERROR(Write(request, &last_index));
      verdicts->push_back(absl::OkStatus());
    }
  }
  TFD_RETURN_IF_ERROR(database_->Execute("COMMIT"));
  last_index_ = last_index;
  return absl::OkStatus();
}

absl::Status SqliteJournal::Write(const Request& request,
                                  uint64_t* last_index) {
  TFD_ASSIGN_OR_RETURN(auto insert,
                       database_->Prepare("INSERT INTO events VALUES(?1, ?2)"));
  for (const std::string& event : request.events) {
    insert->Bind(1, ++*last_index);
    insert->Bind(2, event);
    TFD_RETURN_IF_ERROR(insert->Step().status());
    insert->Reset();
  }
  return absl::OkStatus();
}

absl::Status SqliteJournal::WriteSnapshot(const Request& request) {
  TFD_ASSIGN_OR_RETURN(
      auto replace,
      database_->Prepare("INSERT OR REPLACE INTO snapshot VALUES(0, ?1, ?2)"));
  replace->Bind(1, request.index);
  replace->Bind(2, request.snapshot);
  TFD_RETURN_IF_ERROR(replace->Step().status());
  TFD_ASSIGN_OR_RETURN(
      auto remove, database_->Prepare("DELETE FROM events WHERE idx <= ?1"));
  remove->Bind(1, request.index);
  return remove->Step().status();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Journal>> OpenSqliteJournal(
    const SqliteJournalOptions& options) {
  TFD_ASSIGN_OR_RETURN(auto database, SqliteDatabase::Open(options.path));
  TFD_RETURN_IF_ERROR(database->Execute(kSetUp));
  return std::make_unique<SqliteJournal>(std::move(database), options.patience);
}

}  // namespace tfd::coordinator
