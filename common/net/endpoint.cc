#include "common/net/endpoint.h"

#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "common/net/unix_path.h"
#include "common/random.h"
#include "common/status.h"

namespace tfd::net {
namespace {

constexpr absl::string_view kUnixPrefix = "unix:";
constexpr char kExpected[] =
    "; an address is HOST:PORT, e.g. 127.0.0.1:7070, or the path of a Unix "
    "socket, e.g. unix:/run/tfd.sock";

std::string ReadHostId() {
  std::string boot_id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot_id;
  char name_space[64];
  const ssize_t length =
      readlink("/proc/self/ns/net", name_space, sizeof(name_space));
  // Unknown: equal to nobody's, so that peers use TCP.
  if (boot_id.empty() || length <= 0) return RandomToken();
  std::string id = absl::StrCat(
      boot_id, "/", absl::string_view(name_space, static_cast<size_t>(length)));
  if (const char* pretended = getenv(kHostIdVariable)) {
    absl::StrAppend(&id, "/", pretended);
  }
  return id;
}

absl::Status AddressError(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is no address: ", why, kExpected));
}

absl::StatusOr<std::string> ParseUnixAddress(absl::string_view text,
                                             absl::string_view path) {
  // "unix:///run/x" is how gRPC's own documents write it.
  absl::ConsumePrefix(&path, "//");
  if (path.empty()) return AddressError(text, "the path is missing");
  std::error_code error;
  const std::string absolute =
      std::filesystem::absolute(std::filesystem::path(std::string(path)), error)
          .string();
  if (error) return ErrnoStatus(error.value(), text);
  TFD_RETURN_IF_ERROR(CheckUnixPathLength(absolute));
  return absl::StrCat(kUnixPrefix, absolute);
}

}  // namespace

const std::string& HostId() {
  static const std::string* const id = new std::string(ReadHostId());
  return *id;
}

std::string HostName() {
  char name[256] = "";
  gethostname(name, sizeof(name) - 1);
  return name;
}

absl::StatusOr<std::string> DialTarget(const v1::Endpoint& peer) {
  if (!peer.unix_path().empty() && peer.host_id() == HostId()) {
    return absl::StrCat(kUnixPrefix, peer.unix_path());
  }
  if (!peer.tcp().empty()) return peer.tcp();
  if (!peer.unix_path().empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the peer serves only on the Unix socket ", peer.unix_path(),
        " of another host (", peer.host_id(), "); this one is ", HostId(),
        "; it has to listen on TCP as well"));
  }
  return absl::InvalidArgumentError("the peer serves nowhere");
}

absl::StatusOr<std::string> ParseAddress(absl::string_view text) {
  if (absl::StartsWith(text, kUnixPrefix)) {
    return ParseUnixAddress(text, text.substr(kUnixPrefix.size()));
  }
  if (absl::StartsWith(text, "/")) return ParseUnixAddress(text, text);
  const size_t scheme = text.find("://");
  if (scheme != absl::string_view::npos) {
    return AddressError(
        text, absl::StrCat("leave out \"", text.substr(0, scheme + 3), "\""));
  }
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) {
    return AddressError(text, "the port is missing");
  }
  const absl::string_view host = text.substr(0, colon);
  const absl::string_view port = text.substr(colon + 1);
  if (host.empty()) return AddressError(text, "the host is missing");
  if (host.find_first_of(" \t/,") != absl::string_view::npos) {
    return AddressError(text, absl::StrCat("\"", host, "\" is no host"));
  }
  if (absl::StrContains(host, ':') &&
      !(absl::StartsWith(host, "[") && absl::EndsWith(host, "]"))) {
    return AddressError(text, "an IPv6 address needs brackets, as in [::1]:80");
  }
  int number = 0;
  if (!absl::SimpleAtoi(port, &number) || number < 1 || number > 65535) {
    return AddressError(
        text, absl::StrCat("the port \"", port, "\" is not from 1 to 65535"));
  }
  return std::string(text);
}

}  // namespace tfd::net
