// One loop, compiled for several instruction sets and chosen at run time. The
// compiler vectorises; these macros only make the variants and the choice.
//
//   TFD_SIMD_INLINE void AddBody(const float* a, float* b, size_t n) { … }
//   TFD_SIMD_FUNCTION(Add, (const float* a, float* b, size_t n), (a, b, n))
//
// defines Add, which calls AddBody as compiled for the best instruction set
// here. Files that use this are compiled with -ffp-contract=off, so that every
// variant gives the same bits.
#ifndef TFD_TENSOR_SIMD_H_
#define TFD_TENSOR_SIMD_H_

namespace tfd::tensor {

enum class Simd { kBaseline, kAvx2, kAvx512 };

// Asked from the processor once.
inline Simd BestSimd() {
#if defined(__x86_64__)
  static const Simd best = [] {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq")) {
      return Simd::kAvx512;
    }
    return __builtin_cpu_supports("avx2") ? Simd::kAvx2 : Simd::kBaseline;
  }();
  return best;
#else
  return Simd::kBaseline;
#endif
}

}  // namespace tfd::tensor

#define TFD_SIMD_INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__)
#define TFD_SIMD_AVX2 __attribute__((target("avx2")))
#define TFD_SIMD_AVX512 \
  __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq")))
#define TFD_SIMD_FUNCTION(name, parameters, arguments)                      \
  TFD_SIMD_AVX512 static void name##Avx512 parameters {                     \
    name##Body arguments;                                                   \
  }                                                                         \
  TFD_SIMD_AVX2 static void name##Avx2 parameters { name##Body arguments; } \
  static void name##Baseline parameters { name##Body arguments; }           \
  static void name parameters {                                             \
    switch (::tfd::tensor::BestSimd()) {                                    \
      case ::tfd::tensor::Simd::kAvx512:                                    \
        return name##Avx512 arguments;                                      \
      case ::tfd::tensor::Simd::kAvx2:                                      \
        return name##Avx2 arguments;                                        \
      case ::tfd::tensor::Simd::kBaseline:                                  \
        return name##Baseline arguments;                                    \
    }                                                                       \
  }
#else
#define TFD_SIMD_FUNCTION(name, parameters, arguments) \
  static void name parameters { name##Body arguments; }
#endif

#endif  // TFD_TENSOR_SIMD_H_
