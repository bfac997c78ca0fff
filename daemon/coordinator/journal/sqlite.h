// The little of SQLite's C interface that the journal needs, with statuses.
#ifndef TFD_DAEMON_COORDINATOR_JOURNAL_SQLITE_H_
#define TFD_DAEMON_COORDINATOR_JOURNAL_SQLITE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct sqlite3;
struct sqlite3_stmt;

namespace tfd::coordinator {

class SqliteStatement;

// One connection. Thread-compatible.
class SqliteDatabase {
 public:
  static absl::StatusOr<std::unique_ptr<SqliteDatabase>> Open(
      const std::string& path);
  ~SqliteDatabase();
  SqliteDatabase(const SqliteDatabase&) = delete;
  SqliteDatabase& operator=(const SqliteDatabase&) = delete;

  // Statements without results; several, separated by semicolons.
  absl::Status Execute(const std::string& sql);
  absl::StatusOr<std::unique_ptr<SqliteStatement>> Prepare(
      const std::string& sql);
  // DataLoss for a damaged file, ResourceExhausted for a full disk, Unavailable
  // for what may pass.
  absl::Status Error(const std::string& what) const;

 private:
  explicit SqliteDatabase(std::string path) : path_(std::move(path)) {}

  const std::string path_;
  sqlite3* database_ = nullptr;
};

// One prepared statement; its columns and parameters count from 0 and 1.
class SqliteStatement {
 public:
  SqliteStatement(SqliteDatabase* database, sqlite3_stmt* statement)
      : database_(database), statement_(statement) {}
  ~SqliteStatement();
  SqliteStatement(const SqliteStatement&) = delete;
  SqliteStatement& operator=(const SqliteStatement&) = delete;

  void Bind(int parameter, uint64_t value);
  // `value` must live until the next Step or Reset.
  void Bind(int parameter, const std::string& value);
  // True for a row, false at the end.
  absl::StatusOr<bool> Step();
  void Reset();
  uint64_t Number(int column) const;
  std::string Text(int column) const;

 private:
  SqliteDatabase* database_;
  sqlite3_stmt* statement_;
};

}  // namespace tfd::coordinator

#endif  // TFD_DAEMON_COORDINATOR_JOURNAL_SQLITE_H_
