#include "client/address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/fs/file_system.h"
#include "common/testing/temp_folder.h"

namespace tfd::client {
namespace {

using ::testing::HasSubstr;

class AddressTest : public ::testing::Test {
 protected:
  AddressTest() { context_.variables["HOME"] = home_.path(); }

  void WriteConfig(const std::string& text) {
    std::string folder = JoinPath(home_.path(), ".config/tfd");
    ASSERT_TRUE(LocalFileSystem()->CreateFolder(folder).ok());
    ASSERT_TRUE(WriteFileAtomically(*LocalFileSystem(),
                                    JoinPath(folder, "config.yaml"), text)
                    .ok());
  }

  testing::TempFolder home_;
  Context context_;
};

TEST_F(AddressTest, FlagComesBeforeVariableBeforeConfigFile) {
  WriteConfig("coordinator: 127.0.0.1:3\n");
  EXPECT_EQ(*CoordinatorAddress(context_, ""), "127.0.0.1:3");
  context_.variables["TFD_COORDINATOR"] = "127.0.0.1:2";
  EXPECT_EQ(*CoordinatorAddress(context_, ""), "127.0.0.1:2");
  EXPECT_EQ(*CoordinatorAddress(context_, "127.0.0.1:1"), "127.0.0.1:1");
}

TEST_F(AddressTest, NoneAtAllSaysHowToNameOne) {
  absl::Status status = CoordinatorAddress(context_, "").status();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(status.message(), HasSubstr("tfd up"));
  EXPECT_THAT(status.message(), HasSubstr("TFD_COORDINATOR"));
}

TEST_F(AddressTest, WhatIsWrongIsNamedWithWhereItWasSaid) {
  EXPECT_THAT(CoordinatorAddress(context_, "nonsense").status().message(),
              HasSubstr("--coordinator"));
  WriteConfig("coordinator: [1, 2\n");
  EXPECT_THAT(CoordinatorAddress(context_, "").status().message(),
              HasSubstr("config.yaml"));
}

}  // namespace
}  // namespace tfd::client
