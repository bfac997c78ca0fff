#include "worker/finisher.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "common/fs/file_system.h"
#include "common/testing/temp_folder.h"
#include "tensor/safetensors.h"
#include "tests/worker/worker_testing.h"
#include "worker/model_file.h"

namespace tfd::worker {
namespace {

using ::testing::HasSubstr;

class FinisherTest : public ::testing::Test {
 protected:
  FinisherTest()
      : spec_(TestJob(folder_.path(), v1::ModelSpec::CNN, 1)),
        store_(Must(tensor::CheckpointStore::Open(folder_.path()))) {
    for (const char* name : {"train", "validation"}) {
      WriteQuarters(absl::StrCat(folder_.path(), "/", name, "-images"),
                    absl::StrCat(folder_.path(), "/", name, "-labels"), 60);
    }
    options_.job = "job-1";
    options_.generation = 2;
    options_.spec = spec_;
    options_.input = FactsOf(Must(OpenTraining(spec_, {}))->info());
    model_ = MakeModel(spec_.model(), options_.input.shape, 1);
  }

  std::unique_ptr<Finisher> MakeFinisher() {
    FinisherParts parts;
    parts.model = model_.get();
    parts.validation =
        Must(OpenValidation(spec_, options_.input.preprocess, {}));
    parts.control = &control_;
    parts.send = [this](v1::TaskMessage message) {
      sent_.push_back(std::move(message));
    };
    return Must(Finisher::Create(options_, std::move(parts)));
  }

  // A checkpoint with the initial parameters of `seed`.
  v1::CheckpointRef SaveCheckpoint(int64_t step, uint64_t seed) {
    const auto source = MakeModel(spec_.model(), options_.input.shape, seed);
    tensor::LayoutParts parts;
    parts.members = {"worker/0"};
    parts.shards = {"ps/0"};
    parts.tensors = source->tensors();
    parts.chunk_elements = source->parameters().size();
    const tensor::Layout layout = Must(tensor::Layout::Build(parts));
    tensor::ShardToSave shard;
    shard.step = step;
    shard.chunks.push_back({{0, layout.elements()}, source->parameters(), {}});
    v1::CheckpointManifest manifest;
    manifest.set_format_version(tensor::kManifestVersion);
    manifest.set_job("job-1");
    manifest.set_generation(2);
    manifest.set_step(step);
    manifest.set_slots(1);
    manifest.set_optimizer("sgd");
    *manifest.mutable_tensors() = layout.group().tensors();
    *manifest.add_shards() = Must(store_.WriteShard(layout.group(), 2, shard));
    return Must(store_.WriteManifest(manifest));
  }

  Assignment EvaluateAt(const v1::CheckpointRef& checkpoint) {
    v1::Evaluate evaluate;
    *evaluate.mutable_checkpoint() = checkpoint;
    return evaluate;
  }
  Assignment ExportOf(const v1::CheckpointRef& checkpoint) {
    v1::Export wanted;
    *wanted.mutable_checkpoint() = checkpoint;
    (*wanted.mutable_metrics())["accuracy"] = 0.75;
    return wanted;
  }

