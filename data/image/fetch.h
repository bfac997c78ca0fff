// Files behind URLs, several at a time, each bounded in time and size.
#ifndef TFD_DATA_IMAGE_FETCH_H_
#define TFD_DATA_IMAGE_FETCH_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace tfd::data {

struct FetchOptions {
  // Of one URL, all of it, redirections included.
  absl::Duration timeout = absl::Seconds(10);
  int at_a_time = 16;
  uint64_t max_bytes = uint64_t{32} << 20;
};

// Keeps its connections from one Fetch to the next. Thread-compatible.
class UrlFetcher {
 public:
  static absl::StatusOr<std::unique_ptr<UrlFetcher>> Make(
      const FetchOptions& options);
  virtual ~UrlFetcher() = default;

  // What is behind each, in their order. Only http and https, also where a
  // server redirects; proxies as the environment has them (https_proxy, …).
  // Errors do not name the URL.
  virtual std::vector<absl::StatusOr<std::string>> Fetch(
      absl::Span<const std::string> urls) = 0;
};

}  // namespace tfd::data

#endif  // TFD_DATA_IMAGE_FETCH_H_
