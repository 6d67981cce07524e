// The functions of kernels/cuda/ptx.h for fibers: what each instruction does, written out.
#include <cstring>

#include "kernels/cuda/ptx.h"
#include "kernels/encodings/encoding.h"
#include "tests/cuda_emulation/grid.h"

namespace sluice::cuda {
namespace {

using cuda_emulation::Grid;
using cuda_emulation::kLanes;

int8_t Byte(uint32_t word, int i) { return static_cast<int8_t>(word >> 8 * i); }

// Lane that reads from lane `from`.
template <typename T>
struct Shuffle {
  T value;
  int from;
  T result;
};
template <typename T>
T DoShuffle(const char* name, T value, int from, int line) {
  Shuffle<T> share = {value, from, {}};
  Grid::Current().Together(name, line, &share, [](void* const* shares) {
    for (int lane = 0; lane < kLanes; ++lane) {
      auto* const to = static_cast<Shuffle<T>*>(shares[lane]);
      to->result = static_cast<Shuffle<T>*>(shares[to->from % kLanes])->value;
    }
  });
  return share.result;
}

int Lane() { return static_cast<int>(threadIdx.x) % kLanes; }

// A [rows, columns] times B [columns, 8], from the fragments of all lanes. a[r / 8 + 2 * (c / 16)]
// of lane 4 * (r % 8) + c % 16 / 4 holds A's (r, c); b[c / 16] of lane 4 * n + c % 16 / 4 holds B's
// (c, n).
struct Fragments {
  int32_t* c[4];
  uint32_t a[4];
  uint32_t b[2];
};
template <int kRows, int kColumns>
void Multiply(void* const* shares) {
  const auto of = [shares](int lane) -> const Fragments& {
    return *static_cast<const Fragments*>(shares[lane]);
  };
  for (int row = 0; row < kRows; ++row) {
    for (int n = 0; n < 8; ++n) {
      int32_t sum = 0;
      for (int c = 0; c < kColumns; ++c) {
        const uint32_t a = of(4 * (row % 8) + c % 16 / 4).a[row / 8 + 2 * (c / 16)];
        const uint32_t b = of(4 * n + c % 16 / 4).b[c / 16];
        sum += Byte(a, c % 4) * Byte(b, c % 4);
      }
      *of(4 * (row % 8) + n / 2).c[row / 8 * 2 + n % 2] += sum;
    }
  }
}

// A [16, 16] times B [16, 8] of 16-bit floats: a[r / 8 + 2 * (c / 8)] of lane 4 * (r % 8) + c % 8 /
// 2 holds A's (r, c) in its half c % 2, b[c / 8] of lane 4 * n + c % 8 / 2 holds B's (c, n). The
// exact products and c are added in double and rounded once: a device rounds in ways of its own, so
// that its bits may be others, but it too gives an element bits that depend on its own row and
// column alone.
struct FloatFragments {
  float* c[4];
  uint32_t a[4];
  uint32_t b[2];
};
template <float (*kWiden)(uint16_t)>
void MultiplyFloats(void* const* shares) {
  const auto of = [shares](int lane) -> const FloatFragments& {
    return *static_cast<const FloatFragments*>(shares[lane]);
  };
  const auto half = [](uint32_t word, int i) {
    return double{kWiden(static_cast<uint16_t>(word >> 16 * i))};
  };
  for (int row = 0; row < 16; ++row) {
    for (int n = 0; n < 8; ++n) {
      float& result = *of(4 * (row % 8) + n / 2).c[row / 8 * 2 + n % 2];
      double sum = result;
      for (int c = 0; c < 16; ++c) {
        const uint32_t a = of(4 * (row % 8) + c % 8 / 2).a[row / 8 + 2 * (c / 8)];
        const uint32_t b = of(4 * n + c % 8 / 2).b[c / 8];
        sum += half(a, c % 2) * half(b, c % 2);
      }
      result = static_cast<float>(sum);
    }
  }
}

}  // namespace

int32_t Dp4a(uint32_t a, uint32_t b, int32_t c) {
  for (int i = 0; i < 4; ++i) c += Byte(a, i) * Byte(b, i);
  return c;
}

// With bit 3 of a selector's nibble set the instruction copies the byte's sign: so does this.
uint32_t PickBytes(uint32_t low, uint32_t high, uint32_t selector) {
  const uint64_t bytes = low | static_cast<uint64_t>(high) << 32;
  uint32_t picked = 0;
  for (int i = 0; i < 4; ++i) {
    const uint32_t nibble = (selector >> 4 * i) & 15;
    const uint32_t byte = static_cast<uint32_t>(bytes >> 8 * (nibble & 7)) & 0xFF;
    picked |= (nibble < 8 ? byte : byte >> 7 ? 0xFFu : 0u) << 8 * i;
  }
  return picked;
}

void Mma16x8x32(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], int line) {
  Fragments share = {{&c[0], &c[1], &c[2], &c[3]}, {a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  Grid::Current().Together("mma.m16n8k32", line, &share, Multiply<16, 32>);
}
void Mma16x8x16(int32_t (&c)[4], uint32_t a0, uint32_t a1, uint32_t b, int line) {
  Fragments share = {{&c[0], &c[1], &c[2], &c[3]}, {a0, a1}, {b}};
  Grid::Current().Together("mma.m16n8k16", line, &share, Multiply<16, 16>);
}
void Mma8x8x16(int32_t& c0, int32_t& c1, uint32_t a, uint32_t b, int line) {
  Fragments share = {{&c0, &c1}, {a}, {b}};
  Grid::Current().Together("mma.m8n8k16", line, &share, Multiply<8, 16>);
}

void MmaF16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], int line) {
  FloatFragments share = {{&c[0], &c[1], &c[2], &c[3]}, {a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  Grid::Current().Together("mma.f16", line, &share, MultiplyFloats<sluice::F16ToF32>);
}
void MmaBF16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], int line) {
  FloatFragments share = {{&c[0], &c[1], &c[2], &c[3]}, {a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  Grid::Current().Together("mma.bf16", line, &share, MultiplyFloats<sluice::BF16ToF32>);
}

float ShuffleXor(float value, int mask, int line) {
  return DoShuffle("shfl.bfly", value, Lane() ^ mask, line);
}
int32_t ShuffleXor(int32_t value, int mask, int line) {
  return DoShuffle("shfl.bfly", value, Lane() ^ mask, line);
}
float ShuffleFrom(float value, int lane, int line) {
  return DoShuffle("shfl.idx", value, lane, line);
}

bool AllLanes(bool value, int line) {
  bool share = value;
  Grid::Current().Together("vote.all", line, &share, [](void* const* shares) {
    bool all = true;
    for (int lane = 0; lane < kLanes; ++lane) all = all && *static_cast<bool*>(shares[lane]);
    for (int lane = 0; lane < kLanes; ++lane) *static_cast<bool*>(shares[lane]) = all;
  });
  return share;
}

void SyncBlock(int line) { Grid::Current().Barrier(line); }

uint32_t LoadWeights(const uint8_t* p) { return *reinterpret_cast<const uint32_t*>(p); }
uint16_t LoadWeights16(const uint8_t* p) { return *reinterpret_cast<const uint16_t*>(p); }
void LoadWeights(const uint8_t* p, uint32_t& first, uint32_t& second) {
  const uint2 words = *reinterpret_cast<const uint2*>(p);
  first = words.x;
  second = words.y;
}

float F16ToF32(uint16_t bits) { return sluice::F16ToF32(bits); }
uint16_t F32ToF16(float value) { return sluice::F32ToF16(value); }

uint32_t BitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
float FloatOf(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

void* EmulatedShared(int64_t offset, int64_t bytes, int index) {
  return Grid::Current().Shared(offset, bytes, index);
}

}  // namespace sluice::cuda
