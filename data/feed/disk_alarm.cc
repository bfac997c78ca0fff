#include "data/feed/disk_alarm.h"

#include <spdlog/spdlog.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/poll.h"
#include "common/units.h"
#include "data/feed/attempt_file.h"

namespace tfd::data {

absl::Status DiskAlarm::Write(
    const std::function<absl::Status()>& write,
    const std::function<bool(absl::Duration)>& await_cancel) {
  absl::Status status = write();
  const absl::Time deadline = SteadyNow() + options_.patience;
  while (IsDiskFull(status)) {
    SetFull(true, status);
    if (SteadyNow() >= deadline) return status;
    if (await_cancel(options_.pause)) {
      return absl::CancelledError("the producer is gone");
    }
    status = write();
  }
  if (status.ok()) SetFull(false, status);
  return status;
}

void DiskAlarm::SetFull(bool is_full, const absl::Status& why) {
  {
    absl::MutexLock lock(&mutex_);
    if (is_full_ == is_full) return;
    is_full_ = is_full;
  }
  v1::SpoolNotice notice;
  if (is_full) {
    notice.set_kind(v1::SpoolNotice::DISK_FULL);
    notice.set_message(absl::StrCat(
        why.message(), "; producers wait, each up to ",
        tfd::FormatDuration(options_.patience), ", and nothing is lost"));
  } else {
    notice.set_kind(v1::SpoolNotice::DISK_HAS_ROOM);
    notice.set_message("the disk of the spool has room again: producers go on");
  }
  spdlog::warn("{}", notice.message());
  tell_(notice);
}

}  // namespace tfd::data
