// Memory of a worker: the allocator's settings.
#ifndef TFD_WORKER_MEMORY_H_
#define TFD_WORKER_MEMORY_H_

namespace tfd::worker {

// Makes malloc keep large blocks for reuse instead of giving them back to the
// system after every step (a third more images/s with lenet). Called first
// thing in main, before any thread is started.
void TuneAllocator();

}  // namespace tfd::worker

#endif  // TFD_WORKER_MEMORY_H_
