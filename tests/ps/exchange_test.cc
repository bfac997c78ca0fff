#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ps/optimizer.h"
#include "ps/schedule.h"
#include "tests/ps/exchange_fixture.h"

namespace tfd::ps {
namespace {

// What the shards must do, in one thread, with loops that nobody vectorised:
// sums in the order of slots, weights, one optimizer step on all parameters.
std::vector<float> Reference(const v1::JobSpec& spec,
                             const tensor::Layout& layout, int64_t total_steps,
                             const PartOf& part_of) {
  std::vector<float> parameters = TestNumbers(layout.elements(), 0);
  const size_t n = parameters.size();
  const auto optimizer = MakeOptimizer(spec.optimizer());
  std::vector<std::vector<float>> state(
      (*optimizer)->state_names().size(), std::vector<float>(n, 0));
  uint64_t updates = 0;
  for (int64_t t = 0; t < total_steps; ++t) {
    std::vector<float> sum(n, 0);
    double total = 0;
    for (uint32_t slot = 0; slot < layout.slots(); ++slot) {
      const Part part = part_of(t, slot);
      if (part.idle || part.weight == 0) continue;
      const std::vector<float> g = TestNumbers(n, 77, t, slot);
      const auto weight = static_cast<float>(part.weight);
      for (size_t i = 0; i < n; ++i) sum[i] += weight * g[i];
      total += part.weight;
    }
    if (total == 0) continue;
    std::vector<float*> arrays;
    for (auto& s : state) arrays.push_back(s.data());
    std::vector<float> next(n);
    (*optimizer)->Apply(
        {LearningRate(spec.optimizer(), t, total_steps),
         static_cast<float>(1 / total), ++updates},
        {parameters, sum, arrays, absl::MakeSpan(next)});
    parameters = next;
  }
  return parameters;
}

Part Always(int64_t, uint32_t) { return {64, false}; }

class ExchangeTest : public testing::Test {
 protected:
  TemporaryFolder folder_;
};

TEST_F(ExchangeTest, TwoWorkersAndOneShardEqualASequentialReference) {
  const v1::JobSpec spec = TestSpec();
  const tensor::Layout layout = TestLayout(2, 1);
  const TestCluster cluster(folder_.path(), 1, 1, spec);
  const auto results = RunWorkers(cluster, layout, 1, 20, 20, Always);
  const std::vector<float> expected = Reference(spec, layout, 20, Always);
  EXPECT_EQ(results[0], expected);
  EXPECT_EQ(results[1], expected);
}

}  // namespace
}  // namespace tfd::ps
