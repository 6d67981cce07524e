// The passes of a job, against a scheduler that runs it.
#include "runtime/batch/job_passes.h"

#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/engine/pass_scheduler.h"

namespace sluice {
namespace {

double ASecond(int64_t /*rows*/) { return 1; }

// Runs it with tokens, each of which is another one, and counts passes that have rows.
JobPasses Schedule(const std::vector<SequenceLength>& left, const PassRoom& room) {
  PagePool pool(1 << 16);
  PassScheduler scheduler({.pass_rows = room.pass_rows,
                           .logit_rows = room.sequences,
                           .max_sequences = room.sequences,
                           .balanced_rows = room.balanced_rows},
                          &pool);
  int32_t token = 0;
  std::map<int64_t, int64_t> answers;  // tokens that are still to come
  for (const SequenceLength& sequence : left) {
    std::vector<int32_t> prompt(sequence.prompt_tokens);
    for (int32_t& t : prompt) t = ++token;
    const int64_t id = scheduler.Add(prompt, sequence.prompt_tokens + sequence.answer_tokens,
                                     sequence.prompt_tokens - 1);
    answers[id] = sequence.answer_tokens;
  }
  JobPasses passes;
  while (!answers.empty()) {
    int64_t rows = 0;
    for (const PassScheduler::Chunk& chunk : scheduler.NextPass()) {
      rows += chunk.count;
      if (chunk.first + chunk.count < static_cast<int64_t>(scheduler.Tokens(chunk.id).size()))
        continue;
      if (--answers[chunk.id] == 0) {
        answers.erase(chunk.id);
        scheduler.Remove(chunk.id);
      } else {
        scheduler.Append(chunk.id, ++token);
      }
    }
    ++passes.passes;
    passes.seconds += static_cast<double>(rows);
  }
  return passes;
}

TEST(JobPasses, CountTheWavesAndTheTail) {
  struct Case {
    int64_t requests, at_once, prompt, answer;
    int64_t passes;
  };
  for (const Case& c :
       std::vector<Case>{{64, 64, 1, 6, 6},
                         {64, 63, 1, 6, 12},  // one is left for a wave of its own
                         {64, 32, 1, 6, 12},
                         {65, 32, 1, 6, 18},
                         {1, 100, 1, 6, 6},
                         {3, 1, 1, 1, 3},
                         {0, 8, 1, 6, 0},
                         {2, 2, 64, 4, 5},  // 64 rows of prompts a pass: one after the other
                         {1, 1, 6400, 1, 100}}) {
    const std::vector<SequenceLength> left(c.requests, {c.prompt, c.answer});
    const PassRoom room = {
        .sequences = c.at_once, .pass_rows = c.at_once + 512, .balanced_rows = 1};
    EXPECT_EQ(CountPasses(left, room, ASecond).passes, c.passes)
        << c.requests << " with " << c.at_once;
    if (c.requests > 0) {
      EXPECT_EQ(Schedule(left, room).passes, c.passes) << c.requests << " with " << c.at_once;
    }
  }
}

// A row of a prompt that has one left counts as one that generates in the scheduler: now and then a
// pass more or less.
TEST(JobPasses, AreThoseOfTheScheduler) {
  std::mt19937 random(5);
  const auto between = [&](int64_t least, int64_t most) {
    return std::uniform_int_distribution<int64_t>(least, most)(random);
  };
  for (int round = 0; round < 60; ++round) {
    PassRoom room = {.sequences = between(1, 40)};
    room.pass_rows = room.sequences + between(1, 200);
    room.balanced_rows = between(0, 1) * between(1, room.pass_rows);
    std::vector<SequenceLength> left(between(1, 120));
    const int64_t longest = between(1, 300);
    for (SequenceLength& sequence : left) sequence = {between(1, longest), between(1, 60)};
    const JobPasses scheduled = Schedule(left, room);
    PassRoom counted_room = room;
    if (room.balanced_rows == 0) counted_room.balanced_rows = room.pass_rows;
    const JobPasses counted =
        CountPasses(left, counted_room, [](int64_t rows) { return static_cast<double>(rows); });
    EXPECT_NEAR(static_cast<double>(counted.passes), static_cast<double>(scheduled.passes),
                1 + 0.02 * static_cast<double>(scheduled.passes))
        << "round " << round << ": " << left.size() << " with " << room.sequences;
    EXPECT_EQ(counted.seconds, scheduled.seconds) << "each row is computed once";
  }
}

}  // namespace
}  // namespace sluice
