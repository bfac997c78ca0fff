#include "tests/coordinator/testing/cluster.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/status.h"
#include "common/version.h"

namespace tfd::coordinator::testing {
namespace {

std::unique_ptr<grpc::ClientContext> NewContext(const std::string& token = "") {
  auto context = std::make_unique<grpc::ClientContext>();
  net::AddToken(*context, token);
  return context;
}

void BoundCall(grpc::ClientContext& context) {
  net::SetTimeout(context, kPatience);
  // A coordinator that was just rebuilt is dialled anew.
  context.set_wait_for_ready(true);
}

}  // namespace

TestCoordinator::TestCoordinator() { Start(); }

void TestCoordinator::Start() {
  CoordinatorOptions options;
  options.state_folder = folder_ / "state";
  options.listen = "127.0.0.1:0";
  options.unix_path = folder_ / "c.sock";
  options.loop.tick = absl::Milliseconds(20);
  CoordinatorProcess::Dependencies dependencies;
  dependencies.clock = &clock_;
  absl::StatusOr<std::unique_ptr<CoordinatorProcess>> process =
      CoordinatorProcess::Start(options, dependencies);
  ASSERT_TRUE(process.ok()) << process.status();
  process_ = *std::move(process);
  target_ = "unix:" + (folder_ / "c.sock");
  net::DialOptions dial;
  dial.own_connection = true;
  channel_ = net::Dial(target_, dial);
  stub_ = v1::Coordinator::NewStub(channel_);
}

void TestCoordinator::Advance(absl::Duration duration) {
  clock_.Advance(duration);
  process_->loop().LookAtTimeNow();
  // Until it has looked: to it, a longer leap means that it was away itself.
  absl::Notification looked;
  process_->loop().PostAlways([&looked](const Context&) -> Answer {
    return [&looked](const Context&) { looked.Notify(); };
  });
  looked.WaitForNotification();
}

absl::StatusOr<v1::Job> TestCoordinator::Submit(const std::string& id,
                                                const v1::JobSpec& spec) {
  grpc::ClientContext context;
  BoundCall(context);
  v1::SubmitJobRequest request;
  request.set_id(id);
  *request.mutable_spec() = spec;
  request.set_owner("ada");
  v1::Job job;
  const grpc::Status status = stub_->SubmitJob(&context, request, &job);
  if (!status.ok()) return FromGrpc(status);
  return job;
}

absl::StatusOr<v1::Job> TestCoordinator::Get(const std::string& id) {
  grpc::ClientContext context;
  BoundCall(context);
  v1::GetJobRequest request;
  request.set_id(id);
  v1::Job job;
  const grpc::Status status = stub_->GetJob(&context, request, &job);
  if (!status.ok()) return FromGrpc(status);
  return job;
}

absl::StatusOr<v1::Job> TestCoordinator::Cancel(const std::string& id,
                                                const std::string& reason) {
  grpc::ClientContext context;
  BoundCall(context);
  v1::CancelJobRequest request;
  request.set_id(id);
  request.set_reason(reason);
  v1::Job job;
  const grpc::Status status = stub_->CancelJob(&context, request, &job);
  if (!status.ok()) return FromGrpc(status);
  return job;
}

v1::Job TestCoordinator::WaitFor(
    const std::string& id, const std::function<bool(const v1::Job&)>& wanted) {
  grpc::ClientContext context;
  BoundCall(context);
  v1::WatchJobRequest request;
  request.set_id(id);
  const auto reader = stub_->WatchJob(&context, request);
  v1::Job job;
  while (reader->Read(&job)) {
    if (wanted(job)) break;
    // The watch is throttled by the clock that this test owns.
    clock_.Advance(absl::Milliseconds(100));
  }
  context.TryCancel();
  EXPECT_TRUE(wanted(job)) << job.ShortDebugString();
  return job;
}

v1::Job TestCoordinator::WaitForState(const std::string& id,
                                      v1::JobState state) {
  return WaitFor(id,
                 [state](const v1::Job& job) { return job.state() == state; });
}

v1::ListNodesResponse TestCoordinator::Nodes() {
  grpc::ClientContext context;
  BoundCall(context);
  v1::ListNodesResponse response;
  const grpc::Status status =
      stub_->ListNodes(&context, v1::ListNodesRequest(), &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response;
}

v1::JobSpec Spec(int workers, int evaluators) {
  v1::JobSpec spec;
  spec.set_name("test");
  spec.mutable_model()->set_builtin(v1::ModelSpec::LINEAR);
  spec.mutable_optimizer()->set_name(v1::OptimizerSpec::SGD);
  spec.mutable_tasks()->mutable_worker()->set_count(workers);
  if (evaluators > 0) {
    spec.mutable_tasks()->mutable_evaluator()->set_count(evaluators);
  }
  for (v1::DatasetSpec* dataset : {spec.mutable_data()->mutable_train(),
                                   spec.mutable_data()->mutable_validation()}) {
    dataset->set_format(v1::DatasetSpec::IDX);
    dataset->set_features("/data/images");
    dataset->set_labels("/data/labels");
    dataset->set_batch_size(8);
  }
  spec.mutable_stop()->set_epochs(1);
  spec.mutable_storage()->set_uri("/runs/test");
  return spec;
}

v1::JobSpec PushedSpec(int producers) {
  v1::JobSpec spec = Spec(1, 0);
  v1::DatasetSpec* train = spec.mutable_data()->mutable_train();
  train->Clear();
  train->set_format(v1::DatasetSpec::PUSHED);
  train->set_batch_size(8);
  train->set_producers(producers);
  (*train->mutable_columns())["features"] = "image";
  (*train->mutable_columns())["label"] = "label";
  return spec;
}

FakeAgent::FakeAgent(const std::string& node, const std::string& incarnation)
    : node_(node), incarnation_(incarnation) {
  net::ServerOptions options;
  absl::StatusOr<std::unique_ptr<net::Server>> server =
      net::Server::Start(options, {this});
  EXPECT_TRUE(server.ok()) << server.status();
  if (server.ok()) server_ = *std::move(server);
}

void FakeAgent::Attach(const TestCoordinator& coordinator,
                       const std::vector<v1::TaskReport>& tasks) {
  stream_ =
      std::make_unique<StreamClient<v1::AgentMessage, v1::AgentCommand>>();
  net::DialOptions dial;
  dial.own_connection = true;
  channel_ = net::Dial(coordinator.target(), dial);
  stub_ = v1::AgentLink::NewStub(channel_);
  auto context = NewContext();
  context->set_wait_for_ready(true);
  auto stream = stub_->Attach(context.get());
  stream_->Run(std::move(context), std::move(stream));
  v1::AgentMessage message;
  v1::AgentHello* hello = message.mutable_hello();
  hello->set_protocol_version(protocol_version);
  hello->set_node(node_);
  hello->set_incarnation(incarnation_);
  hello->mutable_offered()->set_cpus(8);
  hello->mutable_offered()->set_memory_bytes(uint64_t{64} << 30);
  *hello->mutable_endpoint() = server_->endpoint();
  hello->set_version(kVersion);
  hello->set_log_token("log-token of " + node_);
  for (const v1::TaskReport& task : tasks) *hello->add_tasks() = task;
  stream_->Send(message);
}

std::string FakeAgent::WaitWelcome() {
  const auto command =
      stream_->Next([](const v1::AgentCommand& c) { return c.has_welcome(); });
  EXPECT_TRUE(command.has_value());
  return command.has_value() ? command->welcome().cluster_id() : "";
}

v1::DesiredState FakeAgent::WaitDesired(
    const std::function<bool(const v1::DesiredState&)>& wanted) {
  const auto command = stream_->Next([&wanted](const v1::AgentCommand& c) {
    return c.has_desired() && wanted(c.desired());
  });
  EXPECT_TRUE(command.has_value()) << "no such desired state came";
  return command.has_value() ? command->desired() : v1::DesiredState();
}

v1::DesiredState FakeAgent::WaitTasks(size_t count) {
  return WaitDesired([count](const v1::DesiredState& desired) {
    return static_cast<size_t>(desired.tasks_size()) == count;
  });
}

v1::TaskReport Running(const v1::TaskLaunch& launch) {
  v1::TaskReport report;
  report.set_job(launch.job());
  report.set_task(launch.task());
  report.set_generation(launch.generation());
  report.set_phase(v1::TaskReport::STARTED);
  report.set_pid(1000);
  return report;
}

void FakeAgent::Started(const v1::TaskLaunch& launch, int64_t pid) {
  v1::AgentMessage message;
  *message.mutable_report() = Running(launch);
  message.mutable_report()->set_pid(pid);
  stream_->Send(message);
}

void FakeAgent::Exited(const v1::TaskLaunch& launch, int code,
                       const std::string& text) {
  v1::AgentMessage message;
  *message.mutable_report() = Running(launch);
  message.mutable_report()->set_phase(v1::TaskReport::ENDED);
  v1::ExitCause* exit = message.mutable_report()->mutable_exit();
  exit->set_kind(v1::ExitCause::EXITED);
  exit->set_code(code);
  exit->set_message(text);
  exit->add_last_lines("the last line");
  stream_->Send(message);
}

grpc::Status FakeAgent::ReadTaskLogs(grpc::ServerContext* context,
                                     const v1::ReadTaskLogsRequest* request,
                                     grpc::ServerWriter<v1::LogLines>* writer) {
  const absl::Status token = net::CheckToken(*context, "log-token of " + node_);
  if (!token.ok()) return ToGrpc(token);
  for (const std::string& line : logs[request->task()]) {
    v1::LogLines lines;
    lines.set_stream(v1::LogLines::STDERR);
    lines.set_text(line);
    writer->Write(lines);
  }
  return grpc::Status::OK;
}

FakeTask::FakeTask(const v1::TaskLaunch& launch, uint64_t incarnation)
    : token(launch.token()) {
  hello.set_protocol_version(kProtocolVersion);
  hello.set_job(launch.job());
  hello.set_task(launch.task());
  hello.set_generation(launch.generation());
  hello.set_incarnation(incarnation);
  hello.set_pid(1000);
  hello.mutable_endpoint()->set_host_id("host");
  hello.mutable_endpoint()->set_tcp("127.0.0.1:" + launch.task());
}

void FakeTask::Attach(const TestCoordinator& coordinator) {
  stream_ = std::make_unique<StreamClient<v1::TaskMessage, v1::TaskCommand>>();
  net::DialOptions dial;
  dial.own_connection = true;
  channel_ = net::Dial(coordinator.target(), dial);
  stub_ = v1::TaskLink::NewStub(channel_);
  auto context = NewContext(token);
  context->set_wait_for_ready(true);
  auto stream = stub_->Attach(context.get());
  stream_->Run(std::move(context), std::move(stream));
  v1::TaskMessage message;
  *message.mutable_hello() = hello;
  stream_->Send(message);
}

std::optional<v1::TaskCommand> FakeTask::Wait(
    v1::TaskCommand::CommandCase kind) {
  auto command = stream_->Next(
      [kind](const v1::TaskCommand& c) { return c.command_case() == kind; });
  EXPECT_TRUE(command.has_value())
      << hello.task() << " was not told command " << kind;
  return command;
}

}  // namespace tfd::coordinator::testing
