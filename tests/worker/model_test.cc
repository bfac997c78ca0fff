#include "worker/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "common/testing/temp_folder.h"
#include "tests/worker/worker_testing.h"

namespace tfd::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::HasSubstr;

// `count` records of `elements` numbers, labels in turn.
struct TestRecords {
  TestRecords(int64_t count, int64_t elements, int classes = kTestClasses)
      : features(count * elements), labels(count) {
    for (size_t i = 0; i < features.size(); ++i) {
      features[i] = static_cast<float>((i * 37 % 101) / 100.0);
    }
    for (int64_t i = 0; i < count; ++i) labels[i] = i % classes;
  }
  Records view() const {
    return {features.data(), labels.data(),
            static_cast<int64_t>(labels.size())};
  }
  std::vector<float> features;
  std::vector<int64_t> labels;
};

TEST(ModelTest, ParametersHaveTheNamesAndShapesThatPyTorchGives) {
  const auto model = MakeModel(TestModel(v1::ModelSpec::CNN, 10), {28, 28});
  std::vector<std::string> names;
  int64_t elements = 0;
  for (const tensor::TensorShape& tensor : model->tensors()) {
    names.push_back(tensor.name);
    int64_t product = 1;
    for (const int64_t size : tensor.shape) product *= size;
    elements += product;
  }
  EXPECT_THAT(names, ElementsAre("conv1.weight", "conv1.bias", "conv2.weight",
                                 "conv2.bias", "fc1.weight", "fc1.bias",
                                 "fc2.weight", "fc2.bias"));
  EXPECT_EQ(static_cast<int64_t>(model->parameters().size()), elements);
  EXPECT_THAT(model->input(), ElementsAre(1, 28, 28));
}

// torch.manual_seed(7); Linear(4, 3); Linear(3, 2), printed by PyTorch 1.13.
TEST(ModelTest, InitialParametersAreThoseOfPyTorchForTheSameSeed) {
  v1::ModelSpec spec = TestModel(v1::ModelSpec::MLP, 2);
  spec.set_hidden(0, 3);
  const auto model = MakeModel(spec, {4}, /*seed=*/7);
  const std::vector<float> expected = {
      0x1.1e15ep-5f,   -0x1.346cfp-2f,  0x1.4610c8p-3f,  0x1.414fbp-3f,
      -0x1.11a6f4p-2f, -0x1.32f2dp-4f,  -0x1.2bf1a4p-2f, 0x1.09b338p-3f,
      -0x1.13d52p-3f,  0x1.67b2e4p-2f,  0x1.6b7638p-2f,  0x1.a142ep-5f,
      -0x1.b48dcp-3f,  -0x1.2cba9cp-2f, -0x1.c1d24p-5f,  -0x1.4cc3acp-3f,
      0x1.0494acp-2f,  -0x1.f8d44p-2f,  0x1.15d1d2p-1f,  -0x1.cfc228p-2f,
      0x1.c4b836p-2f,  -0x1.9aa9b6p-4f, 0x1.301c34p-2f};
  const absl::Span<float> parameters = model->parameters();
  EXPECT_EQ(std::vector<float>(parameters.begin(), parameters.end()), expected);
}

TEST(ModelTest, EqualSeedsGiveEqualParametersAndOthersDoNot) {
  const v1::ModelSpec spec = TestModel(v1::ModelSpec::LENET, 10);
  const auto one = MakeModel(spec, {28, 28}, 5);
  const auto same = MakeModel(spec, {28, 28}, 5);
  const auto other = MakeModel(spec, {28, 28}, 6);
  EXPECT_EQ(one->parameters(), same->parameters());
  EXPECT_NE(one->parameters(), other->parameters());
}

TEST(ModelTest, TheGradientIsThatOfTheMeanLoss) {
  const auto model = MakeModel(TestModel(v1::ModelSpec::CNN), {8, 8});
  const TestRecords records(12, 64);
  ASSERT_TRUE(model->ComputeGradient(records.view(), 0).ok());
  const std::vector<float> gradient(model->gradient().begin(),
                                    model->gradient().end());
  const auto loss_at = [&](size_t i, float delta) {
    const float before = model->parameters()[i];
    model->parameters()[i] = before + delta;
    Scores scores;
    EXPECT_TRUE(model->Score(records.view(), &scores).ok());
    model->parameters()[i] = before;
    return scores.loss();
  };
  // The largest gradient, where a difference of losses is most exact.
  const size_t largest = std::max_element(gradient.begin(), gradient.end(),
                                          [](float a, float b) {
                                            return std::abs(a) < std::abs(b);
                                          }) -
                         gradient.begin();
  constexpr float kDelta = 1e-2f;
  const double slope =
      (loss_at(largest, kDelta) - loss_at(largest, -kDelta)) / (2 * kDelta);
  EXPECT_NEAR(slope, gradient[largest], 0.02 * std::abs(gradient[largest]));
}

