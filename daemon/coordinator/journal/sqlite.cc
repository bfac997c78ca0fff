#include "daemon/coordinator/journal/sqlite.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace tfd::coordinator {

absl::StatusOr<std::unique_ptr<SqliteDatabase>> SqliteDatabase::Open(
    const std::string& path) {
  std::unique_ptr<SqliteDatabase> database(new SqliteDatabase(path));
  // It holds tokens: for its owner alone (SQLite gives its side files the same
  // mode). A failure is told by the real opening below.
  const int descriptor = open(path.c_str(), O_CREAT | O_CLOEXEC, 0600);
  if (descriptor >= 0) close(descriptor);
  const int result = sqlite3_open_v2(
      path.c_str(), &database->database_,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
      nullptr);
  if (result != SQLITE_OK) return database->Error("cannot open it");
  sqlite3_extended_result_codes(database->database_, 1);
  return database;
}

SqliteDatabase::~SqliteDatabase() { sqlite3_close_v2(database_); }

absl::Status SqliteDatabase::Error(const std::string& what) const {
  const int code = sqlite3_errcode(database_) & 0xff;
  const std::string text = absl::StrCat("the journal ", path_, ": ", what, ": ",
                                        sqlite3_errmsg(database_));
  switch (code) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(
          absl::StrCat(text,
                       "; restore the state folder from a copy, or begin "
                       "with an empty one (--state-dir)"));
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(
          absl::StrCat(text, "; make room on that disk"));
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
      return absl::PermissionDeniedError(text);
    default:
      return absl::UnavailableError(text);
  }
}

absl::Status SqliteDatabase::Execute(const std::string& sql) {
  if (sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, nullptr) ==
      SQLITE_OK) {
    return absl::OkStatus();
  }
  return Error(sql);
}

absl::StatusOr<std::unique_ptr<SqliteStatement>> SqliteDatabase::Prepare(
    const std::string& sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(database_, sql.c_str(), static_cast<int>(sql.size()),
                         &statement, nullptr) != SQLITE_OK) {
    return Error(sql);
  }
  return std::make_unique<SqliteStatement>(this, statement);
}

SqliteStatement::~SqliteStatement() { sqlite3_finalize(statement_); }

void SqliteStatement::Bind(int parameter, uint64_t value) {
  sqlite3_bind_int64(statement_, parameter, static_cast<int64_t>(value));
}

void SqliteStatement::Bind(int parameter, const std::string& value) {
  sqlite3_bind_blob64(statement_, parameter, value.data(), value.size(),
                      SQLITE_STATIC);
}

absl::StatusOr<bool> SqliteStatement::Step() {
  switch (sqlite3_step(statement_)) {
    case SQLITE_ROW:
      return true;
    case SQLITE_DONE:
      return false;
    default:
      return database_->Error(sqlite3_sql(statement_));
  }
}

void SqliteStatement::Reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

uint64_t SqliteStatement::Number(int column) const {
  return static_cast<uint64_t>(sqlite3_column_int64(statement_, column));
}

std::string SqliteStatement::Text(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  if (data == nullptr) return "";
  return std::string(static_cast<const char*>(data),
                     sqlite3_column_bytes(statement_, column));
}

}  // namespace tfd::coordinator
