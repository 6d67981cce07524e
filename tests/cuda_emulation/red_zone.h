// Memory with red zones around it: AddressSanitizer reports a touch at once, other builds a change
// when asked.
#ifndef SLUICE_TESTS_CUDA_EMULATION_RED_ZONE_H_
#define SLUICE_TESTS_CUDA_EMULATION_RED_ZONE_H_

#include <cstddef>
#include <cstdint>
#include <random>

namespace sluice::cuda_emulation {

// `bytes` bytes on 256, full of noise: NaN or large numbers to most who read them unwritten.
class RedZoned {
 public:
  RedZoned(size_t bytes, std::mt19937& random);
  ~RedZoned();
  RedZoned(const RedZoned&) = delete;
  RedZoned& operator=(const RedZoned&) = delete;

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  bool Contains(const void* p, size_t bytes) const;
  // Whether the red zones are as they were.
  bool Intact() const;

 private:
  const size_t bytes_;
  std::byte* block_;
  std::byte* data_;
};

}  // namespace sluice::cuda_emulation

#endif  // SLUICE_TESTS_CUDA_EMULATION_RED_ZONE_H_
