#include "data/feed/flight_data.h"

#include <arrow/buffer.h>
#include <gmock/gmock.h>
#include <grpcpp/support/byte_buffer.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "arrow/flight/protocol/Flight.pb.h"

namespace tfd::data {
namespace {

namespace flight = arrow::flight::protocol;

// The message's bytes in slices of `slice_bytes`.
grpc::ByteBuffer Sliced(const std::string& bytes, size_t slice_bytes) {
  std::vector<grpc::Slice> slices;
  for (size_t at = 0; at < bytes.size(); at += slice_bytes) {
    slices.emplace_back(bytes.substr(at, slice_bytes));
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

flight::FlightData Message() {
  flight::FlightData message;
  message.mutable_flight_descriptor()->add_path("a");
  message.set_data_header("the header");
  message.set_app_metadata("{}");
  message.set_data_body(std::string(300, 'b'));
  return message;
}

TEST(FlightDataTest, FieldsAreReadHoweverTheMessageIsSliced) {
  const std::string bytes = Message().SerializeAsString();
  FlightDataReader reader;
  for (size_t slice = 1; slice <= bytes.size(); ++slice) {
    const auto data = reader.Read(Sliced(bytes, slice));
    ASSERT_TRUE(data.ok()) << data.status();
    EXPECT_EQ(data->header->ToString(), "the header");
    EXPECT_EQ(data->app_metadata, "{}");
    EXPECT_EQ(data->body->ToString(), std::string(300, 'b'));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data->body->data()) % 64, 0u);
    flight::FlightDescriptor descriptor;
    ASSERT_TRUE(descriptor.ParseFromString(data->descriptor));
    EXPECT_EQ(descriptor.path(0), "a");
  }
}

TEST(FlightDataTest, WhatIsAbsentIsEmpty) {
  FlightDataReader reader;
  ASSERT_TRUE(reader.Read(Sliced(Message().SerializeAsString(), 64)).ok());
  const auto data = reader.Read(grpc::ByteBuffer());
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->header, nullptr);
  EXPECT_EQ(data->body->size(), 0);
  EXPECT_EQ(data->descriptor, "");
}

TEST(FlightDataTest, UnknownFieldsAreSkipped) {
  // Field 7: a varint, 8: 8 bytes, 9: 4 bytes, 10: 3 bytes of anything.
  const std::string unknown = std::string("\x38\x96\x01", 3) +
                              std::string("\x41") + std::string(8, 'x') +
                              std::string("\x4d") + std::string(4, 'x') +
                              std::string("\x52\x03xyz", 5);
  FlightDataReader reader;
  const auto data =
      reader.Read(Sliced(unknown + Message().SerializeAsString(), 5));
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->header->ToString(), "the header");
}

TEST(FlightDataTest, EveryTruncationIsRefusedOrLosesWholeFields) {
  const std::string bytes = Message().SerializeAsString();
  FlightDataReader reader;
  for (size_t size = 0; size < bytes.size(); ++size) {
    const auto data = reader.Read(Sliced(bytes.substr(0, size), 7));
    if (!data.ok()) {
      EXPECT_EQ(data.status().code(), absl::StatusCode::kInvalidArgument);
    } else {
      EXPECT_EQ(data->body->size(), 0) << size;
    }
  }
}

TEST(FlightDataTest, AFieldLongerThanTheMessageIsRefusedBeforeItIsAllocated) {
  // Field 1000 with 2^62 bytes.
  const std::string bytes =
      "\xc2\x3e" + std::string(8, '\x80') + std::string("\x40");
  FlightDataReader reader;
  EXPECT_FALSE(reader.Read(Sliced(bytes, 100)).ok());
}

}  // namespace
}  // namespace tfd::data
