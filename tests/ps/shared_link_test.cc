#include "ps/shared_link.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "common/testing/temp_folder.h"

namespace tfd::ps {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kCapacity = 8;
constexpr size_t kMaxPayload = 4096;

UniqueDescriptor Duplicate(const SharedMemory& memory) {
  return UniqueDescriptor(fcntl(memory.descriptor(), F_DUPFD_CLOEXEC, 0));
}

SharedSlot Message(absl::string_view text, SharedPlace place = {}) {
  SharedSlot slot;
  slot.place = place;
  slot.header_bytes = static_cast<uint32_t>(text.size());
  std::memcpy(slot.header, text.data(), text.size());
  return slot;
}

std::string Text(tensor::ByteSpan bytes) {
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

// One side of a connection; what it shares can be tampered with.
struct Side {
  std::unique_ptr<net::LocalSocket> socket;
  std::unique_ptr<SharedMemory> memory = *SharedMemory::Create("test", 1 << 16);
  SharedRingHeader* ring = nullptr;
  std::unique_ptr<SharedLink> link;

  SharedPlace Place(uint64_t offset, uint64_t bytes) const {
    SharedPlace place;
    place.segment = 1;
    place.offset = offset;
    place.bytes = bytes;
    return place;
  }
};

class SharedLinkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto listener = net::LocalListener::Listen(folder_ / "s");
    ASSERT_TRUE(listener.ok()) << listener.status();
    auto a = net::LocalSocket::Connect(folder_ / "s");
    auto b = listener->Accept();
    ASSERT_TRUE(a.ok() && b.ok());
    a_.socket = std::make_unique<net::LocalSocket>(*std::move(a));
    b_.socket = std::make_unique<net::LocalSocket>(*std::move(b));
    auto a_ring = *MakeSharedRing(kCapacity);
    auto b_ring = *MakeSharedRing(kCapacity);
    a_.ring = reinterpret_cast<SharedRingHeader*>(a_ring->data());
    b_.ring = reinterpret_cast<SharedRingHeader*>(b_ring->data());
    UniqueDescriptor a_seen = Duplicate(*a_ring);
    UniqueDescriptor b_seen = Duplicate(*b_ring);
    Make(a_, std::move(a_ring), std::move(b_seen));
    Make(b_, std::move(b_ring), std::move(a_seen));
  }
  static void Make(Side& side, std::unique_ptr<SharedMemory> own,
                   UniqueDescriptor peer) {
    auto link = SharedLink::Create(side.socket.get(), std::move(own),
                                   std::move(peer), kCapacity, kMaxPayload);
    ASSERT_TRUE(link.ok()) << link.status();
    side.link = *std::move(link);
  }

  // Why b's side ends when a has sent `slot`.
  absl::Status Refusal(const SharedSlot& slot) {
    EXPECT_TRUE(a_.link->Send(slot, a_.memory.get()).ok());
    return b_.link->Run([](tensor::ByteSpan, tensor::Payload) {
      return absl::InternalError("was taken");
    });
  }

  testing::TempFolder folder_;
  Side a_;
  Side b_;
};

