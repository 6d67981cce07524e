// Weight encodings: names, sizes, and the scalar codecs that define each one; their list is
// kernels/encodings/encodings.def.
//
// A row of K values is K / block_values blocks one after the other. Where GGUF has an encoding of
// the same name, a block is GGUF's (ggml's block_q8_0, block_q6_K, ...). Each encoding's formula,
// decoder, encoder and packing into tiles stand in kernels/encodings/<name>.cc; tiles are described
// in kernels/encodings/tile.h.
#ifndef SLUICE_KERNELS_ENCODINGS_ENCODING_H_
#define SLUICE_KERNELS_ENCODINGS_ENCODING_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace sluice {

enum class Encoding : uint8_t {
#define SLUICE_ENCODING(name, ...) k##name,
#include "kernels/encodings/encodings.def"
};
#define SLUICE_ENCODING(...) +1
inline constexpr int kNumEncodings = 0
#include "kernels/encodings/encodings.def"
    ;

// What a matrix product reads its activations as; docs/arithmetic.md defines the products.
enum class ActivationFormat : uint8_t {
  kF32,           // f32, as they are: for f32, f16 and bf16 weights
  kInt8Block32,   // int8 with one f32 scale per 32 values: for blocks of 32, and q6_k
  kInt8Block256,  // int8 with one f32 scale per 256 values: for other super-blocks
  kBF16,  // rounded to bf16: for bf16 weights where MatMulArgs::rounded_activations asks for it
  kF16,   // the same of f16 weights, on a GPU
};
inline constexpr int kNumActivationFormats = 5;

// What a lossless compressor finds in the weights of an encoding.
enum class Redundancy : uint8_t {
  kNone,       // nothing: bits are as good as random
  kBytes,      // some bytes are more frequent than others
  kExponents,  // the high bytes of 16-bit words are, which hold a sign and an exponent
};

struct EncodingInfo {
  Encoding encoding;
  absl::string_view name;  // as users and manifests spell it: "q4_k"
  int block_values;        // values a block holds; 1 for floats
  int block_bytes;         // bytes a block takes in a row
  int group_values;        // K values that one group of a tile's planes covers (planes.h)
  ActivationFormat activations;
  Redundancy redundancy;
  bool quantized() const { return block_values > 1; }
  double bits_per_weight() const { return 8.0 * block_bytes / block_values; }
};

// All encodings, in the order of the enum.
absl::Span<const EncodingInfo> Encodings();
const EncodingInfo& Info(Encoding encoding);
// InvalidArgument lists the known names.
absl::StatusOr<Encoding> ParseEncoding(absl::string_view name);

// Bytes of a row of `num_values` values. `num_values` must be a multiple of block_values.
int64_t RowBytes(Encoding encoding, int64_t num_values);

// Decodes a row of `num_values` values (a multiple of block_values) from `blocks`
// (RowBytes(encoding, num_values) bytes, any alignment). This is the definition of the encoding.
void DecodeRow(Encoding encoding, const std::byte* blocks, int64_t num_values, float* values);

// Encodes a row so that the squared error is small (the searches that ggml does for k-quants have
// the same aim, without an importance matrix). f16 and bf16 round to nearest even. Deterministic.
// Non-finite values stay non-finite after DecodeRow (for quantized encodings the whole block does).
void EncodeRow(Encoding encoding, const float* values, int64_t num_values, std::byte* blocks);

// Scalar conversions, exact or rounded to nearest even; NaN stays NaN.
float F16ToF32(uint16_t bits);
uint16_t F32ToF16(float value);
float BF16ToF32(uint16_t bits);
uint16_t F32ToBF16(float value);

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_ENCODING_H_
