// tfd nodes, tfd up, tfd down.
#include <CLI/CLI.hpp>
#include <memory>

#include "absl/strings/str_cat.h"
#include "client/address.h"
#include "client/background_cluster.h"
#include "client/command_line.h"
#include "client/coordinator_client.h"
#include "client/format.h"
#include "common/status.h"
#include "tfd/v1/coordinator.pb.h"

namespace tfd::client {
namespace {

// Enough for the examples, on any laptop.
constexpr double kTrialCpus = 16;

absl::StatusOr<int> Nodes(const CommandLine& line) {
  TFD_ASSIGN_OR_RETURN(std::string address,
                       CoordinatorAddress(*line.context, line.coordinator));
  CoordinatorClient client(address);
  TFD_ASSIGN_OR_RETURN(std::vector<v1::Node> nodes, client.Nodes());
  if (line.json) {
    v1::ListNodesResponse response;
    for (const v1::Node& node : nodes) *response.add_nodes() = node;
    *line.context->out << ToJson(response);
  } else if (nodes.empty()) {
    *line.context->err << "no nodes: no agent has reached this coordinator; "
                          "tfd-agent --coordinator "
                       << address << " starts one" << std::endl;
  } else {
    *line.context->out << FormatNodes(nodes);
  }
  return 0;
}

absl::StatusOr<int> Up(const CommandLine& line, const std::string& listen,
                       double cpus) {
  TFD_ASSIGN_OR_RETURN(BackgroundCluster cluster,
                       StartBackgroundCluster(*line.context, listen, cpus));
  *line.context->out << "a coordinator at " << cluster.address
                     << " and an agent are running; logs in "
                     << cluster.log_folder
                     << "\nnext: tfd submit SPEC; tfd nodes; tfd down"
                     << std::endl;
  return 0;
}

// Jobs that a cluster going down would leave half done.
absl::Status EndActiveJobs(const CommandLine& line,
                           const BackgroundCluster& cluster, bool force) {
  CoordinatorClient client(cluster.address, absl::Seconds(5));
  TFD_ASSIGN_OR_RETURN(std::vector<v1::Job> jobs, client.List(true));
  if (jobs.empty()) return absl::OkStatus();
  if (!force) {
    return absl::FailedPreconditionError(absl::StrCat(
        jobs.size(), " job(s) have not ended, e.g. ", jobs.front().id(),
        "; tfd jobs --active lists them, --force cancels them"));
  }
  for (const v1::Job& job : jobs) {
    TFD_RETURN_IF_ERROR(
        client.Cancel(job.id(), "the cluster goes down").status());
    *line.context->err << "cancelled " << job.id() << std::endl;
  }
  return absl::OkStatus();
}

absl::StatusOr<int> Down(const CommandLine& line, bool force) {
  absl::StatusOr<BackgroundCluster> cluster =
      ReadBackgroundCluster(*line.context);
  if (cluster.ok()) {
    absl::Status ended = EndActiveJobs(line, *cluster, force);
    // One that does not answer is ended all the same.
    if (!ended.ok() && !absl::IsUnavailable(ended)) return ended;
  }
  absl::Status stopped = StopBackgroundCluster(*line.context);
  if (absl::IsNotFound(stopped)) {
    *line.context->err << "no cluster of `tfd up` is running" << std::endl;
    return 0;
  }
  TFD_RETURN_IF_ERROR(stopped);
  *line.context->out << "stopped" << std::endl;
  return 0;
}

}  // namespace

void AddClusterCommands(CLI::App* app, CommandLine* line) {
  CLI::App* nodes = app->add_subcommand("nodes", "List the cluster's nodes.");
  nodes->add_option("--coordinator", line->coordinator, "its HOST:PORT");
  nodes->add_flag("--json", line->json, "print JSON");
  nodes->callback([line] { line->chosen = [line] { return Nodes(*line); }; });

  auto listen = std::make_shared<std::string>("127.0.0.1:7070");
  auto cpus = std::make_shared<double>(kTrialCpus);
  CLI::App* up = app->add_subcommand(
      "up", "Start a cluster of this one machine in the background.");
  up->add_option("--listen", *listen, "where its coordinator listens")
      ->capture_default_str();
  up->add_option("--cpus", *cpus,
                 "what its agent offers, whatever the machine has: tasks share "
                 "the processors")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  up->callback([line, listen, cpus] {
    line->chosen = [line, listen, cpus] { return Up(*line, *listen, *cpus); };
  });

  auto force = std::make_shared<bool>(false);
  CLI::App* down = app->add_subcommand("down", "End the cluster of tfd up.");
  down->add_flag("--force", *force, "cancel jobs that have not ended");
  down->callback([line, force] {
    line->chosen = [line, force] { return Down(*line, *force); };
  });
}

}  // namespace tfd::client
