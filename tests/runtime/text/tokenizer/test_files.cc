// Whole files into strings.
#include "test_files.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace sluice {

nlohmann::json ReadDataJson(const std::string& path) {
  return nlohmann::json::parse(ReadData(path), nullptr, /*allow_exceptions=*/false);
}

std::string MakeTestFolder(const std::string& name) {
  const std::string folder =
      absl::StrCat(testing::TempDir(), "/sluice_tokenizer_", getpid(), "_", name);
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
