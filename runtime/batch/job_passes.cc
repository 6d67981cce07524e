// From one event to the next: passes between them are alike.
#include "runtime/batch/job_passes.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <queue>
#include <vector>

#include "runtime/engine/pass_scheduler.h"

namespace sluice {
namespace {

class JobPassCounter {
 public:
  JobPassCounter(absl::Span<const SequenceLength> left, const PassRoom& room,
                 absl::FunctionRef<double(int64_t rows)> seconds)
      : left_(left), room_(room), seconds_(seconds) {}

  JobPasses Run() {
    while (next_ < left_.size() || !prompts_.empty() || !ends_.empty()) {
      Admit();
      if (prompts_.empty()) {
        Pass(ends_.top() - now_, 0);
      } else {
        PromptPass();
      }
      while (!ends_.empty() && ends_.top() <= now_) ends_.pop();
    }
    return passes_;
  }

 private:
  struct Prompt {
    int64_t rows;
    int64_t answer_tokens;
  };

  int64_t decoding() const { return static_cast<int64_t>(ends_.size()); }

  void Admit() {
    while (next_ < left_.size() &&
           decoding() + static_cast<int64_t>(prompts_.size()) < room_.sequences) {
      const SequenceLength& sequence = left_[next_++];
      prompts_.push_back({std::max<int64_t>(sequence.prompt_tokens, 1), sequence.answer_tokens});
    }
  }

  // `count` passes with so many rows of prompts.
  void Pass(int64_t count, int64_t prompt_rows) {
    now_ += count;
    passes_.passes += count;
    passes_.seconds += static_cast<double>(count) * seconds_(decoding() + prompt_rows);
  }

  // Gives prompts the rows beside those that generate; a prompt's last row gives the first token.
  void PromptPass() {
    const int64_t free = std::max<int64_t>(room_.pass_rows - decoding(), 1);
    const int64_t room =
        std::min(std::max(room_.balanced_rows - decoding(), kLeastPromptRows), free);
    // A long prompt fills passes that are all alike, until it is done or a sequence ends.
    int64_t alike = (prompts_.front().rows - 1) / room;
    if (!ends_.empty()) alike = std::min(alike, ends_.top() - now_);
    if (alike > 0) {
      prompts_.front().rows -= alike * room;
      return Pass(alike, room);
    }
    int64_t given = 0;
    std::vector<int64_t> ends;
    while (!prompts_.empty() && given < room) {
      Prompt& prompt = prompts_.front();
      const int64_t rows = std::min(prompt.rows, room - given);
      given += rows;
      prompt.rows -= rows;
      if (prompt.rows > 0) break;
      ends.push_back(now_ + std::max<int64_t>(prompt.answer_tokens, 1));
      prompts_.pop_front();
    }
    Pass(1, given);
    for (const int64_t end : ends) ends_.push(end);
  }

  const absl::Span<const SequenceLength> left_;
  const PassRoom room_;
  const absl::FunctionRef<double(int64_t rows)> seconds_;
  size_t next_ = 0;             // of left_, to be admitted
  std::deque<Prompt> prompts_;  // of sequences that run, oldest first
  // After which pass each sequence that generates has its last token.
  std::priority_queue<int64_t, std::vector<int64_t>, std::greater<int64_t>> ends_;
  int64_t now_ = 0;  // passes that are over
  JobPasses passes_;
};

}  // namespace

JobPasses CountPasses(absl::Span<const SequenceLength> left, const PassRoom& room,
                      absl::FunctionRef<double(int64_t rows)> seconds) {
  return JobPassCounter(left, room, seconds).Run();
}

}  // namespace sluice
