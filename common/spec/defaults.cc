// What an absent field of a job spec means.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "common/spec/field.h"
#include "common/spec/job_spec.h"
#include "common/spec/rules.h"
#include "common/spec/scalar.h"
#include "common/spec/yaml_tree.h"

namespace tfd::spec {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr double kAdamLearningRate = 0.001;
constexpr int kMlpHidden[] = {256, 128};
// Evaluation and prediction keep no gradients, so larger batches cost little.
constexpr int kScoringBatchSize = 256;

// Every rules.default_value in `message` and in what is given below it. Fields
// come in the order of the proto, where those that decide about others
// (rules.only_for) are first.
void FillByRules(Message* message) {
  const Reflection* reflection = message->GetReflection();
  const google::protobuf::Descriptor* type = message->GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (field->is_map()) continue;
    if (field->message_type() != nullptr) {
      if (!IsSet(*message, field)) continue;
      if (!field->is_repeated()) {
        FillByRules(reflection->MutableMessage(message, field));
        continue;
      }
      for (int n = 0; n < reflection->FieldSize(*message, field); ++n) {
        FillByRules(reflection->MutableRepeatedMessage(message, field, n));
      }
      continue;
    }
    const std::string& text = Rules(field).default_value();
    if (text.empty() || IsSet(*message, field) ||
        AppliesTo(*message, field) != Applies::kYes) {
      continue;
    }
    YamlNode node;
    node.kind = YamlNode::Kind::kScalar;
    node.scalar = text;
    // A default that cannot be read is caught by a test over all fields.
    (void)AssignScalar(node, {}, field, {}, message);
  }
}

void FillTasks(const v1::StrategySpec& strategy, v1::TasksSpec* tasks) {
  if (strategy.name() != v1::StrategySpec::ALLREDUCE) tasks->mutable_ps();
  tasks->mutable_worker();
  if (tasks->has_ps() && !tasks->ps().has_count()) {
    tasks->mutable_ps()->set_count(1);
  }
  if (!tasks->worker().has_count()) tasks->mutable_worker()->set_count(1);
  if (tasks->has_evaluator() && !tasks->evaluator().has_count()) {
    tasks->mutable_evaluator()->set_count(1);
  }
}

void FillData(v1::DataSpec* data) {
  if (data->has_train() && !data->train().has_shuffle()) {
    data->mutable_train()->set_shuffle(true);
  }
  if (!data->has_validation()) return;
  v1::DatasetSpec* validation = data->mutable_validation();
  if (!validation->has_shuffle()) validation->set_shuffle(false);
  if (!validation->has_batch_size()) {
    validation->set_batch_size(kScoringBatchSize);
  }
}

// A job that trains nothing has workers, and nothing of what training needs.
void FillPredict(v1::JobSpec* spec) {
  v1::TasksSpec* tasks = spec->mutable_tasks();
  if (!tasks->worker().has_count()) tasks->mutable_worker()->set_count(1);
  v1::PredictSpec* predict = spec->mutable_predict();
  if (predict->has_input() && !predict->input().has_batch_size()) {
    predict->mutable_input()->set_batch_size(kScoringBatchSize);
  }
  spec->mutable_restart();
  FillByRules(spec);
}

}  // namespace

void ApplyDefaults(v1::JobSpec* spec) {
  if (spec->has_predict()) return FillPredict(spec);
  // These have defaults as a whole; what is not here (model, train,
  // validation, evaluator, target) means something by being absent.
  spec->mutable_loss();
  v1::OptimizerSpec* optimizer = spec->mutable_optimizer();
  optimizer->mutable_schedule();
  if (optimizer->name() == v1::OptimizerSpec::ADAM && !optimizer->has_lr()) {
    optimizer->set_lr(kAdamLearningRate);
  }
  spec->mutable_checkpoint();
  spec->mutable_restart();
  spec->mutable_exchange();
  spec->mutable_trace();
  if (spec->model().builtin() == v1::ModelSpec::MLP &&
      spec->model().hidden().empty()) {
    for (int width : kMlpHidden) spec->mutable_model()->add_hidden(width);
  }
  FillTasks(*spec->mutable_strategy(), spec->mutable_tasks());
  if (spec->has_data()) FillData(spec->mutable_data());
  FillByRules(spec);
}

}  // namespace tfd::spec
