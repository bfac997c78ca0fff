// By libpng. Its errors leave it by longjmp, so each function that calls it
// has a setjmp of its own, and between the two no object with a destructor.
#include <png.h>

#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "data/image/formats.h"

namespace tfd::data {
namespace {

constexpr int kByteBits = 8;
// Of a chunk that is no picture (texts, profiles), unpacked.
constexpr png_alloc_size_t kMaxChunkBytes = 4 << 20;
constexpr int kMaxCachedChunks = 64;
constexpr png_uint_32 kMaxSide = 1 << 20;
// Red, green and blue of grey, of 65,536.
constexpr int kRedShare = 19595;
constexpr int kGreenShare = 38470;
constexpr int kBlueShare = 7471;

// Plain memory: what a longjmp leaves behind needs no destructor.
struct PngReader {
  png_structp png;
  png_infop info;
  const unsigned char* bytes;
  size_t size_bytes;
  size_t read_bytes;
  int passes;
  char message[160];
};

void ReadBytes(png_structp png, png_bytep out, size_t size_bytes) {
  auto* reader = static_cast<PngReader*>(png_get_io_ptr(png));
  if (size_bytes > reader->size_bytes - reader->read_bytes) {
    png_error(png, "it ends too early");
  }
  std::memcpy(out, reader->bytes + reader->read_bytes, size_bytes);
  reader->read_bytes += size_bytes;
}

void OnError(png_structp png, png_const_charp message) {
  auto* reader = static_cast<PngReader*>(png_get_error_ptr(png));
  std::snprintf(reader->message, sizeof(reader->message), "%s", message);
  png_longjmp(png, 1);
}

void OnWarning(png_structp, png_const_charp) {}

// Reads what comes before the pixels. False: see message.
bool ReadHeader(PngReader* reader) {
  if (setjmp(png_jmpbuf(reader->png)) != 0) return false;
  png_set_read_fn(reader->png, reader, ReadBytes);
  png_set_user_limits(reader->png, kMaxSide, kMaxSide);
  png_set_chunk_malloc_max(reader->png, kMaxChunkBytes);
  png_set_chunk_cache_max(reader->png, kMaxCachedChunks);
  png_read_info(reader->png, reader->info);
  return true;
}

// From now on rows are of 8 bits, red, green and blue or grey alone. Gives the
// channels; 0: see message.
int Simplify(PngReader* reader, bool keep_grey) {
  if (setjmp(png_jmpbuf(reader->png)) != 0) return 0;
  const bool is_grey = (png_get_color_type(reader->png, reader->info) &
                        PNG_COLOR_MASK_COLOR) == 0;
  // Palettes and fewer bits to 8; transparent colours to alpha, which goes.
  png_set_expand(reader->png);
  png_set_strip_16(reader->png);
  png_set_strip_alpha(reader->png);
  if (is_grey && !keep_grey) png_set_gray_to_rgb(reader->png);
  reader->passes = png_set_interlace_handling(reader->png);
  png_read_update_info(reader->png, reader->info);
  if (png_get_bit_depth(reader->png, reader->info) != kByteBits) {
    png_error(reader->png, "its pixels are not of 8 bits");
  }
  return png_get_channels(reader->png, reader->info);
}

// `pixels` has room for all rows of `row_bytes`. False: see message.
bool ReadRows(PngReader* reader, size_t row_bytes, int height,
              unsigned char* pixels) {
  if (setjmp(png_jmpbuf(reader->png)) != 0) return false;
  if (png_get_rowbytes(reader->png, reader->info) != row_bytes) {
    png_error(reader->png, "its rows have another size than its header says");
  }
  for (int pass = 0; pass < reader->passes; ++pass) {
    for (int row = 0; row < height; ++row) {
      png_read_row(reader->png, pixels + row * row_bytes, nullptr);
    }
  }
  png_read_end(reader->png, nullptr);
  return true;
}

class PngDecoder {
 public:
  explicit PngDecoder(absl::string_view encoded) {
    reader_.bytes = reinterpret_cast<const unsigned char*>(encoded.data());
    reader_.size_bytes = encoded.size();
    reader_.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader_,
                                         OnError, OnWarning);
    if (reader_.png != nullptr) {
      reader_.info = png_create_info_struct(reader_.png);
    }
  }
  ~PngDecoder() {
    png_destroy_read_struct(&reader_.png, &reader_.info, nullptr);
  }
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;

  // As many channels as the file has, or 3 for grey where 3 are `wanted`.
  absl::StatusOr<Image> Decode(int wanted, int64_t max_pixels) {
    if (reader_.info == nullptr) {
      return absl::ResourceExhaustedError(
          "decoding a PNG image: there is no memory");
    }
    if (!ReadHeader(&reader_)) return Damaged();
    const int64_t width = png_get_image_width(reader_.png, reader_.info);
    const int64_t height = png_get_image_height(reader_.png, reader_.info);
    TFD_RETURN_IF_ERROR(CheckSize(height, width, max_pixels));
    Image image;
    image.width = static_cast<int>(width);
    image.height = static_cast<int>(height);
    image.channels = Simplify(&reader_, /*keep_grey=*/wanted == 1);
    if (image.channels == 0) return Damaged();
    const size_t row_bytes = size_t{1} * image.width * image.channels;
    image.pixels.resize(row_bytes * image.height);
    if (!ReadRows(&reader_, row_bytes, image.height, image.pixels.data())) {
      return Damaged();
    }
    return image;
  }

 private:
  absl::Status Damaged() const {
    return absl::InvalidArgumentError(
        absl::StrCat("the PNG image is damaged: ", reader_.message));
  }

  PngReader reader_ = {};
};

void MakeGrey(Image* image) {
  const size_t pixels = image->pixels.size() / image->channels;
  const uint8_t* from = image->pixels.data();
  for (size_t i = 0; i < pixels; ++i, from += image->channels) {
    image->pixels[i] =
        static_cast<uint8_t>((from[0] * kRedShare + from[1] * kGreenShare +
                              from[2] * kBlueShare + (1 << 15)) >>
                             16);
  }
  image->pixels.resize(pixels);
  image->channels = 1;
}

}  // namespace

absl::StatusOr<Image> DecodePng(absl::string_view encoded, int channels,
                                int64_t max_pixels) {
  TFD_ASSIGN_OR_RETURN(Image image,
                       PngDecoder(encoded).Decode(channels, max_pixels));
  if (channels == 1 && image.channels != 1) MakeGrey(&image);
  return image;
}

}  // namespace tfd::data
