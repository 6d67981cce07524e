// The files of a batch job: lines of any length, journals with torn ends, jobs that are not this
// one.
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/batch/batch_output.h"
#include "runtime/batch/job_record.h"
#include "runtime/batch/journal.h"
#include "runtime/batch/line_reader.h"
#include "tests/support/reference_file.h"
#include "tests/support/temp_dir.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

void Write(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

std::vector<LineReader::Line> ReadLines(const std::string& path, int64_t max_bytes,
                                        std::vector<std::string>* texts) {
  auto reader = LineReader::Open(path, max_bytes);
  EXPECT_TRUE(reader.ok()) << reader.status();
  std::vector<LineReader::Line> lines;
  LineReader::Line line;
  while (*reader->Next(&line)) {
    lines.push_back(line);
    texts->push_back(std::string(line.text));
  }
  return lines;
}

TEST(LineReader, GivesLinesOfAnyLength) {
  const TempDir dir;
  std::string file = "one\n\r\ntwo\r\n";
  const size_t sizes[] = {9, 10, 11, 300000, 600000};  // around the limit, and over several reads
  for (const size_t size : sizes) file += std::string(size, 'x') + "\n";
  file += "last";
  Write(dir / "f", file);
  std::vector<std::string> texts;
  const auto lines = ReadLines(dir / "f", 10, &texts);
  EXPECT_THAT(
      texts, ElementsAre("one", "", "two", std::string(9, 'x'), std::string(10, 'x'),
                         std::string(10, 'x'), std::string(10, 'x'), std::string(10, 'x'), "last"));
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i].number, static_cast<int64_t>(i) + 1);
    EXPECT_EQ(lines[i].too_long, i >= 5 && i <= 7) << i;
    EXPECT_EQ(lines[i].whole, i < 8);
    EXPECT_EQ(file.compare(lines[i].offset, texts[i].size(), texts[i]), 0) << i;
    if (i > 0) {
      EXPECT_EQ(file[lines[i].offset - 1], '\n') << i;
    }
  }
  const auto summary = SummarizeInput(dir / "f");
  ASSERT_TRUE(summary.ok());
  EXPECT_FALSE(summary->names_grammars);
  EXPECT_EQ(summary->num_lines, 9);
  EXPECT_EQ(summary->num_bytes, static_cast<int64_t>(file.size()));
  constexpr int kChunk = 256 << 10;  // what is read at once
  for (const int before :
       {0, kChunk - 17, kChunk - 16, kChunk - 8, kChunk - 1, kChunk, 2 * kChunk - 3}) {
    Write(dir / "f", std::string(before, 'x') + "\"response_format\"" + std::string(100, 'x'));
    EXPECT_TRUE(SummarizeInput(dir / "f")->names_grammars) << before;
  }
  Write(dir / "f", "");
  EXPECT_EQ(SummarizeInput(dir / "f")->num_lines, 0);
  texts.clear();
  EXPECT_TRUE(ReadLines(dir / "f", 10, &texts).empty());
  EXPECT_TRUE(absl::IsNotFound(LineReader::Open(dir / "nowhere", 10).status()));
}

std::vector<int32_t> TokensIn(const std::string& path, uint64_t job = 1) {
  std::vector<int32_t> tokens;
  const auto journal =
      Journal::Open(path, job, [&](const JournalEntry& entry) { tokens.push_back(entry.token); });
  EXPECT_TRUE(journal.ok()) << journal.status();
  return tokens;
}

