// The loops of a shard beside memcpy, on one core, for one chunk (in cache) and
// for 64 MiB (out of it). bytes_per_second counts what is read and written:
//   memcpy          reads and writes n
//   AccumulateChunk reads the gradient and the sum, writes the sum (3 n); the
//                   gradient is at an odd address, as it arrives
//   SgdUpdate       reads sum and parameters, writes parameters (3 n)
//   AdamUpdate      reads sum, m, v, parameters, writes m, v, parameters (7 n)
#include <benchmark/benchmark.h>

#include <cstring>
#include <vector>

#include "ps/optimizer.h"
#include "tensor/accumulate.h"
#include "tensor/float_buffer.h"

namespace tfd {
namespace {

using tensor::FloatBuffer;

void SetBytes(benchmark::State& state, size_t arrays) {
  state.SetBytesProcessed(state.iterations() * state.range(0) *
                          static_cast<int64_t>(arrays));
}

void BM_Memcpy(benchmark::State& state) {
  const size_t n = state.range(0) / sizeof(float);
  const FloatBuffer from = FloatBuffer::Zeros(n);
  FloatBuffer to = FloatBuffer::Zeros(n);
  for (auto _ : state) {
    std::memcpy(to.data(), from.data(), n * sizeof(float));
    benchmark::ClobberMemory();
  }
  SetBytes(state, 2);
}

void BM_AccumulateChunk(benchmark::State& state) {
  const size_t n = state.range(0) / sizeof(float);
  std::vector<std::byte> bytes(n * sizeof(float) + 1);
  FloatBuffer sum = FloatBuffer::Zeros(n);
  const tensor::ByteSpan g(bytes.data() + 1, n * sizeof(float));
  for (auto _ : state) {
    tensor::AddScaled(64, {g}, sum.span());
    benchmark::ClobberMemory();
  }
  SetBytes(state, 3);
}

void RunUpdate(benchmark::State& state, v1::OptimizerSpec::Name name,
               size_t arrays) {
  const size_t n = state.range(0) / sizeof(float);
  v1::OptimizerSpec spec;
  spec.set_name(name);
  spec.set_beta1(0.9);
  spec.set_beta2(0.999);
  spec.set_epsilon(1e-8);
  const auto optimizer = ps::MakeOptimizer(spec);
  FloatBuffer parameters = FloatBuffer::Zeros(n);
  FloatBuffer next = FloatBuffer::Zeros(n);
  FloatBuffer sum = FloatBuffer::Zeros(n);
  for (size_t i = 0; i < n; ++i) sum.data()[i] = static_cast<float>(i % 7);
  std::vector<FloatBuffer> buffers;
  std::vector<float*> pointers;
  for (size_t i = 0; i < (*optimizer)->state_names().size(); ++i) {
    buffers.push_back(FloatBuffer::Zeros(n));
    pointers.push_back(buffers.back().data());
  }
  uint64_t update = 0;
  for (auto _ : state) {
    (*optimizer)
        ->Apply({0.001, 0.5f, ++update},
                {parameters.span(), sum.span(), pointers, next.span()});
    std::swap(parameters, next);
    benchmark::ClobberMemory();
  }
  SetBytes(state, arrays);
}

void BM_SgdUpdate(benchmark::State& state) {
  RunUpdate(state, v1::OptimizerSpec::SGD, 3);
}
void BM_AdamUpdate(benchmark::State& state) {
  RunUpdate(state, v1::OptimizerSpec::ADAM, 7);
}

BENCHMARK(BM_Memcpy)->Arg(1 << 20)->Arg(64 << 20);
BENCHMARK(BM_AccumulateChunk)->Arg(1 << 20)->Arg(64 << 20);
BENCHMARK(BM_SgdUpdate)->Arg(1 << 20)->Arg(64 << 20);
BENCHMARK(BM_AdamUpdate)->Arg(1 << 20)->Arg(64 << 20);

}  // namespace
}  // namespace tfd
