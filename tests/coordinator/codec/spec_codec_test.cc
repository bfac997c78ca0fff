#include "daemon/coordinator/codec/spec_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "daemon/coordinator/codec/link_codec.h"
#include "tests/coordinator/testing/cluster.h"

namespace tfd::coordinator {
namespace {

using ::testing::HasSubstr;

v1::JobSpec Normalised(v1::JobSpec spec) {
  const absl::Status status = NormaliseSpec(&spec);
  EXPECT_TRUE(status.ok()) << status;
  return spec;
}

TEST(SpecCodec, FactsAreWhatDecisionsNeed) {
  v1::JobSpec spec = testing::Spec(2, 1);
  spec.mutable_tasks()->mutable_worker()->set_cpus(0.5);
  spec.mutable_checkpoint()->set_keep(7);
  spec.mutable_stop()->mutable_target()->set_metric("accuracy");
  spec.mutable_stop()->mutable_target()->set_at_least(0.9);
  const JobFacts facts = FactsOf(Normalised(spec));
  EXPECT_EQ(facts.name, "test");
  ASSERT_EQ(facts.roles.size(), 3u);
  EXPECT_EQ(facts.roles[0].role, Role::kPs);
  EXPECT_EQ(facts.roles[1].role, Role::kWorker);
  EXPECT_EQ(facts.roles[1].count, 2);
  EXPECT_EQ(facts.roles[1].each.millicpus, 500);
  EXPECT_EQ(facts.roles[2].role, Role::kEvaluator);
  EXPECT_TRUE(facts.has_validation);
  EXPECT_EQ(facts.keep, 7);
  EXPECT_EQ(facts.target->at_least, 0.9);
  EXPECT_FALSE(facts.target->at_most.has_value());
  EXPECT_TRUE(facts.pushed.empty());
}

TEST(SpecCodec, PushedDataIsKnown) {
  const JobFacts facts = FactsOf(Normalised(testing::PushedSpec(3)));
  ASSERT_EQ(facts.pushed.size(), 1u);
  EXPECT_EQ(facts.pushed[0].name, "train");
  EXPECT_EQ(facts.pushed[0].producers, 3);
}

TEST(SpecCodec, AFolderOfStorageHasOneSpelling) {
  v1::JobSpec spec = Normalised(testing::Spec(1, 0));
  for (const std::string uri :
       {"/runs/x", "/runs/x/", "/runs/y/../x", "file:///runs/x"}) {
    spec.mutable_storage()->set_uri(uri);
    EXPECT_EQ(FactsOf(spec).storage, "/runs/x") << uri;
  }
  spec.mutable_storage()->set_uri("s3://bucket/y/../x");
  EXPECT_EQ(FactsOf(spec).storage, "s3://bucket/y/../x");
}

TEST(SpecCodec, OnlyLocalStorageThatIsNotSharedKeepsAJobOnOneNode) {
  v1::JobSpec spec = Normalised(testing::Spec(1, 0));
  EXPECT_TRUE(FactsOf(spec).one_node);
  spec.mutable_storage()->set_uri("file:///runs/x");
  EXPECT_TRUE(FactsOf(spec).one_node);
  spec.mutable_storage()->set_uri("s3://bucket/x");
  EXPECT_FALSE(FactsOf(spec).one_node);
  spec.mutable_storage()->set_uri("/runs/x");
  spec.mutable_storage()->set_shared(true);
  EXPECT_FALSE(FactsOf(spec).one_node);
}

TEST(SpecCodec, EqualSpecsAreEqualBytesAndDifferentOnesAreTold) {
  v1::JobSpec spec = Normalised(testing::PushedSpec(1));
  v1::JobSpec copy;
  ASSERT_TRUE(copy.ParseFromString(spec.SerializeAsString()));
  EXPECT_EQ(SerializeSpec(spec), SerializeSpec(copy));
  EXPECT_TRUE(CompareSpecs("j", SerializeSpec(spec), copy).ok());
  copy.set_seed(99);
  const absl::Status status = CompareSpecs("j", SerializeSpec(spec), copy);
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("seed: 1 against 99"));
}

v1::AgentHello Hello() {
  v1::AgentHello hello;
  hello.set_protocol_version(1);
  hello.set_node("node-a");
  hello.set_incarnation("i");
  return hello;
}

TEST(LinkCodec, ANodesNameMustBeOne) {
  EXPECT_TRUE(DecodeHello(Hello()).ok());
  for (const std::string& name :
       {std::string(), std::string("a b"), std::string("a/b"),
        std::string("a\nb"), std::string(300, 'x')}) {
    v1::AgentHello hello = Hello();
    hello.set_node(name);
    EXPECT_TRUE(absl::IsInvalidArgument(DecodeHello(hello).status())) << name;
  }
}

TEST(LinkCodec, OffersThatCannotBeAreNone) {
  for (const double cpus : {-1.0, 0.0, std::nan("")}) {
    v1::AgentHello hello = Hello();
    hello.mutable_offered()->set_cpus(cpus);
    EXPECT_EQ(DecodeHello(hello)->offered.millicpus, 0);
  }
  v1::AgentHello hello = Hello();
  hello.mutable_offered()->set_cpus(1e300);
  EXPECT_GT(DecodeHello(hello)->offered.millicpus, 0);
}

TEST(LinkCodec, LastLinesAreBounded) {
  v1::TaskReport report;
  report.set_phase(v1::TaskReport::ENDED);
  for (int i = 0; i < 5000; ++i) {
    report.mutable_exit()->add_last_lines(std::string(100000, 'x') +
                                          std::to_string(i));
  }
  report.mutable_exit()->add_last_lines("the end");
  const ProcessReport decoded = Decode(report);
  EXPECT_LE(decoded.exit->last_lines.size(), 100u);
  EXPECT_EQ(decoded.exit->last_lines.back(), "the end");
  EXPECT_LE(decoded.exit->last_lines.front().size(), 4096u);
}

}  // namespace
}  // namespace tfd::coordinator