TEST(Journal, CutsATornOrDamagedEndAndGoesOn) {
  const TempDir dir;
  const std::string path = dir / "j";
  {
    auto journal = Journal::Open(path, 1, [](const JournalEntry&) { FAIL(); });
    ASSERT_TRUE(journal.ok()) << journal.status();
    ASSERT_TRUE(journal->Append({{1, 0, 10}, {2, 1, 20}}).ok());
    ASSERT_TRUE(journal->Append({}).ok());
    ASSERT_TRUE(journal->Append({{1, 0, 11}}).ok());
  }
  const std::string whole = ReadWholeFile(path);
  EXPECT_EQ(whole.size(), 16u + (16 + 32) + (16 + 16));
  EXPECT_THAT(TokensIn(path), ElementsAre(10, 20, 11));
  for (size_t size = 0; size <= whole.size(); ++size) {
    Write(path, whole.substr(0, size));
    const std::vector<int32_t> tokens = TokensIn(path);
    EXPECT_EQ(tokens.size(), size == whole.size() ? 3u : size >= 64 ? 2u : 0u) << size << " bytes";
    auto journal = Journal::Open(path, 1, [](const JournalEntry&) {});
    ASSERT_TRUE(journal->Append({{3, 0, 30}}).ok());
    EXPECT_EQ(TokensIn(path).size(), tokens.size() + 1);
    EXPECT_EQ(TokensIn(path).back(), 30);
  }
  for (size_t at = 16; at < whole.size(); at += 3) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    Write(path, damaged);
    EXPECT_EQ(TokensIn(path).size(), at < 64 ? 0u : 2u) << "byte " << at;
  }
}

TEST(Journal, IsRewrittenWithWhatIsStillNeeded) {
  const TempDir dir;
  auto journal = Journal::Open(dir / "j", 1, [](const JournalEntry&) {});
  for (int32_t i = 0; i < 100; ++i) ASSERT_TRUE(journal->Append({{1, 0, i}}).ok());
  const int64_t before = journal->size();
  ASSERT_TRUE(journal->Rewrite({{2, 0, 7}, {2, 0, 8}}).ok());
  EXPECT_LT(journal->size(), before);
  ASSERT_TRUE(journal->Append({{2, 0, 9}}).ok());
  EXPECT_THAT(TokensIn(dir / "j"), ElementsAre(7, 8, 9));
}

TEST(Journal, RefusesOtherFiles) {
  const TempDir dir;
  {
    ASSERT_TRUE(Journal::Open(dir / "j", 1, [](const JournalEntry&) {}).ok());
  }
  const auto other_job = Journal::Open(dir / "j", 2, [](const JournalEntry&) {});
  EXPECT_TRUE(absl::IsFailedPrecondition(other_job.status())) << other_job.status();
  Write(dir / "text", "my notes");
  EXPECT_FALSE(Journal::Open(dir / "text", 1, [](const JournalEntry&) {}).ok());
  EXPECT_EQ(ReadWholeFile(dir / "text"), "my notes");
}

JobRecord Job() {
  JobRecord job;
  job.created = 1700000000;
  job.input = "in.jsonl";
  job.input_hash = 5;
  job.input_lines = 3;
  job.store = "s";
  job.store_hash = 6;
  job.k_type = job.v_type = "f16";
  job.context_tokens = 512;
  return job;
}

