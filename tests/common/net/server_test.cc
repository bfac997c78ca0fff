#include "common/net/server.h"

#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <string>

#include "absl/synchronization/notification.h"
#include "common/net/channel.h"
#include "common/net/endpoint.h"
#include "common/status.h"
#include "common/testing/temp_folder.h"
#include "common/unique_descriptor.h"
#include "tfd/v1/task.grpc.pb.h"

namespace tfd::net {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(30);

// Any service will do: SealPartition checks a token, Attach stays open.
class FakeService : public v1::TaskLink::Service {
 public:
  explicit FakeService(std::string token = "") : token_(std::move(token)) {}

  grpc::Status SealPartition(grpc::ServerContext* context,
                             const v1::SealPartitionRequest*,
                             v1::SealPartitionResponse*) override {
    return ToGrpc(CheckToken(*context, token_));
  }

  grpc::Status Attach(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<v1::TaskCommand, v1::TaskMessage>* stream)
      override {
    attached.Notify();
    v1::TaskMessage message;
    while (stream->Read(&message)) {
    }
    return grpc::Status::OK;
  }

  absl::Notification attached;

 private:
  const std::string token_;
};

absl::Status Call(const std::string& target, const std::string& token = "",
                  size_t request_bytes = 0) {
  const auto stub = v1::TaskLink::NewStub(Dial(target));
  grpc::ClientContext context;
  SetTimeout(context, kPatience);
  AddToken(context, token);
  v1::SealPartitionRequest request;
  request.set_dataset(std::string(request_bytes, 'x'));
  v1::SealPartitionResponse response;
  return FromGrpc(stub->SealPartition(&context, request, &response));
}

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

class ServerTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options) {
    return Server::Start(options, {&service_});
  }

  testing::TempFolder folder_;
  FakeService service_;
};

TEST_F(ServerTest, ServesTcpAndUnixSocketAndSaysWhere) {
  ServerOptions options;
  options.unix_path = folder_ / "s.sock";
  const auto server = Start(options);
  ASSERT_TRUE(server.ok()) << server.status();
  const v1::Endpoint& endpoint = (*server)->endpoint();
  EXPECT_EQ(endpoint.host_id(), HostId());
  EXPECT_EQ(endpoint.unix_path(), options.unix_path);
  EXPECT_THAT(endpoint.tcp(), ::testing::MatchesRegex("127.0.0.1:[1-9][0-9]*"));
  EXPECT_TRUE(Call(endpoint.tcp()).ok());
  EXPECT_TRUE(Call(*DialTarget(endpoint)).ok());
}

