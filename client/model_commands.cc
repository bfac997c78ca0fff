// tfd predict, tfd get.
#include <CLI/CLI.hpp>
#include <memory>

#include "absl/strings/str_cat.h"
#include "client/address.h"
#include "client/child_program.h"
#include "client/command_line.h"
#include "client/coordinator_client.h"
#include "client/format.h"
#include "common/fs/file_system.h"
#include "common/fs/remote_file_system.h"
#include "common/status.h"

namespace tfd::client {
namespace {

constexpr char kModelFile[] = "model.json";

// The export's URI of a job that has one.
absl::StatusOr<std::string> ExportOfJob(const CommandLine& line,
                                        const std::string& id) {
  TFD_ASSIGN_OR_RETURN(std::string address,
                       CoordinatorAddress(*line.context, line.coordinator));
  CoordinatorClient client(address);
  TFD_ASSIGN_OR_RETURN(v1::Job job, client.Get(id));
  if (job.export_uri().empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(id, " has no export yet: it is ", StateName(job.state()),
                     " (", job.reason(), ")"));
  }
  return job.export_uri();
}

// The folder of a model: an export, a storage that has one, or a job's.
absl::StatusOr<std::string> FindModel(const CommandLine& line,
                                      const std::string& model) {
  // Whoever reads it says what is not there.
  if (IsRemoteUri(model)) return model;
  std::string path = line.context->Absolute(model);
  FileSystem& files = *LocalFileSystem();
  for (const std::string& folder : {path, JoinPath(path, "export")}) {
    if (files.Stat(JoinPath(folder, kModelFile)).ok()) return folder;
  }
  if (files.Stat(path).ok()) {
    return absl::NotFoundError(
        absl::StrCat(model, " holds no model: there is no ", kModelFile,
                     " in it or in its export/ (did the job succeed?)"));
  }
  absl::StatusOr<std::string> uri = ExportOfJob(line, model);
  if (!uri.ok()) {
    return Annotate(uri.status(),
                    absl::StrCat(model, " is neither a folder nor a job"));
  }
  return uri;
}

struct PredictOptions {
  std::string model;
  std::string input;
  std::string output;
  std::string labels;
  std::string label_column;
  std::string feature_columns;
  std::string format;
  std::string outputs;
  std::string image;
  std::string bad_rows;
  int top_k = 1;
};

absl::StatusOr<int> Predict(const CommandLine& line,
                            const PredictOptions& options) {
  const Context& context = *line.context;
  TFD_ASSIGN_OR_RETURN(std::string model, FindModel(line, options.model));
  ChildOptions child;
  child.command = {context.Program("tfd-worker"),
                   "predict",
                   "--model",
                   model,
                   "--input",
                   context.Absolute(options.input),
                   "--top-k",
                   absl::StrCat(options.top_k)};
  auto add = [&child](const char* flag, const std::string& value) {
    if (value.empty()) return;
    child.command.push_back(flag);
    child.command.push_back(value);
  };
  if (!options.output.empty()) {
    add("--output", context.Absolute(options.output));
  }
  if (!options.labels.empty()) {
    add("--labels", context.Absolute(options.labels));
  }
  add("--format", options.format);
  add("--label-column", options.label_column);
  add("--feature-columns", options.feature_columns);
  add("--outputs", options.outputs);
  add("--image", options.image);
  add("--bad-rows", options.bad_rows);
  return RunProgram(context, std::move(child));
}

void AddPredict(CLI::App* app, CommandLine* line) {
  auto options = std::make_shared<PredictOptions>();
  CLI::App* predict = app->add_subcommand(
      "predict", "Predict every record of a file, in its order.");
  predict
      ->add_option("MODEL", options->model,
                   "an export's folder, a job's storage, or a job")
      ->required();
  predict
      ->add_option("INPUT", options->input,
                   "a file of records, or a pattern with * for several")
      ->required();
  predict->add_option("-o,--output", options->output,
                      "a .csv, .jsonl or .parquet file; absent: CSV on "
                      "standard output");
  predict->add_option("--top-k", options->top_k, "labels per record")
      ->check(CLI::Range(1, 1000000));
  predict
      ->add_option("--format", options->format,
                   "idx, csv, parquet, arrow or tfrecord; absent: by the name "
                   "of INPUT")
      ->check(CLI::IsMember({"idx", "csv", "parquet", "arrow", "tfrecord"}));
  predict->add_option("--labels", options->labels,
                      "idx: true labels, to print the accuracy");
  predict->add_option("--label-column", options->label_column,
                      "not for idx: the column of true labels");
  predict->add_option("--feature-columns", options->feature_columns,
                      "not for idx: NAME,NAME,…; absent: all but the label");
  predict->add_option("--outputs", options->outputs,
                      "layers of the model whose outputs are written too: "
                      "NAME,NAME,…");
  predict
      ->add_option("--image", options->image,
                   "not for idx: the features are images, as bytes, path or "
                   "url")
      ->check(CLI::IsMember({"bytes", "path", "url"}));
  predict->add_option("--bad-rows", options->bad_rows,
                      "with --image: skip:N answers up to N images that cannot "
                      "be read with an error; absent: fail");
  predict->add_option("--coordinator", line->coordinator, "its HOST:PORT");
  predict->footer(
      "Examples:\n  tfd predict runs/mnist t10k-images-idx3-ubyte -o p.csv\n"
      "  tfd predict runs/mnist digits.csv --top-k 5 -o p.jsonl");
  predict->callback([line, options] {
    line->chosen = [line, options] { return Predict(*line, *options); };
  });
}

// Copies a folder's files, one level deep: what exports and checkpoints are.
absl::Status CopyFolder(const Location& from, const std::string& to,
                        std::ostream* out) {
  FileSystem& local = *LocalFileSystem();
  TFD_ASSIGN_OR_RETURN(std::vector<FileInfo> files,
                       from.file_system->List(from.path));
  TFD_RETURN_IF_ERROR(local.CreateFolder(to));
  constexpr size_t kPieceBytes = 4 << 20;
  std::string piece;
  for (const FileInfo& info : files) {
    TFD_ASSIGN_OR_RETURN(
        std::unique_ptr<RandomAccessFile> source,
        from.file_system->OpenForReading(JoinPath(from.path, info.name)));
    std::string path = JoinPath(to, info.name);
    TFD_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> target,
                         local.OpenForWriting(path));
    for (uint64_t at = 0; at < source->size_bytes(); at += piece.size()) {
      piece.resize(std::min<uint64_t>(kPieceBytes, source->size_bytes() - at));
      TFD_RETURN_IF_ERROR(source->Read(at, piece.size(), piece.data()));
      TFD_RETURN_IF_ERROR(target->Append(piece.data(), piece.size()));
    }
    TFD_RETURN_IF_ERROR(target->Commit());
    *out << path << "\n";
  }
  return absl::OkStatus();
}