TEST(JobRecord, SurvivesItsFileAndNamesWhatDiffers) {
  const auto parsed = ParseJobRecord(SerializeJobRecord(Job()), "x");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(SerializeJobRecord(*parsed), SerializeJobRecord(Job()));
  struct Case {
    const char* name;
    void (*change)(JobRecord&);
  };
  const Case cases[] = {{"input:", [](JobRecord& j) { j.input_hash = 7, j.input = "other"; }},
                        {"has changed", [](JobRecord& j) { j.input_hash = 7; }},
                        {"store:", [](JobRecord& j) { j.store_hash = 7; }},
                        {"format", [](JobRecord& j) { j.input_format = "text"; }},
                        {"device", [](JobRecord& j) { j.device = "gpu"; }},
                        {"-ctk", [](JobRecord& j) { j.k_type = "q8_0"; }},
                        {"-ctv", [](JobRecord& j) { j.v_type = "q8_0"; }},
                        {"-c)", [](JobRecord& j) { j.context_tokens = 7; }},
                        {"--seed", [](JobRecord& j) { j.seed = 7; }},
                        {"--fast-math", [](JobRecord& j) { j.arithmetic = "fast-math"; }},
                        {"--template", [](JobRecord& j) { j.chat = "no-parse-special"; }},
                        {"--part", [](JobRecord& j) { j.num_parts = 7; }}};
  for (const Case& c : cases) {
    JobRecord other = Job();
    c.change(other);
    EXPECT_THAT(std::string(CheckSameJob(Job(), other, "x").message()), HasSubstr(c.name));
  }
  // Begun before there was another arithmetic than the exact one
  std::string older = SerializeJobRecord(Job());
  const std::string line = "  \"arithmetic\": \"exact\",\n";
  ASSERT_NE(older.find(line), std::string::npos);
  older.erase(older.find(line), line.size());
  EXPECT_TRUE(CheckSameJob(*ParseJobRecord(older, "x"), Job(), "x").ok());
  JobRecord moved = Job();
  moved.created = 1;
  moved.input = "elsewhere";
  EXPECT_TRUE(CheckSameJob(Job(), moved, "x").ok());
  for (const char* text : {"", "{}", "[]", "{\"format_version\": 2}", "{\"format_version\": 1}"}) {
    EXPECT_FALSE(ParseJobRecord(text, "x").ok()) << text;
  }
}

std::string Line(int number) {
  return "{\"id\": \"batch_req_000000000000000" + std::to_string(number) + "\", \"custom_id\": \"" +
         std::string(1000, 'x') + "\"}\n";
}

TEST(BatchOutput, GoesOnBehindWhatIsWhole) {
  const TempDir dir;
  const std::string path = dir / "results.jsonl";
  {
    auto output = BatchOutput::Open(path, Job(), false);
    ASSERT_TRUE(output.ok()) << output.status();
    const auto second = BatchOutput::Open(path, Job(), false);
    EXPECT_TRUE(absl::IsUnavailable(second.status())) << second.status();
    output->AddResult(Line(1));
    output->AddError(Line(2));
    output->AddToken({3, 1, 30});
    ASSERT_TRUE(output->EndPass(/*computed=*/true).ok());
    output->AddToken({3, 1, 31});
    output->AddToken({4, 0, 40});
    ASSERT_TRUE(output->EndPass(/*computed=*/true).ok());
  }
  const std::string results = ReadWholeFile(path);
  Write(path, results + Line(5).substr(0, 500));  // torn
  {
    JobRecord again = Job();
    again.created = 1800000000;
    auto output = BatchOutput::Open(path, again, false);
    ASSERT_TRUE(output.ok()) << output.status();
    EXPECT_EQ(output->job().created, Job().created);
    EXPECT_TRUE(output->HasResult(1));
    EXPECT_FALSE(output->HasResult(2));
    EXPECT_TRUE(output->HasError(2));
    EXPECT_FALSE(output->HasResult(5));
    EXPECT_EQ(ReadWholeFile(path), results) << "the torn line is cut";
    EXPECT_THAT(output->TakeJournaled(3, 1), ElementsAre(30, 31));
    EXPECT_THAT(output->TakeJournaled(3, 1), ElementsAre());
    ASSERT_TRUE(output->CompactJournal({{3, 1, 30}, {3, 1, 31}}).ok());
  }
  {
    auto output = BatchOutput::Open(path, Job(), /*retry_errors=*/true);
    ASSERT_TRUE(output.ok()) << output.status();
    EXPECT_FALSE(output->HasError(2));
    EXPECT_THAT(output->TakeJournaled(3, 1), ElementsAre(30, 31));
    EXPECT_THAT(output->TakeJournaled(4, 0), ElementsAre(40))
        << "compacting keeps what nobody took";
    ASSERT_TRUE(output->Finish().ok());
  }
  EXPECT_FALSE(std::filesystem::exists(dir / "results.journal"));
}

