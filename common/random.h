// Names and secrets that nobody else has drawn.
#ifndef TFD_COMMON_RANDOM_H_
#define TFD_COMMON_RANDOM_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace tfd {

// From the system's secure source (getrandom). Thread-safe.
uint64_t RandomUint64();

// `length` lower case letters and digits, e.g. the end of a job's id.
std::string RandomId(size_t length = 6);

// 256 bits in hexadecimal, for tokens.
std::string RandomToken();

}  // namespace tfd

#endif  // TFD_COMMON_RANDOM_H_
