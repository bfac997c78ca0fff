#include "client/templates.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"

namespace tfd::client {
namespace {

struct Template {
  absl::string_view name;
  absl::string_view text;
};

constexpr Template kTemplates[] = {
    {"mnist", R"(# LeNet on MNIST. Every field: docs/spec.md
name: mnist
model: {builtin: lenet, classes: 10}      # linear, mlp, cnn, lenet
loss: cross_entropy
optimizer: {name: adam, lr: 0.003, schedule: one_cycle}
strategy: {name: parameter_server, sync: bsp}
tasks:
  ps:        {count: 1, cpus: 0.5}
  worker:    {count: 2, cpus: 1, memory: 1GiB}
  evaluator: {count: 1, cpus: 0.5, memory: 1GiB}
data:
  # Paths are relative to this file; scripts/fetch-mnist prints the folder.
  train:
    format: idx
    features: ${TFD_MNIST_DIR}/train-images-idx3-ubyte
    labels: ${TFD_MNIST_DIR}/train-labels-idx1-ubyte
    batch_size: 64                        # of each worker
  validation:
    format: idx
    features: ${TFD_MNIST_DIR}/t10k-images-idx3-ubyte
    labels: ${TFD_MNIST_DIR}/t10k-labels-idx1-ubyte
    batch_size: 256
stop: {epochs: 2, target: {metric: accuracy, at_least: 0.992}}
storage: runs/mnist                       # checkpoints, export and logs
checkpoint: {every_steps: 250, keep: 3}
)"},
    {"csv", R"(# A classifier on a table. Every field: docs/spec.md
name: table
model: {builtin: mlp, hidden: [64, 32], classes: 3}
loss: cross_entropy
optimizer: {name: adam, lr: 0.001}
tasks:
  ps:     {count: 1, cpus: 0.5}
  worker: {count: 2, cpus: 1, memory: 1GiB}
data:
  # A header line, then one record a line. All columns but the label are
  # numbers and features; `features: a,b,c` would name some of them.
  train:      {format: csv, path: train.csv, columns: {label: label}, batch_size: 32}
  validation: {format: csv, path: test.csv, columns: {label: label}, batch_size: 256}
stop: {epochs: 20}
storage: runs/table
)"},
    {"pushed",
     R"(# Data that a producer pushes while the job runs, over Arrow Flight.
# Every field: docs/spec.md; a producer in Python: docs/feed.md
name: pushed
model: {builtin: lenet, classes: 10}
loss: cross_entropy
optimizer: {name: adam, lr: 0.003, schedule: one_cycle}
tasks:
  ps:     {count: 1, cpus: 0.5}
  worker: {count: 2, cpus: 1, memory: 1GiB}
data:
  train:
    format: pushed
    columns: {features: image, label: label}
    producers: 1                          # training starts when all committed
    batch_size: 64
stop: {epochs: 2}
storage: runs/pushed
)"},
};

}  // namespace

std::vector<std::string> TemplateNames() {
  std::vector<std::string> names;
  for (const Template& entry : kTemplates) names.emplace_back(entry.name);
  return names;
}

absl::StatusOr<std::string> TemplateText(const std::string& name) {
  for (const Template& entry : kTemplates) {
    if (entry.name == name) return std::string(entry.text);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("there is no template \"", name, "\"; there are ",
                   absl::StrJoin(TemplateNames(), ", ")));
}

}  // namespace tfd::client
