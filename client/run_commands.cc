// tfd run, tfd validate, tfd init.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/command_line.h"
#include "client/coordinator_client.h"
#include "client/follow.h"
#include "client/format.h"
#include "client/local_cluster.h"
#include "client/spec_file.h"
#include "client/templates.h"
#include "common/fs/file_system.h"
#include "common/random.h"
#include "common/spec/job_spec.h"
#include "common/status.h"

namespace tfd::client {
namespace {

// Room for feeds, which are in no spec.
constexpr double kSpareCpus = 1;
constexpr uint64_t kSpareMemoryBytes = 1ull << 30;
// What --trace records where trace.steps does not say.
constexpr int kTraceSteps = 100;

struct RunOptions {
  std::string spec;
  std::vector<std::string> set;
  bool resume = false;
  bool overwrite = false;
  // Empty: none.
  std::string trace;
};

absl::Status InterruptedStatus() { return absl::CancelledError("interrupted"); }

// One machine is offered whole, as often as the job wants it: a laptop shares
// its processors rather than refuse.
LocalClusterOptions ClusterFor(const v1::JobSpec& spec,
                               const std::string& log_folder) {
  LocalClusterOptions options;
  options.log_folder = log_folder;
  options.cpus = kSpareCpus;
  options.memory_bytes = kSpareMemoryBytes;
  for (const spec::RolePlan& role : spec::RolesOf(spec)) {
    options.cpus += role.count * role.cpus;
    options.memory_bytes += role.count * role.memory_bytes;
  }
  return options;
}

// What the job is made of, before it starts.
std::string DescribePlan(const v1::JobSpec& spec) {
  std::vector<std::string> roles;
  int workers = 0;
  for (const spec::RolePlan& role : spec::RolesOf(spec)) {
    roles.push_back(absl::StrCat(role.count, " ", role.role));
    if (role.role == "worker") workers = role.count;
  }
  const std::string tasks =
      absl::StrCat(spec.name(), ": ", absl::StrJoin(roles, ", "), "; ");
  if (spec.has_predict()) {
    return absl::StrCat(
        tasks, spec.predict().has_input()
                   ? absl::StrCat("answers to ", spec.predict().output())
                   : std::string("answers what is pushed to them"));
  }
  const v1::DatasetSpec& train = spec.data().train();
  const int64_t batches = spec.strategy().accumulate_steps();
  const int64_t step = train.has_batch_size()
                           ? train.batch_size() * batches * workers
                           : train.global_batch_size();
  return absl::StrCat(
      tasks, "batch size ", workers > 0 ? step / workers / batches : 0,
      " of each worker, ",
      batches > 1 ? absl::StrCat(batches, " batches in a step, ") : "", step,
      " of a step");
}

// 0, 1 or 130; for a job that failed its cause is on context.err.
int Report(const CommandLine& line, const Followed& followed,
           const std::string& log_folder) {
  const v1::Job& job = followed.job;
  if (line.json) {
    *line.context->out << ToJson(job);
  } else {
    *line.context->out << FormatSummary(job, log_folder) << std::flush;
  }
  if (job.state() == v1::SUCCEEDED) return 0;
  if (followed.interrupted) return ExitCode(absl::CancelledError());
  *line.context->err << job.id() << " " << StateName(job.state()) << ": "
                     << FormatCause(job) << std::flush;
  return 1;
}

// The folder of the logs: in storage, where it is a local folder.
std::string LogFolder(const Context& context, const v1::JobSpec& spec) {
  const std::string& uri =
      spec.has_predict() ? spec.predict().output() : spec.storage().uri();
  if (uri.empty()) return JoinPath(context.StateFolder(), "logs");
  absl::StatusOr<Location> storage = ResolveUri(uri);
  bool local = storage.ok() && storage->file_system == LocalFileSystem();
  return JoinPath(local ? storage->path : context.StateFolder(), "logs");
}

// All workers' traces in one file.
absl::Status MergeTraces(const v1::JobSpec& spec, const std::string& path) {
  TFD_ASSIGN_OR_RETURN(const Location storage,
                       ResolveUri(spec.storage().uri()));
  nlohmann::json events = nlohmann::json::array();
  for (int i = 0; i < spec.tasks().worker().count(); ++i) {
    const std::string part = spec::TracePath(storage.path, i);
    TFD_ASSIGN_OR_RETURN(const std::string text,
                         ReadFile(*storage.file_system, part));
    const nlohmann::json trace = nlohmann::json::parse(text, nullptr, false);
    if (!trace.contains("traceEvents")) {
      return absl::DataLossError(absl::StrCat(part, " is no trace"));
    }
    const auto& added = trace["traceEvents"];
    events.insert(events.end(), added.begin(), added.end());
  }
  return WriteFileAtomically(
      *LocalFileSystem(), path,
      nlohmann::json({{"traceEvents", std::move(events)}}).dump());
}

absl::StatusOr<int> Run(const CommandLine& line, const RunOptions& options) {
  const Context& context = *line.context;
  TFD_ASSIGN_OR_RETURN(v1::JobSpec spec,
                       LoadSpec(context, options.spec, options.set));
  if (options.resume) spec.set_resume(true);
  if (options.overwrite) spec.set_overwrite(true);
  if (!options.trace.empty() && spec.trace().steps() == 0) {
    spec.mutable_trace()->set_steps(kTraceSteps);
  }
  TFD_RETURN_IF_ERROR(CheckStorage(spec));
  TFD_RETURN_IF_ERROR(CheckModelAndData(context, spec).status());
  if (context.interrupt->Wait(absl::ZeroDuration()) != 0) {
    return InterruptedStatus();
  }
  std::string log_folder = LogFolder(context, spec);
  *context.err << DescribePlan(spec) << std::endl;
  TFD_ASSIGN_OR_RETURN(
      std::unique_ptr<LocalCluster> cluster,
      LocalCluster::Start(context, ClusterFor(spec, log_folder)));
  CoordinatorClient client(cluster->address());
  std::string id = absl::StrCat(spec.name(), "-", RandomId());
  TFD_RETURN_IF_ERROR(
      client.Submit(spec, id, context.Variable("USER")).status());
  FollowOptions follow;
  follow.interrupt_cancels = true;
  follow.supervise = [&cluster] { return cluster->Supervise(); };
  absl::StatusOr<Followed> followed = FollowJob(context, client, id, follow);
  cluster->Stop();
  if (!followed.ok()) return followed.status();
  if (!options.trace.empty() && followed->job.state() == v1::SUCCEEDED) {
    TFD_RETURN_IF_ERROR(
        Annotate(MergeTraces(spec, context.Absolute(options.trace)),
                 absl::StrCat("--trace ", options.trace)));
    *context.err << "wrote " << options.trace
                 << "; open it in chrome://tracing or ui.perfetto.dev"
                 << std::endl;
  }
  return Report(line, *followed, JoinPath(log_folder, id));
}

void AddRun(CLI::App* app, CommandLine* line) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* run = app->add_subcommand(
      "run",
      "Train on this machine: start a coordinator and an agent, follow the "
      "job, stop them.");
  run->add_option("SPEC", options->spec, "the job's YAML file")->required();
  run->add_option("--set", options->set,
                  "replace a field of the spec: optimizer.lr=0.01")
      ->type_name("FIELD=VALUE")
      ->allow_extra_args(false);
  CLI::Option* resume =
      run->add_flag("--resume", options->resume,
                    "go on from the newest committed checkpoint in storage");
  run->add_flag("--overwrite", options->overwrite,
                "delete what an earlier job left in storage")
      ->excludes(resume);
  run->add_option(
         "--trace", options->trace,
         absl::StrCat("write what each worker did in the first ", kTraceSteps,
                      " steps (or trace.steps) to this file, as a "
                      "Chrome trace"))
      ->type_name("FILE");
  run->add_flag("--json", line->json, "print the job as JSON at the end");
  run->footer(
      "Examples:\n  tfd run configs/mnist.yaml\n"
      "  tfd run configs/mnist.yaml --set stop.epochs=4 --resume");
  run->callback([line, options] {
    line->chosen = [line, options] { return Run(*line, *options); };
  });
}

absl::StatusOr<int> Validate(const CommandLine& line, const RunOptions& options,
                             bool spec_only) {
  const Context& context = *line.context;
  TFD_ASSIGN_OR_RETURN(v1::JobSpec spec,
                       LoadSpec(context, options.spec, options.set));
  std::string found;
  if (!spec_only) {
    TFD_ASSIGN_OR_RETURN(found, CheckModelAndData(context, spec));
  }
  if (line.json) {
    *context.out << ToJson(spec);
  } else {
    *context.out << options.spec << " is valid\n"
                 << DescribePlan(spec) << "\n"
                 << found;
  }
  return 0;
}

void AddValidate(CLI::App* app, CommandLine* line) {
  auto options = std::make_shared<RunOptions>();
  auto spec_only = std::make_shared<bool>(false);
  CLI::App* validate = app->add_subcommand(
      "validate", "Say everything that is wrong with a spec; start nothing.");
  validate->add_option("SPEC", options->spec, "the job's YAML file")
      ->required();
  validate->add_option("--set", options->set, "replace a field of the spec")
      ->type_name("FIELD=VALUE")
      ->allow_extra_args(false);
  validate->add_flag("--spec-only", *spec_only,
                     "do not look at the model and the data");
  validate->add_flag("--json", line->json,
                     "print the spec with its defaults as JSON");
  validate->callback([line, options, spec_only] {
    line->chosen = [line, options, spec_only] {
      return Validate(*line, *options, *spec_only);
    };
  });
}

absl::StatusOr<int> Init(const CommandLine& line, const std::string& name,
                         const std::string& output) {
  TFD_ASSIGN_OR_RETURN(std::string text, TemplateText(name));
  if (output.empty()) {
    *line.context->out << text << std::flush;
    return 0;
  }
  std::string path = line.context->Absolute(output);
  if (LocalFileSystem()->Stat(path).ok()) {
    return absl::AlreadyExistsError(
        absl::StrCat(output, " is there already; choose another name"));
  }
  TFD_RETURN_IF_ERROR(WriteFileAtomically(*LocalFileSystem(), path, text));
  *line.context->err << "wrote " << output << "; next: tfd run " << output
                     << std::endl;
  return 0;
}

void AddInit(CLI::App* app, CommandLine* line) {
  auto name = std::make_shared<std::string>("mnist");
  auto output = std::make_shared<std::string>();
  CLI::App* init =
      app->add_subcommand("init", "Write a commented spec to start from.");
  init->add_option(
      "TEMPLATE", *name,
      absl::StrCat("one of ", absl::StrJoin(TemplateNames(), ", ")));
  init->add_option("-o,--output", *output,
                   "the file to write; absent: standard output");
  init->callback([line, name, output] {
    line->chosen = [line, name, output] { return Init(*line, *name, *output); };
  });
}

}  // namespace

void AddRunCommands(CLI::App* app, CommandLine* line) {
  AddRun(app, line);
  AddValidate(app, line);
  AddInit(app, line);
}

}  // namespace tfd::client
