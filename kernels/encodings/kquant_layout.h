// Moves the parts of k-quant super-blocks between the order of GGUF and that of a tile's lane:
// packed 6-bit scales and mins (q4_k, q5_k), words, nibbles, and extra bits.
#ifndef SLUICE_KERNELS_ENCODINGS_KQUANT_LAYOUT_H_
#define SLUICE_KERNELS_ENCODINGS_KQUANT_LAYOUT_H_

#include <cstddef>
#include <cstdint>

#include "kernels/encodings/codec.h"

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

// Words of scales that a tile keeps as they are, 4 bytes each.
inline void PackWords(const std::byte* bytes, int num_words, std::byte* plane, int lane) {
  for (int w = 0; w < num_words; ++w) Store32(Load32(bytes + 4 * w), Word(plane, w, lane));
}
inline void UnpackWords(const std::byte* plane, int num_words, int lane, std::byte* bytes) {
  for (int w = 0; w < num_words; ++w) Store32(Load32(Word(plane, w, lane)), bytes + 4 * w);
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

// One bit a value in 32 bytes: bit s of byte i is that of value i of sub-block s of 32. In a tile's
// lane word s has those of sub-block s, bit 8i + t being that of value 4t + i.
inline constexpr int kBitsBytes = 32;

// Stores bit `shift` of 256 quants.
inline void StoreBits(const uint8_t* quants, int shift, std::byte* bytes) {
  for (int i = 0; i < kBitsBytes; ++i) {
    int bits = 0;
    for (int s = 0; s < 8; ++s) bits |= (quants[32 * s + i] >> shift & 1) << s;
    bytes[i] = static_cast<std::byte>(bits);
  }
}

inline void PackBits(const std::byte* bytes, std::byte* plane, int lane) {
  uint32_t bits[8];  // by quad; after transposing by sub-block
  for (int t = 0; t < 8; ++t) bits[t] = Load32(bytes + 4 * t);
  TransposeBits(bits);
  for (int s = 0; s < 8; ++s) Store32(bits[s], Word(plane, s, lane));
}

inline void UnpackBits(const std::byte* plane, int lane, std::byte* bytes) {
  uint32_t bits[8];
  for (int s = 0; s < 8; ++s) bits[s] = Load32(Word(plane, s, lane));
  TransposeBits(bits);
  for (int t = 0; t < 8; ++t) Store32(bits[t], bytes + 4 * t);
}

// Pairs of bits of 256 values in 64 bytes (q2_k, q3_k, q6_k): those of value i of run j of 32 in
// half h of 128 are bits 2j and 2j + 1 of byte 32h + i. A tile's lane has them in 16 words, a word
// 16 values: bits 8i + 2t and the next of word w are those of value 16w + 4t + i.
inline constexpr int kPairsBytes = 64;

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

inline void PackPairsOfBits(const std::byte* bytes, std::byte* plane, int lane) {
  for (int part = 0; part < 4; ++part) {  // half h and word w of its four runs
    const int h = part / 2, w = part % 2;
    uint32_t bits[4];  // by quad; after transposing by run
    for (int t = 0; t < 4; ++t) bits[t] = Load32(bytes + 16 * part + 4 * t);
    TransposePairsOfBits(bits);
    for (int j = 0; j < 4; ++j) Store32(bits[j], Word(plane, 2 * (4 * h + j) + w, lane));
  }
}

inline void UnpackPairsOfBits(const std::byte* plane, int lane, std::byte* bytes) {
  for (int part = 0; part < 4; ++part) {
    const int h = part / 2, w = part % 2;
    uint32_t bits[4];
    for (int j = 0; j < 4; ++j) bits[j] = Load32(Word(plane, 2 * (4 * h + j) + w, lane));
    TransposePairsOfBits(bits);
    for (int t = 0; t < 4; ++t) Store32(bits[t], bytes + 16 * part + 4 * t);
  }
}

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_KQUANT_LAYOUT_H_
