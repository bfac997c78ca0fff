#include "data/arrow_status.h"

#include <string>

namespace tfd::data {

absl::Status FromArrow(const arrow::Status& status) {
  const std::string& message = status.message();
  switch (status.code()) {
    case arrow::StatusCode::OK:
      return absl::OkStatus();
    case arrow::StatusCode::OutOfMemory:
    case arrow::StatusCode::CapacityError:
      return absl::ResourceExhaustedError(message);
    case arrow::StatusCode::KeyError:
      return absl::NotFoundError(message);
    case arrow::StatusCode::NotImplemented:
      return absl::UnimplementedError(message);
    case arrow::StatusCode::IOError:
      return absl::DataLossError(message);
    case arrow::StatusCode::Cancelled:
      return absl::CancelledError(message);
    case arrow::StatusCode::Invalid:
    case arrow::StatusCode::TypeError:
    case arrow::StatusCode::IndexError:
    case arrow::StatusCode::SerializationError:
      return absl::InvalidArgumentError(message);
    default:
      return absl::InternalError(message);
  }
}

}  // namespace tfd::data
