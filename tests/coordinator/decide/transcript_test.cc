// Golden transcripts: what the coordinator decides, as a person can read it.
// With TFD_UPDATE_TRANSCRIPTS=1 in the environment they are written anew; read
// the difference before you commit it.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/coordinator/testing/scenario.h"

namespace tfd::coordinator {
namespace {

const char kFolder[] = TFD_SOURCE_DIR "/tests/coordinator/testdata";

std::vector<std::string> AllTranscripts() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    if (entry.path().extension() == ".txt") {
      names.push_back(entry.path().stem().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

class Transcript : public ::testing::TestWithParam<std::string> {};

TEST_P(Transcript, IsDecidedAsWritten) {
  const std::string path = std::string(kFolder) + "/" + GetParam() + ".txt";
  std::stringstream written;
  written << std::ifstream(path).rdbuf();
  testing::Scenario scenario;
  const std::string played = scenario.Play(written.str());
  for (const std::string& problem : scenario.problems()) {
    ADD_FAILURE() << problem;
  }
  if (getenv("TFD_UPDATE_TRANSCRIPTS") != nullptr) {
    std::ofstream(path) << played;
    return;
  }
  EXPECT_EQ(played, written.str());
}

INSTANTIATE_TEST_SUITE_P(All, Transcript, ::testing::ValuesIn(AllTranscripts()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace tfd::coordinator
