#include "tensor/chunk_codec.h"

#include <gmock/gmock.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <string>
#include <vector>

#include "common/crc32c.h"

namespace tfd::tensor {
namespace {

using ::testing::HasSubstr;

constexpr size_t kMaxPayload = 1 << 20;

grpc::ByteBuffer Buffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

// The same bytes in slices of random lengths, empty ones among them.
grpc::ByteBuffer Cut(const std::string& bytes, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<grpc::Slice> slices;
  for (size_t at = 0; at < bytes.size();) {
    const size_t n = std::min<size_t>(bytes.size() - at, random() % 40);
    slices.emplace_back(bytes.data() + at, n);
    at += n;
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

std::string Flat(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(buffer.Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

std::string Flat(const Payload& payload) {
  std::string bytes;
  for (const ByteSpan span : payload.spans()) {
    bytes.append(reinterpret_cast<const char*>(span.data()), span.size());
  }
  return bytes;
}

ByteSpan Bytes(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

std::string SomePayload() {
  std::string bytes;
  for (int i = 0; i < 1003; ++i) bytes.push_back(static_cast<char>(i * 7));
  return bytes;
}

ChunkRequest SomeRequest() {
  ChunkRequest request;
  request.generation = 300;
  request.kind = v1::PUSH;
  request.slot = 3;
  request.step = uint64_t{1} << 40;
  request.chunk = 70000;
  request.weight = 64.25;
  request.idle = true;
  request.batch = std::numeric_limits<uint64_t>::max();
  request.payload_crc32c = 0xdeadbeef;
  request.payload_type = NumberType::kFloat16;
  request.entries = 200;
  request.last = true;
  return request;
}

v1::ChunkRequest Generated(const ChunkRequest& header,
                           const std::string& payload) {
  v1::ChunkRequest message;
  message.set_generation(header.generation);
  message.set_kind(header.kind);
  message.set_slot(header.slot);
  message.set_step(header.step);
  message.set_chunk(header.chunk);
  message.set_weight(header.weight);
  message.set_idle(header.idle);
  message.set_batch(header.batch);
  message.set_payload_crc32c(header.payload_crc32c);
  if (header.payload_type == NumberType::kFloat16) {
    message.set_payload_type(v1::ExchangeSpec::FLOAT16);
  }
  message.set_entries(header.entries);
  message.set_last(header.last);
  message.set_payload(payload);
  return message;
}

void ExpectSame(const ChunkRequest& a, const ChunkRequest& b) {
  EXPECT_EQ(a.generation, b.generation);
  EXPECT_EQ(a.kind, b.kind);
  EXPECT_EQ(a.slot, b.slot);
  EXPECT_EQ(a.step, b.step);
  EXPECT_EQ(a.chunk, b.chunk);
  EXPECT_EQ(a.weight, b.weight);
  EXPECT_EQ(a.idle, b.idle);
  EXPECT_EQ(a.batch, b.batch);
  EXPECT_EQ(a.payload_crc32c, b.payload_crc32c);
  EXPECT_EQ(a.payload_type, b.payload_type);
  EXPECT_EQ(a.entries, b.entries);
  EXPECT_EQ(a.last, b.last);
}

TEST(ChunkCodecTest, WritesTheSameBytesAsTheGeneratedRequest) {
  const std::string payload = SomePayload();
  for (const ChunkRequest& header : {SomeRequest(), ChunkRequest()}) {
    for (const std::string& body : {payload, std::string()}) {
      EXPECT_EQ(Flat(EncodeChunkRequest(header, Bytes(body), {})),
                Generated(header, body).SerializeAsString());
    }
  }
}

TEST(ChunkCodecTest, WritesTheSameBytesAsTheGeneratedReply) {
  const std::string payload = SomePayload();
  ChunkReply header;
  header.kind = v1::PULL;
  header.chunk = 9;
  header.step = 1234567;
  header.code = 9;
  header.message = std::string(500, 'x');
  header.payload_type = NumberType::kBfloat16;
  v1::ChunkReply message;
  message.set_kind(header.kind);
  message.set_chunk(header.chunk);
  message.set_step(header.step);
  message.set_code(header.code);
  message.set_message(header.message);
  message.set_payload_type(v1::ExchangeSpec::BFLOAT16);
  message.set_payload(payload);
  EXPECT_EQ(Flat(EncodeChunkReply(header, Bytes(payload), {})),
            message.SerializeAsString());

  for (uint32_t seed = 0; seed < 50; ++seed) {
    const auto parsed =
        ParseChunkReply(Cut(message.SerializeAsString(), seed), kMaxPayload);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->header.kind, header.kind);
    EXPECT_EQ(parsed->header.chunk, header.chunk);
    EXPECT_EQ(parsed->header.step, header.step);
    EXPECT_EQ(parsed->header.code, header.code);
    EXPECT_EQ(parsed->header.message, header.message);
    EXPECT_EQ(parsed->header.payload_type, header.payload_type);
    EXPECT_EQ(Flat(parsed->payload), payload);
  }
}

TEST(ChunkCodecTest, ReadsTheGeneratedRequestFromAnySlices) {
  const std::string payload = SomePayload();
  const std::string bytes =
      Generated(SomeRequest(), payload).SerializeAsString();
  for (uint32_t seed = 0; seed < 200; ++seed) {
    const auto parsed = ParseChunkRequest(Cut(bytes, seed), kMaxPayload);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    ExpectSame(parsed->header, SomeRequest());
    EXPECT_EQ(Flat(parsed->payload), payload);
  }
}

TEST(ChunkCodecTest, FieldsMayComeInAnyOrderAndUnknownOnesAreSkipped) {
  v1::ChunkRequest first;
  first.set_payload("abcd");
  v1::ChunkRequest second;
  second.set_kind(v1::PULL);
  second.set_step(5);
  const std::string unknown = {'\x60', '\x01',  // 12: varint
                               '\x69', 1,      2,   3,   4, 5,
                               6,      7,      8,                // 13: fixed64
                               '\x72', '\x02', 'h', 'i',         // 14: bytes
                               '\xa5', '\x01', 1,   2,   3, 4};  // 20: fixed32
  const auto parsed = ParseChunkRequest(
      Buffer(first.SerializeAsString() + unknown + second.SerializeAsString()),
      kMaxPayload);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->header.step, 5u);
  EXPECT_EQ(Flat(parsed->payload), "abcd");
}

TEST(ChunkCodecTest, EveryTruncationIsRefusedOrAWholeMessage) {
  const std::string bytes =
      Generated(SomeRequest(), SomePayload()).SerializeAsString();
  size_t refused = 0;
  for (size_t n = 0; n < bytes.size(); ++n) {
    const std::string cut = bytes.substr(0, n);
    const auto ours = ParseChunkRequest(Buffer(cut), kMaxPayload);
    // The generated parser is the judge.
    v1::ChunkRequest message;
    EXPECT_EQ(ours.ok(), message.ParseFromString(cut)) << n;
    if (!ours.ok()) {
      ++refused;
      EXPECT_THAT(std::string(ours.status().message()),
                  HasSubstr("chunk request: "));
    }
  }
  EXPECT_GT(refused, 1000u);
}

TEST(ChunkCodecTest, NoBytesOfAnyKindDoHarm) {
  const std::string good =
      Generated(SomeRequest(), SomePayload()).SerializeAsString();
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = good.substr(0, 1 + random() % 60);
    for (int i = 0; i < 3; ++i) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    const auto parsed = ParseChunkRequest(Cut(bytes, random()), kMaxPayload);
    if (parsed.ok()) {
      EXPECT_LE(parsed->payload.size_bytes(), bytes.size());
    }
    (void)ParseChunkReply(Cut(bytes, random()), kMaxPayload).ok();
  }
}

TEST(ChunkCodecTest, WhatIsWrongIsNamedByField) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      // payload announces more than there is, or than is allowed
      {std::string("\x7a\x0a", 2) + "abc", "payload: 10 bytes announced"},
      {std::string("\x7a\x80\x80\x80\x80\x08", 6), "payload: 2147483648 bytes"},
      // wire types
      {std::string("\x78\x01", 2), "payload: wire type 0 instead of 2"},
      {std::string("\x0d\x01\x02\x03\x04", 5), "generation: wire type 5"},
      {std::string("\x30\x01", 2), "weight: wire type 0 instead of 1"},
      {std::string("\x6b\x6c", 2), "unknown field: wire type 3"},
      // values
      {std::string("\x10\x09", 2), "kind: 9"},
      {std::string("\x59", 1), "entries: wire type 1"},
      {std::string("\x50\x04", 2),
       "payload_type: 4 is none of float32, bfloat16, float16"},
      {std::string("\x18\x80\x80\x80\x80\x10", 6), "slot: 4294967296"},
      {std::string("\x20", 1) + std::string(11, '\xff'), "step: a number of"},
      {std::string("\x2a", 1), "chunk: wire type 2"},
      {std::string("\x31\x01\x02", 3), "weight: the message ends"},
      {std::string("\x00\x00", 2), "tag: field number 0"},
      // protobuf refuses both: a tag has 32 bits, and five bytes at most
      {std::string("\xf8\xfc\xef\xff\xff\x1f", 6) + "\x01", "tag: a field"},
      {std::string("\xe8\x87\x80\x80\x80\x00\x01", 7), "tag: a field"},
      {std::string("\x6a\x7f", 2), "unknown field: the message ends"}};
  for (const auto& [bytes, words] : cases) {
    const auto parsed = ParseChunkRequest(Buffer(bytes), kMaxPayload);
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument)
        << words;
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr(words));
  }
  const auto reply =
      ParseChunkReply(Buffer(std::string("\x2a\x80\x80\x02", 4)), kMaxPayload);
  EXPECT_THAT(std::string(reply.status().message()),
              HasSubstr("chunk reply: message: 32768 bytes"));
}

