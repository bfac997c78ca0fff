// The service as a client sees it that knows only the .proto.
#include "ps/shard_service.h"

#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <cstring>

#include "common/net/channel.h"
#include "common/version.h"
#include "tests/ps/exchange_fixture.h"
#include "tfd/v1/shard.grpc.pb.h"

namespace tfd::ps {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kGeneration = 6;

class ShardServiceTest : public ::testing::Test {
 protected:
  ShardServiceTest() {
    server_ =
        std::make_unique<TestShard>(folder_.path(), 0, kGeneration, TestSpec());
    server_->SetMembership();
    stub_ = v1::Shard::NewStub(net::Dial(server_->target()));
  }

  // A call with what every call needs.
  struct Call {
    explicit Call(const std::string& token = kTestToken,
                  const std::string& slot = "0",
                  const std::string& generation = "6") {
      net::AddToken(context, token);
      net::SetTimeout(context, kTestTimeout);
      if (!slot.empty()) context.AddMetadata(kSlotMetadata, slot);
      if (!generation.empty()) {
        context.AddMetadata(kGenerationMetadata, generation);
      }
      context.AddMetadata(kIncarnationMetadata, "1");
    }
    grpc::ClientContext context;
  };

  v1::OpenRequest OpenRequest(const tensor::Layout& layout) {
    v1::OpenRequest request;
    request.set_protocol_version(kProtocolVersion);
    request.set_generation(kGeneration);
    request.set_task("worker/0");
    *request.mutable_layout() = layout.ToProto(kGeneration);
    request.set_total_steps(10);
    return request;
  }

  grpc::Status Open(const v1::OpenRequest& request,
                    const std::string& token = kTestToken) {
    Call call(token);
    return stub_->Open(&call.context, request, &opened_);
  }

  // How a stream that is not to be ends.
  grpc::Status StreamStatus(Call call) {
    auto stream = stub_->Exchange(&call.context);
    v1::ChunkReply reply;
    EXPECT_FALSE(stream->Read(&reply));
    return stream->Finish();
  }

  static v1::ChunkRequest Request(v1::ChunkKind kind, uint64_t step,
                                  uint32_t chunk,
                                  const std::vector<float>& values) {
    v1::ChunkRequest request;
    request.set_generation(kGeneration);
    request.set_kind(kind);
    request.set_step(step);
    request.set_chunk(chunk);
    if (kind == v1::PUSH) request.set_weight(1);
    request.set_payload(values.data(), values.size() * sizeof(float));
    return request;
  }