  const testing::TempFolder folder_;
  const v1::JobSpec spec_;
  const tensor::CheckpointStore store_;
  FinisherOptions options_;
  std::unique_ptr<Model> model_;
  TaskControl control_;
  std::vector<v1::TaskMessage> sent_;
};

TEST_F(FinisherTest, ScoresTheCheckpointsParametersOnAllValidationRecords) {
  const auto finisher = MakeFinisher();
  const v1::CheckpointRef checkpoint = SaveCheckpoint(10, /*seed=*/5);
  ASSERT_EQ(finisher->Handle(EvaluateAt(checkpoint)), absl::OkStatus());
  ASSERT_EQ(sent_.size(), 1u);
  const v1::Evaluated& evaluated = sent_[0].evaluated();
  EXPECT_EQ(evaluated.step(), 10);
  EXPECT_EQ(evaluated.values().at("records"), 60);

  const auto other = MakeModel(spec_.model(), options_.input.shape, 5);
  EXPECT_EQ(model_->parameters(), other->parameters());
  data::Batch batch;
  std::vector<uint64_t> all(60);
  for (size_t i = 0; i < all.size(); ++i) all[i] = i;
  const auto dataset =
      Must(OpenValidation(spec_, options_.input.preprocess, {}));
  ASSERT_TRUE(dataset->ReadBatch(all, &batch).ok());
  Scores scores;
  ASSERT_TRUE(
      other->Score({batch.features(), batch.labels(), 60}, &scores).ok());
  EXPECT_NEAR(evaluated.values().at("loss"), scores.loss(), 1e-6);
  EXPECT_DOUBLE_EQ(evaluated.values().at("accuracy"), scores.accuracy());
}

TEST_F(FinisherTest, ARepeatedRequestIsAnsweredAgainFromMemory) {
  const auto finisher = MakeFinisher();
  const v1::CheckpointRef checkpoint = SaveCheckpoint(10, 5);
  ASSERT_EQ(finisher->Handle(EvaluateAt(checkpoint)), absl::OkStatus());
  ASSERT_EQ(store_.DeleteCheckpoint(checkpoint), absl::OkStatus());
  ASSERT_EQ(finisher->Handle(EvaluateAt(checkpoint)), absl::OkStatus());
  ASSERT_EQ(sent_.size(), 2u);
  EXPECT_TRUE(
      google::protobuf::util::MessageDifferencer::Equals(sent_[0], sent_[1]));
}

TEST_F(FinisherTest, ExportsModelWeightsAndDescription) {
  const auto finisher = MakeFinisher();
  const v1::CheckpointRef checkpoint = SaveCheckpoint(30, 5);
  ASSERT_EQ(finisher->Handle(ExportOf(checkpoint)), absl::OkStatus());
  ASSERT_EQ(sent_.size(), 1u);
  EXPECT_EQ(sent_[0].exported().step(), 30);
  const std::string folder = sent_[0].exported().uri();
  EXPECT_EQ(folder, folder_ / "export");

  const std::string file = JoinPath(folder, kModelFile);
  const ModelDescription description = Must(
      ParseModelDescription(Must(ReadFile(*LocalFileSystem(), file)), file));
  EXPECT_EQ(description.job, "job-1");
  EXPECT_EQ(description.step, 30);
  EXPECT_EQ(description.metrics.at("accuracy"), 0.75);
  ASSERT_EQ(description.preprocess.size(), 1u);
  EXPECT_DOUBLE_EQ(description.preprocess[0].scale(), 1.0 / 255);

  const std::string weights = JoinPath(folder, kWeightsFile);
  const auto reader = Must(tensor::SafetensorsReader::Open(
      Must(LocalFileSystem()->OpenForReading(weights)), weights));
  ASSERT_EQ(reader.tensors().size(), model_->tensors().size());
  std::vector<float> first(reader.tensors()[0].elements);
  ASSERT_TRUE(
      reader.ReadFloats(reader.tensors()[0], 0, absl::MakeSpan(first)).ok());
  EXPECT_EQ(first[0], model_->parameters()[0]);
}

TEST_F(FinisherTest, AnExportIsReplacedAndNothingElseIsLeft) {
  const v1::CheckpointRef first = SaveCheckpoint(30, 5);
  const v1::CheckpointRef second = SaveCheckpoint(40, 6);
  ASSERT_EQ(LocalFileSystem()->CreateFolder(folder_ / "export-g2.tmp"),
            absl::OkStatus());
  const auto finisher = MakeFinisher();
  ASSERT_EQ(finisher->Handle(ExportOf(first)), absl::OkStatus());
  ASSERT_EQ(finisher->Handle(ExportOf(second)), absl::OkStatus());
  const std::string file = folder_ / "export/model.json";
  EXPECT_EQ(Must(ParseModelDescription(Must(ReadFile(*LocalFileSystem(), file)),
                                       file))
                .step,
            40);
  for (const FileInfo& entry : Must(LocalFileSystem()->List(folder_.path()))) {
    EXPECT_NE(entry.name.substr(0, 7), "export-") << entry.name;
  }
}

TEST_F(FinisherTest, ACheckpointOfAnotherModelIsRefusedByName) {
  const v1::CheckpointRef checkpoint = SaveCheckpoint(10, 5);
  model_ = MakeModel(TestModel(v1::ModelSpec::MLP), options_.input.shape);
  const auto finisher = MakeFinisher();
  const absl::Status status = finisher->Handle(EvaluateAt(checkpoint));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("another model"));
}

TEST_F(FinisherTest, ServesUntilTheTaskMustEnd) {
  v1::TaskCommand command;
  *command.mutable_evaluate()->mutable_checkpoint() = SaveCheckpoint(10, 5);
  control_.OnCommand(command);
  FinisherParts parts;
  parts.model = model_.get();
  parts.validation = Must(OpenValidation(spec_, options_.input.preprocess, {}));
  parts.control = &control_;
  parts.send = [this](v1::TaskMessage message) {
    sent_.push_back(std::move(message));
    control_.End(absl::CancelledError("stop"));
  };
  const auto serving = Must(Finisher::Create(options_, std::move(parts)));
  EXPECT_EQ(serving->Serve(), absl::CancelledError("stop"));
  EXPECT_EQ(sent_.size(), 1u);
}

}  // namespace
}  // namespace tfd::worker
