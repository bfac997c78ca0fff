#include "worker/models/definition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/worker_testing.h"

namespace tfd::worker {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;

std::vector<int64_t> InputOf(const v1::ModelSpec& spec,
                             std::vector<int64_t> record) {
  return Must(ResolveInputShape(spec, record));
}

TEST(DefinitionTest, AnImageGetsAChannelUnlessTheModelIsFlat) {
  EXPECT_THAT(InputOf(TestModel(v1::ModelSpec::LENET), {28, 28}),
              ElementsAre(1, 28, 28));
  EXPECT_THAT(InputOf(TestModel(v1::ModelSpec::LENET), {3, 32, 32}),
              ElementsAre(3, 32, 32));
  EXPECT_THAT(InputOf(TestModel(v1::ModelSpec::MLP), {28, 28}),
              ElementsAre(28, 28));
  EXPECT_THAT(InputOf(TestModel(v1::ModelSpec::LINEAR), {}), ElementsAre(1));
}

TEST(DefinitionTest, TheSpecsInputWinsAndMustHaveAsManyNumbers) {
  v1::ModelSpec spec = TestModel(v1::ModelSpec::LENET);
  for (const int size : {1, 28, 28}) spec.add_input(size);
  EXPECT_THAT(InputOf(spec, {784}), ElementsAre(1, 28, 28));
  const auto wrong = ResolveInputShape(spec, {100});
  EXPECT_EQ(wrong.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(wrong.status().message()),
              HasSubstr("[1, 28, 28] has 784 numbers"));
}

TEST(DefinitionTest, LenetOfMnistHasTheseLayers) {
  const ModelDefinition lenet =
      Must(DefineBuiltin(TestModel(v1::ModelSpec::LENET, 10), {1, 28, 28}));
  ASSERT_EQ(lenet.layers.size(), 5u);
  EXPECT_EQ(lenet.layers[0].name, "conv1");
  const int64_t maps = lenet.layers[1].weight_shape[0];
  EXPECT_THAT(lenet.layers[2].weight_shape, ElementsAre(120, maps * 5 * 5));
  EXPECT_THAT(lenet.layers[4].weight_shape, ElementsAre(10, 84));
}

TEST(DefinitionTest, Resnet18HasTorchvisionsParameters) {
  const ModelDefinition resnet = Must(
      DefineBuiltin(TestModel(v1::ModelSpec::RESNET18, 1000), {3, 224, 224}));
  int64_t parameters = 0;
  std::vector<std::string> names;
  for (const LayerDefinition& layer : resnet.layers) {
    names.push_back(layer.name);
    parameters += ShapeElements(layer.weight_shape);
    if (layer.kind != LayerKind::kConvolution) {
      parameters += layer.weight_shape[0];
    }
  }
  // As torchvision counts them.
  EXPECT_EQ(parameters, 11'689'512);
  EXPECT_THAT(
      names,
      IsSupersetOf({"conv1", "bn1", "layer1.0.conv1", "layer2.0.downsample.0",
                    "layer2.0.downsample.1", "layer4.1.bn2", "fc"}));
  EXPECT_THAT(names, Not(Contains("layer1.0.downsample.0")));
}

TEST(DefinitionTest, MlpHasItsHiddenLayersAndLinearNone) {
  v1::ModelSpec spec = TestModel(v1::ModelSpec::MLP);
  spec.add_hidden(8);
  const ModelDefinition mlp = Must(DefineBuiltin(spec, {5, 2}));
  ASSERT_EQ(mlp.layers.size(), 3u);
  EXPECT_THAT(mlp.layers[0].weight_shape, ElementsAre(16, 10));
  EXPECT_THAT(mlp.layers[1].weight_shape, ElementsAre(8, 16));
  EXPECT_THAT(mlp.layers[2].weight_shape, ElementsAre(kTestClasses, 8));
  const ModelDefinition linear =
      Must(DefineBuiltin(TestModel(v1::ModelSpec::LINEAR), {5, 2}));
  ASSERT_EQ(linear.layers.size(), 1u);
  EXPECT_EQ(linear.layers[0].name, "fc");
}

TEST(DefinitionTest, WhatIsNoImageOrTooSmallIsRefusedWithItsShape) {
  const auto flat = DefineBuiltin(TestModel(v1::ModelSpec::LENET), {784});
  EXPECT_THAT(std::string(flat.status().message()), HasSubstr("[784]"));
  const auto small = DefineBuiltin(TestModel(v1::ModelSpec::LENET), {1, 8, 8});
  EXPECT_THAT(std::string(small.status().message()),
              HasSubstr("at least 16 × 16"));
  EXPECT_TRUE(DefineBuiltin(TestModel(v1::ModelSpec::CNN), {1, 8, 8}).ok());
}

}  // namespace
}  // namespace tfd::worker
