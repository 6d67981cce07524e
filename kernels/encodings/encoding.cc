// The table of encodings, and the functions of encoding.h that look things up in it.
#include "kernels/encodings/encoding.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/encodings/all_planes.h"
#include "kernels/encodings/codec.h"
#include "kernels/encodings/half.h"

namespace sluice {
namespace {

constexpr const Codec* kCodecs[kNumEncodings] = {
#define SLUICE_ENCODING(name, ...) &k##name##Codec,
#include "kernels/encodings/encodings.def"
};

// Whether products read the activations that their sums need.
template <class P>
constexpr bool Reads(ActivationFormat activations) {
  if constexpr (P::kBlockValues == 1) {
    return activations == ActivationFormat::kF32;
  } else {
    return activations == (P::kSums == Sums::kSuperBlock ? ActivationFormat::kInt8Block256
                                                         : ActivationFormat::kInt8Block32);
  }
}
#define SLUICE_ENCODING(name, text, activations, redundancy) \
  static_assert(Reads<name##Planes>(ActivationFormat::activations));
#include "kernels/encodings/encodings.def"

constexpr EncodingInfo kInfos[kNumEncodings] = {
#define SLUICE_ENCODING(name, text, activations, redundancy)  \
  {Encoding::k##name,          text,                          \
   name##Planes::kBlockValues, name##Planes::kBlockBytes,     \
   name##Planes::kGroupValues, ActivationFormat::activations, \
   Redundancy::redundancy},
#include "kernels/encodings/encodings.def"
};

}  // namespace

const Codec& CodecOf(Encoding encoding) { return *kCodecs[static_cast<int>(encoding)]; }

absl::Span<const EncodingInfo> Encodings() { return kInfos; }

const EncodingInfo& Info(Encoding encoding) { return kInfos[static_cast<int>(encoding)]; }

absl::StatusOr<Encoding> ParseEncoding(absl::string_view name) {
  for (const EncodingInfo& info : Encodings()) {
    if (info.name == name) return info.encoding;
  }
  const std::string known = absl::StrJoin(
      Encodings(), " ",
      [](std::string* out, const EncodingInfo& info) { absl::StrAppend(out, info.name); });
  return absl::InvalidArgumentError(
      absl::StrCat("\"", name, "\" is not an encoding; known are: ", known));
}

int64_t RowBytes(Encoding encoding, int64_t num_values) {
  const EncodingInfo& info = Info(encoding);
  return num_values / info.block_values * info.block_bytes;
}

void DecodeRow(Encoding encoding, const std::byte* blocks, int64_t num_values, float* values) {
  CodecOf(encoding).decode(blocks, num_values, values);
}

void EncodeRow(Encoding encoding, const float* values, int64_t num_values, std::byte* blocks) {
  CodecOf(encoding).encode(values, num_values, blocks);
}

float F16ToF32(uint16_t bits) { return half::F16ToF32(bits); }
uint16_t F32ToF16(float value) { return half::F32ToF16(value); }
float BF16ToF32(uint16_t bits) { return half::BF16ToF32(bits); }
uint16_t F32ToBF16(float value) { return half::F32ToBF16(value); }

}  // namespace sluice
