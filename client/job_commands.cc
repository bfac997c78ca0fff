// tfd submit, jobs, job, events, logs, cancel.
#include <CLI/CLI.hpp>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "client/address.h"
#include "client/command_line.h"
#include "client/coordinator_client.h"
#include "client/follow.h"
#include "client/format.h"
#include "client/spec_file.h"
#include "common/status.h"
#include "tfd/v1/coordinator.pb.h"

namespace tfd::client {
namespace {

void AddCommonFlags(CLI::App* command, CommandLine* line) {
  command->add_option("--coordinator", line->coordinator,
                      "its HOST:PORT; else TFD_COORDINATOR, the config file, "
                      "or the cluster of `tfd up`");
  command->add_flag("--json", line->json, "print JSON");
}

absl::StatusOr<std::unique_ptr<CoordinatorClient>> Connect(
    const CommandLine& line) {
  TFD_ASSIGN_OR_RETURN(std::string address,
                       CoordinatorAddress(*line.context, line.coordinator));
  return std::make_unique<CoordinatorClient>(address);
}

struct SubmitOptions {
  std::string spec;
  std::vector<std::string> set;
  std::string id;
  bool detach = false;
  bool resume = false;
  bool overwrite = false;
};

absl::StatusOr<int> Submit(const CommandLine& line,
                           const SubmitOptions& options) {
  const Context& context = *line.context;
  TFD_ASSIGN_OR_RETURN(v1::JobSpec spec,
                       LoadSpec(context, options.spec, options.set));
  spec.set_resume(spec.resume() || options.resume);
  spec.set_overwrite(spec.overwrite() || options.overwrite);
  TFD_ASSIGN_OR_RETURN(std::unique_ptr<CoordinatorClient> client,
                       Connect(line));
  TFD_ASSIGN_OR_RETURN(
      v1::Job job, client->Submit(spec, options.id, context.Variable("USER")));
  *context.err << "submitted " << job.id() << std::endl;
  if (options.detach) {
    if (line.json) {
      *context.out << ToJson(job);
    } else {
      *context.out << job.id() << std::endl;
    }
    return 0;
  }
  TFD_ASSIGN_OR_RETURN(Followed followed,
                       FollowJob(context, *client, job.id(), FollowOptions()));
  if (followed.interrupted) {
    *context.err << "detached: " << job.id() << " goes on; tfd job " << job.id()
                 << " shows it, tfd cancel " << job.id() << " ends it"
                 << std::endl;
    return ExitCode(absl::CancelledError());
  }
  if (line.json) {
    *context.out << ToJson(followed.job);
  } else {
    *context.out << FormatSummary(followed.job, "");
  }
  if (followed.job.state() == v1::SUCCEEDED) return 0;
  *context.err << job.id() << " " << StateName(followed.job.state()) << ": "
               << FormatCause(followed.job);
  return 1;
}

void AddSubmit(CLI::App* app, CommandLine* line) {
  auto options = std::make_shared<SubmitOptions>();
  CLI::App* submit = app->add_subcommand(
      "submit", "Submit a job to a cluster and follow it; Ctrl-C detaches.");
  submit->add_option("SPEC", options->spec, "the job's YAML file")->required();
  submit->add_option("--set", options->set, "replace a field of the spec")
      ->type_name("FIELD=VALUE")
      ->allow_extra_args(false);
  submit->add_option("--id", options->id,
                     "the job's id: the same one again gives the same job");
  submit->add_flag("--detach", options->detach, "do not follow it");
  CLI::Option* resume =
      submit->add_flag("--resume", options->resume,
                       "go on from the newest checkpoint in storage");
  submit
      ->add_flag("--overwrite", options->overwrite,
                 "delete what an earlier job left in storage")
      ->excludes(resume);
  AddCommonFlags(submit, line);
  submit->footer(
      "Examples:\n  tfd submit mnist.yaml\n"
      "  tfd submit mnist.yaml --id nightly-7 --detach");
  submit->callback([line, options] {
    line->chosen = [line, options] { return Submit(*line, *options); };
  });
}

absl::StatusOr<int> Jobs(const CommandLine& line, bool active_only) {
  TFD_ASSIGN_OR_RETURN(std::unique_ptr<CoordinatorClient> client,
                       Connect(line));
  TFD_ASSIGN_OR_RETURN(std::vector<v1::Job> jobs, client->List(active_only));
  if (line.json) {
    v1::ListJobsResponse response;
    for (const v1::Job& job : jobs) *response.add_jobs() = job;
    *line.context->out << ToJson(response);
  } else if (jobs.empty()) {
    *line.context->err << "no jobs; tfd submit SPEC starts one" << std::endl;
  } else {
    *line.context->out << FormatJobs(jobs, absl::Now());
  }
  return 0;
}

absl::StatusOr<int> ShowJob(const CommandLine& line, const std::string& id) {
  TFD_ASSIGN_OR_RETURN(std::unique_ptr<CoordinatorClient> client,
                       Connect(line));
  TFD_ASSIGN_OR_RETURN(v1::Job job, client->Get(id));
  *line.context->out << (line.json ? ToJson(job) : FormatJob(job, absl::Now()));
  return 0;
}

absl::StatusOr<int> CancelJob(const CommandLine& line, const std::string& id) {
  TFD_ASSIGN_OR_RETURN(std::unique_ptr<CoordinatorClient> client,
                       Connect(line));
  TFD_ASSIGN_OR_RETURN(v1::Job job,
                       client->Cancel(id, "cancelled with tfd cancel"));
  if (line.json) {
    *line.context->out << ToJson(job);
  } else {
    *line.context->out << job.id() << "  " << StateName(job.state()) << "  "
                       << job.reason() << std::endl;
  }
  return 0;
}

absl::StatusOr<int> Events(const CommandLine& line, const std::string& id,
                           bool follow) {
  TFD_ASSIGN_OR_RETURN(std::unique_ptr<CoordinatorClient> client,
                       Connect(line));
  TFD_RETURN_IF_ERROR(
      RunInterruptibly(*line.context, [&](Canceller& canceller) {
        return client->Events(
            id, follow,
            [&](const v1::Event& event) {
              *line.context->out
                  << (line.json ? ToJson(event) : FormatEvent(event))
                  << std::flush;
            },
            canceller);
      }));
  return 0;
}

// Lines of several tasks carry their task's name in front.
std::string WithTaskName(const std::string& task, const std::string& text) {
  std::string result;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (line.empty()) continue;
    absl::StrAppend(&result, task, " | ", line, "\n");
  }
  return result;
}

absl::StatusOr<int> Logs(const CommandLine& line,
                         const CoordinatorClient::LogRequest& request) {
  TFD_ASSIGN_OR_RETURN(std::unique_ptr<CoordinatorClient> client,
                       Connect(line));
  TFD_RETURN_IF_ERROR(
      RunInterruptibly(*line.context, [&](Canceller& canceller) {
        return client->Logs(
            request,
            [&](const std::string& task, const std::string& text) {
              *line.context->out
                  << (request.task.empty() ? WithTaskName(task, text) : text)
                  << std::flush;
            },
            canceller);
      }));
  return 0;
}

void AddQueries(CLI::App* app, CommandLine* line) {
  auto id = std::make_shared<std::string>();
  auto flag = std::make_shared<bool>(false);

  CLI::App* jobs = app->add_subcommand("jobs", "List the jobs, newest first.");
  jobs->add_flag("--active", *flag, "only those that have not ended");
  AddCommonFlags(jobs, line);
  jobs->callback([line, flag] {
    line->chosen = [line, flag] { return Jobs(*line, *flag); };
  });

  CLI::App* job = app->add_subcommand(
      "job", "Show one job: its tasks, why it waits or failed.");
  job->add_option("ID", *id, "the job")->required();
  AddCommonFlags(job, line);
  job->callback([line, id] {
    line->chosen = [line, id] { return ShowJob(*line, *id); };
  });

  CLI::App* events =
      app->add_subcommand("events", "Show what happened to a job.");
  events->add_option("ID", *id, "the job")->required();
  events->add_flag("-f,--follow", *flag, "go on until the job has ended");
  AddCommonFlags(events, line);
  events->callback([line, id, flag] {
    line->chosen = [line, id, flag] { return Events(*line, *id, *flag); };
  });

  CLI::App* cancel = app->add_subcommand("cancel", "End a job.");
  cancel->add_option("ID", *id, "the job")->required();
  AddCommonFlags(cancel, line);
  cancel->callback([line, id] {
    line->chosen = [line, id] { return CancelJob(*line, *id); };
  });
}

void AddLogs(CLI::App* app, CommandLine* line) {
  auto request = std::make_shared<CoordinatorClient::LogRequest>();
  CLI::App* logs = app->add_subcommand(
      "logs", "Print what a job's tasks wrote, also after they ended.");
  logs->add_option("ID", request->id, "the job")->required();
  logs->add_option("--task", request->task, "only this one, e.g. worker/0");
  logs->add_flag("-f,--follow", request->follow,
                 "go on until the job has ended");
  logs->add_option("--tail", request->tail,
                   "only the last so many lines of each task")
      ->check(CLI::NonNegativeNumber);
  logs->add_option("--coordinator", line->coordinator, "its HOST:PORT");
  logs->footer(
      "Examples:\n  tfd logs ID -f\n"
      "  tfd logs ID --task worker/0 --tail 20");
  logs->callback([line, request] {
    line->chosen = [line, request] { return Logs(*line, *request); };
  });
}

}  // namespace

void AddJobCommands(CLI::App* app, CommandLine* line) {
  AddSubmit(app, line);
  AddQueries(app, line);
  AddLogs(app, line);
}

}  // namespace tfd::client
