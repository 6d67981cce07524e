// A folder includes only from itself and from folders to its right.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

// The room of a file: what lies below its folder, "" for the folder itself.
std::string RoomOf(const std::string& path) {
  const size_t folder = path.find('/'), room = path.find('/', folder + 1);
  return room == std::string::npos ? "" : path.substr(folder + 1, room - folder - 1);
}

std::vector<std::string> IncludesOf(const fs::path& path) {
  std::vector<std::string> includes;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("#include \"", 0) == 0)
      includes.push_back(line.substr(10, line.find('"', 10) - 10));
  }
  return includes;
}

bool IsSource(const fs::path& path) {
  return path.extension() == ".h" || path.extension() == ".cc" || path.extension() == ".cu";
}

TEST(Folders, IncludeOnlyThemselvesAndFoldersToTheirRight) {
  const std::map<std::string, int> rank = {
      {"tools", 0}, {"runtime", 1}, {"prefetch", 2}, {"storage", 3}, {"kernels", 4}};
  int checked = 0;
  for (const auto& [folder, position] : rank) {
    for (const auto& entry :
         fs::recursive_directory_iterator(fs::path(SLUICE_SOURCE_DIR) / folder)) {
      if (!IsSource(entry.path())) continue;
      for (const std::string& path : IncludesOf(entry.path())) {
        const auto included = rank.find(path.substr(0, path.find('/')));
        if (included == rank.end()) continue;  // a library's
        EXPECT_GE(included->second, position) << entry.path() << " includes " << path;
        ++checked;
      }
    }
  }
  EXPECT_GT(checked, 50) << "the test must have read the sources";
}

TEST(Folders, HaveRoomsThatIncludeOnlyThemselvesAndRoomsToTheirRight) {
  const std::map<std::string, std::vector<std::string>> rooms = {
      {"runtime",
       {"open", "batch", "openai", "chat", "engine", "speculate", "pass", "floor", "kv", "place",
        "sample", "constrain", "text"}},
      {"prefetch", {"", "io"}},
      {"storage", {"shard", "store", "source", "model", "file"}},
      {"kernels", {"cuda", "cpu", "", "encodings", "base"}}};
  for (const auto& [folder, rooms_of_folder] : rooms) {
    const std::vector<std::string>& order = rooms_of_folder;  // for the lambda: clang 14
    const auto place = [&order](const std::string& room) {
      return std::find(order.begin(), order.end(), room) - order.begin();
    };
    const auto places = static_cast<int64_t>(order.size());
    for (const auto& entry :
         fs::recursive_directory_iterator(fs::path(SLUICE_SOURCE_DIR) / folder)) {
      if (!IsSource(entry.path())) continue;
      const std::string file = fs::relative(entry.path(), SLUICE_SOURCE_DIR).string();
      const int64_t own = place(RoomOf(file));
      EXPECT_LT(own, places) << file << " lies in a room that this test does not know";
      for (const std::string& path : IncludesOf(entry.path())) {
        if (path.rfind(folder + "/", 0) != 0) continue;
        EXPECT_GE(place(RoomOf(path)), own) << file << " includes " << path;
      }
    }
  }
}

// Chat templates are a library of their own.
TEST(Folders, JinjaIncludesNothingElseOfTheProject) {
  int checked = 0;
  for (const auto& entry :
       fs::directory_iterator(fs::path(SLUICE_SOURCE_DIR) / "runtime/text/jinja")) {
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line); ++checked) {
      for (const char* const folder : {"tools/", "prefetch/", "storage/", "kernels/", "runtime/"}) {
        const std::string include = std::string("#include \"") + folder;
        if (line.rfind(include, 0) != 0) continue;
        EXPECT_EQ(line.rfind("#include \"runtime/text/jinja/", 0), 0u)
            << entry.path() << ": " << line;
      }
    }
  }
  EXPECT_GT(checked, 1000) << "the test must have read the sources";
}

// So is constrained decoding, but for the macros that return errors.
TEST(Folders, GrammarIncludesNothingElseOfTheProject) {
  int checked = 0;
  for (const auto& entry :
       fs::directory_iterator(fs::path(SLUICE_SOURCE_DIR) / "runtime/text/grammar")) {
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line); ++checked) {
      for (const char* const folder : {"tools/", "prefetch/", "storage/", "kernels/", "runtime/"}) {
        if (line.rfind(std::string("#include \"") + folder, 0) != 0) continue;
        EXPECT_TRUE(line.rfind("#include \"runtime/text/grammar/", 0) == 0 ||
                    line == "#include \"kernels/base/status_macros.h\"")
            << entry.path() << ": " << line;
      }
    }
  }
  EXPECT_GT(checked, 1000) << "the test must have read the sources";
}

}  // namespace
}  // namespace sluice