TEST(ChunkCodecTest, APayloadIsNotCopiedAndReleasedOnce) {
  const std::string payload = SomePayload();
  int released = 0;
  const PayloadRelease release = {
      [](void* argument) { ++*static_cast<int*>(argument); }, &released};
  {
    const grpc::ByteBuffer buffer =
        EncodeChunkRequest(SomeRequest(), Bytes(payload), release);
    std::vector<grpc::Slice> slices;
    ASSERT_TRUE(buffer.Dump(&slices).ok());
    ASSERT_EQ(slices.size(), 2u);
    EXPECT_EQ(slices[1].begin(),
              reinterpret_cast<const uint8_t*>(payload.data()));
    // Parsed, it is still the same memory, kept alive by the payload alone.
    auto parsed = ParseChunkRequest(buffer, kMaxPayload);
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(static_cast<const void*>(parsed->payload.spans()[0].data()),
              payload.data());
    EXPECT_EQ(released, 0);
  }
  EXPECT_EQ(released, 1);
  EncodeChunkReply({}, {}, release);
  EXPECT_EQ(released, 2);
}

TEST(ChunkCodecTest, AChecksumThatDiffersIsDataLoss) {
  const std::string payload = SomePayload();
  const auto parsed = ParseChunkRequest(
      Cut(Generated(SomeRequest(), payload).SerializeAsString(), 3),
      kMaxPayload);
  ASSERT_TRUE(parsed.ok());
  EXPECT_TRUE(CheckPayloadCrc(Crc32c(payload), parsed->payload).ok());
  EXPECT_TRUE(CheckPayloadCrc(0, parsed->payload).ok());
  EXPECT_EQ(CheckPayloadCrc(1, parsed->payload).code(),
            absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace tfd::tensor
