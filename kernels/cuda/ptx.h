// What kernels need of the machine beyond C++: integer dot products, matrix instructions, exchange
// inside a warp, barriers, shared memory, and loads that go their own way through the caches.
//
// The only file with PTX in it. Compiled by nvcc these are single instructions; compiled by any
// other compiler they are declarations, which an emulation of the execution model defines
// (tests/cuda_emulation). What threads do together takes the caller's line, so that an emulation
// can tell where they went apart. Lanes of fragments are those of the PTX ISA, "Matrix fragments
// for mma.m16n8k32" and its neighbours.
#ifndef SLUICE_KERNELS_CUDA_PTX_H_
#define SLUICE_KERNELS_CUDA_PTX_H_

#include <cuda_runtime.h>
#include <stdint.h>

namespace sluice::cuda {

inline constexpr int kWarpLanes = 32;
inline constexpr int64_t kSharedAlignment = 16;

#if defined(__CUDACC__)
#define SLUICE_PTX __device__ __forceinline__
#else
#define SLUICE_PTX
#endif

// c + the sum of a's four int8 times b's four int8.
SLUICE_PTX int32_t Dp4a(uint32_t a, uint32_t b, int32_t c);

// Byte i of the result is byte (selector >> 4i) % 16 of the eight of `low` and then `high`; each of
// the selector's four nibbles is 0 to 7.
SLUICE_PTX uint32_t PickBytes(uint32_t low, uint32_t high, uint32_t selector);

// c += A * B, int8 by int8 into int32, exact; all 32 lanes of a warp together. With g = lane / 4
// and t = lane % 4:
//
//   A [16, 32]: a[0] = row g, columns 4t .. 4t+3; a[1] = row g + 8; a[2], a[3] 16 columns on
//   B [32, 8]:  b[0] = column g, rows 4t .. 4t+3; b[1] 16 rows on
//   C [16, 8]:  c[0], c[1] = row g, columns 2t, 2t+1; c[2], c[3] = row g + 8
SLUICE_PTX void Mma16x8x32(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                           int line = __builtin_LINE());
// The same for 16 columns of A: a[0], a[1] and b.
SLUICE_PTX void Mma16x8x16(int32_t (&c)[4], uint32_t a0, uint32_t a1, uint32_t b,
                           int line = __builtin_LINE());
// What Turing has: A [8, 16]: row g, columns 4t ..; B [16, 8]: column g, rows 4t ..; C: row g,
// columns 2t, 2t+1.
SLUICE_PTX void Mma8x8x16(int32_t& c0, int32_t& c1, uint32_t a, uint32_t b,
                          int line = __builtin_LINE());

// c += A * B of 16-bit floats into f32, two values a word, the first one in the lower half; all 32
// lanes of a warp together, on devices from sm_80 on (before it, the kernel is ended with an
// error). Products are exact; in which order and with how many bits a device adds the 16 of them
// and c is its own affair, but it is the same for every row and column, whatever stands in the
// others.
//
//   A [16, 16]: a[0] = row g, columns 2t, 2t+1; a[1] = row g + 8; a[2], a[3] 8 columns on
//   B [16, 8]:  b[0] = column g, rows 2t, 2t+1; b[1] 8 rows on
//   C [16, 8]:  as above
SLUICE_PTX void MmaF16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                       int line = __builtin_LINE());
SLUICE_PTX void MmaBF16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                        int line = __builtin_LINE());

// The value that another lane of the warp passes; all 32 lanes call it together.
SLUICE_PTX float ShuffleXor(float value, int mask, int line = __builtin_LINE());
SLUICE_PTX int32_t ShuffleXor(int32_t value, int mask, int line = __builtin_LINE());
SLUICE_PTX float ShuffleFrom(float value, int lane, int line = __builtin_LINE());
// Whether it is true in all 32 lanes.
SLUICE_PTX bool AllLanes(bool value, int line = __builtin_LINE());
// Every thread of the block arrives before any goes on; orders accesses to shared memory.
SLUICE_PTX void SyncBlock(int line = __builtin_LINE());

// Reads of what no thread of the grid writes: of weights, which are read once, past the L1 cache.
SLUICE_PTX uint32_t LoadWeights(const uint8_t* p);
SLUICE_PTX uint16_t LoadWeights16(const uint8_t* p);
// Two words from p, which is on 8.
SLUICE_PTX void LoadWeights(const uint8_t* p, uint32_t& first, uint32_t& second);

// f16 as its bits: widened exactly, rounded to nearest even.
SLUICE_PTX float F16ToF32(uint16_t bits);
SLUICE_PTX uint16_t F32ToF16(float value);

SLUICE_PTX uint32_t BitsOf(float value);
SLUICE_PTX float FloatOf(uint32_t bits);

// Carves the block's dynamic shared memory into arrays on 16 bytes; every thread takes the same
// ones in the same order. What the launch asked for must be SharedBytes of each, added up.
class SharedMemory {
 public:
  template <typename T>
  SLUICE_PTX T* Take(int64_t count);

