#include "client/templates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/fs/file_system.h"
#include "common/spec/job_spec.h"
#include "common/testing/temp_folder.h"

namespace tfd::client {
namespace {

TEST(TemplatesTest, EveryTemplateIsAValidSpec) {
  for (const std::string& name : TemplateNames()) {
    testing::TempFolder folder;
    spec::LoadOptions options;
    options.path = JoinPath(folder.path(), "spec.yaml");
    options.work_folder = folder.path();
    options.variables["TFD_MNIST_DIR"] = "/mnist";
    ASSERT_TRUE(WriteFileAtomically(*LocalFileSystem(), options.path,
                                    *TemplateText(name))
                    .ok());
    EXPECT_EQ(spec::LoadJobSpec(options).status(), absl::OkStatus()) << name;
  }
}

TEST(TemplatesTest, AnUnknownOneNamesThoseThereAre) {
  EXPECT_THAT(TemplateText("minst").status().message(),
              ::testing::HasSubstr("mnist, csv, pushed"));
}

}  // namespace
}  // namespace tfd::client
