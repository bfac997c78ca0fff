#include "worker/models/layer_taps.h"

#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/nearest_name.h"

namespace tfd::worker {
namespace {

using torch::jit::Block;
using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Value;

constexpr char kForward[] = "forward";
// So many names at most stand in a message.
constexpr size_t kMaxLayersShown = 40;

// The submodule that a value is, as named_modules calls it; empty for the
// module itself and for what is no submodule.
std::string PathOf(const Value* value, const Value* self) {
  std::vector<std::string> names;
  while (value != self) {
    const Node* node = value->node();
    if (node->kind() != c10::prim::GetAttr) return "";
    names.push_back(node->s(c10::attr::name));
    value = node->input(0);
  }
  std::reverse(names.begin(), names.end());
  return absl::StrJoin(names, ".");
}

// Rewrites a copy of a module's forward.
class ForwardGraph {
 public:
  // Whose outputs are kept. (A copy of each, as what comes after a layer may
  // write into it.)
  ForwardGraph(const torch::jit::Module& module,
               const std::vector<std::string>& wanted)
      : graph_(module.get_method(kForward).graph()->copy()),
        self_(graph_->inputs().at(0)),
        wanted_(wanted) {
    Rewrite(graph_->block(), /*is_always_run=*/true);
  }

  const std::vector<std::string>& layers() const { return layers_; }

  // With the outputs of the wanted layers after its own.
  std::shared_ptr<Graph> Finish() {
    for (const std::string& name : wanted_) {
      graph_->registerOutput(outputs_.at(name));
    }
    torch::jit::EliminateDeadCode(graph_);
    return graph_;
  }

 private:
  void Rewrite(Block* block, bool is_always_run) {
    Node* node = block->param_node()->next();
    while (node != block->return_node()) {
      for (Block* inner : node->blocks()) {
        Rewrite(inner, /*is_always_run=*/false);
      }
      node = node->kind() == c10::prim::CallMethod ? Inline(node, is_always_run)
                                                   : Pass(node, is_always_run);
    }
  }

  // Puts what a method does in place of its call. Gives the first node of it,
  // which may be a call itself.
  Node* Inline(Node* call, bool is_always_run) {
    const auto type = call->input(0)->type()->cast<c10::ClassType>();
    // An interface: which method it is only shows when it runs.
    if (type == nullptr) return call->next();
    const std::string method = call->s(c10::attr::name);
    const std::string path = PathOf(call->input(0), self_);
    Node* const before = call->prev();
    Node* const after = call->next();
    // As it was written: in its optimised graph calls are gone.
    torch::jit::GraphFunction& callee =
        torch::jit::toGraphFunction(type->getMethod(method));
    const std::vector<Value*> outputs =
        torch::jit::inlineCallTo(call, &callee, callee.graph().get());
    if (is_always_run && method == kForward) Add(path, outputs.at(0), after);
    return before->next();
  }

  // An operation on the weights of a submodule that has no forward.
  Node* Pass(Node* node, bool is_always_run) {
    Node* const after = node->next();
    if (!is_always_run || node->kind() == c10::prim::GetAttr ||
        node->outputs().size() != 1) {
      return after;
    }
    for (const Value* input : node->inputs()) {
      if (input->node()->kind() != c10::prim::GetAttr) continue;
      const Value* owner = input->node()->input(0);
      const auto type = owner->type()->cast<c10::ClassType>();
      if (type == nullptr || type->findMethod(kForward) != nullptr) continue;
      Add(PathOf(owner, self_), node->output(), after);
      break;
    }
    return after;
  }

  void Add(const std::string& path, Value* output, Node* after) {
    if (path.empty() || !output->type()->isSubtypeOf(*c10::TensorType::get())) {
      return;
    }
    if (std::find(layers_.begin(), layers_.end(), path) == layers_.end()) {
      layers_.push_back(path);
    }
    if (std::find(wanted_.begin(), wanted_.end(), path) == wanted_.end()) {
      return;
    }
    const torch::jit::WithInsertPoint here(after);
    outputs_[path] = graph_->insert(c10::aten::clone, {output});
  }

  const std::shared_ptr<Graph> graph_;
  Value* const self_;
  const std::vector<std::string>& wanted_;
  std::vector<std::string> layers_;
  std::map<std::string, Value*> outputs_;
};

absl::Status UnknownLayer(const std::string& name,
                          std::vector<std::string> layers) {
  if (layers.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("there is no layer \"", name,
                     "\": the model has none with a name (was it frozen?)"));
  }
  std::stable_sort(layers.begin(), layers.end(),
                   [&name](const std::string& a, const std::string& b) {
                     return EditDistance(a, name) < EditDistance(b, name);
                   });
  const size_t count = layers.size();
  layers.resize(std::min(count, kMaxLayersShown));
  return absl::InvalidArgumentError(absl::StrCat(
      "there is no layer \"", name, "\"; there are ",
      absl::StrJoin(layers, ", "),
      layers.size() < count ? absl::StrCat(", … (", count, " in all)") : ""));
}

}  // namespace

std::vector<std::string> LayersOf(const torch::jit::Module& module) {
  return ForwardGraph(module, {}).layers();
}

absl::StatusOr<LayerTaps> LayerTaps::Make(
    const torch::jit::Module& module, const std::vector<std::string>& layers) {
  ForwardGraph graph(module, layers);
  for (const std::string& name : layers) {
    if (std::find(graph.layers().begin(), graph.layers().end(), name) ==
        graph.layers().end()) {
      return UnknownLayer(name, graph.layers());
    }
  }
  LayerTaps taps;
  taps.executor_ =
      torch::jit::GraphExecutor(graph.Finish(), "forward with outputs");
  return taps;
}

std::vector<torch::jit::IValue> LayerTaps::Run(const torch::jit::Module& module,
                                               const torch::Tensor& features) {
  torch::jit::Stack stack = {module._ivalue(), features};
  // Fills in the defaults of other arguments.
  module.get_method(kForward).function().getSchema().checkAndNormalizeInputs(
      stack, {});
  executor_.run(stack);
  return stack;
}

}  // namespace tfd::worker
