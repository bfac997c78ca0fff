#include "daemon/coordinator/coordinator_process.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/fs/file_system.h"
#include "common/net/server.h"
#include "common/status.h"
#include "daemon/coordinator/journal/sqlite_journal.h"
#include "daemon/coordinator/journal/state_folder.h"
#include "daemon/coordinator/loop/board.h"
#include "daemon/coordinator/service/coordinator_service.h"
#include "daemon/coordinator/service/flight_service.h"
#include "daemon/coordinator/service/hub.h"
#include "daemon/coordinator/service/link_services.h"
#include "spdlog/spdlog.h"

namespace tfd::coordinator {

// In the order of their dependencies; destroyed in the reverse one.
struct CoordinatorProcess::Parts {
  Parts(const CoordinatorOptions& options, Dependencies dependencies,
        StateFolder state_folder, std::unique_ptr<Journal> opened_journal)
      : folder(std::move(state_folder)),
        journal(std::move(opened_journal)),
        hub(&board),
        loop(options.loop, {journal.get(), dependencies.clock, &hub,
                            std::move(dependencies.on_fatal)}),
        coordinator({&loop, &board, dependencies.clock, &connections}),
        flight({&loop, &board, dependencies.clock, &connections}),
        agents({&loop, &hub, dependencies.clock, options.loop.terms}),
        tasks({&loop, &hub, dependencies.clock, options.loop.terms}) {}

  StateFolder folder;
  std::unique_ptr<Journal> journal;
  Board board;
  Hub hub;
  EventLoop loop;
  AgentConnections connections;
  CoordinatorService coordinator;
  FlightService flight;
  AgentLinkService agents;
  TaskLinkService tasks;
  std::unique_ptr<net::Server> server;
};

namespace {

absl::Status WriteAddressFile(const std::string& path,
                              const v1::Endpoint& endpoint) {
  if (path.empty()) return absl::OkStatus();
  std::string text;
  if (!endpoint.unix_path().empty()) {
    absl::StrAppend(&text, "unix:", endpoint.unix_path(), "\n");
  }
  if (!endpoint.tcp().empty()) absl::StrAppend(&text, endpoint.tcp(), "\n");
  return WriteFileAtomically(*LocalFileSystem(), path, text);
}

}  // namespace

CoordinatorProcess::CoordinatorProcess(std::unique_ptr<Parts> parts)
    : parts_(std::move(parts)) {}

CoordinatorProcess::~CoordinatorProcess() { Stop(); }

absl::StatusOr<std::unique_ptr<CoordinatorProcess>> CoordinatorProcess::Start(
    const CoordinatorOptions& options, Dependencies dependencies) {
  TFD_ASSIGN_OR_RETURN(StateFolder folder,
                       StateFolder::Open(options.state_folder));
  SqliteJournalOptions journal_options;
  journal_options.path = folder.journal_path();
  TFD_ASSIGN_OR_RETURN(std::unique_ptr<Journal> journal,
                       OpenSqliteJournal(journal_options));
  auto parts = std::make_unique<Parts>(options, std::move(dependencies),
                                       std::move(folder), std::move(journal));
  // What was known is published before anybody can ask.
  TFD_ASSIGN_OR_RETURN(const std::string cluster_id, parts->loop.Start());
  parts->agents.set_cluster_id(cluster_id);
  net::ServerOptions server_options;
  server_options.tcp = options.listen;
  server_options.unix_path = options.unix_path;
  TFD_ASSIGN_OR_RETURN(
      parts->server,
      net::Server::Start(server_options, {&parts->coordinator, &parts->flight,
                                          &parts->agents, &parts->tasks}));
  TFD_RETURN_IF_ERROR(
      WriteAddressFile(options.address_file, parts->server->endpoint()));
  spdlog::info("cluster {} is ready on {} {}", cluster_id,
               parts->server->endpoint().tcp(),
               parts->server->endpoint().unix_path());
  return std::unique_ptr<CoordinatorProcess>(
      new CoordinatorProcess(std::move(parts)));
}

const v1::Endpoint& CoordinatorProcess::endpoint() const {
  return parts_->server->endpoint();
}

EventLoop& CoordinatorProcess::loop() { return parts_->loop; }

void CoordinatorProcess::Stop() {
  // First nothing new is decided, then whoever waits is told.
  parts_->loop.Stop();
  parts_->flight.Stop();
  parts_->server->Stop();
}

}  // namespace tfd::coordinator
