// Numbers of about a normal distribution, the same in every run.
#ifndef SLUICE_TESTS_SUPPORT_RANDOM_FLOATS_H_
#define SLUICE_TESTS_SUPPORT_RANDOM_FLOATS_H_

#include <cstdint>
#include <random>
#include <vector>

namespace sluice {

inline std::vector<float> RandomFloats(int64_t n, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& value : values) value = normal(random);
  return values;
}

}  // namespace sluice

#endif  // SLUICE_TESTS_SUPPORT_RANDOM_FLOATS_H_
