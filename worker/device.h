// Where a worker computes. Carried explicitly to every place that creates a
// tensor; today there is only the CPU.
#ifndef TFD_WORKER_DEVICE_H_
#define TFD_WORKER_DEVICE_H_

namespace tfd::worker {

struct Device {
  enum class Kind { kCpu };
  Kind kind = Kind::kCpu;
};

}  // namespace tfd::worker

#endif  // TFD_WORKER_DEVICE_H_
