#include "daemon/coordinator/codec/event_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <variant>

#include "daemon/coordinator/codec/state_codec.h"
#include "daemon/coordinator/core/describe.h"
#include "daemon/coordinator/core/invariants.h"
#include "tests/coordinator/testing/values.h"

namespace tfd::coordinator {
namespace {

using testing::JobBuilder;

TEST(EventCodec, OneOfEachIsReallyOneOfEach) {
  std::set<size_t> kinds;
  for (const EventBody& body : testing::OneOfEach()) kinds.insert(body.index());
  EXPECT_EQ(kinds.size(), std::variant_size_v<EventBody>);
}

TEST(EventCodec, EveryKindOfEventComesBackAsItWas) {
  for (const EventBody& body : testing::OneOfEach()) {
    const Event event{absl::FromUnixMicros(1700000000123456), body};
    const std::string kind = Describe(State(), body).kind;
    const std::string bytes = EncodeEvent(event);
    const absl::StatusOr<Event> decoded = DecodeEvent(bytes);
    ASSERT_TRUE(decoded.ok()) << kind << ": " << decoded.status();
    EXPECT_EQ(decoded->time, event.time) << kind;
    EXPECT_EQ(decoded->body.index(), body.index()) << kind;
    // Nothing was lost: it is written the same again.
    EXPECT_EQ(EncodeEvent(*decoded), bytes) << kind;
    EXPECT_EQ(Describe(State(), decoded->body).message,
              Describe(State(), body).message);
  }
}

TEST(EventCodec, EveryFieldIsWritten) {
  // A field that the codec forgot would leave two different events with equal
  // bytes. The events of OneOfEach have no field at its default, but for those
  // that the type does not have.
  const CheckpointRef checkpoint{500, "/runs/s500", 77};
  const std::vector<std::pair<EventBody, EventBody>> pairs = {
      {TaskGivenUp{"j", "t", true, "r"}, TaskGivenUp{"j", "t", false, "r"}},
      {TaskExited{"j", "t", {}, true, "r"},
       TaskExited{"j", "t", {}, false, "r"}},
      {GangStarted{"j", checkpoint}, GangStarted{"j", {}}},
      {TaskAttached{"j", "t", 1, 2, {"h", "u", "t"}, {}},
       TaskAttached{"j", "t", 1, 2, {"h", "u", "x"}, {}}},
      {JobFailed{"j", {"t", "m", ExitCause()}, "r", {}},
       JobFailed{"j", {"t", "m", {}}, "r", {}}},
      {PartitionSealed{"j", "d", "p", "0", {"a", 1, 2, "f", "/x"}},
       PartitionSealed{"j", "d", "p", "0", {"a", 1, 2, "f", "/y"}}},
      {BatchCommitted{"j", "d", "p", 1}, BatchCommitted{"j", "d", "p", 2}},
      {SegmentPublished{"j", "d", {{"p", "0"}, {"p", "1"}}},
       SegmentPublished{"j", "d", {{"p", "0"}, {"q", "1"}}}},
      {SegmentsRetired{"j", "d", 1}, SegmentsRetired{"j", "d", 2}},
  };
  for (const auto& [a, b] : pairs) {
    EXPECT_NE(EncodeEvent({absl::Time(), a}), EncodeEvent({absl::Time(), b}));
    EXPECT_NE(EncodeEvent(*DecodeEvent(EncodeEvent({absl::Time(), a}))),
              EncodeEvent(*DecodeEvent(EncodeEvent({absl::Time(), b}))));
  }
}

TEST(EventCodec, DamagedBytesAreDataLoss) {
  EXPECT_TRUE(absl::IsDataLoss(DecodeEvent("\xff\xff").status()));
  EXPECT_TRUE(absl::IsDataLoss(DecodeEvent("").status()));
}

JobBuilder FullJob() {
  JobFacts facts = testing::Facts(1, 2, 1);
  facts.pushed = {{"train", 1}};
  facts.target = Target{"loss", {}, 0.1};
  JobBuilder builder(facts);
  builder.Run()
      .Do(PartitionSealed{"j", "train", "p", "0", {"a", 60, 5, "feed/0", "/x"}})
      .Do(ProducerCommitted{"j", "train", "p"})
      .Do(DatasetCompleted{"j", "train"})
      .Do(PlanAnnounced{"j", {1000, 100, 6400, 64}})
      .Commit(100)
      .Commit(200)
      .Commit(300)
      .Do(EvaluationStarted{"j", 300})
      .Do(CheckpointEvaluated{"j", 300, {{"accuracy", 0.9}}})
      .Do(EvaluationStarted{"j", 200})
      .Do(ExportStarted{"j", 300, "last"})
      .Do(CheckpointsRetired{"j", {100}})
      .Do(TrainingFinished{"j", "worker/1", 1000})
      .Do(TaskExited{"j", "worker/1", {}, false, "done"});
  return builder;
}

TEST(StateCodec, AStateComesBackAsItWas) {
  JobBuilder builder = FullJob();
  ASSERT_EQ(builder.state().violation, "");
  const std::string bytes = EncodeState(builder.state());
  const absl::StatusOr<State> decoded = DecodeState(bytes);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(EncodeState(*decoded), bytes);
  EXPECT_TRUE(CheckInvariants(*decoded).ok()) << CheckInvariants(*decoded);
  EXPECT_EQ(decoded->active, builder.state().active);
  const Job& job = decoded->jobs.at("j");
  EXPECT_EQ(job.token, "token");
  EXPECT_EQ(job.evaluating, 200);
  EXPECT_EQ(job.exporting, 300);
  EXPECT_EQ(job.checkpoints.back().values.at("accuracy"), 0.9);
  EXPECT_EQ(job.retired.at(0).step, 100);
  EXPECT_EQ(job.datasets.at(0).producers.at("p").partitions.at("0").rows, 60);
  EXPECT_EQ(job.events.size(), builder.job().events.size());
  EXPECT_EQ(*job.facts.target->at_most, 0.1);
}

TEST(StateCodec, AStreamComesBackAsItWas) {
  JobFacts facts = testing::Facts(1, 1, 0);
  facts.pushed = {{"train", 1, Growth::kStream, 64, true}};
  JobBuilder builder(facts);
  builder.Run()
      .Do(ProducerBegun{"j", "train", "p"})
      .Do(PartitionSealed{"j", "train", "p", "0-0", {"a", 60, 5, "f", "/x"}})
      .Do(SegmentPublished{"j", "train", {{"p", "0-0"}}})
      .Do(BatchCommitted{"j", "train", "p", 0})
      .Do(PartitionSealed{"j", "train", "p", "1-0", {"b", 40, 5, "f", "/y"}})
      .Do(SegmentPublished{"j", "train", {{"p", "1-0"}}})
      .Do(BatchCommitted{"j", "train", "p", 1})
      .Do(PlanAnnounced{"j", {2, 0, 100, 64, 2, true}})
      .Do(SegmentsRetired{"j", "train", 1});
  ASSERT_EQ(builder.state().violation, "");
  const std::string bytes = EncodeState(builder.state());
  const absl::StatusOr<State> decoded = DecodeState(bytes);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(EncodeState(*decoded), bytes);
  const Job& job = decoded->jobs.at("j");
  EXPECT_EQ(job.facts.pushed.at(0).growth, Growth::kStream);
  EXPECT_EQ(job.facts.pushed.at(0).step_rows, 64);
  EXPECT_TRUE(job.facts.pushed.at(0).read_once);
  const Dataset& dataset = job.datasets.at(0);
  EXPECT_EQ(dataset.segments, 2);
  EXPECT_EQ(dataset.retired_segments, 1);
  EXPECT_EQ(dataset.retired_rows, 60);
  EXPECT_EQ(RowsOf(dataset), 100);
  EXPECT_EQ(dataset.segment_ends.at(2), 2);
  EXPECT_EQ(dataset.producers.at("p").batch, 1);
  EXPECT_EQ(dataset.producers.at("p").partitions.at("1-0").segment, 2);
  EXPECT_TRUE(job.plan->open);
}

TEST(StateCodec, EventsGoOnFromASnapshotAsFromTheirBeginning) {
  JobBuilder builder = FullJob();
  State snapshot = *DecodeState(EncodeState(builder.state()));
  const std::vector<EventBody> more = {
      ExportWritten{"j", 300, "/export"},
      JobSucceeded{"j", "done", {1000, 10, {{"loss", 0.1}}}},
      TaskExited{"j", "ps/0", {}, false, "ended"},
  };
  for (const EventBody& body : more) {
    builder.Do(body);
    Apply(snapshot,
          Event{testing::At(static_cast<int64_t>(snapshot.last_index)), body});
  }
  EXPECT_EQ(EncodeState(snapshot), EncodeState(builder.state()));
}

TEST(StateCodec, DamagedBytesAreDataLoss) {
  EXPECT_TRUE(absl::IsDataLoss(DecodeState("\xff\xff").status()));
}

}  // namespace
}  // namespace tfd::coordinator
