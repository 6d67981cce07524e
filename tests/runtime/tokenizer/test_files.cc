// Whole files into strings.
#include "test_files.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <zstd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

std::string ReadData(const std::string& path) {
  const std::string full = std::string(SLUICE_SOURCE_DIR) + "/tests/data/" + path;
  if (std::filesystem::exists(full)) return ReadFile(full);
  const std::string compressed = ReadFile(full + ".zst");
  const unsigned long long size = ZSTD_getFrameContentSize(compressed.data(), compressed.size());
  if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size > (64u << 20)) {
    ADD_FAILURE() << full << " is missing, and so is a proper " << full << ".zst";
    return "";
  }
  std::string text(size, '\0');
  EXPECT_EQ(ZSTD_decompress(text.data(), text.size(), compressed.data(), compressed.size()), size);
  return text;
}

nlohmann::json ReadDataJson(const std::string& path) {
  return nlohmann::json::parse(ReadData(path), nullptr, /*allow_exceptions=*/false);
}

std::string ReadShared(const std::string& path) {
  return ReadFile(std::string(SLUICE_SOURCE_DIR) + "/../shared/fixtures/" + path);
}

std::string MakeTestFolder(const std::string& name) {
  const std::string folder = absl::StrCat(
      testing::TempDir(), "/sluice_tokenizer_", getpid(), "_", name);
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

void WriteTestFile(const std::string& path, absl::string_view text) {
  std::ofstream file(path, std::ios::binary);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
}

std::unique_ptr<Tokenizer> LoadData(const std::string& path) {
  auto tokenizer = Tokenizer::FromJson(ReadData(path), path);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

}  // namespace sluice