absl::StatusOr<int> Get(const CommandLine& line, const std::string& id,
                        bool checkpoint, const std::string& output) {
  TFD_ASSIGN_OR_RETURN(std::string address,
                       CoordinatorAddress(*line.context, line.coordinator));
  CoordinatorClient client(address);
  TFD_ASSIGN_OR_RETURN(v1::Job job, client.Get(id));
  std::string uri = checkpoint ? job.checkpoint().uri() : job.export_uri();
  if (uri.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        id, " has no ", checkpoint ? "checkpoint" : "export", " yet: it is ",
        StateName(job.state()), " (", job.reason(), ")"));
  }
  TFD_ASSIGN_OR_RETURN(Location location, ResolveUri(uri));
  std::string folder = line.context->Absolute(output);
  absl::StatusOr<std::vector<FileInfo>> there = LocalFileSystem()->List(folder);
  if (there.ok() && !there->empty()) {
    return absl::AlreadyExistsError(
        absl::StrCat(output, " is not empty; choose another folder"));
  }
  TFD_RETURN_IF_ERROR(CopyFolder(location, folder, line.context->out));
  return 0;
}

void AddGet(CLI::App* app, CommandLine* line) {
  struct Options {
    std::string id;
    std::string output;
    bool checkpoint = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* get = app->add_subcommand(
      "get", "Fetch a job's export, or its newest checkpoint.");
  get->add_option("ID", options->id, "the job")->required();
  get->add_option("-o,--output", options->output, "the folder to write to")
      ->required();
  get->add_flag("--checkpoint", options->checkpoint,
                "the newest committed checkpoint instead of the export");
  get->add_option("--coordinator", line->coordinator, "its HOST:PORT");
  get->callback([line, options] {
    line->chosen = [line, options] {
      return Get(*line, options->id, options->checkpoint, options->output);
    };
  });
}

}  // namespace

void AddModelCommands(CLI::App* app, CommandLine* line) {
  AddPredict(app, line);
  AddGet(app, line);
}

}  // namespace tfd::client
