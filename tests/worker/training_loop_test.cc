// Workers in threads against shard servers in this process, over real gRPC.
#include "worker/training_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "common/status.h"
#include "common/testing/temp_folder.h"
#include "data/dataset.h"
#include "tests/ps/exchange_fixture.h"
#include "tests/worker/worker_testing.h"
#include "worker/job_data.h"

namespace tfd::worker {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kRecords = 200;

class TrainingLoopTest : public ::testing::Test {
 protected:
  TrainingLoopTest() {
    WriteQuarters(folder_ / "train-images", folder_ / "train-labels", kRecords);
  }

  // What one worker ends with.
  struct Outcome {
    absl::Status status;
    std::vector<float> parameters;
    std::vector<v1::Metrics> reports;
  };

  // One worker, from its data to its last step below `until`.
  Outcome Work(const v1::JobSpec& spec, const ps::TestCluster& cluster,
               uint64_t generation, uint32_t slot, uint32_t slots) {
    Outcome outcome;
    outcome.status = [&]() -> absl::Status {
      TFD_ASSIGN_OR_RETURN(const std::unique_ptr<data::Dataset> dataset,
                           OpenTraining(spec, {}));
      ModelOptions model_options;
      model_options.spec = spec.model();
      model_options.record_shape = dataset->info().shape;
      model_options.seed = spec.seed();
      TFD_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model,
                           Model::Create(model_options));
      TFD_ASSIGN_OR_RETURN(
          const data::BatchPlan plan,
          data::TrainingBatchPlan(spec, dataset->info().records, slots));
      ps::ExchangeOptions options = ps::TestExchangeOptions(
          cluster, slot, generation, plan.total_steps());
      options.steps_per_epoch = plan.steps_per_epoch();
      options.records = static_cast<int64_t>(plan.records());
      tensor::LayoutParts parts;
      for (uint32_t i = 0; i < slots; ++i) {
        parts.members.push_back(absl::StrCat("worker/", i));
      }
      for (const ps::ShardAddress& shard : options.shards) {
        parts.shards.push_back(shard.task);
      }
      parts.tensors = model->tensors();
      parts.chunk_elements = 256;
      TFD_ASSIGN_OR_RETURN(const tensor::Layout layout,
                           tensor::Layout::Build(parts));
      TFD_ASSIGN_OR_RETURN(
          const std::unique_ptr<ps::Exchange> exchange,
          ps::Exchange::Open(options, layout, model->versions(),
                             ps::TestDeadline()));
      data::PrefetcherOptions prefetch;
      prefetch.slot = slot;
      prefetch.first_step = exchange->step();
      TFD_ASSIGN_OR_RETURN(
          const std::unique_ptr<data::Prefetcher> batches,
          data::Prefetcher::Start(dataset.get(), plan, prefetch));
      TFD_RETURN_IF_ERROR(exchange->Initialise(ps::TestDeadline()));
      model->UseVersion(exchange->version());
      TrainingOptions training;
      training.slot = slot;
      training.slots = slots;
      training.steps_per_epoch = plan.steps_per_epoch();
      training.seed = spec.seed();
      training.patience = ps::kTestTimeout;
      TrainingParts loop;
      loop.model = model.get();
      loop.exchange = exchange.get();
      loop.batches = batches.get();
      loop.control = &control_;
      loop.report = [&outcome](const v1::Metrics& metrics) {
        outcome.reports.push_back(metrics);
      };
      TFD_RETURN_IF_ERROR(TrainingLoop(training, loop).Run().status());
      outcome.parameters.assign(model->parameters().begin(),
                                model->parameters().end());
      return absl::OkStatus();
    }();
    return outcome;
  }