  testing::TempFolder folder_;
  std::unique_ptr<TestShard> server_;
  std::unique_ptr<v1::Shard::Stub> stub_;
  v1::OpenResponse opened_;
};

TEST_F(ShardServiceTest, AnyClientWithTheProtoCanTrain) {
  const tensor::Layout layout = TestLayout(1, 1, 1 << 20);
  ASSERT_TRUE(Open(OpenRequest(layout)).ok());
  EXPECT_FALSE(opened_.initialised());
  Call call;
  auto stream = stub_->Exchange(&call.context);
  const std::vector<float> ones(layout.elements(), 1);
  v1::ChunkReply reply;
  ASSERT_TRUE(stream->Write(Request(v1::INIT, 0, 0, ones)));
  ASSERT_TRUE(stream->Read(&reply));
  EXPECT_EQ(reply.code(), 0) << reply.message();
  ASSERT_TRUE(stream->Write(Request(v1::PUSH, 0, 0, ones)));
  ASSERT_TRUE(stream->Read(&reply));
  EXPECT_EQ(reply.code(), 0) << reply.message();
  EXPECT_EQ(reply.step(), 1u);
  ASSERT_EQ(reply.payload().size(), layout.elements() * sizeof(float));
  float first = 0;
  std::memcpy(&first, reply.payload().data(), sizeof(first));
  EXPECT_FLOAT_EQ(first, 0.9f);
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(ShardServiceTest, AWrongMessageIsAnsweredAndTheStreamGoesOn) {
  const tensor::Layout layout = TestLayout(1, 1, 1 << 20);
  ASSERT_TRUE(Open(OpenRequest(layout)).ok());
  Call call;
  auto stream = stub_->Exchange(&call.context);
  v1::ChunkReply reply;
  v1::ChunkRequest unknown_kind;
  unknown_kind.set_kind(static_cast<v1::ChunkKind>(77));
  ASSERT_TRUE(stream->Write(unknown_kind));
  ASSERT_TRUE(stream->Read(&reply));
  EXPECT_EQ(reply.code(), static_cast<int>(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(reply.message(), HasSubstr("chunk request: kind: 77"));
  ASSERT_TRUE(stream->Write(
      Request(v1::INIT, 0, 0, std::vector<float>(layout.elements() + 300000))));
  ASSERT_TRUE(stream->Read(&reply));
  EXPECT_THAT(reply.message(), HasSubstr("payload: 12020"));
  ASSERT_TRUE(stream->Write(
      Request(v1::INIT, 0, 0, std::vector<float>(layout.elements()))));
  ASSERT_TRUE(stream->Read(&reply));
  EXPECT_EQ(reply.code(), 0) << reply.message();
}

TEST_F(ShardServiceTest, StreamsThatAreNotToBeAreRefusedInWords) {
  EXPECT_THAT(StreamStatus(Call()).error_message(), HasSubstr("Open comes"));
  ASSERT_TRUE(Open(OpenRequest(TestLayout(1, 1))).ok());
  EXPECT_EQ(StreamStatus(Call("")).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(StreamStatus(Call("other")).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  const grpc::Status stale = StreamStatus(Call(kTestToken, "0", "5"));
  EXPECT_EQ(stale.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(stale.error_message(), HasSubstr("is of 5, ps/0 of 6"));
  EXPECT_THAT(StreamStatus(Call(kTestToken, "1")).error_message(),
              HasSubstr("slot: 1, but a step has 1"));
  EXPECT_THAT(StreamStatus(Call(kTestToken, "")).error_message(),
              HasSubstr("tfd-slot"));
  EXPECT_THAT(StreamStatus(Call(kTestToken, "0", "x")).error_message(),
              HasSubstr("tfd-generation"));
}

TEST_F(ShardServiceTest, HandshakesThatDoNotAgreeAreRefusedWithBothNamed) {
  const tensor::Layout layout = TestLayout(1, 1);
  EXPECT_EQ(Open(OpenRequest(layout), "guess").error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  v1::OpenRequest request = OpenRequest(layout);
  request.set_protocol_version(99);
  EXPECT_THAT(Open(request).error_message(),
              HasSubstr("worker/0 speaks protocol 99, ps/0 speaks 1"));
  request = OpenRequest(layout);
  request.set_generation(5);
  EXPECT_THAT(Open(request).error_message(),
              HasSubstr("worker/0 is of generation 5, ps/0 of 6"));
  request = OpenRequest(layout);
  request.set_task("worker/9");
  EXPECT_THAT(Open(request).error_message(), HasSubstr("worker/9 fills no"));
  request = OpenRequest(layout);
  request.mutable_layout()->mutable_groups(0)->set_shards(0, "ps/7");
  EXPECT_THAT(Open(request).error_message(), HasSubstr("ps/0 is not shard 0"));
  request = OpenRequest(layout);
  request.mutable_layout()->clear_groups();
  EXPECT_THAT(Open(request).error_message(), HasSubstr("layout.groups"));
}

TEST_F(ShardServiceTest, APeerThatDoesNotReadHoldsBackItselfAlone) {
  constexpr size_t kPulls = 3000;
  // What is let in beyond the answers that were read: 64 of the stream, and
  // what gRPC holds on either side (a window of 16 MiB at most, that is 64
  // answers of 256 KiB, and its buffers); far from all there are.
  constexpr uint64_t kMostAhead = 64 + 3 * 64;
  tensor::LayoutParts parts;
  parts.members = {"worker/0"};
  parts.shards = {"ps/0"};
  parts.tensors = {{"w", {65536}}};
  parts.chunk_elements = 65536;
  const tensor::Layout layout = *tensor::Layout::Build(parts);
  ASSERT_TRUE(Open(OpenRequest(layout)).ok());
  Call call;
  auto stream = stub_->Exchange(&call.context);
  v1::ChunkReply reply;
  ASSERT_TRUE(stream->Write(
      Request(v1::INIT, 0, 0, std::vector<float>(layout.elements()))));
  ASSERT_TRUE(stream->Read(&reply));
  std::thread writer([&] {
    for (size_t i = 0; i < kPulls; ++i) {
      if (!stream->Write(Request(v1::PULL, 0, 0, {}))) break;
    }
    stream->WritesDone();
  });
  for (uint64_t read = 1; read <= kPulls; ++read) {
    const uint64_t handled = server_->shard().stats().requests;
    EXPECT_LE(handled, read + kMostAhead);
    if (handled > read + kMostAhead) break;
    ASSERT_TRUE(stream->Read(&reply));
    ASSERT_EQ(reply.code(), 0) << reply.message();
  }
  call.context.TryCancel();
  writer.join();
}

}  // namespace
}  // namespace tfd::ps
