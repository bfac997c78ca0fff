#include "data/feed/fetch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/fs/file_system.h"
#include "common/net/server.h"
#include "common/testing/temp_folder.h"
#include "data/feed/feed_service.h"
#include "tests/data/arrow_messages.h"

namespace tfd::data {
namespace {

using ::testing::HasSubstr;

// A feed with one partition that is whole, and one that is not.
class FetchTest : public ::testing::Test {
 protected:
  FetchTest() {
    SpoolOptions options;
    options.folder = folder_ / "spool";
    options.boot_id = "boot";
    SpoolDataset train;
    train.columns = ImageColumns();
    train.spool_bytes = 1 << 20;
    options.datasets["train"] = train;
    spool_ = std::move(Spool::Open(options)).value();
    path_ = Write("0", /*finish=*/true);
    Write("1", /*finish=*/false);
    FeedContext context;
    context.job = "job";
    context.spool = spool_.get();
    service_ =
        std::make_unique<FeedService>(context, "feed-token", "job-token");
    net::ServerOptions server;
    server.unix_path = folder_ / "s";
    server.tcp = "";
    server_ = std::move(net::Server::Start(server, {service_.get()})).value();
    fetch_.target = "unix:" + server.unix_path;
    fetch_.token = "job-token";
    fetch_.folder = folder_ / "fetched";
    fetch_.patience = absl::ZeroDuration();
  }

  std::string Write(const std::string& partition, bool finish) {
    auto writer = std::move(spool_->Acquire({"train", "p", partition, "a"}, [] {
                  })).value();
    const auto messages = ToMessages(
        {ImageBatch(0, 100), ImageBatch(100, 100), ImageBatch(100, 250)});
    EXPECT_TRUE(writer->Begin(messages[0].metadata).ok());
    for (size_t i = 1; i < messages.size(); ++i) {
      EXPECT_TRUE(writer->Append(messages[i].metadata, messages[i].body).ok());
    }
    if (finish) {
      EXPECT_TRUE(writer->Finish().ok());
    }
    return writer->path();
  }

  absl::StatusOr<std::string> Fetch(const std::string& partition) {
    v1::Partition wanted;
    wanted.set_producer("p");
    wanted.set_partition(partition);
    wanted.set_attempt("a");
    wanted.set_feed("feed/0");
    auto file = FetchPartition("train", wanted, fetch_);
    if (!file.ok()) return file.status();
    std::string bytes((*file)->size_bytes(), '\0');
    EXPECT_TRUE((*file)->Read(0, bytes.size(), bytes.data()).ok());
    return bytes;
  }

  testing::TempFolder folder_;
  std::unique_ptr<Spool> spool_;
  std::string path_;
  std::unique_ptr<FeedService> service_;
  std::unique_ptr<net::Server> server_;
  PartitionFetchOptions fetch_;
};

TEST_F(FetchTest, APartitionComesByteForByteAndLeavesNoFile) {
  const auto fetched = Fetch("0");
  ASSERT_TRUE(fetched.ok()) << fetched.status();
  // Not EXPECT_EQ, which would print them.
  EXPECT_TRUE(*fetched == *ReadFile(*LocalFileSystem(), path_));
  EXPECT_TRUE(std::filesystem::is_empty(fetch_.folder));
}

TEST_F(FetchTest, WhatIsNotSealedIsNotGiven) {
  const auto fetched = Fetch("1");
  EXPECT_EQ(fetched.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(
      std::string(fetched.status().message()),
      HasSubstr("partition 1 of producer p (attempt a) of dataset train "
                "is not sealed here"));
  EXPECT_EQ(Fetch("../0").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(FetchTest, OnlyTheJobAndItsProducersMayRead) {
  fetch_.token = "feed-token";
  EXPECT_TRUE(Fetch("0").ok());
  fetch_.token = "another";
  EXPECT_EQ(Fetch("0").status().code(), absl::StatusCode::kUnauthenticated);
}

TEST_F(FetchTest, AFeedThatIsAwayIsNamed) {
  server_.reset();
  const auto fetched = Fetch("0");
  EXPECT_EQ(fetched.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(fetched.status().message()),
              HasSubstr(absl::StrCat("from feed/0 at ", fetch_.target)));
}

}  // namespace
}  // namespace tfd::data
