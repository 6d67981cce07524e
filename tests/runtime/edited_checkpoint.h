// A checkpoint of tests/data/models with one number changed.
#ifndef SLUICE_TESTS_RUNTIME_EDITED_CHECKPOINT_H_
#define SLUICE_TESTS_RUNTIME_EDITED_CHECKPOINT_H_

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/runtime/model_harness.h"

namespace sluice {

// Copies a checkpoint of one f32 file to `dir`, with `value` as the first number of `tensor`.
inline void CopyWith(const std::string& model, const std::string& dir, const std::string& tensor,
                     float value) {
  std::filesystem::copy(TestDataPath("models/" + model), dir);
  std::fstream file(dir + "/model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
  uint64_t header_bytes = 0;
  file.read(reinterpret_cast<char*>(&header_bytes), 8);
  std::string header(header_bytes, 0);
  file.read(header.data(), static_cast<std::streamsize>(header_bytes));
  const auto parsed = nlohmann::json::parse(header);
  ASSERT_EQ(parsed.at(tensor).at("dtype"), "F32");
  file.seekp(static_cast<std::streamoff>(8 + header_bytes) +
             parsed.at(tensor).at("data_offsets")[0].get<int64_t>());
  file.write(reinterpret_cast<const char*>(&value), sizeof(value));
  ASSERT_TRUE(file.good());
}

}  // namespace sluice

#endif  // SLUICE_TESTS_RUNTIME_EDITED_CHECKPOINT_H_
