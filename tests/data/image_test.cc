// JPEG and PNG decoded, and images resized.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "absl/strings/string_view.h"
#include "data/image/decode.h"
#include "data/image/resize.h"
#include "tests/data/image_files.h"

namespace tfd::data {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// What JPEG of this quality changes in a smooth image, in 255ths.
constexpr int kJpegTolerance = 4;
// What a rounding of its conversion to grey may differ.
constexpr int kGreyTolerance = 1;

std::string ErrorOf(absl::string_view encoded,
                    int64_t max_pixels = kMaxPixels) {
  const auto image = DecodeImage(encoded, 3, max_pixels);
  EXPECT_FALSE(image.ok());
  EXPECT_EQ(image.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(image.status().message());
}

void ExpectNear(const Image& image, const Image& expected, int tolerance) {
  ASSERT_EQ(image.height, expected.height);
  ASSERT_EQ(image.width, expected.width);
  ASSERT_EQ(image.channels, expected.channels);
  ASSERT_EQ(image.pixels.size(), expected.pixels.size());
  for (size_t i = 0; i < image.pixels.size(); ++i) {
    ASSERT_LE(std::abs(image.pixels[i] - expected.pixels[i]), tolerance)
        << "at " << i;
  }
}

Image Decoded(const std::string& encoded, int channels) {
  auto image = DecodeImage(encoded, channels);
  EXPECT_TRUE(image.ok()) << image.status();
  return image.ok() ? *std::move(image) : Image();
}

TEST(DecodeTest, PngIsWhatWasWritten) {
  for (const int channels : {1, 3}) {
    const Image image = Gradient(5, 7, channels);
    ExpectNear(Decoded(PngOf(image), channels), image, 0);
  }
}

TEST(DecodeTest, JpegIsNearlyWhatWasWritten) {
  for (const int channels : {1, 3}) {
    const Image image = Gradient(19, 21, channels);
    for (const int flags : {0, TJFLAG_PROGRESSIVE}) {
      ExpectNear(
          Decoded(JpegOf(image, channels == 1 ? TJPF_GRAY : TJPF_RGB, flags),
                  channels),
          image, kJpegTolerance);
    }
  }
}

TEST(DecodeTest, ColoursBecomeGreyByTheWeightsOfJpeg) {
  const Image image{1, 4, 3, {255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9}};
  EXPECT_THAT(Decoded(PngOf(image), 1).pixels, ElementsAre(76, 150, 29, 9));
  const Image wide = Gradient(16, 16, 3);
  ExpectNear(Decoded(JpegOf(wide, TJPF_RGB), 1), Decoded(PngOf(wide), 1),
             kJpegTolerance + kGreyTolerance);
}

TEST(DecodeTest, GreyBecomesThreeEqualColours) {
  const Image image{1, 2, 1, {7, 200}};
  EXPECT_THAT(Decoded(PngOf(image), 3).pixels,
              ElementsAre(7, 7, 7, 200, 200, 200));
  EXPECT_EQ(Decoded(JpegOf(Gradient(8, 8, 1), TJPF_GRAY), 3).channels, 3);
}

TEST(DecodeTest, AlphaIsLeftOutAndPalettesAndSixteenBitsAreUnpacked) {
  const uint8_t rgba[] = {1, 2, 3, 255, 50, 60, 70, 255};
  EXPECT_THAT(Decoded(PngOfPixels(1, 2, rgba, PNG_FORMAT_RGBA), 3).pixels,
              ElementsAre(1, 2, 3, 50, 60, 70));
  const uint8_t colours[] = {10, 20, 30, 40, 50, 60};
  const uint8_t indices[] = {1, 0, 1};
  EXPECT_THAT(
      Decoded(PngOfPixels(1, 3, indices, PNG_FORMAT_RGB_COLORMAP, colours, 2),
              3)
          .pixels,
      ElementsAre(40, 50, 60, 10, 20, 30, 40, 50, 60));
  const uint16_t deep[] = {0x1234, 0xFF80};
  EXPECT_THAT(Decoded(PngOfPixels(1, 2, deep, PNG_FORMAT_LINEAR_Y), 1).pixels,
              ElementsAre(0x12, 0xFF));
}

TEST(DecodeTest, WhatIsCutShortIsRefusedWhereverThatIs) {
  const Image image = Gradient(16, 16, 3);
  for (const std::string& encoded : {PngOf(image), JpegOf(image, TJPF_RGB)}) {
    for (size_t size = 0; size < encoded.size(); ++size) {
      EXPECT_FALSE(DecodeImage(encoded.substr(0, size), 3).ok()) << size;
    }
  }
  EXPECT_THAT(ErrorOf(PngOf(image).substr(0, PngOf(image).size() / 2)),
              HasSubstr("the PNG image is damaged"));
  EXPECT_THAT(ErrorOf(JpegOf(image, TJPF_RGB).substr(0, 300)),
              HasSubstr("the JPEG image is damaged"));
}

// Nothing is promised of the pixels but that there are as many as it says.
TEST(DecodeTest, DamagedBytesHarmNothing) {
  const Image image = Gradient(16, 16, 3);
  uint64_t random = 1;
  for (const std::string& encoded : {PngOf(image), JpegOf(image, TJPF_RGB)}) {
    for (int i = 0; i < 2000; ++i) {
      std::string damaged = encoded;
      for (int flips = 0; flips < 3; ++flips) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        damaged[(random >> 20) % damaged.size()] =
            static_cast<char>(random >> 56);
      }
      const auto decoded = DecodeImage(damaged, 3);
      if (!decoded.ok()) continue;
      EXPECT_EQ(decoded->pixels.size(),
                size_t{3} * decoded->height * decoded->width);
    }
  }
}

TEST(DecodeTest, TooManyPixelsAreRefusedByTheHeader) {
  const Image image = Gradient(16, 16, 3);
  EXPECT_THAT(ErrorOf(PngOf(image), 255),
              AllOf(HasSubstr("16 × 16"), HasSubstr("255")));
  std::string jpeg = JpegOf(image, TJPF_RGB);
  EXPECT_THAT(ErrorOf(jpeg, 255), HasSubstr("16 × 16"));
  // The frame header: marker, length, bits, height, width.
  const size_t frame = jpeg.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  jpeg.replace(frame + 5, 4, "\xff\xdc\xff\xdc");
  EXPECT_THAT(ErrorOf(jpeg), HasSubstr("65500 × 65500"));
}

TEST(DecodeTest, OtherFormatsAreNamedByWhatTheyBeginWith) {
  EXPECT_THAT(
      ErrorOf("GIF89a..."),
      AllOf(HasSubstr("GIF89a"), HasSubstr("neither a JPEG nor a PNG")));
  EXPECT_THAT(ErrorOf(""), HasSubstr("no bytes"));
  const Image print{8, 8, 4, std::vector<uint8_t>(size_t{8} * 8 * 4, 100)};
  EXPECT_THAT(ErrorOf(JpegOf(print, TJPF_CMYK)), HasSubstr("CMYK"));
}

Image Resized(Image image, int height, int width, Fit fit = Fit::kStretch) {
  auto resized = ResizeImage(std::move(image), height, width, fit);
  EXPECT_TRUE(resized.ok()) << resized.status();
  return resized.ok() ? *std::move(resized) : Image();
}

TEST(ResizeTest, SmallerIsTheMeanOfTheArea) {
  const Image image{2, 4, 1, {1, 3, 10, 20, 5, 7, 30, 40}};
  EXPECT_THAT(Resized(image, 1, 2).pixels, ElementsAre(4, 25));
}

TEST(ResizeTest, LargerIsLinearBetweenThePixels) {
  const Image image{1, 2, 1, {0, 100}};
  EXPECT_THAT(Resized(image, 1, 4).pixels, ElementsAre(0, 25, 75, 100));
}

TEST(ResizeTest, TheSameSizeStaysAsItIs) {
  const Image image = Gradient(3, 5, 3);
  ExpectNear(Resized(image, 3, 5), image, 0);
}

TEST(ResizeTest, CropTakesTheMiddle) {
  const Image image{1, 4, 1, {1, 2, 4, 8}};
  EXPECT_THAT(Resized(image, 1, 1, Fit::kCrop).pixels, ElementsAre(2));
  const Image high{4, 2, 1, {1, 1, 2, 4, 6, 8, 9, 9}};
  EXPECT_THAT(Resized(high, 2, 2, Fit::kCrop).pixels, ElementsAre(2, 4, 6, 8));
}

TEST(ResizeTest, ColoursStayApart) {
  const Image image{1, 2, 3, {10, 20, 30, 30, 40, 50}};
  EXPECT_THAT(Resized(image, 1, 1).pixels, ElementsAre(20, 30, 40));
}

}  // namespace
}  // namespace tfd::data
