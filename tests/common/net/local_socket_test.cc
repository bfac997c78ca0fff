#include "common/net/local_socket.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <thread>

#include "absl/time/clock.h"
#include "common/testing/temp_folder.h"

namespace tfd::net {
namespace {

absl::Time Soon() { return absl::Now() + absl::Seconds(30); }

class LocalSocketTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = LocalListener::Listen(path_);
    ASSERT_TRUE(made.ok()) << made.status();
    listener_ = std::make_unique<LocalListener>(*std::move(made));
  }
  // Both ends of a connection.
  void Connect() {
    auto near = LocalSocket::Connect(path_);
    ASSERT_TRUE(near.ok()) << near.status();
    auto far = listener_->Accept();
    ASSERT_TRUE(far.ok()) << far.status();
    near_ = std::make_unique<LocalSocket>(*std::move(near));
    far_ = std::make_unique<LocalSocket>(*std::move(far));
  }
  testing::TempFolder folder_;
  const std::string path_ = folder_ / "s.mem";
  std::unique_ptr<LocalListener> listener_;
  std::unique_ptr<LocalSocket> near_;
  std::unique_ptr<LocalSocket> far_;
};

TEST_F(LocalSocketTest, MessagesKeepTheirBoundsAndCarryDescriptors) {
  Connect();
  const UniqueDescriptor file(open("/dev/zero", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(near_->Send("one").ok());
  ASSERT_TRUE(near_->Send("two", file.get()).ok());
  auto one = far_->Receive(Soon());
  auto two = far_->Receive(Soon());
  ASSERT_TRUE(one.ok() && two.ok()) << one.status() << two.status();
  EXPECT_EQ(one->text, "one");
  EXPECT_FALSE(one->descriptor.valid());
  EXPECT_EQ(two->text, "two");
  ASSERT_TRUE(two->descriptor.valid());
  struct stat sent, received;
  ASSERT_EQ(fstat(file.get(), &sent), 0);
  ASSERT_EQ(fstat(two->descriptor.get(), &received), 0);
  EXPECT_EQ(sent.st_rdev, received.st_rdev);
}

TEST_F(LocalSocketTest, WhatWasSentBeforeTheEndStillArrives) {
  Connect();
  ASSERT_TRUE(near_->Send("last").ok());
  near_ = nullptr;
  EXPECT_EQ(far_->Receive(Soon())->text, "last");
  EXPECT_EQ(far_->Receive(Soon()).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(far_->Send("nobody").code(), absl::StatusCode::kUnavailable);
}

TEST_F(LocalSocketTest, WaitingHasADeadlineAndShutdownEndsIt) {
  Connect();
  EXPECT_EQ(far_->Receive(absl::Now()).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  std::thread waits([this] {
    EXPECT_EQ(far_->Receive(absl::InfiniteFuture()).status().code(),
              absl::StatusCode::kUnavailable);
  });
  far_->Shutdown();
  waits.join();
}

TEST_F(LocalSocketTest, APeerThatDoesNotReadNeverBlocksTheSender) {
  Connect();
  absl::Status status;
  for (int i = 0; i < 100'000 && status.ok(); ++i) status = near_->Send("w");
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(LocalSocketTest, OnlyTheUserMayConnectAndIsKnown) {
  struct stat file;
  ASSERT_EQ(stat(path_.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
  Connect();
  EXPECT_EQ(*far_->PeerUser(), geteuid());
}

TEST_F(LocalSocketTest, AClosedListenerAcceptsNobody) {
  std::thread accepts([this] {
    EXPECT_EQ(listener_->Accept().status().code(),
              absl::StatusCode::kCancelled);
  });
  listener_->Close();
  accepts.join();
  listener_ = nullptr;
  EXPECT_EQ(LocalSocket::Connect(path_).status().code(),
            absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace tfd::net