TEST_F(ServerTest, ItsSocketIsForItsUserAlone) {
  ServerOptions options;
  options.tcp = "";
  options.unix_path = folder_ / "new/s.sock";
  const auto server = Start(options);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ((*server)->endpoint().tcp(), "");
  struct stat info;
  ASSERT_EQ(stat(options.unix_path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(stat((folder_ / "new").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(ServerTest, APortInUseIsNamedWithItsHolder) {
  const auto first = Start({});
  ASSERT_TRUE(first.ok());
  ServerOptions options;
  options.tcp = (*first)->endpoint().tcp();
  FakeService other;
  const auto second = Server::Start(options, {&other});
  EXPECT_TRUE(absl::IsFailedPrecondition(second.status())) << second.status();
  const std::string port = options.tcp.substr(options.tcp.find(':') + 1);
  EXPECT_THAT(Message(second.status()),
              AllOf(HasSubstr("port " + port + " "), HasSubstr("in use"),
                    HasSubstr("process " + std::to_string(getpid())),
                    HasSubstr("choose another port")));
}

TEST_F(ServerTest, ALivingSocketIsRefusedAndGoesOnServing) {
  ServerOptions options;
  options.unix_path = folder_ / "s.sock";
  const auto first = Start(options);
  ASSERT_TRUE(first.ok());
  FakeService other;
  const auto second = Server::Start(options, {&other});
  EXPECT_TRUE(absl::IsFailedPrecondition(second.status())) << second.status();
  EXPECT_THAT(Message(second.status()),
              AllOf(HasSubstr(options.unix_path),
                    HasSubstr("process " + std::to_string(getpid()))));
  EXPECT_TRUE(Call("unix:" + options.unix_path).ok());
}

TEST_F(ServerTest, ASocketThatADeadProcessLeftIsReplaced) {
  ServerOptions options;
  options.unix_path = folder_ / "s.sock";
  {
    const UniqueDescriptor dead(socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, options.unix_path.c_str());
    ASSERT_EQ(bind(dead.get(), reinterpret_cast<sockaddr*>(&address),
                   sizeof(address)),
              0);
  }
  ASSERT_EQ(access(options.unix_path.c_str(), F_OK), 0);
  const auto server = Start(options);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_TRUE(Call("unix:" + options.unix_path).ok());
}

TEST_F(ServerTest, AFileInTheWayIsLeftAlone) {
  ServerOptions options;
  options.unix_path = folder_ / "notes.txt";
  std::ofstream(options.unix_path) << "mine";
  const auto server = Start(options);
  EXPECT_TRUE(absl::IsFailedPrecondition(server.status())) << server.status();
  std::string contents;
  std::ifstream(options.unix_path) >> contents;
  EXPECT_EQ(contents, "mine");
}

TEST_F(ServerTest, APathTooLongForASocketIsRefused) {
  ServerOptions options;
  options.unix_path = folder_ / std::string(120, 'x');
  EXPECT_THAT(Message(Start(options).status()), HasSubstr("shorter folder"));
}

TEST_F(ServerTest, OtherThanLoopbackIsRefused) {
  for (const char* tcp : {"0.0.0.0:0", "10.1.2.3:70", "[::]:0", "example.com:1",
                          ":0", "nonsense", "127.0.0.1:99999"}) {
    ServerOptions options;
    options.tcp = tcp;
    const auto server = Start(options);
    EXPECT_TRUE(absl::IsInvalidArgument(server.status())) << tcp;
    EXPECT_THAT(Message(server.status()), HasSubstr(tcp));
  }
  ServerOptions nowhere;
  nowhere.tcp = "";
  EXPECT_TRUE(absl::IsInvalidArgument(Start(nowhere).status()));
}

TEST_F(ServerTest, LocalhostIsLoopback) {
  ServerOptions options;
  options.tcp = "localhost:0";
  const auto server = Start(options);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_TRUE(Call((*server)->endpoint().tcp()).ok());
}

TEST_F(ServerTest, StopEndsOpenStreamsAndFreesPortAndSocket) {
  ServerOptions options;
  options.unix_path = folder_ / "s.sock";
  auto server = Start(options);
  ASSERT_TRUE(server.ok());
  options.tcp = (*server)->endpoint().tcp();
  const auto stub = v1::TaskLink::NewStub(Dial(options.tcp));
  grpc::ClientContext context;
  SetTimeout(context, kPatience);
  const auto stream = stub->Attach(&context);
  ASSERT_TRUE(stream->Write(v1::TaskMessage()));
  service_.attached.WaitForNotification();
  (*server)->Stop();
  v1::TaskCommand command;
  EXPECT_FALSE(stream->Read(&command));
  EXPECT_FALSE(stream->Finish().ok());
  EXPECT_NE(access(options.unix_path.c_str(), F_OK), 0);

  FakeService next;
  const auto restarted = Server::Start(options, {&next});
  ASSERT_TRUE(restarted.ok()) << restarted.status();
  EXPECT_TRUE(Call(options.tcp).ok());
}

TEST_F(ServerTest, AMessageBeyondTheBoundIsRefused) {
  ServerOptions options;
  options.max_message_bytes = 1 << 20;
  const auto server = Start(options);
  ASSERT_TRUE(server.ok());
  const std::string target = (*server)->endpoint().tcp();
  EXPECT_TRUE(Call(target, "", 1 << 19).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(Call(target, "", 1 << 21)));
}

TEST_F(ServerTest, ACallWithoutTheTokenIsUnauthenticated) {
  FakeService guarded("secret");
  const auto server = Server::Start({}, {&guarded});
  ASSERT_TRUE(server.ok());
  const std::string target = (*server)->endpoint().tcp();
  EXPECT_TRUE(Call(target, "secret").ok());
  for (const char* wrong : {"", "secre", "secret2", "Secret"}) {
    EXPECT_TRUE(absl::IsUnauthenticated(Call(target, wrong))) << wrong;
  }
  EXPECT_THAT(Message(Call(target)), HasSubstr("no token"));
  EXPECT_THAT(Message(Call(target, "x")), HasSubstr("wrong token"));
}

TEST_F(ServerTest, APeerThatIsNotThereIsUnavailable) {
  EXPECT_TRUE(absl::IsUnavailable(Call("unix:" + folder_ / "none.sock")));
}

}  // namespace
}  // namespace tfd::net
