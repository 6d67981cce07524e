// The table of encodings, and the functions of encoding.h that look things up in it.
#include "kernels/encodings/encoding.h"

#include <array>
#include <iterator>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/encodings/codec.h"
#include "kernels/encodings/half.h"

namespace sluice {
namespace {

// In the order of the enum.
constexpr const Codec* kCodecs[] = {&kF32Codec,  &kF16Codec,    &kBF16Codec,   &kQ8_0Codec,
                                    &kQ6_KCodec, &kQ5_KCodec,   &kQ4_KCodec,   &kQ4_0Codec,
                                    &kQ3_KCodec, &kQ2_KCodec,   &kQ4_1Codec,   &kQ5_0Codec,
                                    &kQ5_1Codec, &kIQ4_NLCodec, &kIQ4_XSCodec, &kMXFP4Codec};
static_assert(std::size(kCodecs) == kNumEncodings);

}  // namespace

const Codec& CodecOf(Encoding encoding) { return *kCodecs[static_cast<int>(encoding)]; }

absl::Span<const EncodingInfo> Encodings() {
  static const std::array<EncodingInfo, std::size(kCodecs)> infos = [] {
    std::array<EncodingInfo, std::size(kCodecs)> all;
    for (int i = 0; i < all.size(); ++i) all[i] = kCodecs[i]->info;
    return all;
  }();
  return infos;
}

const EncodingInfo& Info(Encoding encoding) { return CodecOf(encoding).info; }

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
