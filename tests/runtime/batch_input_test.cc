// The input of a job: marks in front of it are no part of it, and a file that changes is noticed.
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/batch/line_reader.h"
#include "tests/support/temp_dir.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

void WriteInput(const std::string& path, absl::string_view text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

TEST(BatchInput, SkipsTheByteOrderMarkOfUtf8) {
  const TempDir dir;
  struct Case {
    std::string file;
    std::vector<std::string> lines;
    int64_t offset;  // of the first line
  };
  const std::string mark = "\xEF\xBB\xBF";
  for (const Case& c :
       {Case{mark + "ab\ncd\n", {"ab", "cd"}, 3}, Case{mark + "ab\r\ncd\r\n", {"ab", "cd"}, 3},
        Case{mark + "\nab", {"", "ab"}, 3}, Case{mark, {}, 3},
        Case{mark + mark + "a", {mark + "a"}, 3}, Case{"a\n" + mark + "b", {"a", mark + "b"}, 0},
        Case{"\xEF\xBB", {"\xEF\xBB"}, 0}}) {
    WriteInput(dir / "in", c.file);
    auto reader = LineReader::Open(dir / "in", 100);
    ASSERT_TRUE(reader.ok()) << reader.status();
    std::vector<std::string> lines;
    for (LineReader::Line line; *reader->Next(&line);) {
      if (lines.empty()) {
        EXPECT_EQ(line.offset, c.offset);
      }
      EXPECT_EQ(c.file.compare(line.offset, line.text.size(), std::string(line.text)), 0);
      lines.push_back(std::string(line.text));
    }
    EXPECT_EQ(lines, c.lines) << c.file;
  }
}

TEST(BatchInput, NamesTheMarksOfOtherEncodings) {
  const TempDir dir;
  const std::pair<std::string, const char*> marks[] = {
      {std::string("\xFF\xFE{\0", 4), "UTF-16"},
      {std::string("\xFE\xFF\0{", 4), "UTF-16"},
      {std::string("\xFF\xFE\0\0{\0\0\0", 8), "UTF-32"},
      {std::string("\0\0\xFE\xFF\0\0\0{", 8), "UTF-32"}};
  for (const auto& [text, name] : marks) {
    WriteInput(dir / "in", text);
    const auto summary = SummarizeInput(dir / "in");
    EXPECT_TRUE(absl::IsInvalidArgument(summary.status())) << summary.status();
    EXPECT_THAT(std::string(summary.status().message()),
                HasSubstr((dir / "in") + " begins with the byte order mark of " + name +
                          "; save it as UTF-8"));
  }
}

// Lines that no read of a whole chunk holds all of.
std::string LongInput() {
  std::string text;
  for (int i = 0; i < 40; ++i) text += std::to_string(i) + std::string(50000, 'x') + "\n";
  return text;
}

TEST(BatchInput, GivesNoLineOfAFileThatChangedWhileItWasRead) {
  const TempDir dir;
  const std::string before = LongInput(), path = dir / "in";
  struct Case {
    const char* name;
    void (*change)(const std::string& path, std::string text);
    const char* message;  // null: it can be read to its end
  };
  const Case cases[] = {
      {"cut", [](const std::string& p, std::string) { std::filesystem::resize_file(p, 1000000); },
       "it had 2000110 bytes and has 1000000 now"},
      {"cut between two chunks",
       [](const std::string& p, std::string) { std::filesystem::resize_file(p, 1 << 20); },
       "it had 2000110 bytes and has 1048576 now"},
      {"edited",
       [](const std::string& p, std::string text) {
         text[1500000] = 'y';
         WriteInput(p, text);
       },
       "other bytes lie between byte 1310720 and byte 1572864"},
      {"grown", [](const std::string& p, std::string text) { WriteInput(p, text + "new\n"); },
       nullptr},
      {"replaced",
       [](const std::string& p, std::string) {
         WriteInput(p + ".new", "another file\n");
         std::filesystem::rename(p + ".new", p);
       },
       nullptr},
      {"removed", [](const std::string& p, std::string) { std::filesystem::remove(p); }, nullptr},
      {"touched", [](const std::string& p, std::string text) { WriteInput(p, text); }, nullptr}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    WriteInput(path, before);
    const auto summary = SummarizeInput(path);
    ASSERT_TRUE(summary.ok()) << summary.status();
    auto reader = LineReader::OpenInput(path, 1 << 20, &*summary);
    ASSERT_TRUE(reader.ok()) << reader.status();
    LineReader::Line line;
    ASSERT_TRUE(*reader->Next(&line));
    c.change(path, before);
    std::string read = std::string(line.text) + "\n";
    absl::StatusOr<bool> more = true;
    while ((more = reader->Next(&line)).ok() && *more) read += std::string(line.text) + "\n";
    EXPECT_EQ(before.compare(0, read.size(), read), 0) << "a line that was not there";
    if (c.message == nullptr) {
      EXPECT_TRUE(more.ok()) << more.status();
      EXPECT_EQ(read.size(), before.size());
      continue;
    }
    EXPECT_TRUE(absl::IsAborted(more.status())) << more.status();
    EXPECT_THAT(std::string(more.status().message()),
                HasSubstr(path + " has changed since the job began: " + c.message));
  }
}

TEST(BatchInput, SaysInTheEndWhetherTheFileIsStillTheSame) {
  const TempDir dir;
  const std::string path = dir / "in";
  WriteInput(path, "one\ntwo\n");
  const auto summary = SummarizeInput(path);
  ASSERT_TRUE(summary.ok());
  EXPECT_TRUE(CheckInputUnchanged(path, *summary).ok());
  WriteInput(path, "one\ntwo\n");
  EXPECT_TRUE(CheckInputUnchanged(path, *summary).ok()) << "touched";
  const std::pair<const char*, const char*> changes[] = {
      {"one\ntwo\nthree\n", "it had 8 bytes and has 14 now"},
      {"one\n", "it had 8 bytes and has 4 now"},
      {"", "it had 8 bytes and has 0 now"},
      {"one\nTwo\n", "it has other bytes now"}};
  for (const auto& [text, message] : changes) {
    WriteInput(path, text);
    EXPECT_THAT(std::string(CheckInputUnchanged(path, *summary).message()), HasSubstr(message));
  }
  WriteInput(dir / "new", "one\ntw\n");
  std::filesystem::rename(dir / "new", path);
  EXPECT_TRUE(absl::IsAborted(CheckInputUnchanged(path, *summary))) << "replaced";
  std::filesystem::remove(path);
  EXPECT_TRUE(CheckInputUnchanged(path, *summary).ok()) << "removed";
}

}  // namespace
}  // namespace sluice
