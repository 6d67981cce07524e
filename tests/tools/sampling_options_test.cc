// Sampling by the command line: llama.cpp's options, and the same draws in `run` and `batch`.
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/temp_dir.h"
#include "tests/tools/subprocess.h"

namespace sluice {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class SamplingOptions : public testing::Test {
 protected:
  SamplingOptions() {
    const Finished shard =
        RunSluice({"shard", SLUICE_SOURCE_DIR "/tests/data/models/TinyStories-656K", Store()});
    EXPECT_EQ(shard.exit_code, 0) << shard.err;
  }
  std::string Store() const { return dir_ / "store"; }

  Finished Run(std::vector<std::string> options) const {
    options.insert(options.begin(), {"run", Store(), "-p", "Once upon a time", "-n", "24"});
    return RunSluice(options);
  }
  std::string Text(std::vector<std::string> options) const {
    const Finished run = Run(std::move(options));
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return run.out;
  }

  TempDir dir_;
};

TEST_F(SamplingOptions, RunDrawsWhatTheFirstChoiceOfARequestDraws) {
  // The API's steps and defaults, as options.
  const std::string text =
      Text({"--seed", "7", "--temp", "0.9", "--top-p", "0.8", "--top-k", "0", "--min-p", "0",
            "--samplers", "penalties;temperature;min_p;top_k;typ_p;top_p", "--no-display-prompt"});
  std::ofstream(dir_ / "in.jsonl")
      << R"({"prompt": "Once upon a time", "max_tokens": 24, "seed": 7, "temperature": 0.9, "top_p": 0.8, "n": 2})";
  const Finished batch =
      RunSluice({"batch", Store(), "-i", dir_ / "in.jsonl", "-o", dir_ / "out.jsonl"});
  ASSERT_EQ(batch.exit_code, 0) << batch.err;
  std::string line;
  std::ifstream results(dir_ / "out.jsonl");
  ASSERT_TRUE(std::getline(results, line));
  const json choices = json::parse(line)["response"]["body"]["choices"];
  EXPECT_EQ(choices[0]["text"].get<std::string>() + "\n", text);
  EXPECT_NE(choices[1]["text"], choices[0]["text"]);
}

TEST_F(SamplingOptions, EachChangesTheText) {
  const std::vector<std::string> plain = {"--seed", "3", "--temp", "1"};
  const std::string text = Text(plain);
  EXPECT_EQ(Text(plain), text);
  for (const std::vector<std::string>& option :
       std::vector<std::vector<std::string>>{{"--presence-penalty", "50", "--repeat-last-n", "-1"},
                                             {"--frequency-penalty", "50", "--repeat-last-n", "-1"},
                                             {"--typical", "0.2"},
                                             {"--samplers", "top_k;temperature", "--top-k", "1"},
                                             {"--seed", "4"}}) {
    std::vector<std::string> options = plain;
    options.insert(options.end(), option.begin(), option.end());
    EXPECT_NE(Text(options), text) << option[0];
  }
}

TEST_F(SamplingOptions, ABiasForbidsATokenAndForcesAnother) {
  const Finished greedy = Run({"--temp", "0", "--json"});
  const json ids = json::parse(greedy.out)["ids"];
  const auto first = ids[0].get<int64_t>();
  const auto first_of = [&](const std::string& bias) {
    return json::parse(Run({"--temp", "0", "--json", "-l", bias}).out)["ids"][0].get<int64_t>();
  };
  EXPECT_NE(first_of(std::to_string(first) + "-inf"), first);
  EXPECT_EQ(first_of("5+1000"), 5);
}

TEST_F(SamplingOptions, LogProbabilitiesOfARunAreThoseOfScore) {
  const Finished plain = Run({"--temp", "0", "--json"});
  const Finished run = Run({"--temp", "0", "--json", "--logprobs", "2"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const json got = json::parse(run.out);
  EXPECT_EQ(got["ids"], json::parse(plain.out)["ids"]);
  EXPECT_FALSE(json::parse(plain.out).contains("logprobs"));
  ASSERT_EQ(got["logprobs"].size(), got["ids"].size());
  std::string all;
  for (const char* const part : {"prompt_ids", "ids"}) {
    for (const json& id : got[part]) all += (all.empty() ? "" : ",") + id.dump();
  }
  const Finished score = RunSluice({"score", Store(), "--prompt-ids", all, "--top", "2", "--json"});
  ASSERT_EQ(score.exit_code, 0) << score.err;
  const json want = json::parse(score.out);
  const size_t prompt = got["prompt_ids"].size();
  for (size_t i = 0; i < got["ids"].size(); ++i) {
    EXPECT_EQ(got["logprobs"][i], want["logprobs"][prompt + i]);
    EXPECT_EQ(got["top"][i], want["top"][prompt + i]);
    EXPECT_EQ(got["top"][i][0][0], got["ids"][i]) << "greedy";
  }
  const Finished none = Run({"--temp", "0", "--json", "--logprobs", "0"});
  EXPECT_EQ(json::parse(none.out)["logprobs"], got["logprobs"]);
  EXPECT_FALSE(json::parse(none.out).contains("top"));
}

TEST_F(SamplingOptions, NameWhatIsWrongWithThem) {
  const struct {
    std::vector<std::string> options;
    const char* words;
  } cases[] = {{{"--typical", "0"}, "--typical 0 is not in (0, 1]"},
               {{"--samplers", "top_k;magic"}, "there is no sampler \"magic\""},
               {{"--logit-bias", "word+1"}, "--logit-bias wants a token's id"},
               {{"--logit-bias", "99999999+1"}, "logit_bias names token 99999999"},
               {{"--presence-penalty", "nan"}, "--presence-penalty"},
               {{"--logprobs", "2"}, "--logprobs needs --json"},
               {{"--json", "--logprobs", "1001"}, "--logprobs"}};
  for (const auto& c : cases) {
    const Finished run = Run(c.options);
    EXPECT_NE(run.exit_code, 0) << c.words;
    EXPECT_THAT(run.err, HasSubstr(c.words));
  }
}

}  // namespace
}  // namespace sluice