  // All workers of a job at once; slot 0's outcome, the others' parameters
  // compared with it.
  Outcome Train(const v1::JobSpec& spec, uint32_t slots, int shards,
                uint64_t generation = 1,
                const v1::CheckpointRef& restore = v1::CheckpointRef()) {
    const ps::TestCluster cluster(folder_.path(), shards, generation, spec,
                                  restore);
    std::vector<Outcome> outcomes(slots);
    std::vector<std::thread> threads;
    for (uint32_t slot = 0; slot < slots; ++slot) {
      threads.emplace_back([&, slot] {
        outcomes[slot] = Work(spec, cluster, generation, slot, slots);
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const Outcome& outcome : outcomes) {
      EXPECT_EQ(outcome.status, absl::OkStatus());
      EXPECT_EQ(outcome.parameters, outcomes[0].parameters);
    }
    if (spec.checkpoint().every_steps() > 0) {
      saved_ = SaveManifest(*cluster.servers[0], spec);
    }
    return outcomes[0];
  }

  // The first checkpoint of a cluster with one shard.
  v1::CheckpointRef SaveManifest(ps::TestShard& shard,
                                 const v1::JobSpec& spec) {
    const auto saved = shard.WaitSaved(1);
    v1::CheckpointManifest manifest =
        Must(shard.host().Manifest(spec.checkpoint().every_steps()));
    *manifest.add_shards() = Must(saved[0].file);
    return Must(shard.store().WriteManifest(manifest));
  }

  const testing::TempFolder folder_;
  TaskControl control_;
  v1::CheckpointRef saved_;
};

TEST_F(TrainingLoopTest, TheLossFalls) {
  v1::JobSpec spec = TestJob(folder_.path(), v1::ModelSpec::CNN, /*steps=*/40);
  spec.mutable_optimizer()->set_momentum(0.9);
  const Outcome outcome = Train(spec, /*slots=*/2, /*shards=*/2);
  ASSERT_GE(outcome.reports.size(), 2u);
  const v1::Metrics& first = outcome.reports.front();
  const v1::Metrics& last = outcome.reports.back();
  EXPECT_EQ(first.step(), 1);
  EXPECT_EQ(last.step(), 40);
  EXPECT_DOUBLE_EQ(last.epoch(), 40.0 / 5);
  EXPECT_LT(last.values().at("loss"), 0.6 * first.values().at("loss"));
  EXPECT_GT(last.values().at("samples_per_s"), 0);
}

TEST_F(TrainingLoopTest, MoreWorkersWithSmallerBatchesComputeTheSame) {
  v1::JobSpec one = TestJob(folder_.path(), v1::ModelSpec::MLP, 100);
  one.mutable_data()->mutable_train()->set_shuffle(false);
  one.mutable_data()->mutable_train()->set_batch_size(40);
  v1::JobSpec two = one;
  two.mutable_data()->mutable_train()->set_batch_size(20);
  const std::vector<float> expected = Train(one, 1, 1).parameters;
  const std::vector<float> parameters = Train(two, 2, 1, 2).parameters;
  ASSERT_EQ(parameters.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(parameters[i], expected[i],
                1e-5 * std::max(1.0f, std::abs(expected[i])));
  }
}

// 200 records are 10 batches of 20: with 3 workers the last step of an epoch
// has work for one of them.
TEST_F(TrainingLoopTest, SlotsWithoutABatchAreIdle) {
  const v1::JobSpec spec = TestJob(folder_.path(), v1::ModelSpec::MLP, 8);
  const Outcome outcome = Train(spec, /*slots=*/3, /*shards=*/1);
  EXPECT_EQ(outcome.reports.back().epoch(), 2);
}

TEST_F(TrainingLoopTest, ResumedTrainingEndsWithTheSameBits) {
  v1::JobSpec spec = TestJob(folder_.path(), v1::ModelSpec::CNN, 24);
  spec.mutable_optimizer()->set_momentum(0.9);
  const std::vector<float> expected = Train(spec, 2, 1, 1).parameters;
  spec.mutable_checkpoint()->set_every_steps(11);
  EXPECT_EQ(Train(spec, 2, 1, 2).parameters, expected);
  ASSERT_EQ(saved_.step(), 11);
  spec.mutable_checkpoint()->set_every_steps(0);
  const Outcome resumed = Train(spec, 2, 1, 3, saved_);
  EXPECT_EQ(resumed.reports.front().step(), 12);
  EXPECT_EQ(resumed.parameters, expected);
}

TEST_F(TrainingLoopTest, ALabelOutOfRangeIsNamedWithItsRecord) {
  v1::JobSpec spec = TestJob(folder_.path(), v1::ModelSpec::MLP, 40);
  spec.mutable_model()->set_classes(3);
  const ps::TestCluster cluster(folder_.path(), 1, 1, spec);
  const Outcome outcome = Work(spec, cluster, 1, 0, 1);
  EXPECT_THAT(
      std::string(outcome.status.message()),
      AllOf(HasSubstr("train-labels"), HasSubstr("record"), HasSubstr("3")));
}

TEST_F(TrainingLoopTest, ALossThatIsNoNumberEndsTheTraining) {
  v1::JobSpec spec = TestJob(folder_.path(), v1::ModelSpec::MLP, 100);
  spec.mutable_optimizer()->set_lr(1e30);
  const ps::TestCluster cluster(folder_.path(), 1, 1, spec);
  const Outcome outcome = Work(spec, cluster, 1, 0, 1);
  EXPECT_THAT(std::string(outcome.status.message()),
              AllOf(HasSubstr("step "), HasSubstr("optimizer.lr")));
}

TEST_F(TrainingLoopTest, ATaskThatMustEndDoes) {
  const v1::JobSpec spec = TestJob(folder_.path(), v1::ModelSpec::MLP, 1000000);
  const ps::TestCluster cluster(folder_.path(), 1, 1, spec);
  std::thread ends([&] { control_.End(absl::CancelledError("enough")); });
  const Outcome outcome = Work(spec, cluster, 1, 0, 1);
  ends.join();
  EXPECT_EQ(outcome.status, absl::CancelledError("enough"));
}

TEST(StepSeedTest, EveryPartMatters) {
  const uint64_t seed = StepSeed(1, 2, 3, 4);
  EXPECT_EQ(StepSeed(1, 2, 3, 4), seed);
  EXPECT_NE(StepSeed(2, 2, 3, 4), seed);
  EXPECT_NE(StepSeed(1, 3, 3, 4), seed);
  EXPECT_NE(StepSeed(1, 2, 4, 4), seed);
  EXPECT_NE(StepSeed(1, 2, 3, 5), seed);
}

}  // namespace
}  // namespace tfd::worker