 private:
  int64_t used_ = 0;
  int taken_ = 0;
};
template <typename T>
__host__ __device__ constexpr int64_t SharedBytes(int64_t count) {
  return (count * static_cast<int64_t>(sizeof(T)) + kSharedAlignment - 1) / kSharedAlignment *
         kSharedAlignment;
}

// Those of int8 from Turing's instruction, for devices before sm_80.
__device__ __forceinline__ void TuringMma16x8x16(int32_t (&c)[4], uint32_t a0, uint32_t a1,
                                                 uint32_t b) {
  Mma8x8x16(c[0], c[1], a0, b);
  Mma8x8x16(c[2], c[3], a1, b);
}
__device__ __forceinline__ void TuringMma16x8x32(int32_t (&c)[4], const uint32_t (&a)[4],
                                                 const uint32_t (&b)[2]) {
  TuringMma16x8x16(c, a[0], a[1], b[0]);
  TuringMma16x8x16(c, a[2], a[3], b[1]);
}

#if defined(__CUDACC__)

SLUICE_PTX int32_t Dp4a(uint32_t a, uint32_t b, int32_t c) {
  int32_t d;
  asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
}

SLUICE_PTX uint32_t PickBytes(uint32_t low, uint32_t high, uint32_t selector) {
  uint32_t picked;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(picked) : "r"(low), "r"(high), "r"(selector));
  return picked;
}

SLUICE_PTX void Mma8x8x16(int32_t& c0, int32_t& c1, uint32_t a, uint32_t b, int) {
  asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
               : "+r"(c0), "+r"(c1)
               : "r"(a), "r"(b));
}

SLUICE_PTX void Mma16x8x16(int32_t (&c)[4], uint32_t a0, uint32_t a1, uint32_t b, int) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, "
      "%2, %3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a0), "r"(a1), "r"(b));
#else
  TuringMma16x8x16(c, a0, a1, b);
#endif
}

SLUICE_PTX void Mma16x8x32(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], int) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, "
      "%9}, "
      "{%0, %1, %2, %3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  TuringMma16x8x32(c, a, b);
#endif
}

#if __CUDA_ARCH__ >= 800
#define SLUICE_FLOAT_MMA(type)                                                        \
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." type "." type                 \
               ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                       \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
#else
#define SLUICE_FLOAT_MMA(type) __trap()
#endif
SLUICE_PTX void MmaF16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], int) {
  SLUICE_FLOAT_MMA("f16");
}
SLUICE_PTX void MmaBF16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], int) {
  SLUICE_FLOAT_MMA("bf16");
}
#undef SLUICE_FLOAT_MMA

SLUICE_PTX float ShuffleXor(float value, int mask, int) {
  return __shfl_xor_sync(0xFFFFFFFFu, value, mask);
}
SLUICE_PTX int32_t ShuffleXor(int32_t value, int mask, int) {
  return __shfl_xor_sync(0xFFFFFFFFu, value, mask);
}
SLUICE_PTX float ShuffleFrom(float value, int lane, int) {
  return __shfl_sync(0xFFFFFFFFu, value, lane);
}
SLUICE_PTX bool AllLanes(bool value, int) { return __all_sync(0xFFFFFFFFu, value) != 0; }
SLUICE_PTX void SyncBlock(int) { __syncthreads(); }

SLUICE_PTX uint32_t LoadWeights(const uint8_t* p) {
  uint32_t value;
  asm("ld.global.nc.L1::no_allocate.u32 %0, [%1];" : "=r"(value) : "l"(p));
  return value;
}
SLUICE_PTX uint16_t LoadWeights16(const uint8_t* p) {
  uint16_t value;
  asm("ld.global.nc.L1::no_allocate.u16 %0, [%1];" : "=h"(value) : "l"(p));
  return value;
}
SLUICE_PTX void LoadWeights(const uint8_t* p, uint32_t& first, uint32_t& second) {
  asm("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];" : "=r"(first), "=r"(second) : "l"(p));
}

SLUICE_PTX float F16ToF32(uint16_t bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}
SLUICE_PTX uint16_t F32ToF16(float value) {
  uint16_t bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}

SLUICE_PTX uint32_t BitsOf(float value) { return __float_as_uint(value); }
SLUICE_PTX float FloatOf(uint32_t bits) { return __uint_as_float(bits); }

template <typename T>
SLUICE_PTX T* SharedMemory::Take(int64_t count) {
  extern __shared__ __align__(kSharedAlignment) unsigned char sluice_shared_memory[];
  T* const array = reinterpret_cast<T*>(sluice_shared_memory + used_);
  used_ += SharedBytes<T>(count);
  return array;
}

#else

// Array number `index` of the running block, `bytes` bytes that the launch counted `offset` bytes
// into its shared memory.
void* EmulatedShared(int64_t offset, int64_t bytes, int index);

template <typename T>
T* SharedMemory::Take(int64_t count) {
  void* const array = EmulatedShared(used_, count * static_cast<int64_t>(sizeof(T)), taken_++);
  used_ += SharedBytes<T>(count);
  return static_cast<T*>(array);
}

#endif

}  // namespace sluice::cuda

#endif  // SLUICE_KERNELS_CUDA_PTX_H_
