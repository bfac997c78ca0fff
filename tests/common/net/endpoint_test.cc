#include "common/net/endpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

namespace tfd::net {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(HostIdTest, IsTheSameEachTime) {
  EXPECT_EQ(HostId(), HostId());
  EXPECT_THAT(HostId(), HasSubstr("net:["));
}

TEST(DialTargetTest, TheSameHostIsReachedByUnixSocketAndOthersByTcp) {
  v1::Endpoint peer;
  peer.set_unix_path("/run/p.sock");
  peer.set_tcp("10.0.0.1:70");
  peer.set_host_id("another");
  EXPECT_EQ(*DialTarget(peer), "10.0.0.1:70");
  peer.set_host_id(HostId());
  EXPECT_EQ(*DialTarget(peer), "unix:/run/p.sock");
  peer.clear_unix_path();
  EXPECT_EQ(*DialTarget(peer), "10.0.0.1:70");
}

TEST(DialTargetTest, APeerThatCannotBeReachedIsExplained) {
  v1::Endpoint peer;
  EXPECT_TRUE(absl::IsInvalidArgument(DialTarget(peer).status()));
  peer.set_unix_path("/run/p.sock");
  peer.set_host_id("another");
  const auto target = DialTarget(peer);
  EXPECT_TRUE(absl::IsInvalidArgument(target.status()));
  EXPECT_THAT(std::string(target.status().message()),
              AllOf(HasSubstr("/run/p.sock"), HasSubstr("another")));
}

TEST(ParseAddressTest, TakesWhatUsersWrite) {
  EXPECT_EQ(*ParseAddress("127.0.0.1:7070"), "127.0.0.1:7070");
  EXPECT_EQ(*ParseAddress("head.cluster:1"), "head.cluster:1");
  EXPECT_EQ(*ParseAddress("[::1]:65535"), "[::1]:65535");
  EXPECT_EQ(*ParseAddress("/run/c.sock"), "unix:/run/c.sock");
  EXPECT_EQ(*ParseAddress("unix:/run/c.sock"), "unix:/run/c.sock");
  EXPECT_EQ(*ParseAddress("unix:///run/c.sock"), "unix:/run/c.sock");
  EXPECT_EQ(*ParseAddress("unix:c.sock"),
            "unix:" + (std::filesystem::current_path() / "c.sock").string());
}

TEST(ParseAddressTest, SaysWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "port is missing"},
      {"localhost", "port is missing"},
      {":7070", "host is missing"},
      {"host:0", "\"0\" is not from 1 to 65535"},
      {"host:70000", "\"70000\""},
      {"host:http", "\"http\""},
      {"::1:7070", "brackets"},
      {"http://host:7070", "leave out \"http://\""},
      {"a b:1", "\"a b\" is no host"},
      {"unix:", "path is missing"}};
  for (const auto& [text, expected] : cases) {
    const auto result = ParseAddress(text);
    EXPECT_TRUE(absl::IsInvalidArgument(result.status())) << text;
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(expected));
  }
  const std::string long_path = "/" + std::string(200, 'x');
  EXPECT_THAT(std::string(ParseAddress(long_path).status().message()),
              HasSubstr("shorter folder"));
}

}  // namespace
}  // namespace tfd::net
