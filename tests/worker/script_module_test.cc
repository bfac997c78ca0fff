// Modules of users that are unlike the built-in ones, made with LibTorch.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/script.h>

#include "common/testing/temp_folder.h"
#include "tests/worker/worker_testing.h"
#include "worker/model.h"

namespace tfd::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ScriptModuleTest : public ::testing::Test {
 protected:
  ScriptModuleTest() : module_("Net") {
    module_.register_attribute("training", c10::BoolType::get(), true);
    module_.register_parameter("weight", torch::ones({2, 3}).requires_grad_(),
                               false);
  }

  std::unique_ptr<Model> Load(const std::string& source) {
    module_.define(source);
    const std::string path = folder_ / "net.pt";
    module_.save(path);
    v1::ModelSpec spec;
    spec.set_torchscript(path);
    spec.set_classes(2);
    return MakeModel(spec, {3});
  }

  absl::StatusOr<Scores> Step(Model* model, uint64_t seed = 0) {
    return model->ComputeGradient({features_, labels_, 2}, seed);
  }

  const testing::TempFolder folder_;
  torch::jit::Module module_;
  const float features_[6] = {1, 2, 3, 4, 5, 6};
  const int64_t labels_[2] = {0, 1};
};

// Gives the stride of the channels, and the sum of the second one.
constexpr char kLayoutSource[] =
    "def forward(self, x):\n"
    "    last = x.size(1) - 1\n"
    "    sums = torch.sum(x[:, last], [1, 2])\n"
    "    strides = torch.zeros_like(sums) + x.stride(1)\n"
    "    return torch.stack([strides, sums], 1)\n";

TEST_F(ScriptModuleTest, ImagesComeInTheOrderThatItAsksFor) {
  // One image of each shape: 0, 1, 2 …
  const std::vector<float> features = {0, 1, 2, 3, 4, 5, 6, 7};
  struct {
    bool channels_last;
    std::vector<int64_t> input;
    std::vector<float> outputs;
  } const cases[] = {{false, {1, 2, 2}, {4, 6}},
                     {false, {2, 2, 2}, {4, 22}},
                     {true, {1, 2, 2}, {1, 6}},
                     {true, {2, 2, 2}, {1, 22}}};
  module_.register_attribute("channels_last", c10::BoolType::get(), false);
  module_.define(kLayoutSource);
  for (const auto& one : cases) {
    module_.setattr("channels_last", one.channels_last);
    const std::string path = folder_ / "layout.pt";
    module_.save(path);
    const auto model =
        Must(Model::LoadExport(path, one.input, /*classes=*/2, Device()));
    std::vector<float> outputs;
    ASSERT_TRUE(model->Forward({features.data(), nullptr, 1}, &outputs).ok());
    EXPECT_EQ(outputs, one.outputs);
  }
}

TEST_F(ScriptModuleTest, BuffersFollowTheParametersInTheFlatMemory) {
  module_.register_buffer("seen", torch::zeros({2}));
  module_.register_buffer("steps", torch::tensor(int64_t{5}));
  const auto model = Load(
      "def forward(self, x):\n"
      "    if self.training:\n"
      "        self.seen += 1\n"
      "        self.steps += 1\n"
      "    return torch.linear(x, self.weight) + self.steps\n");
  ASSERT_EQ(model->buffers(), 2u);
  ASSERT_EQ(model->parameters().size(), 6u + 3u);
  EXPECT_THAT(model->parameters().subspan(6), ElementsAre(0, 0, 5));
  std::vector<size_t> done;
  StepEvents events;
  events.gradient_done = [&](size_t tensor) {
    done.push_back(tensor);
    // They are there before backward begins.
    EXPECT_THAT(model->gradient().subspan(6), ElementsAre(1, 1, 6));
  };
  model->Observe(events);
  ASSERT_TRUE(Step(model.get()).ok());
  EXPECT_THAT(done, ElementsAre(1, 2, 0));
  // What the exchange brings is what the model computes with.
  const float from_slot_0[] = {7, 8, 9};
  std::copy(from_slot_0, from_slot_0 + 3, model->parameters().data() + 6);
  std::vector<float> outputs;
  ASSERT_TRUE(model->Forward({features_, labels_, 2}, &outputs).ok());
  EXPECT_THAT(outputs, ElementsAre(6 + 9, 6 + 9, 15 + 9, 15 + 9));
  model->Observe({});
  ASSERT_TRUE(Step(model.get()).ok());
  EXPECT_THAT(model->gradient().subspan(6), ElementsAre(8, 9, 10));
}

TEST_F(ScriptModuleTest, BuffersOfOtherTypesThatChangeAreRefusedByName) {
  module_.register_buffer("table", torch::zeros({1}, torch::kFloat64));
  module_.register_buffer("seen", torch::zeros({1}, torch::kFloat64));
  const auto model = Load(
      "def forward(self, x):\n"
      "    self.seen += 1\n"
      "    return torch.linear(x, self.weight)\n");
  EXPECT_EQ(model->buffers(), 0u);
  const absl::Status status = Step(model.get()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("(seen, Double)"));
}

TEST_F(ScriptModuleTest, ScriptedBatchNormTrainsWithItsStatistics) {
  module_.register_buffer("running_mean", torch::zeros({3}));
  module_.register_buffer("running_var", torch::ones({3}));
  const auto model = Load(
      "def forward(self, x):\n"
      "    x = torch.batch_norm(x, None, None, self.running_mean,\n"
      "                         self.running_var, self.training, 0.5, 1e-05,\n"
      "                         False)\n"
      "    return torch.linear(x, self.weight)\n");
  ASSERT_TRUE(Step(model.get()).ok());
  // Half of the way from 0 to the columns' means, 2.5, 3.5 and 4.5.
  EXPECT_THAT(model->gradient().subspan(6, 3),
              ElementsAre(1.25f, 1.75f, 2.25f));
}

