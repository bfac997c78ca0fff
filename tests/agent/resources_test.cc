#include "daemon/agent/resources.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "common/testing/temp_folder.h"
#include "tests/agent/agent_testing.h"

namespace tfd::agent {
namespace {

TEST(ResourcesTest, CpuMaxIsAShareOfAPeriod) {
  EXPECT_EQ(**ParseCpuMax("150000 100000\n"), 1.5);
  EXPECT_FALSE(ParseCpuMax("max 100000\n")->has_value());
  for (const char* text :
       {"", "max", "100", "x 100000", "100000 0", "-1 5", "1 2 3"}) {
    EXPECT_FALSE(ParseCpuMax(text).ok()) << text;
  }
}

TEST(ResourcesTest, MemoryMaxIsBytes) {
  EXPECT_EQ(**ParseMemoryMax("1073741824\n"), 1073741824u);
  EXPECT_FALSE(ParseMemoryMax("max\n")->has_value());
  EXPECT_FALSE(ParseMemoryMax("").ok());
  EXPECT_FALSE(ParseMemoryMax("1GiB").ok());
}

constexpr char kMounts[] =
    "30 23 0:27 / /proc rw - proc proc rw\n"
    "41 31 0:38 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";

TEST(ResourcesTest, LimitsOfAllCgroupsAboveCount) {
  EXPECT_EQ(CgroupFolders(kMounts, "0::/system.slice/tfd.service\n"),
            (std::vector<std::string>{"/sys/fs/cgroup/system.slice/tfd.service",
                                      "/sys/fs/cgroup/system.slice",
                                      "/sys/fs/cgroup"}));
}

TEST(ResourcesTest, AContainerSeesItsOwnCgroupAsTheRoot) {
  EXPECT_EQ(CgroupFolders(kMounts, "0::/\n"),
            std::vector<std::string>{"/sys/fs/cgroup"});
  EXPECT_EQ(CgroupFolders(kMounts, "0::/../../other\n"),
            std::vector<std::string>{"/sys/fs/cgroup"});
}

TEST(ResourcesTest, AMountMayShowAPartOfTheTree) {
  const std::string mounts =
      "41 31 0:38 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
  EXPECT_EQ(
      CgroupFolders(mounts, "0::/docker/abc/task\n"),
      (std::vector<std::string>{"/sys/fs/cgroup/task", "/sys/fs/cgroup"}));
  EXPECT_EQ(CgroupFolders(mounts, "0::/elsewhere\n"),
            std::vector<std::string>{"/sys/fs/cgroup"});
}

TEST(ResourcesTest, ASystemWithoutCgroupsOfVersion2HasNoFolders) {
  EXPECT_TRUE(CgroupFolders("30 23 0:27 / /proc rw - proc proc rw\n",
                            "4:memory:/x\n0::/y\n")
                  .empty());
  EXPECT_TRUE(CgroupFolders(kMounts, "4:memory:/x\n").empty());
  EXPECT_TRUE(CgroupFolders("", "").empty());
}

TEST(ResourcesTest, TheTightestLimitWins) {
  const tfd::testing::TempFolder root;
  std::filesystem::create_directories(root / "a/b");
  Write(root / "cpu.max", "800000 100000\n");
  Write(root / "a/cpu.max", "200000 100000\n");
  Write(root / "a/b/cpu.max", "max 100000\n");
  Write(root / "a/b/memory.max", "4096\n");
  Write(root / "a/memory.max", "nonsense\n");
  const ResourceLimits limits =
      ReadCgroupLimits({root / "a/b", root / "a", root.path()});
  EXPECT_EQ(limits.cpus, 2.0);
  EXPECT_EQ(limits.memory_bytes, 4096u);
  EXPECT_FALSE(ReadCgroupLimits({root / "nowhere"}).cpus);
}

TEST(ResourcesTest, ReadsMemTotal) {
  EXPECT_EQ(*ParseMemTotal("MemFree: 5 kB\nMemTotal:       16384 kB\n"),
            16384u << 10);
  EXPECT_FALSE(ParseMemTotal("MemFree: 5 kB\n").ok());
}

TEST(ResourcesTest, TheAffinityMaskLimitsWhatIsOffered) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  const auto resources = DetectResources();
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
  ASSERT_TRUE(resources.ok()) << resources.status();
  EXPECT_LE(resources->cpus(), 1);
  EXPECT_GT(resources->cpus(), 0);
  EXPECT_GT(resources->memory_bytes(), 1u << 20);
}

v1::Resources Detected() {
  v1::Resources resources;
  resources.set_cpus(2);
  resources.set_memory_bytes(1 << 30);
  return resources;
}

TEST(ResourcesTest, AnOfferReplacesWhatItNames) {
  EXPECT_EQ(ParseOffer("cpus=8,memory=32GiB", Detected())->memory_bytes(),
            uint64_t{32} << 30);
  EXPECT_EQ(ParseOffer("cpus=0.5", Detected())->cpus(), 0.5);
  EXPECT_EQ(ParseOffer("cpus=0.5", Detected())->memory_bytes(), 1u << 30);
  EXPECT_EQ(ParseOffer("", Detected())->cpus(), 2);
}

TEST(ResourcesTest, AWrongOfferSaysWhatCanBeWritten) {
  for (const char* offer : {"cpus", "cpus=", "cpus=-1", "cpus=nan", "cpus=inf",
                            "cpus=0", "cpus=1,cpus=2", "memory=1", "memory=x",
                            "memory=0", "gpus=1", "memory=1GiB,memory=2GiB"}) {
    const auto resources = ParseOffer(offer, Detected());
    if (std::string(offer) == "memory=1") {
      EXPECT_TRUE(resources.ok());
      continue;
    }
    ASSERT_FALSE(resources.ok()) << offer;
    EXPECT_TRUE(
        absl::StrContains(resources.status().message(), "cpus=8,memory=32GiB"))
        << resources.status();
  }
}

}  // namespace
}  // namespace tfd::agent
