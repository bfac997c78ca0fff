#include "scripts/docs/spec_docs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "common/fs/file_system.h"
#include "tests/common/spec/json_schema_checker.h"

namespace tfd::docs {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string ReadSource(const std::string& path) {
  return *ReadFile(*LocalFileSystem(),
                   std::string(TFD_SOURCE_DIR) + "/" + path);
}

class SpecDocsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    // <build folder>/tests/tfd_spec_test beside <build folder>/proto.
    const auto build = std::filesystem::read_symlink("/proc/self/exe")
                           .parent_path()
                           .parent_path();
    auto source = SpecSource::Load(build / "proto" / "job_spec.desc");
    ASSERT_TRUE(source.ok()) << source.status();
    source_ = *std::move(source);
  }

  std::string Misfit(const std::string& yaml) {
    return spec::Misfit(spec::ToJson(*spec::ParseYaml(yaml).root),
                        nlohmann::json::parse(SpecJsonSchema(*source_)));
  }

  std::unique_ptr<SpecSource> source_;
};

constexpr char kHowToRepair[] =
    "is not what the proto says now: run `ninja spec_docs` and commit it";

TEST_F(SpecDocsTest, TheCommittedPageIsWhatTheGeneratorMakes) {
  EXPECT_EQ(SpecMarkdown(*source_, ReadSource("configs/mnist.yaml")),
            ReadSource("docs/spec.md"))
      << "docs/spec.md " << kHowToRepair;
}

TEST_F(SpecDocsTest, TheCommittedSchemaIsWhatTheGeneratorMakes) {
  EXPECT_EQ(SpecJsonSchema(*source_), ReadSource("docs/job_spec.schema.json"))
      << "docs/job_spec.schema.json " << kHowToRepair;
}

TEST_F(SpecDocsTest, EveryFieldAndValueHasAComment) {
  for (const SpecMessage& message : source_->Messages()) {
    for (int i = 0; i < message.type->field_count(); ++i) {
      const auto* field = message.type->field(i);
      EXPECT_NE(CommentOf(field), "") << field->full_name();
      if (field->enum_type() == nullptr) continue;
      for (int v = 1; v < field->enum_type()->value_count(); ++v) {
        EXPECT_NE(CommentOf(field->enum_type()->value(v)), "")
            << field->enum_type()->value(v)->full_name();
      }
    }
  }
}

TEST_F(SpecDocsTest, ThePageSaysTypeDefaultBoundsAndWhatIsPlanned) {
  const std::string page = SpecMarkdown(*source_, "EXAMPLE\n");
  EXPECT_THAT(page, HasSubstr("```yaml\nEXAMPLE\n```"));
  EXPECT_THAT(page, HasSubstr("| `lr` | number | `0.01` | more than 0 and at "
                              "most 1000 | The learning rate;"));
  EXPECT_THAT(page,
              HasSubstr("## data.train, data.validation, predict.input\n"));
  EXPECT_THAT(page, HasSubstr("| `train` | [fields](#datatrain-datavalidation-"
                              "predictinput) | **required** |"));
  EXPECT_THAT(page, HasSubstr("*Not there yet: "));
  EXPECT_THAT(page, HasSubstr("accuracy or loss"));
}

constexpr char kSmall[] = R"(
name: a
model: lenet
data: {train: {format: idx, features: a, labels: b, batch_size: "${N}"}}
stop: {epochs: 1}
storage: s
)";

TEST_F(SpecDocsTest, TheSchemaTakesShorthandUnitsAndVariables) {
  EXPECT_EQ(Misfit(kSmall), "");
  EXPECT_EQ(
      Misfit(std::string(kSmall) + "optimizer: {name: adam, schedule: cosine}\n"
                                   "exchange: {chunk_bytes: 64KiB}\n"
                                   "tasks: {ps: {memory: 1073741824}}\n"
                                   "restart: {max_failures: 0}\n"),
      "");
}

TEST_F(SpecDocsTest, TheSchemaRefusesWhatTfdRefuses) {
  const std::string small = kSmall;
  EXPECT_THAT(Misfit("name: a"), HasSubstr("lacks"));
  EXPECT_THAT(Misfit(small + "optimiser: adam"), StartsWith(".optimiser"));
  EXPECT_NE(Misfit(small + "optimizer: Adam"), "");
  EXPECT_NE(Misfit(small + "optimizer: {lr: 0}"), "");
  EXPECT_NE(Misfit(small + "optimizer: {name: adam, momentum: 0.5}"), "");
  EXPECT_NE(Misfit(small + "seed: -1"), "");
  EXPECT_NE(Misfit(small + "strategy: ring"), "");
  EXPECT_NE(Misfit(small + "restart: {max_failures: -1}"), "");
  EXPECT_NE(Misfit(small + "tasks: {worker: {count: 2, min: 1}}"), "");
  EXPECT_NE(Misfit(small + "exchange: {chunk_bytes: 64 apples}"), "");
  EXPECT_NE(Misfit(small + "model: {hidden: 3}"), "");
  EXPECT_NE(Misfit(small + "data: {train: {format: csv}}"), "");
  EXPECT_NE(Misfit(small + "data: {train: {format: pushed}, preprocess: "
                           "[{scale: 1, normalise: {std: 1}}]}"),
            "");
}

TEST(SpecSourceTest, AFileThatIsNoDescriptorSetSaysSo) {
  EXPECT_THAT(SpecSource::Load("/nowhere").status().message(),
              HasSubstr("/nowhere is no descriptor set; build "
                        "tfd_job_spec_desc"));
}

}  // namespace
}  // namespace tfd::docs
