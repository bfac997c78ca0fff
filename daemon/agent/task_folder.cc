#include "daemon/agent/task_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace tfd::agent {
namespace {

using nlohmann::json;

// Larger files of ours do not exist.
constexpr size_t kMaxFileBytes = 8 << 20;
constexpr mode_t kRecordMode = 0640;

std::string TemporaryName(const std::string& path) {
  return absl::StrCat(path, ".", getpid(), ".tmp");
}

// Makes `path`'s temporary file, with exactly this mode whatever the umask is.
absl::Status WriteTemporary(const std::string& temporary,
                            absl::string_view contents, mode_t mode) {
  unlink(temporary.c_str());
  const int file =
      open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR);
  if (file < 0) {
    return absl::ErrnoToStatus(errno,
                               absl::StrCat("cannot create ", temporary));
  }
  size_t written = 0;
  int error = 0;
  while (written < contents.size() && error == 0) {
    const ssize_t count =
        write(file, contents.data() + written, contents.size() - written);
    if (count >= 0) {
      written += static_cast<size_t>(count);
    } else if (errno != EINTR) {
      error = errno;
    }
  }
  if (error == 0 && fchmod(file, mode) != 0) error = errno;
  if (close(file) != 0 && error == 0) error = errno;
  if (error == 0) return absl::OkStatus();
  unlink(temporary.c_str());
  return absl::ErrnoToStatus(error, absl::StrCat("cannot write ", temporary));
}

absl::StatusOr<json> ReadJson(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  }
  std::string text;
  char buffer[16 << 10];
  ssize_t count;
  while ((count = read(file, buffer, sizeof(buffer))) > 0 &&
         text.size() < kMaxFileBytes) {
    text.append(buffer, static_cast<size_t>(count));
  }
  close(file);
  json value = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!value.is_object()) {
    return absl::DataLossError(absl::StrCat(
        path, " is not the JSON object it should be (", text.size(),
        " bytes); was the disk full or the power cut?"));
  }
  return value;
}

// The one place where the JSON library's exceptions end.
template <typename Record, typename Fill>
absl::StatusOr<Record> Decode(const std::string& path, Fill fill) {
  absl::StatusOr<json> value = ReadJson(path);
  if (!value.ok()) return value.status();
  try {
    Record record;
    fill(*value, record);
    return record;
  } catch (const json::exception& error) {
    return absl::DataLossError(
        absl::StrCat(path, " cannot be understood: ", error.what()));
  }
}

std::string Encode(const json& value) {
  // Names of files may be any bytes; JSON is UTF-8.
  return value.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

const char* KindName(ExitRecord::Kind kind) {
  switch (kind) {
    case ExitRecord::Kind::kExited:
      return "exited";
    case ExitRecord::Kind::kSignaled:
      return "signaled";
    case ExitRecord::Kind::kStartFailed:
      return "start_failed";
    case ExitRecord::Kind::kUnknown:
      break;
  }
  return "unknown";
}

ExitRecord::Kind KindOf(const std::string& name) {
  for (const ExitRecord::Kind kind :
       {ExitRecord::Kind::kExited, ExitRecord::Kind::kSignaled,
        ExitRecord::Kind::kStartFailed}) {
    if (name == KindName(kind)) return kind;
  }
  return ExitRecord::Kind::kUnknown;
}

}  // namespace

absl::Status WriteLaunch(const std::string& folder, const Launch& launch) {
  const json value = {{"cluster", launch.cluster},
                      {"command", launch.command},
                      {"environment", launch.environment},
                      {"working_folder", launch.working_folder},
                      {"log_folder", launch.log_folder},
                      {"log_bytes", launch.log_bytes},
                      {"log_files", launch.log_files},
                      {"grace_ms", launch.grace_ms}};
  return WriteSmallFile(absl::StrCat(folder, "/", kLaunchFile), Encode(value),
                        kRecordMode);
}

absl::StatusOr<Launch> ReadLaunch(const std::string& folder) {
  return Decode<Launch>(absl::StrCat(folder, "/", kLaunchFile),
                        [](const json& from, Launch& to) {
                          from.at("cluster").get_to(to.cluster);
                          from.at("command").get_to(to.command);
                          from.at("environment").get_to(to.environment);
                          from.at("working_folder").get_to(to.working_folder);
                          from.at("log_folder").get_to(to.log_folder);
                          from.at("log_bytes").get_to(to.log_bytes);
                          from.at("log_files").get_to(to.log_files);
                          from.at("grace_ms").get_to(to.grace_ms);
                        });
}

absl::Status ClaimTask(const std::string& folder, const ShimRecord& record) {
  const json value = {{"shim_pid", record.shim.pid},
                      {"shim_start_ticks", record.shim.start_ticks},
                      {"task_pid", record.task.pid},
                      {"task_start_ticks", record.task.start_ticks},
                      {"boot_id", BootId()}};
  const std::string path = absl::StrCat(folder, "/", kShimFile);
  const std::string temporary = TemporaryName(path);
  if (absl::Status status =
          WriteTemporary(temporary, Encode(value), kRecordMode);
      !status.ok()) {
    return status;
  }
  // Unlike rename, link fails where the name is there already.
  const int error = link(temporary.c_str(), path.c_str()) == 0 ? 0 : errno;
  unlink(temporary.c_str());
  if (error == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(error, absl::StrCat("cannot create ", path));
}

absl::StatusOr<ShimRecord> ReadShim(const std::string& folder) {
  return Decode<ShimRecord>(
      absl::StrCat(folder, "/", kShimFile),
      [](const json& from, ShimRecord& to) {
        from.at("shim_pid").get_to(to.shim.pid);
        from.at("shim_start_ticks").get_to(to.shim.start_ticks);
        from.at("boot_id").get_to(to.shim.boot_id);
        from.at("task_pid").get_to(to.task.pid);
        from.at("task_start_ticks").get_to(to.task.start_ticks);
        from.at("boot_id").get_to(to.task.boot_id);
      });
}

absl::Status WriteExit(const std::string& folder, const ExitRecord& record) {
  const json value = {{"kind", KindName(record.kind)},
                      {"code", record.code},
                      {"signal", record.signal},
                      {"message", record.message},
                      {"ended_at_ms", record.ended_at_ms}};
  return WriteSmallFile(absl::StrCat(folder, "/", kExitRecordFile),
                        Encode(value), kRecordMode);
}

absl::StatusOr<ExitRecord> ReadExit(const std::string& folder) {
  return Decode<ExitRecord>(absl::StrCat(folder, "/", kExitRecordFile),
                            [](const json& from, ExitRecord& to) {
                              to.kind =
                                  KindOf(from.at("kind").get<std::string>());
                              from.at("code").get_to(to.code);
                              from.at("signal").get_to(to.signal);
                              from.at("message").get_to(to.message);
                              from.at("ended_at_ms").get_to(to.ended_at_ms);
                            });
}

absl::Status WriteSmallFile(const std::string& path, absl::string_view contents,
                            mode_t mode) {
  const std::string temporary = TemporaryName(path);
  if (absl::Status status = WriteTemporary(temporary, contents, mode);
      !status.ok()) {
    return status;
  }
  if (rename(temporary.c_str(), path.c_str()) == 0) return absl::OkStatus();
  const int error = errno;
  unlink(temporary.c_str());
  return absl::ErrnoToStatus(error, absl::StrCat("cannot create ", path));
}

int64_t NowMs() { return absl::ToUnixMillis(absl::Now()); }

}  // namespace tfd::agent
