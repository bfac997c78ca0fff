// Errors are absl::Status. These are the few things absl does not bring.
#ifndef TFD_COMMON_STATUS_H_
#define TFD_COMMON_STATUS_H_

#include <grpcpp/support/status.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tfd {

// `status` with "`context`: " in front of its message; OK stays OK. Each layer
// adds what it knows, once.
absl::Status Annotate(const absl::Status& status, absl::string_view context);

// The codes are the same on both sides.
grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

// A status from errno: the code that fits, "`what`: strerror".
absl::Status ErrnoStatus(int error_number, absl::string_view what);

// The exit code of a program that ends with `status`: 0 OK, 2 for bad input
// (InvalidArgument, NotFound, AlreadyExists, FailedPrecondition, OutOfRange),
// 3 for Unavailable, 130 for Cancelled by the user, 1 for all else.
int ExitCode(const absl::Status& status);

}  // namespace tfd

#define TFD_STATUS_CONCAT_INNER(a, b) a##b
#define TFD_STATUS_CONCAT(a, b) TFD_STATUS_CONCAT_INNER(a, b)

#define TFD_RETURN_IF_ERROR(expression)        \
  do {                                         \
    absl::Status tfd_status_ = (expression);   \
    if (!tfd_status_.ok()) return tfd_status_; \
  } while (false)

#define TFD_ASSIGN_OR_RETURN(declaration, expression)                    \
  TFD_ASSIGN_OR_RETURN_INNER(TFD_STATUS_CONCAT(tfd_statusor_, __LINE__), \
                             declaration, expression)

#define TFD_ASSIGN_OR_RETURN_INNER(statusor, declaration, expression) \
  auto statusor = (expression);                                       \
  if (!statusor.ok()) return std::move(statusor).status();            \
  declaration = *std::move(statusor)

#endif  // TFD_COMMON_STATUS_H_
