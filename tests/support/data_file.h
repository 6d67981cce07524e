// Reading files of tests/data, zstd-compressed where large, and of a shared folder beside the
// checkout.
#ifndef SLUICE_TESTS_SUPPORT_DATA_FILE_H_
#define SLUICE_TESTS_SUPPORT_DATA_FILE_H_

#include <gtest/gtest.h>
#include <zstd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace sluice {

inline std::string ReadFileOrNothing(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// `path` below tests/data; where only path.zst is there, that one decompressed. Empty and a test
// failure where neither is.
inline std::string ReadData(const std::string& path) {
  const std::string full = std::string(SLUICE_SOURCE_DIR) + "/tests/data/" + path;
  if (std::filesystem::exists(full)) return ReadFileOrNothing(full);
  const std::string compressed = ReadFileOrNothing(full + ".zst");
  const unsigned long long size = ZSTD_getFrameContentSize(compressed.data(), compressed.size());
  if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size > (64u << 20)) {
    ADD_FAILURE() << full << " is missing, and so is a proper " << full << ".zst";
    return "";
  }
  std::string text(size, '\0');
  EXPECT_EQ(ZSTD_decompress(text.data(), text.size(), compressed.data(), compressed.size()), size);
  return text;
}

// A file below shared/fixtures, which a checkout need not have; empty where it is missing.
inline std::string ReadShared(const std::string& path) {
  return ReadFileOrNothing(std::string(SLUICE_SOURCE_DIR) + "/../shared/fixtures/" + path);
}

}  // namespace sluice

#endif  // SLUICE_TESTS_SUPPORT_DATA_FILE_H_
