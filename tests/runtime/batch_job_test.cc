// A job whose input changes under it: what was answered stays, and it goes on once the input is
// what it was.
#include "runtime/batch/batch_job.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/openai/prompt_encoder.h"
#include "tests/runtime/model_harness.h"
#include "tests/support/reference_file.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

constexpr int kJobLines = 30;

class BatchJobTest : public testing::Test {
 protected:
  BatchJobTest()
      : store_("TinyStories-656K", "", 50000),
        tokenizer_(*Tokenizer::Load(store_->TokenizerDir())) {
    // 8 lines in what is read at once.
    for (int i = 0; i < kJobLines; ++i) {
      text_ +=
          R"({"prompt": "Once", "max_tokens": 2, "user": ")" + std::string(30000, 'x') + "\"}\n";
    }
    WriteInput(text_);
  }

  void WriteInput(const std::string& text) {
    std::ofstream(Input(), std::ios::binary | std::ios::trunc) << text;
  }
  std::string Input() const { return dir_ / "in.jsonl"; }
  std::string Results() const { return dir_ / "out.jsonl"; }

  // Runs the job; `change` comes after its first pass.
  absl::StatusOr<BatchReport> Run(const std::function<void()>& change) {
    TestModel model(*store_, {.name = "job", .chunk = 8, .all_logits = false});
    Engine engine(model.model.get(), tokenizer_.get(), {.max_sequences = 1});
    const auto summary = SummarizeInput(Input());
    JobRecord job;
    job.context_tokens = 512;
    auto output = BatchOutput::Open(Results(), job, /*retry_errors=*/false);
    EXPECT_TRUE(output.ok()) << output.status();
    const absl::StatusOr<ChatFront> chats = absl::NotFoundError("no template");
    const PromptEncoder encoder(tokenizer_.get(), &chats, 0);
    const HyperParameters& h = store_->hyper_parameters();
    BatchJob batch_job(Input(), &*summary, tokenizer_.get(), &encoder,
                       Constraints(tokenizer_.get(), h.vocab_size, h.eos_token_ids), &engine,
                       &*output, 1, HeldLimit());
    bool first = true;
    return batch_job.Run(nullptr, [&](const BatchReport&, const StepReport&) {
      if (std::exchange(first, false)) change();
    });
  }

  int64_t NumResults() const {
    const std::string text = ReadWholeFile(Results());
    return std::count(text.begin(), text.end(), '\n');
  }

  TempDir dir_;
  TestStore store_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::string text_;
};

TEST_F(BatchJobTest, StopsWhereItsInputIsCutAndGoesOnOnceItIsBack) {
  const auto cut = Run([&] { std::filesystem::resize_file(Input(), text_.size() / 2); });
  ASSERT_TRUE(absl::IsAborted(cut.status())) << cut.status();
  EXPECT_THAT(std::string(cut.status().message()),
              HasSubstr("in.jsonl has changed since the job began"));
  EXPECT_GT(NumResults(), 0);
  EXPECT_LT(NumResults(), kJobLines);
  WriteInput(text_);
  const auto rest = Run([] {});
  ASSERT_TRUE(rest.ok()) << rest.status();
  EXPECT_EQ(rest->succeeded, kJobLines);
  EXPECT_EQ(NumResults(), kJobLines);
}

TEST_F(BatchJobTest, AnswersNoLineThatWasEditedUnderIt) {
  std::string edited = text_;
  edited[text_.size() - 5] = 'y';
  const auto run = Run([&] { WriteInput(edited); });
  ASSERT_TRUE(absl::IsAborted(run.status())) << run.status();
  EXPECT_GT(NumResults(), 0);
  EXPECT_LT(NumResults(), kJobLines);
}

TEST_F(BatchJobTest, EndsWithTheLinesThatItBeganWithWhenMoreAreAdded) {
  const auto run = Run([&] {
    WriteInput(text_ + R"({"prompt": "new"})"
                       "\n");
  });
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->succeeded, kJobLines);
}

}  // namespace
}  // namespace sluice
