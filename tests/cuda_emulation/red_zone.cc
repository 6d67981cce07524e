// Red zones of 256 bytes on both sides.
#include "tests/cuda_emulation/red_zone.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace sluice::cuda_emulation {
namespace {

constexpr size_t kZone = 256;
constexpr std::byte kMark{0xA5};

}  // namespace

RedZoned::RedZoned(size_t bytes, std::mt19937& random) : bytes_(bytes) {
  const size_t all = kZone + (bytes + kZone - 1) / kZone * kZone + kZone;
  block_ = static_cast<std::byte*>(std::aligned_alloc(kZone, all));
  data_ = block_ + kZone;
  std::fill_n(block_, all, kMark);
  // A repeated word: 0xFFxxxxxx is a NaN or a large negative f32, and never a plausible zero.
  const uint32_t noise = 0xFF000000u | static_cast<uint32_t>(random());
  for (size_t i = 0; i < bytes; ++i) data_[i] = static_cast<std::byte>(noise >> 8 * (i % 4));
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(block_, kZone);
  __asan_poison_memory_region(data_ + bytes, all - kZone - bytes);
#endif
}

RedZoned::~RedZoned() {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(block_, 2 * kZone + (bytes_ + kZone - 1) / kZone * kZone);
#endif
  std::free(block_);
}

bool RedZoned::Contains(const void* p, size_t bytes) const {
  const auto* at = static_cast<const std::byte*>(p);
  return at >= data_ && at <= data_ + bytes_ && bytes <= static_cast<size_t>(data_ + bytes_ - at);
}

bool RedZoned::Intact() const {
#if defined(__SANITIZE_ADDRESS__)
  return true;  // a touch would have been reported
#else
  const auto marked = [](std::byte byte) { return byte == kMark; };
  return std::all_of(block_, data_, marked) &&
         std::all_of(data_ + bytes_, data_ + bytes_ + kZone, marked);
#endif
}

}  // namespace sluice::cuda_emulation
