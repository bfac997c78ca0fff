// configs/: every example loads, is what it says, and fits the schema.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "common/fs/file_system.h"
#include "common/spec/job_spec.h"
#include "tests/common/spec/json_schema_checker.h"

namespace tfd::spec {
namespace {

namespace fs = std::filesystem;

std::string Source(const std::string& path) {
  return std::string(TFD_SOURCE_DIR) + "/" + path;
}

std::vector<std::string> Configs() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(Source("configs"))) {
    if (entry.path().extension() == ".yaml") {
      names.push_back(entry.path().stem().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<v1::JobSpec> LoadConfig(const std::string& name) {
  LoadOptions options;
  options.path = Source("configs/" + name + ".yaml");
  options.work_folder = "/w";
  options.variables = {{"TFD_MNIST_DIR", "/mnist"},
                       {"TFD_TORCHSCRIPT", "net.pt"}};
  return LoadJobSpec(options);
}

class ConfigTest : public ::testing::TestWithParam<std::string> {};

TEST_P(ConfigTest, LoadsAndIsNamedAsItsFile) {
  absl::StatusOr<v1::JobSpec> spec = LoadConfig(GetParam());
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->name(), GetParam());
  const std::string storage = "/w/runs/" + GetParam();
  if (!spec->has_predict()) {
    EXPECT_EQ(spec->storage().uri(), storage);
  } else if (spec->predict().has_input()) {
    EXPECT_EQ(spec->predict().output(), storage);
  }
}

TEST_P(ConfigTest, FitsTheSchema) {
  const nlohmann::json schema = nlohmann::json::parse(
      *ReadFile(*LocalFileSystem(), Source("docs/job_spec.schema.json")));
  const YamlTree tree = ParseYaml(
      *ReadFile(*LocalFileSystem(), Source("configs/" + GetParam() + ".yaml")));
  EXPECT_EQ(Misfit(ToJson(*tree.root), schema), "");
}

TEST_P(ConfigTest, NamesItsOwnFileInItsComment) {
  const std::string text =
      *ReadFile(*LocalFileSystem(), Source("configs/" + GetParam() + ".yaml"));
  EXPECT_THAT(text, ::testing::ContainsRegex("tfd (run|submit) configs/" +
                                             GetParam() + "\\.yaml"));
}

// With the letters that GoogleTest takes in a name.
std::string ConfigName(const ::testing::TestParamInfo<std::string>& test) {
  std::string name = test.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, ConfigTest, ::testing::ValuesIn(Configs()),
                         ConfigName);

TEST(ConfigsTest, ShowEveryModelFormatOptimizerAndSchedule) {
  std::set<std::string> shown;
  for (const std::string& name : Configs()) {
    absl::StatusOr<v1::JobSpec> spec = LoadConfig(name);
    ASSERT_TRUE(spec.ok()) << spec.status();
    shown.insert(v1::ModelSpec::Builtin_Name(spec->model().builtin()));
    shown.insert(v1::DatasetSpec::Format_Name(spec->data().train().format()));
    shown.insert(v1::OptimizerSpec::Name_Name(spec->optimizer().name()));
    shown.insert(
        v1::ScheduleSpec::Name_Name(spec->optimizer().schedule().name()));
    if (!spec->model().torchscript().empty()) shown.insert("torchscript");
    if (spec->deterministic()) shown.insert("deterministic");
    if (spec->stop().has_target()) shown.insert("target");
    if (spec->tasks().ps().count() > 1) shown.insert("several ps");
  }
  EXPECT_THAT(shown,
              ::testing::IsSupersetOf(
                  {"LINEAR", "MLP", "CNN", "LENET", "IDX", "CSV", "PARQUET",
                   "PUSHED", "SGD", "ADAM", "CONSTANT", "COSINE", "ONE_CYCLE",
                   "torchscript", "deterministic", "target", "several ps"}));
}

}  // namespace
}  // namespace tfd::spec
