// The one place that knows libcurl.
#include "data/image/fetch.h"

#include <curl/curl.h>

#include <algorithm>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "common/units.h"

namespace tfd::data {
namespace {

constexpr char kProtocols[] = "http,https";
constexpr long kMaxRedirections = 5;
constexpr long kHttpOk = 200;
constexpr int kPollMs = 100;

struct CloseEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct CloseMulti {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

// One URL on its way.
struct Transfer {
  std::unique_ptr<CURL, CloseEasy> easy;
  size_t index = 0;
  std::string body;
  uint64_t max_bytes = 0;
  bool too_large = false;
  char message[CURL_ERROR_SIZE] = {};
};

size_t OnBody(const char* data, size_t one, size_t count, void* user) {
  auto* transfer = static_cast<Transfer*>(user);
  const size_t size_bytes = one * count;
  if (size_bytes > transfer->max_bytes - transfer->body.size()) {
    transfer->too_large = true;
    return 0;  // ends the transfer
  }
  transfer->body.append(data, size_bytes);
  return size_bytes;
}

class CurlFetcher : public UrlFetcher {
 public:
  CurlFetcher(const FetchOptions& options, CURLM* multi)
      : options_(options), multi_(multi) {
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS,
                      static_cast<long>(options.at_a_time));
  }

  std::vector<absl::StatusOr<std::string>> Fetch(
      absl::Span<const std::string> urls) override {
    std::vector<absl::StatusOr<std::string>> results(
        urls.size(), absl::UnknownError("was not fetched"));
    std::vector<std::unique_ptr<Transfer>> going;
    size_t next = 0;
    while (next < urls.size() || !going.empty()) {
      while (next < urls.size() &&
             going.size() < static_cast<size_t>(options_.at_a_time)) {
        absl::Status begun = Begin(urls[next], next, &going);
        if (!begun.ok()) results[next] = std::move(begun);
        ++next;
      }
      int running = 0;
      curl_multi_perform(multi_.get(), &running);
      Collect(&going, &results);
      if (running > 0 && !going.empty()) {
        curl_multi_poll(multi_.get(), nullptr, 0, kPollMs, nullptr);
      }
    }
    return results;
  }

 private:
  absl::Status Begin(const std::string& url, size_t index,
                     std::vector<std::unique_ptr<Transfer>>* going) {
    if (!absl::StartsWithIgnoreCase(url, "http://") &&
        !absl::StartsWithIgnoreCase(url, "https://")) {
      return absl::InvalidArgumentError(
          "this is no URL that begins with http:// or https://");
    }
    auto transfer = std::make_unique<Transfer>();
    transfer->easy.reset(curl_easy_init());
    CURL* easy = transfer->easy.get();
    if (easy == nullptr) {
      return absl::ResourceExhaustedError("there is no memory to fetch it");
    }
    transfer->index = index;
    transfer->max_bytes = options_.max_bytes;
    curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, kProtocols);
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, kProtocols);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, kMaxRedirections);
    curl_easy_setopt(
        easy, CURLOPT_TIMEOUT_MS,
        static_cast<long>(absl::ToInt64Milliseconds(options_.timeout)));
    // Signals are the process's.
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "tfd");
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->message);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, OnBody);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer.get());
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer.get());
    if (curl_multi_add_handle(multi_.get(), easy) != CURLM_OK) {
      return absl::InternalError("libcurl does not take the transfer");
    }
    going->push_back(std::move(transfer));
    return absl::OkStatus();
  }

  // Takes what has ended out of `going`.
  void Collect(std::vector<std::unique_ptr<Transfer>>* going,
               std::vector<absl::StatusOr<std::string>>* results) {
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      CURL* easy = message->easy_handle;
      const CURLcode code = message->data.result;
      Transfer* transfer = nullptr;
      curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
      (*results)[transfer->index] = ResultOf(code, transfer);
      curl_multi_remove_handle(multi_.get(), easy);
      going->erase(std::find_if(
          going->begin(), going->end(),
          [transfer](const auto& one) { return one.get() == transfer; }));
    }
  }

  absl::StatusOr<std::string> ResultOf(CURLcode code,
                                       Transfer* transfer) const {
    if (transfer->too_large) {
      return absl::InvalidArgumentError(
          absl::StrCat("it is larger than ", FormatBytes(options_.max_bytes),
                       ": raise image.max_bytes if that is right"));
    }
    if (code == CURLE_OPERATION_TIMEDOUT) {
      return absl::DeadlineExceededError(absl::StrCat(
          "it was not there after ", tfd::FormatDuration(options_.timeout),
          " (image.timeout), ", transfer->body.size(), " bytes had come"));
    }
    if (code != CURLE_OK) {
      return absl::UnavailableError(
          absl::StrCat("fetching it: ", transfer->message[0] != '\0'
                                            ? transfer->message
                                            : curl_easy_strerror(code)));
    }
    long status = 0;
    curl_easy_getinfo(transfer->easy.get(), CURLINFO_RESPONSE_CODE, &status);
    if (status != kHttpOk) {
      return absl::UnavailableError(
          absl::StrCat("the server answers with HTTP status ", status));
    }
    return std::move(transfer->body);
  }

  const FetchOptions options_;
  const std::unique_ptr<CURLM, CloseMulti> multi_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<UrlFetcher>> UrlFetcher::Make(
    const FetchOptions& options) {
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  CURLM* multi = initialised == CURLE_OK ? curl_multi_init() : nullptr;
  if (multi == nullptr) {
    return absl::ResourceExhaustedError("libcurl cannot be initialised");
  }
  return std::make_unique<CurlFetcher>(options, multi);
}

}  // namespace tfd::data
