#include "common/random.h"

#include <sys/random.h>

#include <cerrno>
#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"

namespace tfd {
namespace {

constexpr absl::string_view kIdCharacters =
    "abcdefghijklmnopqrstuvwxyz0123456789";
constexpr size_t kTokenBytes = 32;

void FillRandom(void* out, size_t size_bytes) {
  char* next = static_cast<char*>(out);
  while (size_bytes > 0) {
    const ssize_t got = getrandom(next, size_bytes, 0);
    // getrandom of a supported kernel fails for nothing but a signal; going on
    // without randomness would give away tokens.
    if (got < 0 && errno != EINTR) std::abort();
    if (got <= 0) continue;
    next += got;
    size_bytes -= static_cast<size_t>(got);
  }
}

}  // namespace

uint64_t RandomUint64() {
  uint64_t value;
  FillRandom(&value, sizeof(value));
  return value;
}

std::string RandomId(size_t length) {
  // Bytes beyond the last whole multiple would favour the first characters.
  constexpr size_t kLimit = 256 - 256 % kIdCharacters.size();
  std::string id;
  while (id.size() < length) {
    unsigned char bytes[32];
    FillRandom(bytes, sizeof(bytes));
    for (unsigned char byte : bytes) {
      if (byte < kLimit && id.size() < length) {
        id.push_back(kIdCharacters[byte % kIdCharacters.size()]);
      }
    }
  }
  return id;
}

std::string RandomToken() {
  std::string bytes(kTokenBytes, '\0');
  FillRandom(bytes.data(), bytes.size());
  return absl::BytesToHexString(bytes);
}

}  // namespace tfd
