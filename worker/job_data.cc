#include "worker/job_data.h"

#include <filesystem>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/net/endpoint.h"
#include "common/status.h"
#include "common/units.h"
#include "data/feed/fetch.h"
#include "spdlog/spdlog.h"
#include "worker/models/definition.h"

namespace tfd::worker {
namespace {

constexpr int64_t kDefaultEvaluationBatch = 256;

decltype(data::OpenOptions::open_partition) OpenerOf(
    const std::string& dataset, const OpenPartition& open) {
  if (!open) return nullptr;
  return [dataset, open](const v1::Partition& partition) {
    return open(dataset, partition);
  };
}

absl::StatusOr<std::unique_ptr<data::Dataset>> Open(
    const v1::JobSpec& spec, const std::string& name,
    const v1::DatasetSpec& dataset, const data::Preprocess& preprocess,
    const PushedAccess& access) {
  data::OpenOptions options;
  options.name = name;
  options.classes = spec.model().classes();
  if (dataset.format() == v1::DatasetSpec::PUSHED) {
    TFD_ASSIGN_OR_RETURN(options.partitions, access.await(name));
    options.open_partition = OpenerOf(name, access.open);
  }
  auto opened = data::OpenDataset(dataset, preprocess, options);
  if (opened.ok() && (*opened)->info().left_out > 0) {
    const data::DatasetInfo& info = (*opened)->info();
    spdlog::info(
        "{} of {} rows of {} have nulls and are left out",
        FormatCount(static_cast<int64_t>(info.left_out)),
        FormatCount(static_cast<int64_t>(info.left_out + info.records)),
        info.source);
  }
  return opened;
}

}  // namespace

absl::StatusOr<std::unique_ptr<data::Dataset>> OpenTraining(
    const v1::JobSpec& spec, const PushedAccess& access) {
  return Open(spec, "train", spec.data().train(), data::Preprocess(spec.data()),
              access);
}

OpenPartition FetchingFrom(const v1::Membership& membership,
                           const TaskEnvironment& environment) {
  std::map<std::string, v1::Endpoint> feeds;
  for (const v1::Member& member : membership.members()) {
    feeds[member.task()] = member.endpoint();
  }
  data::PartitionFetchOptions fetch;
  fetch.token = environment.token;
  fetch.folder = JoinPath(
      std::filesystem::path(environment.exit_file).parent_path().string(),
      "fetched");
  return [feeds = std::move(feeds), fetch](const std::string& dataset,
                                           const v1::Partition& partition)
             -> absl::StatusOr<std::unique_ptr<RandomAccessFile>> {
    const auto feed = feeds.find(partition.feed());
    if (feed == feeds.end() || feed->second.host_id() == net::HostId()) {
      return LocalFileSystem()->OpenForReading(partition.path());
    }
    data::PartitionFetchOptions options = fetch;
    TFD_ASSIGN_OR_RETURN(options.target, net::DialTarget(feed->second));
    return data::FetchPartition(dataset, partition, options);
  };
}

absl::StatusOr<std::unique_ptr<data::GrowingBatches>> OpenGrowing(
    const v1::JobSpec& spec, const GrowingSeat& seat, data::AwaitSegment await,
    const OpenPartition& open,
    std::function<void(const data::GrowingLength&)> on_grown) {
  const v1::DatasetSpec& train = spec.data().train();
  data::GrowingOptions options;
  options.spec = train;
  options.data = spec.data();
  options.open.name = "train";
  options.open.classes = spec.model().classes();
  options.open.open_partition = OpenerOf("train", open);
  options.await = std::move(await);
  TFD_ASSIGN_OR_RETURN(options.batch_size,
                       data::StepRecordsOf(spec, seat.slots));
  options.slots = seat.slots;
  options.slot = seat.slot;
  options.seed = spec.seed();
  options.first_segment = std::max<int64_t>(1, seat.cursor.segment());
  options.first_step = seat.cursor.step();
  options.former_records = seat.cursor.records();
  if (train.stream()) {
    options.epochs = 1;
  } else if (spec.stop().has_epochs()) {
    options.epochs = spec.stop().epochs();
  }
  if (spec.stop().has_steps()) options.steps = spec.stop().steps();
  options.on_grown = std::move(on_grown);
  return std::make_unique<data::GrowingBatches>(std::move(options));
}

absl::StatusOr<std::unique_ptr<data::Dataset>> OpenValidation(
    const v1::JobSpec& spec, const data::PreprocessSteps& steps,
    const PushedAccess& access) {
  return Open(spec, "validation", spec.data().validation(),
              data::Preprocess(steps), access);
}

bool HasValidation(const v1::JobSpec& spec) {
  return spec.data().has_validation();
}

InputFacts FactsOf(const data::DatasetInfo& training) {
  return {training.shape, training.dtype, training.preprocess};
}

absl::Status CheckRecordsFit(const data::Dataset& dataset,
                             absl::Span<const int64_t> input) {
  if (dataset.info().elements == ShapeElements(input)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("a record of ", dataset.info().source, " is ",
                   ShapeText(dataset.info().shape), " with ",
                   dataset.info().elements, " numbers, and the model takes ",
                   ShapeText(input), " with ", ShapeElements(input)));
}

int64_t EvaluationBatchSize(const v1::JobSpec& spec) {
  const v1::DatasetSpec& validation = spec.data().validation();
  if (validation.has_batch_size()) return validation.batch_size();
  if (validation.has_global_batch_size()) return validation.global_batch_size();
  return kDefaultEvaluationBatch;
}

}  // namespace tfd::worker
