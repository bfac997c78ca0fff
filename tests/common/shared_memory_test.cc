#include "common/shared_memory.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace tfd {
namespace {

using ::testing::HasSubstr;

UniqueDescriptor Duplicate(int descriptor) {
  return UniqueDescriptor(fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
}

TEST(SharedMemoryTest, APeerSeesWhatIsWrittenLater) {
  auto memory = SharedMemory::Create("test", 5000);
  ASSERT_TRUE(memory.ok()) << memory.status();
  EXPECT_GE((*memory)->size_bytes(), 5000u);
  auto peer = PeerMemory::Map(Duplicate((*memory)->descriptor()));
  ASSERT_TRUE(peer.ok()) << peer.status();
  ASSERT_EQ((*peer)->size_bytes(), (*memory)->size_bytes());
  std::memcpy((*memory)->data() + 4990, "hello", 5);
  EXPECT_EQ(std::memcmp((*peer)->data() + 4990, "hello", 5), 0);
}

TEST(SharedMemoryTest, APeerCannotWriteInAnyWay) {
  auto memory = SharedMemory::Create("test", 4096);
  ASSERT_TRUE(memory.ok()) << memory.status();
  const UniqueDescriptor peer = Duplicate((*memory)->descriptor());
  EXPECT_EQ(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, peer.get(), 0),
      MAP_FAILED);
  void* mapped = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, peer.get(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  EXPECT_EQ(mprotect(mapped, 4096, PROT_READ | PROT_WRITE), -1);
  munmap(mapped, 4096);
  EXPECT_EQ(write(peer.get(), "x", 1), -1);
  EXPECT_EQ(ftruncate(peer.get(), 0), -1);
  EXPECT_EQ(ftruncate(peer.get(), 8192), -1);
  EXPECT_EQ(fallocate(peer.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                      4096),
            -1);
  EXPECT_EQ(fcntl(peer.get(), F_ADD_SEALS, F_SEAL_WRITE), -1);
  // Its owner still can.
  (*memory)->data()[0] = std::byte{1};
}

TEST(SharedMemoryTest, MemoryThatCouldBeCutShortIsRefused) {
  UniqueDescriptor open(memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(open.get(), 4096), 0);
  const auto peer = PeerMemory::Map(std::move(open));
  EXPECT_EQ(peer.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(peer.status().message()), HasSubstr("not sealed"));
}

TEST(SharedMemoryTest, KnowsWhatLiesInIt) {
  auto memory = SharedMemory::Create("test", 4096);
  ASSERT_TRUE(memory.ok()) << memory.status();
  const std::byte* begin = (*memory)->data();
  EXPECT_TRUE((*memory)->Contains(begin, 4096));
  EXPECT_TRUE((*memory)->Contains(begin + 4096, 0));
  EXPECT_FALSE((*memory)->Contains(begin + 1, 4096));
  EXPECT_FALSE((*memory)->Contains(begin - 1, 1));
  EXPECT_FALSE((*memory)->Contains(begin + 8, SIZE_MAX));
}

}  // namespace
}  // namespace tfd
