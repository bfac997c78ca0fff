// A file descriptor that is closed at the end.
#ifndef TFD_COMMON_UNIQUE_DESCRIPTOR_H_
#define TFD_COMMON_UNIQUE_DESCRIPTOR_H_

#include <unistd.h>

#include <utility>

namespace tfd {

// Owns a descriptor, or none (-1). Moved, not copied. Thread-compatible.
class UniqueDescriptor {
 public:
  UniqueDescriptor() = default;
  explicit UniqueDescriptor(int descriptor) : descriptor_(descriptor) {}
  UniqueDescriptor(UniqueDescriptor&& other) noexcept
      : descriptor_(other.Release()) {}
  UniqueDescriptor& operator=(UniqueDescriptor&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~UniqueDescriptor() { Reset(); }

  int get() const { return descriptor_; }
  bool valid() const { return descriptor_ >= 0; }
  int Release() { return std::exchange(descriptor_, -1); }
  void Reset() {
    if (valid()) close(Release());
  }

 private:
  int descriptor_ = -1;
};

}  // namespace tfd

#endif  // TFD_COMMON_UNIQUE_DESCRIPTOR_H_
