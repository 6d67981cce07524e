// Reads reference tensors (safetensors, any type) for tests, trusting the file.
#ifndef SLUICE_TESTS_SUPPORT_REFERENCE_FILE_H_
#define SLUICE_TESTS_SUPPORT_REFERENCE_FILE_H_

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace sluice {

inline std::string ReadWholeFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

class ReferenceFile {
 public:
  explicit ReferenceFile(const std::string& path) : bytes_(ReadWholeFile(path)) {
    uint64_t header_bytes;
    std::memcpy(&header_bytes, bytes_.data(), 8);
    header_ = nlohmann::json::parse(bytes_.substr(8, header_bytes));
    data_ = 8 + header_bytes;
  }

  // The tensor's values; T must be the stored type (float for F32, int32_t for I32).
  template <typename T>
  std::vector<T> Get(const std::string& name) const {
    const auto& offsets = header_.at(name).at("data_offsets");
    const size_t begin = offsets[0], end = offsets[1];
    std::vector<T> values((end - begin) / sizeof(T));
    std::memcpy(values.data(), bytes_.data() + data_ + begin, end - begin);
    return values;
  }

 private:
  std::string bytes_;
  nlohmann::json header_;
  size_t data_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_TESTS_SUPPORT_REFERENCE_FILE_H_
