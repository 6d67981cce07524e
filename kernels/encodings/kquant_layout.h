// Moves the parts of k-quant super-blocks between the order of GGUF and that of a tile's lane:
// packed 6-bit scales and mins (q4_k, q5_k), nibbles, and extra bits.
#ifndef SLUICE_KERNELS_ENCODINGS_KQUANT_LAYOUT_H_
#define SLUICE_KERNELS_ENCODINGS_KQUANT_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/encodings/codec.h"
#include "kernels/encodings/kquant_search.h"

namespace sluice {

// The 6-bit scales and mins of 8 sub-blocks in 12 bytes b:
//   s < 4:   scale s = b[s] & 63                              min s = b[s + 4] & 63
//   s >= 4:  scale s = (b[s + 4] & 15) | (b[s - 4] >> 6) << 4   min s = (b[s + 4] >> 4) | (b[s] >>
//   6) << 4
// As words of four bytes, byte i being sub-block i or i + 4, this is the same for every i.
inline constexpr int kScaleBytes = 12;
struct ScaleWords {
  uint32_t scales[2], mins[2];  // byte i of word h: sub-block 4h + i, 0..63
};

inline ScaleWords LoadScales(const std::byte* bytes) {
  const uint32_t a = Load32(bytes), b = Load32(bytes + 4), c = Load32(bytes + 8);
  const auto upper = [](uint32_t word) { return (word >> 6 & 0x03030303u) << 4; };
  return {.scales = {a & 0x3F3F3F3Fu, (c & 0x0F0F0F0Fu) | upper(a)},
          .mins = {b & 0x3F3F3F3Fu, (c >> 4 & 0x0F0F0F0Fu) | upper(b)}};
}

inline void StoreScales(const ScaleWords& words, std::byte* bytes) {
  const auto lower = [](uint32_t word) { return word & 0x0F0F0F0Fu; };
  const auto upper = [](uint32_t word) { return (word >> 4 & 0x03030303u) << 6; };
  Store32(words.scales[0] | upper(words.scales[1]), bytes);
  Store32(words.mins[0] | upper(words.mins[1]), bytes + 4);
  Store32(lower(words.scales[1]) | lower(words.mins[1]) << 4, bytes + 8);
}

inline int SubBlockByte(const uint32_t (&words)[2], int s) {
  return static_cast<int>(words[s / 4] >> 8 * (s % 4) & 0xFF);
}

// A super-block's head: d (f16), dmin (f16), scales; and the planes of a tile that hold the heads
// of 16 rows: d and dmin in the first line, then low nibbles of scales, of mins, and all high bits.
inline constexpr int kHeadBytes = 4 + kScaleBytes;
inline constexpr int kHeadLines = 4;

inline void StoreHead(const AffineSuperBlock& block, std::byte* head) {
  Store16(block.d, head);
  Store16(block.dmin, head + 2);
  ScaleWords words;
  std::memcpy(words.scales, block.scales, sizeof words.scales);
  std::memcpy(words.mins, block.mins, sizeof words.mins);
  StoreScales(words, head + 4);
}

inline void PackHeadLane(const std::byte* head, int lane, std::byte* planes) {
  Store16(Load16(head), Half(planes, 0, lane));
  Store16(Load16(head + 2), Half(planes, 1, lane));
  const ScaleWords words = LoadScales(head + 4);
  const auto low = [](const uint32_t(&w)[2]) {
    return (w[0] & 0x0F0F0F0Fu) | (w[1] & 0x0F0F0F0Fu) << 4;
  };
  const auto high = [](const uint32_t(&w)[2]) {
    return (w[0] >> 4 & 0x03030303u) | (w[1] >> 4 & 0x03030303u) << 2;
  };
  Store32(low(words.scales), Word(planes, 1, lane));
  Store32(low(words.mins), Word(planes, 2, lane));
  Store32(high(words.scales) | high(words.mins) << 4, Word(planes, 3, lane));
}

inline void UnpackHeadLane(const std::byte* planes, int lane, std::byte* head) {
  Store16(Load16(Half(planes, 0, lane)), head);
  Store16(Load16(Half(planes, 1, lane)), head + 2);
  const uint32_t scales = Load32(Word(planes, 1, lane));
  const uint32_t mins = Load32(Word(planes, 2, lane));
  const uint32_t high = Load32(Word(planes, 3, lane));
  const auto join = [](uint32_t low, uint32_t bits) {
    return (low & 0x0F0F0F0Fu) | (bits & 0x03030303u) << 4;
  };
  StoreScales({.scales = {join(scales, high), join(scales >> 4, high >> 2)},
               .mins = {join(mins, high >> 4), join(mins >> 4, high >> 6)}},
              head + 4);
}

// Nibbles: GGUF keeps two sub-blocks in 32 bytes, one in the low and one in the high nibbles; a
// tile keeps a sub-block in 4 words, quad l in the low and quad l + 4 in the high nibbles of word
// l. `low` and `high` are the sub-blocks' first lines in the plane.
inline void PackNibbles(const std::byte* bytes, std::byte* plane, int low, int high, int lane) {
  for (int l = 0; l < 4; ++l) {
    const uint32_t a = Load32(bytes + 4 * l), b = Load32(bytes + 4 * (l + 4));
    Store32((a & 0x0F0F0F0Fu) | (b & 0x0F0F0F0Fu) << 4, Word(plane, low + l, lane));
    Store32((a >> 4 & 0x0F0F0F0Fu) | (b & 0xF0F0F0F0u), Word(plane, high + l, lane));
  }
}

inline void UnpackNibbles(const std::byte* plane, int low, int high, int lane, std::byte* bytes) {
  for (int l = 0; l < 4; ++l) {
    const uint32_t a = Load32(Word(plane, low + l, lane)), b = Load32(Word(plane, high + l, lane));
    Store32((a & 0x0F0F0F0Fu) | (b & 0x0F0F0F0Fu) << 4, bytes + 4 * l);
    Store32((a >> 4 & 0x0F0F0F0Fu) | (b & 0xF0F0F0F0u), bytes + 4 * (l + 4));
  }
}

// Extra bits: field t of byte i in word j goes to field j of byte i in word t. That takes
// log2(fields) steps, as any transposition of squares does; in each, the upper fields of word `a`
// and the lower ones of word `b` change places.
inline void SwapFields(uint32_t& a, uint32_t& b, int shift, uint32_t lower) {
  const uint32_t changed = (a >> shift ^ b) & lower;
  a ^= changed << shift;
  b ^= changed;
}

// 4 words of 4 fields of 2 bits. Its own inverse, as is the next.
inline void TransposePairsOfBits(uint32_t (&w)[4]) {
  for (int i = 0; i < 2; ++i) SwapFields(w[i], w[i + 2], 4, 0x0F0F0F0Fu);
  for (int i = 0; i < 4; i += 2) SwapFields(w[i], w[i + 1], 2, 0x33333333u);
}

// 8 words of 8 bits a byte.
inline void TransposeBits(uint32_t (&w)[8]) {
  for (int i = 0; i < 4; ++i) SwapFields(w[i], w[i + 4], 4, 0x0F0F0F0Fu);
  for (const int i : {0, 1, 4, 5}) SwapFields(w[i], w[i + 2], 2, 0x33333333u);
  for (int i = 0; i < 8; i += 2) SwapFields(w[i], w[i + 1], 1, 0x55555555u);
}

// Pairs of bits of 256 values in 64 bytes (q2_k, q3_k, q6_k): those of value i of run j of 32 in
// half h of 128 are bits 2j and 2j + 1 of byte 32h + i. A tile's lane has them in 16 words, a word
// 16 values: bits 8i + 2t and the next of word w are those of value 16w + 4t + i.
inline constexpr int kPairsBytes = 64;
inline constexpr int kPairsLines = 16;

inline int PairOfBits(const std::byte* bytes, int v) {
  return static_cast<int>(bytes[v / 128 * 32 + v % 32]) >> 2 * (v % 128 / 32) & 3;
}

// Stores bits `shift` and `shift` + 1 of 256 quants.
inline void StorePairsOfBits(const uint8_t* quants, int shift, std::byte* bytes) {
  for (int i = 0; i < kPairsBytes; ++i) {
    const uint8_t* q = quants + i / 32 * 128 + i % 32;
    int byte = 0;
    for (int j = 0; j < 4; ++j) byte |= (q[32 * j] >> shift & 3) << 2 * j;
    bytes[i] = static_cast<std::byte>(byte);
  }
}

inline void PackPairsOfBits(const std::byte* bytes, std::byte* plane, int line, int lane) {
  for (int part = 0; part < 4; ++part) {  // half h and word w of its four runs
    const int h = part / 2, w = part % 2;
    uint32_t bits[4];  // by quad; after transposing by run
    for (int t = 0; t < 4; ++t) bits[t] = Load32(bytes + 16 * part + 4 * t);
    TransposePairsOfBits(bits);
    for (int j = 0; j < 4; ++j) Store32(bits[j], Word(plane, line + 2 * (4 * h + j) + w, lane));
  }
}

inline void UnpackPairsOfBits(const std::byte* plane, int line, int lane, std::byte* bytes) {
  for (int part = 0; part < 4; ++part) {
    const int h = part / 2, w = part % 2;
    uint32_t bits[4];
    for (int j = 0; j < 4; ++j) bits[j] = Load32(Word(plane, line + 2 * (4 * h + j) + w, lane));
    TransposePairsOfBits(bits);
    for (int t = 0; t < 4; ++t) Store32(bits[t], bytes + 16 * part + 4 * t);
  }
}

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_KQUANT_LAYOUT_H_