TEST_F(SharedLinkTest, MessagesGoBackAndForthAndPayloadsStayWhereTheyAre) {
  constexpr int kMessages = 20'000;
  std::thread answers([this] {
    const absl::Status ended =
        b_.link->Run([this](tensor::ByteSpan header, tensor::Payload payload) {
          EXPECT_TRUE(payload.in_place());
          EXPECT_EQ(payload.size_bytes(), 5u);
          EXPECT_EQ(Text(payload.spans()[0]), "hello");
          return b_.link->Send(Message(Text(header)), nullptr);
        });
    EXPECT_EQ(ended.code(), absl::StatusCode::kUnavailable);
  });
  std::memcpy(a_.memory->data() + 100, "hello", 5);
  int received = 0;
  ASSERT_TRUE(
      a_.link->Send(Message("0", a_.Place(100, 5)), a_.memory.get()).ok());
  const absl::Status ended = a_.link->Run([&](tensor::ByteSpan header,
                                              const tensor::Payload&) {
    EXPECT_EQ(Text(header), std::to_string(received));
    if (++received == kMessages) return absl::CancelledError("enough");
    return a_.link->Send(Message(std::to_string(received), a_.Place(100, 5)),
                         a_.memory.get());
  });
  EXPECT_EQ(ended.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(received, kMessages);
  a_.link->Close();
  answers.join();
}

TEST_F(SharedLinkTest, WhatWasSentBeforeThePeersEndStillArrives) {
  std::memcpy(a_.memory->data(), "last", 4);
  ASSERT_TRUE(
      a_.link->Send(Message("m", a_.Place(0, 4)), a_.memory.get()).ok());
  a_.link = nullptr;
  a_.socket = nullptr;
  a_.memory = nullptr;
  std::string text;
  const absl::Status ended =
      b_.link->Run([&](tensor::ByteSpan, const tensor::Payload& payload) {
        text = Text(payload.spans()[0]);
        return absl::OkStatus();
      });
  EXPECT_EQ(ended.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(text, "last");
}

TEST_F(SharedLinkTest, APeerThatTakesNothingIsNotOverrun) {
  for (uint64_t i = 0; i < kCapacity; ++i) {
    ASSERT_TRUE(a_.link->Send(Message("m"), nullptr).ok());
  }
  EXPECT_EQ(a_.link->Send(Message("m"), nullptr).code(),
            absl::StatusCode::kResourceExhausted);
}

TEST_F(SharedLinkTest, PlacesOutsideOfAPeersMemoryAreRefused) {
  const size_t end = a_.memory->size_bytes();
  EXPECT_THAT(
      std::string(Refusal(Message("m", a_.Place(end - 3, 4))).message()),
      HasSubstr("payload: 4 bytes at"));
}

TEST_F(SharedLinkTest, PlacesThatOverflowAreRefused) {
  EXPECT_THAT(
      std::string(Refusal(Message("m", a_.Place(UINT64_MAX - 1, 4))).message()),
      HasSubstr("payload"));
}

TEST_F(SharedLinkTest, LargerPayloadsThanAgreedAreRefused) {
  EXPECT_THAT(
      std::string(
          Refusal(Message("m", a_.Place(0, kMaxPayload + 1))).message()),
      HasSubstr("payload"));
}

TEST_F(SharedLinkTest, VersionsOutsideOfAPeersMemoryAreRefused) {
  SharedPlace place = a_.Place(0, 4);
  place.version = 2;
  place.version_offset = a_.memory->size_bytes() - 4;
  EXPECT_THAT(std::string(Refusal(Message("m", place)).message()),
              HasSubstr("version"));
}

TEST_F(SharedLinkTest, HeadersThatAreTooLongAreRefused) {
  SharedSlot slot = Message("m");
  slot.header_bytes = SharedSlot::kHeaderBytes + 1;
  EXPECT_THAT(std::string(Refusal(slot).message()), HasSubstr("header"));
}

TEST_F(SharedLinkTest, ARingThatClaimsMoreThanItHoldsIsRefused) {
  a_.ring->produced = kCapacity + 1;
  const absl::Status ended =
      b_.link->Run([](tensor::ByteSpan, const tensor::Payload&) {
        return absl::OkStatus();
      });
  EXPECT_THAT(std::string(ended.message()), HasSubstr("9 messages"));
}

TEST_F(SharedLinkTest, AVersionThatChangesMeanwhileIsSeen) {
  auto* version = new (a_.memory->data() + 64) std::atomic<uint64_t>(2);
  SharedPlace place = a_.Place(128, 4);
  place.version = 2;
  place.version_offset = 64;
  ASSERT_TRUE(a_.link->Send(Message("m", place), a_.memory.get()).ok());
  const absl::Status ended =
      b_.link->Run([&](tensor::ByteSpan, const tensor::Payload& payload) {
        EXPECT_TRUE(payload.Unchanged());
        version->store(3);
        EXPECT_FALSE(payload.Unchanged());
        return absl::CancelledError("enough");
      });
  EXPECT_EQ(ended.code(), absl::StatusCode::kCancelled);
}

TEST(SharedRingTest, CapacitiesArePowersOfTwo) {
  EXPECT_EQ(SharedRingCapacity(0), 1u);
  EXPECT_EQ(SharedRingCapacity(5), 8u);
  EXPECT_EQ(SharedRingCapacity(8), 8u);
}

}  // namespace
}  // namespace tfd::ps
