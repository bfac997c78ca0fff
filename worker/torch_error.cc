#include "worker/torch_error.h"

#include <c10/util/Exception.h>
#include <torch/script.h>

#include <exception>
#include <new>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace tfd::worker {
namespace {

// TorchScript puts a traceback of the model's source first and the error
// itself last ("RuntimeError: mat1 and mat2 shapes …"); everything else has it
// in the first line.
std::string UsefulLine(absl::string_view text) {
  std::string first;
  std::string last;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || absl::StartsWith(line, "Exception raised from")) {
      continue;
    }
    if (first.empty()) first = std::string(line);
    if (absl::StartsWith(line, "RuntimeError: ")) {
      last = std::string(absl::StripPrefix(line, "RuntimeError: "));
    }
  }
  if (!last.empty()) return last;
  return first.empty() ? "LibTorch gave no reason" : first;
}

bool IsOutOfMemory(absl::string_view text) {
  return absl::StrContains(text, "not enough memory") ||
         absl::StrContains(text, "can't allocate memory") ||
         absl::StrContains(text, "out of memory");
}

absl::Status ToStatus(absl::string_view what, absl::string_view text) {
  const std::string message = absl::StrCat(what, ": ", UsefulLine(text));
  return IsOutOfMemory(text) ? absl::ResourceExhaustedError(message)
                             : absl::InternalError(message);
}

}  // namespace

absl::Status CurrentTorchError(const std::string& what) {
  try {
    throw;
  } catch (const c10::Error& error) {
    return ToStatus(what, error.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(
        absl::StrCat(what, ": not enough memory"));
  } catch (const std::exception& error) {
    return ToStatus(what, error.what());
  } catch (...) {
    return absl::InternalError(
        absl::StrCat(what, ": LibTorch threw something that is no exception"));
  }
}

}  // namespace tfd::worker
