#include "common/spec/expand.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tfd::spec {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const Variables kVariables = {{"A", "1"}, {"B_2", "two ${A}"}, {"EMPTY", ""}};

std::string Expanded(absl::string_view text) {
  absl::StatusOr<std::string> result = ExpandVariables(text, kVariables);
  return result.ok() ? *result : std::string(result.status().message());
}

TEST(ExpandVariablesTest, ReplacesEachOnceAndNotWhatTheyHold) {
  EXPECT_EQ(Expanded("x${A}y${B_2}${A}"), "x1ytwo ${A}1");
  EXPECT_EQ(Expanded("$A $ {A} 5$"), "$A $ {A} 5$");
  EXPECT_EQ(Expanded("$${A}"), "${A}");
}

TEST(ExpandVariablesTest, NamesEveryVariableThatIsMissing) {
  EXPECT_THAT(Expanded("${ONE}/${TWO}"),
              AllOf(HasSubstr("ONE is not set"), HasSubstr("export ONE=…"),
                    HasSubstr("TWO is not set")));
  EXPECT_THAT(Expanded("${B2}"), HasSubstr("did you mean B_2?"));
  EXPECT_THAT(Expanded("${EMPTY}"), HasSubstr("EMPTY is set but empty"));
}

TEST(ExpandVariablesTest, RefusesWhatIsNoVariable) {
  EXPECT_THAT(Expanded("${A:-x}"), HasSubstr("\"${A:-x}\" is no variable"));
  EXPECT_THAT(Expanded("${}"), HasSubstr("is no variable"));
  EXPECT_THAT(Expanded("${A"), HasSubstr("has ${ without }"));
}

TEST(ExpandHomeTest, OnlyAtTheStartAndOnlyTheUsersOwn) {
  const Variables variables = {{"HOME", "/home/ada"}};
  EXPECT_EQ(*ExpandHome("~", variables), "/home/ada");
  EXPECT_EQ(*ExpandHome("~/x", variables), "/home/ada/x");
  EXPECT_EQ(*ExpandHome("a/~/x", variables), "a/~/x");
  EXPECT_EQ(*ExpandHome("~bob/x", variables), "~bob/x");
  EXPECT_THAT(ExpandHome("~/x", {}).status().message(),
              HasSubstr("HOME is not set"));
}

}  // namespace
}  // namespace tfd::spec
