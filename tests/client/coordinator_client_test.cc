// The client against a coordinator that answers as it is told.
#include "client/coordinator_client.h"

#include <gmock/gmock.h>
#include <grpcpp/server_context.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "common/net/server.h"
#include "common/status.h"
#include "common/testing/temp_folder.h"
#include "tfd/v1/coordinator.grpc.pb.h"

namespace tfd::client {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// Takes every submission in and loses the answers to the first ones.
class ForgetfulCoordinator final : public v1::Coordinator::Service {
 public:
  explicit ForgetfulCoordinator(int losses) : losses_(losses) {}

  grpc::Status SubmitJob(grpc::ServerContext* /*context*/,
                         const v1::SubmitJobRequest* request,
                         v1::Job* response) override {
    absl::MutexLock lock(&mutex_);
    ids_.push_back(request->id());
    if (losses_-- > 0) return ToGrpc(absl::UnavailableError("socket closed"));
    response->set_id(request->id());
    return grpc::Status::OK;
  }
  std::vector<std::string> ids() {
    absl::MutexLock lock(&mutex_);
    return ids_;
  }

 private:
  absl::Mutex mutex_;
  int losses_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> ids_ ABSL_GUARDED_BY(mutex_);
};

class SubmitTest : public ::testing::Test {
 protected:
  absl::StatusOr<v1::Job> Submit(ForgetfulCoordinator* coordinator,
                                 const std::string& id) {
    net::ServerOptions options;
    options.tcp = "";
    options.unix_path = folder_ / "c";
    const auto server = net::Server::Start(options, {coordinator});
    EXPECT_TRUE(server.ok()) << server.status();
    v1::JobSpec spec;
    spec.set_name("mnist");
    return CoordinatorClient("unix:" + options.unix_path)
        .Submit(spec, id, "ada");
  }

  testing::TempFolder folder_;
};

TEST_F(SubmitTest, ALostAnswerIsAskedForAgainUnderTheSameId) {
  ForgetfulCoordinator coordinator(1);
  const auto job = Submit(&coordinator, "");
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_THAT(job->id(), StartsWith("mnist-"));
  EXPECT_EQ(coordinator.ids(), std::vector<std::string>(2, job->id()));
}

TEST_F(SubmitTest, AGivenIdIsKept) {
  ForgetfulCoordinator coordinator(0);
  EXPECT_EQ(Submit(&coordinator, "nightly-7")->id(), "nightly-7");
  EXPECT_EQ(coordinator.ids(), std::vector<std::string>{"nightly-7"});
}

TEST_F(SubmitTest, WhereNobodyAnswersItSaysUnderWhichIdToSubmitAgain) {
  ForgetfulCoordinator coordinator(10);
  const auto job = Submit(&coordinator, "");
  EXPECT_TRUE(absl::IsUnavailable(job.status()));
  EXPECT_THAT(std::string(job.status().message()),
              HasSubstr("--id " + coordinator.ids().front()));
}

}  // namespace
}  // namespace tfd::client
