// A folder includes only from itself and from folders to its right.
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "gtest/gtest.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

TEST(Folders, IncludeOnlyThemselvesAndFoldersToTheirRight) {
  const std::map<std::string, int> rank = {
      {"tools", 0}, {"runtime", 1}, {"prefetch", 2}, {"storage", 3}, {"kernels", 4}};
  int checked = 0;
  for (const auto& [folder, position] : rank) {
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(SLUICE_SOURCE_DIR) / folder)) {
      if (entry.path().extension() != ".h" && entry.path().extension() != ".cc") continue;
      std::ifstream file(entry.path());
      for (std::string line; std::getline(file, line);) {
        if (line.rfind("#include \"", 0) != 0) continue;
        const std::string path = line.substr(10, line.find('"', 10) - 10);
        const auto included = rank.find(path.substr(0, path.find('/')));
        if (included == rank.end()) continue;  // a library's
        EXPECT_GE(included->second, position) << entry.path() << ": " << line;
        ++checked;
      }
    }
  }
  EXPECT_GT(checked, 50) << "the test must have read the sources";
}

// Chat templates are a library of their own.
TEST(Folders, JinjaIncludesNothingElseOfTheProject) {
  int checked = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(SLUICE_SOURCE_DIR) / "runtime/jinja")) {
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line); ++checked) {
      for (const char* const folder : {"tools/", "prefetch/", "storage/", "kernels/", "runtime/"}) {
        const std::string include = std::string("#include \"") + folder;
        if (line.rfind(include, 0) != 0) continue;
        EXPECT_EQ(line.rfind("#include \"runtime/jinja/", 0), 0u) << entry.path() << ": " << line;
      }
    }
  }
  EXPECT_GT(checked, 1000) << "the test must have read the sources";
}

// So is constrained decoding, but for the macros that return errors.
TEST(Folders, GrammarIncludesNothingElseOfTheProject) {
  int checked = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(SLUICE_SOURCE_DIR) / "runtime/grammar")) {
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line); ++checked) {
      for (const char* const folder : {"tools/", "prefetch/", "storage/", "kernels/", "runtime/"}) {
        if (line.rfind(std::string("#include \"") + folder, 0) != 0) continue;
        EXPECT_TRUE(line.rfind("#include \"runtime/grammar/", 0) == 0 || line == "#include \"kernels/status_macros.h\"")
            << entry.path() << ": " << line;
      }
    }
  }
  EXPECT_GT(checked, 1000) << "the test must have read the sources";
}

}  // namespace
}  // namespace sluice