TEST(BatchOutput, SaysThatItsFilesWereMovedRemovedOrCutWhileItWroteThem) {
  for (const char* const name : {"results.jsonl", "results.errors.jsonl"}) {
    for (const bool cut : {false, true}) {
      const TempDir dir;
      const std::string path = dir / "results.jsonl";
      auto output = BatchOutput::Open(path, Job(), false);
      ASSERT_TRUE(output.ok()) << output.status();
      output->AddResult(Line(1));
      output->AddError(Line(2));
      ASSERT_TRUE(output->EndPass(/*computed=*/true).ok());
      if (cut) {
        std::filesystem::resize_file(dir / name, 0);
      } else {
        std::filesystem::remove(dir / name);
      }
      const absl::Status status = output->Finish();
      EXPECT_TRUE(absl::IsDataLoss(status)) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr(name));
      EXPECT_TRUE(std::filesystem::exists(dir / "results.journal"))
          << "the same command completes the job";
    }
  }
}

TEST(BatchOutput, WritesALongLineInPiecesThatAreCutWhereItIsNotWhole) {
  const TempDir dir;
  const std::string path = dir / "results.jsonl", journal = dir / "results.journal";
  const std::string piece(100 << 10, 'x');
  {
    auto output = BatchOutput::Open(path, Job(), false);
    ASSERT_TRUE(output.ok()) << output.status();
    output->AddResult(Line(1));
    output->AddResult(Line(2).substr(0, 500));
    const auto before = std::filesystem::file_size(journal);
    output->AddToken({3, 1, 30});
    for (int i = 0; i < 10; ++i) output->AddResult(piece);
    EXPECT_GT(std::filesystem::file_size(path), 700u << 10) << "it is not held whole";
    EXPECT_GT(std::filesystem::file_size(journal), before) << "the pass's tokens come first";
  }  // a kill
  {
    auto output = BatchOutput::Open(path, Job(), false);
    ASSERT_TRUE(output.ok()) << output.status();
    EXPECT_EQ(ReadWholeFile(path), Line(1));
    output->AddResult(Line(2).substr(0, 500));
    for (int i = 0; i < 10; ++i) output->AddResult(piece);
    output->AddResult("\n");
    output->AddResult(Line(3));
    ASSERT_TRUE(output->EndPass(/*computed=*/true).ok());
    EXPECT_EQ(ReadWholeFile(path),
              Line(1) + Line(2).substr(0, 500) + std::string(1000 << 10, 'x') + "\n" + Line(3));
  }
  auto output = BatchOutput::Open(path, Job(), false);
  EXPECT_TRUE(output->HasResult(2));
  EXPECT_TRUE(output->HasResult(3));
}

TEST(BatchOutput, RefusesFilesThatAreNotTheJobs) {
  const TempDir dir;
  const std::string path = dir / "results.jsonl";
  Write(path, "my diary\n");
  EXPECT_THAT(std::string(BatchOutput::Open(path, Job(), false).status().message()),
              HasSubstr("no job can continue it"));
  EXPECT_EQ(ReadWholeFile(path), "my diary\n");
  std::filesystem::remove(path);
  { ASSERT_TRUE(BatchOutput::Open(path, Job(), false).ok()); }
  JobRecord other = Job();
  other.store_hash = 9;
  EXPECT_THAT(std::string(BatchOutput::Open(path, other, false).status().message()),
              HasSubstr("another store"));
  Write(path, "my diary\n");
  EXPECT_THAT(std::string(BatchOutput::Open(path, Job(), false).status().message()),
              HasSubstr("line 1"));
  EXPECT_EQ(ReadWholeFile(path), "my diary\n");
  EXPECT_FALSE(BatchOutput::Open(dir / "nowhere/results.jsonl", Job(), false).ok());
  EXPECT_FALSE(BatchOutput::Open("/dev/null", Job(), false).ok());
}

}  // namespace
}  // namespace sluice
