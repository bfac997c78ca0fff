#include "data/preprocess.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace tfd::data {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;

v1::DataSpec SpecWith(std::vector<v1::PreprocessStep> steps) {
  v1::DataSpec spec;
  for (auto& step : steps) *spec.add_preprocess() = std::move(step);
  return spec;
}

v1::PreprocessStep Scale(double factor) {
  v1::PreprocessStep step;
  step.set_scale(factor);
  return step;
}

v1::PreprocessStep Normalise(double mean, double std) {
  v1::PreprocessStep step;
  step.mutable_normalise()->set_mean(mean);
  step.mutable_normalise()->set_std(std);
  return step;
}

TEST(PreprocessTest, BytesAreScaledByDefault) {
  const auto steps = ResolvePreprocess(v1::DataSpec(), Dtype::kUint8);
  ASSERT_EQ(steps.size(), 1u);
  EXPECT_DOUBLE_EQ(steps[0].scale(), 1.0 / 255);
}

TEST(PreprocessTest, WiderTypesStayAsTheyAreByDefault) {
  for (const Dtype dtype : {Dtype::kInt32, Dtype::kInt64, Dtype::kFloat32}) {
    EXPECT_TRUE(ResolvePreprocess(v1::DataSpec(), dtype).empty());
  }
}

TEST(PreprocessTest, StepsOfTheSpecReplaceTheDefault) {
  const auto steps = ResolvePreprocess(SpecWith({Scale(2)}), Dtype::kUint8);
  ASSERT_EQ(steps.size(), 1u);
  EXPECT_EQ(steps[0].scale(), 2);
}

TEST(PreprocessTest, AnEmptyListThatIsExactMeansNoSteps) {
  EXPECT_TRUE(Preprocess(PreprocessSteps()).Resolve(Dtype::kUint8).empty());
}

TEST(AffineTransformTest, StepsAreAppliedInTheirOrder) {
  const AffineTransform transform({Scale(0.5), Normalise(3, 2), Scale(10)});
  const float in[] = {0, 4, 10};
  float out[3];
  transform.Apply(Dtype::kFloat32, in, 3, out);
  EXPECT_THAT(out, ElementsAre(FloatEq(-15), FloatEq(-5), FloatEq(10)));
}

TEST(AffineTransformTest, EveryByteBecomesItsShareOf255) {
  const AffineTransform transform(
      ResolvePreprocess(v1::DataSpec(), Dtype::kUint8));
  std::vector<uint8_t> in(256);
  for (int i = 0; i < 256; ++i) in[i] = static_cast<uint8_t>(i);
  std::vector<float> out(256);
  transform.Apply(Dtype::kUint8, in.data(), in.size(), out.data());
  for (int i = 0; i < 256; ++i) {
    EXPECT_FLOAT_EQ(out[i], static_cast<float>(i) / 255) << i;
  }
  EXPECT_EQ(out[0], 0);
  EXPECT_EQ(out[255], 1);
}

template <typename T>
std::vector<float> Transformed(Dtype dtype, std::vector<T> in,
                               const AffineTransform& transform) {
  // One byte off: sources need not be aligned.
  std::vector<unsigned char> bytes(in.size() * sizeof(T) + 1);
  std::memcpy(bytes.data() + 1, in.data(), in.size() * sizeof(T));
  std::vector<float> out(in.size());
  transform.Apply(dtype, bytes.data() + 1, in.size(), out.data());
  return out;
}

TEST(AffineTransformTest, EveryTypeIsRead) {
  const AffineTransform t({Scale(2), Normalise(1, 1)});
  EXPECT_THAT(Transformed<uint8_t>(Dtype::kUint8, {0, 255}, t),
              ElementsAre(-1, 509));
  EXPECT_THAT(Transformed<int8_t>(Dtype::kInt8, {-128, 127}, t),
              ElementsAre(-257, 253));
  EXPECT_THAT(Transformed<uint16_t>(Dtype::kUint16, {0, 65535}, t),
              ElementsAre(-1, 131069));
  EXPECT_THAT(Transformed<int16_t>(Dtype::kInt16, {-32768, 32767}, t),
              ElementsAre(-65537, 65533));
  EXPECT_THAT(Transformed<uint32_t>(Dtype::kUint32, {1u << 31}, t),
              ElementsAre(4294967295.0f));
  EXPECT_THAT(Transformed<int32_t>(Dtype::kInt32, {-5, 7}, t),
              ElementsAre(-11, 13));
  EXPECT_THAT(Transformed<uint64_t>(Dtype::kUint64, {uint64_t{1} << 40}, t),
              ElementsAre(std::pow(2.0f, 41.0f)));
  EXPECT_THAT(Transformed<int64_t>(Dtype::kInt64, {-3}, t), ElementsAre(-7));
  EXPECT_THAT(Transformed<float>(Dtype::kFloat32, {0.25f}, t),
              ElementsAre(-0.5f));
  EXPECT_THAT(Transformed<double>(Dtype::kFloat64, {0.75}, t),
              ElementsAre(0.5f));
}

TEST(AffineTransformTest, LargeIntegersAreRoundedOnlyOnce) {
  // 2^24 + 1 is no float32; subtracting 2^24 must still leave 1.
  const AffineTransform t({Normalise(1 << 24, 1)});
  EXPECT_THAT(Transformed<int32_t>(Dtype::kInt32, {(1 << 24) + 1}, t),
              ElementsAre(1.0f));
}

TEST(AffineTransformTest, NothingToDoKeepsEveryBit) {
  const auto out =
      Transformed<float>(Dtype::kFloat32, {-0.0f, 1e-42f}, AffineTransform());
  EXPECT_TRUE(std::signbit(out[0]));
  EXPECT_EQ(out[1], 1e-42f);
}

}  // namespace
}  // namespace tfd::data
