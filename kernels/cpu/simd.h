// The 16-lane types of the instruction set that the including file is compiled for.
//
// Bodies (*_simd.h) include this, stand in the namespace sluice::SLUICE_SIMD_NAMESPACE, and hold no
// intrinsics. Only files named after an instruction set (*_avx2.cc, *_avxvnni.cc, *_avx512.cc,
// *_avx512bf16.cc, *_neon.cc) may include them (kernels/CMakeLists.txt gives those their flags).
#ifndef SLUICE_KERNELS_CPU_SIMD_H_
#define SLUICE_KERNELS_CPU_SIMD_H_

#if defined(SLUICE_AVX_VNNI_AS_EVEX)
#include "kernels/cpu/simd_avx2.h"
#elif defined(__AVX512VNNI__)
#include "kernels/cpu/simd_avx512.h"
#elif defined(__AVX2__)
#include "kernels/cpu/simd_avx2.h"
#elif defined(__ARM_FEATURE_DOTPROD)
#include "kernels/cpu/simd_neon.h"
#else
#error "no 16-lane types for this instruction set"
#endif

#endif  // SLUICE_KERNELS_CPU_SIMD_H_
