#include "worker/step_trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/time/clock.h"

namespace tfd::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

void TakeStep(StepTrace& trace, int64_t step) {
  trace.BeginStep(step);
  trace.Begin(Activity::kForward);
  trace.Begin(Activity::kBackward);
  trace.Pushed(1);
  trace.Begin(Activity::kPush);
  trace.Begin(Activity::kWait);
  trace.Arrived(1);
  trace.Arrived(0);
  trace.Copied(1, absl::Now());
  trace.EndStep();
}

// Everything but the names of the rows.
std::vector<nlohmann::json> Events(const StepTrace& trace) {
  const auto json = nlohmann::json::parse(trace.ToJson("worker/3", 3));
  std::vector<nlohmann::json> events;
  for (const auto& event : json["traceEvents"]) {
    EXPECT_EQ(event["pid"], 3);
    if (event["ph"] != "M") events.push_back(event);
  }
  return events;
}

TEST(StepTraceTest, AStepIsItsActivitiesOneAfterTheOther) {
  StepTrace trace(1);
  TakeStep(trace, 7);
  std::vector<std::string> names;
  double end = 0;
  for (const nlohmann::json& event : Events(trace)) {
    EXPECT_EQ(event["args"]["step"], 7);
    if (event["ph"] != "X" || event["tid"] != 1) continue;
    names.push_back(event["name"]);
    // In microseconds since 1970, a double is exact to about a quarter of one.
    EXPECT_GE(event["ts"].get<double>() + 1, end);
    end = event["ts"].get<double>() + event["dur"].get<double>();
  }
  EXPECT_THAT(names,
              ElementsAre("data", "forward", "backward", "push", "wait"));
}

TEST(StepTraceTest, AChunkIsOnItsWayFromItsPushToItsAnswer) {
  StepTrace trace(1);
  TakeStep(trace, 0);
  std::map<int, std::string> phases;
  for (const nlohmann::json& event : Events(trace)) {
    if (event["name"] != "chunk") continue;
    phases[event["args"]["chunk"]] += event["ph"].get<std::string>();
  }
  // Chunk 0 was pushed with the rest, after backward.
  EXPECT_EQ(phases, (std::map<int, std::string>{{0, "be"}, {1, "be"}}));
}

TEST(StepTraceTest, OnlyTheFirstStepsAreRecorded) {
  StepTrace trace(2);
  for (int64_t step = 0; step < 5; ++step) TakeStep(trace, step);
  std::vector<int64_t> steps;
  for (const nlohmann::json& event : Events(trace)) {
    if (event["name"] == "step") steps.push_back(event["args"]["step"]);
  }
  EXPECT_THAT(steps, ElementsAre(0, 1));
  StepTrace off(0);
  TakeStep(off, 0);
  EXPECT_THAT(Events(off), IsEmpty());
}

}  // namespace
}  // namespace tfd::worker
