// The 16-lane types of the instruction set that the including file is compiled for.
//
// Bodies (*_simd.h) include this, and stand in the namespace sluice::SLUICE_SIMD_NAMESPACE. Only files
// named *_avx2.cc and *_avx512.cc may include them (kernels/CMakeLists.txt gives those their flags).
#ifndef SLUICE_KERNELS_CPU_SIMD_H_
#define SLUICE_KERNELS_CPU_SIMD_H_

#if defined(__AVX512VNNI__)
#include "kernels/cpu/simd_avx512.h"
#elif defined(__AVX2__)
#include "kernels/cpu/simd_avx2.h"
#else
#error "no 16-lane types for this instruction set"
#endif

#endif  // SLUICE_KERNELS_CPU_SIMD_H_
