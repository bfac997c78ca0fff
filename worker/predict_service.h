// Inference by push: Arrow Flight's DoExchange at a worker. Record batches in,
// for each one record batch out with the answers to its rows, in their order.
//
//   client                                      worker
//   descriptor ["jobs", JOB, "predict"], schema →
//                                             ← a schema
//   a record batch                            →
//                                             ← as many rows
//
// All columns are features, in the order of the schema; where the job says
// image, there is one, of encoded images. The answer has the
// columns prediction (int64, or a string where the job has labels) and
// probability (float32) and, where the job's top_k is more than 1, predictions
// and probabilities, lists of top_k, the most probable first; and for each of
// the job's outputs, the layers of the model, a list of its numbers.
#ifndef TFD_WORKER_PREDICT_SERVICE_H_
#define TFD_WORKER_PREDICT_SERVICE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/image_features.h"
#include "worker/trained_model.h"

namespace grpc {
class Service;
}

namespace tfd::worker {

struct PredictServiceOptions {
  std::string job;
  // What callers present.
  std::string token;
  int64_t top_k = 1;
  // Records computed at a time.
  int64_t batch_size = 256;
  // What encoded images become, where these are what is pushed.
  std::optional<data::ImageForm> image;
  // Of labels; empty: their numbers are the answer.
  std::vector<std::string> names;
};

// Thread-safe: any number of calls share the model, one batch at a time.
class PredictService {
 public:
  virtual ~PredictService() = default;
  // For a server, which it outlives.
  virtual grpc::Service* service() = 0;
  // Cancels all calls and waits for their threads. New calls are refused.
  virtual void Stop() = 0;
};

std::unique_ptr<PredictService> MakePredictService(
    const PredictServiceOptions& options, TrainedModel model);

}  // namespace tfd::worker

#endif  // TFD_WORKER_PREDICT_SERVICE_H_