TEST(ModelTest, BuffersStayWhereTheyAreOverSteps) {
  const auto model = MakeModel(TestModel(v1::ModelSpec::CNN), {8, 8});
  const TestRecords records(12, 64);
  const float* parameters = model->parameters().data();
  const float* gradient = model->gradient().data();
  double first_loss = 0;
  double loss = 0;
  for (int step = 0; step < 20; ++step) {
    const Scores scores = Must(model->ComputeGradient(records.view(), step));
    loss = scores.loss();
    if (step == 0) first_loss = loss;
    ASSERT_EQ(model->parameters().data(), parameters);
    ASSERT_EQ(model->gradient().data(), gradient);
    // Plain descent, written into the flat buffer as the exchange would: the
    // model must see it.
    for (size_t i = 0; i < model->parameters().size(); ++i) {
      model->parameters()[i] -= 0.1f * gradient[i];
    }
  }
  EXPECT_LT(loss, first_loss);
}

TEST(ModelTest, AStepsGradientOwesNothingToTheOneBefore) {
  const auto model = MakeModel(TestModel(v1::ModelSpec::MLP), {8, 8});
  const TestRecords records(12, 64);
  ASSERT_TRUE(model->ComputeGradient(records.view(), 0).ok());
  const std::vector<float> first(model->gradient().begin(),
                                 model->gradient().end());
  ASSERT_TRUE(model->ComputeGradient(records.view(), 0).ok());
  EXPECT_EQ(model->gradient(), absl::MakeConstSpan(first));
}

TEST(ModelTest, PartsOfABatchGiveTheGradientOfTheWhole) {
  const auto model = MakeModel(TestModel(v1::ModelSpec::CNN), {8, 8});
  const TestRecords records(12, 64);
  const Scores whole = Must(model->ComputeGradient(records.view(), 0));
  const std::vector<float> gradient(model->gradient().begin(),
                                    model->gradient().end());
  std::string passes;
  StepEvents events;
  events.forward = [&passes] { passes += 'f'; };
  events.backward = [&passes] { passes += 'b'; };
  model->Observe(events);
  // The last part is shorter: each counts by its records.
  const Scores parts = Must(model->ComputeGradient(records.view(), 0, 5));
  EXPECT_EQ(passes, "fbfbfb");
  EXPECT_EQ(parts.records, 12);
  EXPECT_EQ(parts.correct, whole.correct);
  EXPECT_NEAR(parts.loss(), whole.loss(), 1e-6);
  for (size_t i = 0; i < gradient.size(); ++i) {
    ASSERT_NEAR(model->gradient()[i], gradient[i], 1e-6) << i;
  }
}

TEST(ModelTest, EachGradientIsAnnouncedOnceAndIsComplete) {
  for (const auto builtin : {v1::ModelSpec::LINEAR, v1::ModelSpec::MLP,
                             v1::ModelSpec::CNN, v1::ModelSpec::LENET}) {
    const auto model = MakeModel(TestModel(builtin), {16, 16});
    const TestRecords records(12, 256);
    std::vector<uint64_t> begins = {0};
    for (const tensor::TensorShape& tensor : model->tensors()) {
      uint64_t elements = 1;
      for (const int64_t size : tensor.shape) elements *= size;
      begins.push_back(begins.back() + elements);
    }
    std::map<size_t, std::vector<float>> announced;
    StepEvents events;
    events.gradient_done = [&](size_t tensor) {
      EXPECT_EQ(announced.count(tensor), 0u);
      announced[tensor].assign(model->gradient().begin() + begins[tensor],
                               model->gradient().begin() + begins[tensor + 1]);
    };
    model->Observe(events);
    // Whole batches, and one in three parts.
    for (const int part : {0, 5}) {
      announced.clear();
      ASSERT_TRUE(model->ComputeGradient(records.view(), 1, part).ok());
      ASSERT_EQ(announced.size(), model->tensors().size());
      for (const auto& [tensor, gradient] : announced) {
        EXPECT_EQ(absl::MakeConstSpan(gradient),
                  model->gradient().subspan(begins[tensor], gradient.size()))
            << model->tensors()[tensor].name;
      }
    }
  }
}

