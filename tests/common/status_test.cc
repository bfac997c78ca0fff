#include "common/status.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>

#include "absl/strings/cord.h"

namespace tfd {
namespace {

constexpr absl::StatusCode kEveryCode[] = {
    absl::StatusCode::kOk,
    absl::StatusCode::kCancelled,
    absl::StatusCode::kUnknown,
    absl::StatusCode::kInvalidArgument,
    absl::StatusCode::kDeadlineExceeded,
    absl::StatusCode::kNotFound,
    absl::StatusCode::kAlreadyExists,
    absl::StatusCode::kPermissionDenied,
    absl::StatusCode::kResourceExhausted,
    absl::StatusCode::kFailedPrecondition,
    absl::StatusCode::kAborted,
    absl::StatusCode::kOutOfRange,
    absl::StatusCode::kUnimplemented,
    absl::StatusCode::kInternal,
    absl::StatusCode::kUnavailable,
    absl::StatusCode::kDataLoss,
    absl::StatusCode::kUnauthenticated};

TEST(StatusTest, AnnotatePutsContextInFrontAndKeepsTheRest) {
  absl::Status status = absl::NotFoundError("no such file");
  status.SetPayload("url", absl::Cord("payload"));
  const absl::Status annotated = Annotate(status, "reading the spec");
  EXPECT_EQ(annotated.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(annotated.message(), "reading the spec: no such file");
  EXPECT_EQ(annotated.GetPayload("url"), absl::Cord("payload"));
}

TEST(StatusTest, AnnotateLeavesOkAlone) {
  EXPECT_TRUE(Annotate(absl::OkStatus(), "anything").ok());
}

TEST(StatusTest, EveryCodeSurvivesTheWayThroughGrpc) {
  for (absl::StatusCode code : kEveryCode) {
    const absl::Status status(code, "why");
    EXPECT_EQ(FromGrpc(ToGrpc(status)), status) << status;
  }
  EXPECT_EQ(ToGrpc(absl::UnavailableError("x")).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST(StatusTest, ErrnoBecomesTheCodeThatFits) {
  EXPECT_EQ(ErrnoStatus(ENOENT, "open /x"),
            absl::NotFoundError("open /x: No such file or directory"));
  EXPECT_TRUE(absl::IsPermissionDenied(ErrnoStatus(EACCES, "open")));
  EXPECT_TRUE(absl::IsResourceExhausted(ErrnoStatus(ENOSPC, "write")));
}

TEST(StatusTest, ExitCodesTellBadInputFromAFailedJob) {
  EXPECT_EQ(ExitCode(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCode(absl::InvalidArgumentError("")), 2);
  EXPECT_EQ(ExitCode(absl::NotFoundError("")), 2);
  EXPECT_EQ(ExitCode(absl::AlreadyExistsError("")), 2);
  EXPECT_EQ(ExitCode(absl::FailedPreconditionError("")), 2);
  EXPECT_EQ(ExitCode(absl::OutOfRangeError("")), 2);
  EXPECT_EQ(ExitCode(absl::UnavailableError("")), 3);
  EXPECT_EQ(ExitCode(absl::CancelledError("")), 130);
  EXPECT_EQ(ExitCode(absl::InternalError("")), 1);
  EXPECT_EQ(ExitCode(absl::AbortedError("")), 1);
}

absl::StatusOr<std::unique_ptr<int>> Make(bool ok) {
  if (!ok) return absl::InternalError("not made");
  return std::make_unique<int>(7);
}

absl::Status Use(bool ok, int* value) {
  TFD_ASSIGN_OR_RETURN(const std::unique_ptr<int> made, Make(ok));
  TFD_RETURN_IF_ERROR(absl::OkStatus());
  *value = *made;
  return absl::OkStatus();
}

TEST(StatusTest, MacrosPassOnErrorsAndMoveValues) {
  int value = 0;
  EXPECT_TRUE(Use(true, &value).ok());
  EXPECT_EQ(value, 7);
  EXPECT_EQ(Use(false, &value), absl::InternalError("not made"));
}

}  // namespace
}  // namespace tfd