TEST_F(ScriptModuleTest, ConstantBuffersAreFine) {
  module_.register_buffer("scale", torch::full({1}, 2.0));
  const auto model = Load(
      "def forward(self, x):\n"
      "    return torch.linear(x * self.scale, self.weight)\n");
  EXPECT_TRUE(Step(model.get()).ok());
}

TEST_F(ScriptModuleTest, FrozenParametersAreNotTrained) {
  module_.register_parameter("frozen", torch::ones({3}), false);
  const auto model = Load(
      "def forward(self, x):\n"
      "    return torch.linear(x * self.frozen, self.weight)\n");
  EXPECT_TRUE(Step(model.get()).ok());
  ASSERT_EQ(model->tensors().size(), 1u);
  EXPECT_EQ(model->tensors()[0].name, "weight");
}

TEST_F(ScriptModuleTest, DropoutFollowsFromTheSeedOfTheStep) {
  const auto model = Load(
      "def forward(self, x):\n"
      "    return torch.dropout(torch.linear(x, self.weight), 0.5, "
      "self.training)\n");
  const auto gradient = [&](uint64_t seed) {
    EXPECT_TRUE(Step(model.get(), seed).ok());
    return std::vector<float>(model->gradient().begin(),
                              model->gradient().end());
  };
  const std::vector<float> first = gradient(1);
  EXPECT_EQ(gradient(1), first);
  bool differs = false;
  for (uint64_t seed = 2; seed < 20; ++seed) differs |= gradient(seed) != first;
  EXPECT_TRUE(differs);
}

TEST_F(ScriptModuleTest, WhatTheModelRaisesIsPassedOnAsItsLastLine) {
  const auto model = Load(
      "def forward(self, x):\n"
      "    return torch.linear(x, torch.cat([self.weight, self.weight], 1))\n");
  const absl::Status status = Step(model.get()).status();
  const std::string message(status.message());
  EXPECT_THAT(message, HasSubstr("shapes cannot be multiplied"));
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
}

torch::jit::Module Child(const char* name, const char* source) {
  torch::jit::Module module(name);
  module.register_attribute("training", c10::BoolType::get(), true);
  module.define(source);
  return module;
}

class LayerTapTest : public ScriptModuleTest {
 protected:
  // Calls in calls, a layer whose output is written into afterwards, and one in
  // a branch.
  LayerTapTest() {
    module_.register_module(
        "scale", Child("Scale", "def forward(self, x):\n    return x * 2\n"));
    torch::jit::Module block("Block");
    block.register_attribute("training", c10::BoolType::get(), true);
    block.register_module(
        "0", Child("Inner", "def forward(self, x):\n    return x + 1\n"));
    block.define(
        "def both(self, x):\n    return getattr(self, \"0\").forward(x)\n");
    block.define("def forward(self, x):\n    return self.both(x) * 10\n");
    module_.register_module("block", block);
    module_.register_module(
        "maybe", Child("Maybe", "def forward(self, x):\n    return x * 3\n"));
    module_.define(
        "def forward(self, x):\n"
        "    y = self.scale.forward(x)\n"
        "    y.add_(100)\n"
        "    y = self.block.forward(y)\n"
        "    if bool(torch.sum(y) > 0):\n"
        "        y = self.maybe.forward(y)\n"
        "    return torch.linear(y, self.weight)\n");
    module_.save(folder_ / "net.pt");
    model_ = Must(Model::LoadExport(folder_ / "net.pt", {3}, 2, Device()));
  }

  std::unique_ptr<Model> model_;
  std::vector<float> outputs_;
  std::vector<std::vector<float>> layers_;
};

TEST_F(LayerTapTest, GiveWhatTheLayersGave) {
  ASSERT_TRUE(model_->TapLayers({"block.0", "scale", "block"}).ok());
  EXPECT_THAT(model_->layers()[0].shape, ElementsAre(3));
  ASSERT_TRUE(
      model_->Forward({features_, nullptr, 2}, &outputs_, &layers_).ok());
  EXPECT_THAT(layers_[0], ElementsAre(103, 105, 107, 109, 111, 113));
  EXPECT_THAT(layers_[1], ElementsAre(2, 4, 6, 8, 10, 12));
  EXPECT_THAT(layers_[2], ElementsAre(1030, 1050, 1070, 1090, 1110, 1130));
  EXPECT_THAT(outputs_, ElementsAre(9450, 9450, 9990, 9990));
  // The same without them.
  ASSERT_TRUE(model_->TapLayers({}).ok());
  std::vector<float> again;
  ASSERT_TRUE(model_->Forward({features_, nullptr, 2}, &again).ok());
  EXPECT_EQ(again, outputs_);
}

TEST_F(LayerTapTest, AnUnknownLayerIsRefusedWithThoseThereAre) {
  for (const char* name : {"maybe", "blok.0"}) {
    EXPECT_THAT(
        std::string(model_->TapLayers({name}).message()),
        ::testing::AllOf(HasSubstr(absl::StrCat("no layer \"", name, "\"")),
                         HasSubstr("block.0"), HasSubstr("scale")));
  }
  EXPECT_THAT(std::string(model_->TapLayers({"blok.0"}).message()),
              HasSubstr("there are block.0, "));
}

}  // namespace
}  // namespace tfd::worker