TEST(ModelTest, ALossThatIsNoNumberEndsTheStepUnlessItIsAllowed) {
  for (const bool fail : {true, false}) {
    ModelOptions options;
    options.spec = TestModel(v1::ModelSpec::LINEAR);
    options.record_shape = {8, 8};
    options.fail_on_nan = fail;
    const auto model = Must(Model::Create(options));
    TestRecords records(4, 64);
    records.features[5] = std::nanf("");
    const absl::Status status =
        model->ComputeGradient(records.view(), 0).status();
    EXPECT_EQ(status.ok(), !fail) << status;
    if (fail) {
      EXPECT_THAT(std::string(status.message()), HasSubstr("the loss is nan"));
    }
  }
}

TEST(ModelTest, ScoresCountWhatIsRight) {
  const auto model = MakeModel(TestModel(v1::ModelSpec::LINEAR, 2), {2});
  // Class 1 where the second number is larger.
  const std::vector<float> parameters = {1, 0, 0, 1, 0, 0};
  std::copy(parameters.begin(), parameters.end(), model->parameters().begin());
  const std::vector<float> features = {0, 1, 1, 0, 0, 1};
  const std::vector<int64_t> labels = {1, 0, 0};
  Scores scores;
  ASSERT_TRUE(model->Score({features.data(), labels.data(), 3}, &scores).ok());
  EXPECT_EQ(scores.records, 3);
  EXPECT_EQ(scores.correct, 2);
  const double right = std::log1p(std::exp(-1.0));
  EXPECT_NEAR(scores.loss(), (2 * right + right + 1) / 3, 1e-6);
}

TEST(ModelTest, AnExportGivesTheSameOutputs) {
  const testing::TempFolder folder;
  const auto model = MakeModel(TestModel(v1::ModelSpec::CNN), {8, 8});
  const TestRecords records(5, 64);
  std::vector<float> expected;
  ASSERT_TRUE(model->Forward(records.view(), &expected).ok());
  data::WriteBytes(folder / "model.pt", Must(model->Serialize()));
  const auto loaded = Must(Model::LoadExport(folder / "model.pt", {1, 8, 8},
                                             kTestClasses, Device()));
  std::vector<float> outputs;
  ASSERT_TRUE(loaded->Forward(records.view(), &outputs).ok());
  EXPECT_EQ(outputs, expected);
}

TEST(ModelTest, AUsersTorchScriptIsTrainedFromItsOwnParameters) {
  const testing::TempFolder folder;
  const auto original = MakeModel(TestModel(v1::ModelSpec::MLP), {8, 8}, 9);
  data::WriteBytes(folder / "net.pt", Must(original->Serialize()));
  v1::ModelSpec spec;
  spec.set_torchscript(folder / "net.pt");
  spec.set_classes(kTestClasses);
  const auto model = MakeModel(spec, {8, 8}, /*seed=*/1);
  EXPECT_EQ(model->parameters(), original->parameters());
  ASSERT_EQ(model->tensors().size(), original->tensors().size());
  EXPECT_EQ(model->tensors()[0].name, "fc1.weight");
  const TestRecords records(6, 64);
  ASSERT_TRUE(model->ComputeGradient(records.view(), 0).ok());
  ASSERT_TRUE(original->ComputeGradient(records.view(), 0).ok());
  EXPECT_EQ(model->gradient(), original->gradient());
}

TEST(ModelTest, ErrorsOfLibTorchAreOneLineWithoutABacktrace) {
  const testing::TempFolder folder;
  data::WriteBytes(folder / "net.pt", "this is no archive");
  ModelOptions options;
  options.spec.set_torchscript(folder / "net.pt");
  options.spec.set_classes(2);
  options.record_shape = {4};
  const absl::Status status = Model::Create(options).status();
  EXPECT_FALSE(status.ok());
  const std::string message(status.message());
  EXPECT_THAT(message, HasSubstr("net.pt"));
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  EXPECT_EQ(message.find("frame #"), std::string::npos) << message;
}

TEST(ModelTest, AFileThatIsNotThereIsNotFound) {
  ModelOptions options;
  options.spec.set_torchscript("/nowhere/net.pt");
  options.spec.set_classes(2);
  options.record_shape = {4};
  EXPECT_EQ(Model::Create(options).status().code(),
            absl::StatusCode::kNotFound);
}

TEST(ModelTest, OutputsOfAnotherWidthAreRefusedWithBothShapes) {
  const testing::TempFolder folder;
  const auto original = MakeModel(TestModel(v1::ModelSpec::MLP, 3), {8, 8});
  data::WriteBytes(folder / "net.pt", Must(original->Serialize()));
  v1::ModelSpec spec;
  spec.set_torchscript(folder / "net.pt");
  spec.set_classes(5);
  const auto model = MakeModel(spec, {8, 8});
  const TestRecords records(6, 64);
  const absl::Status status =
      model->ComputeGradient(records.view(), 0).status();
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("[6, 3]"), HasSubstr("[6, 5]")));
}

}  // namespace
}  // namespace tfd::worker
