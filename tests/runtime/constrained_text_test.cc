// Text from random logits, held to schemas, is valid by an independent validator and ends in time.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "runtime/constrain/constraints.h"
#include "runtime/sample/sampler.h"
#include "runtime/text/tokenizer/tokenizer.h"
#include "tests/support/schema_validator.h"

namespace sluice {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

#ifdef SLUICE_SANITIZED
constexpr int kTextSeeds = 1;
#else
constexpr int kTextSeeds = 4;
#endif
constexpr int64_t kMostTokens = 512;

std::vector<std::string> Lines(const std::string& name) {
  std::ifstream file(std::string(SLUICE_SOURCE_DIR "/tests/data/schemas/") + name);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

const Tokenizer& BardTokenizer() {
  static const auto* const tokenizer =
      Tokenizer::Load(SLUICE_SOURCE_DIR "/tests/data/models/bard-6.7M")->release();
  return *tokenizer;
}

// Logits of a model with random weights say nothing; they have a spread of 1.
std::vector<float> RandomLogits(int64_t vocab_size, std::mt19937* random) {
  std::normal_distribution<float> normal;
  std::vector<float> logits(vocab_size);
  for (float& logit : logits) logit = normal(*random);
  return logits;
}

struct TokenText {
  std::string text;
  int64_t tokens = 0;
  bool ended = false;
};

TokenText Generate(std::shared_ptr<grammar::Constraint> constraint, int64_t max_tokens, int seed,
                   double temperature = 2) {
  const Tokenizer& tokenizer = BardTokenizer();
  const int64_t vocab_size = constraint->vocabulary().num_ids();
  Sampler sampler(vocab_size);
  std::mt19937 random(seed);
  grammar::Matcher matcher(std::move(constraint));
  grammar::TokenMask mask;
  std::vector<int32_t> ids;
  TokenText result;
  for (; result.tokens < max_tokens && !matcher.finished(); ++result.tokens) {
    const absl::Status status = matcher.Mask(max_tokens - result.tokens, &mask);
    EXPECT_TRUE(status.ok()) << status;
    if (!status.ok()) break;
    SamplerOptions options = OpenAiSampling();
    options.temperature = temperature;
    options.seed = static_cast<uint64_t>(seed);
    const int32_t id = sampler.Sample(RandomLogits(vocab_size, &random), options, /*prompt=*/{},
                                      ids, result.tokens, mask);
    EXPECT_TRUE(grammar::Allows(mask, id));
    EXPECT_TRUE(matcher.Accept(id).ok());
    ids.push_back(id);
  }
  result.text = tokenizer.Decode(ids, /*skip_special=*/true);
  result.ended = matcher.finished();
  return result;
}

Constraints BardConstraints() { return Constraints(&BardTokenizer(), 1536, {1}); }

TEST(ConstrainedText, IsValidByItsSchemaAndEndsInTime) {
  Constraints constraints = BardConstraints();
  const std::vector<std::string> schemas = Lines("schemas.jsonl");
  ASSERT_GE(schemas.size(), 50u);
  int texts = 0, cut = 0;
  for (const std::string& schema : schemas) {
    const auto constraint = constraints.For({GrammarKind::kJsonSchema, schema});
    ASSERT_TRUE(constraint.ok()) << constraint.status() << schema;
    const SchemaValidator validator(json::parse(schema));
    for (int seed = 0; seed < kTextSeeds; ++seed) {
      const TokenText text = Generate(*constraint, kMostTokens, seed);
      ++texts;
      cut += !text.ended;
      if (!text.ended) continue;
      const json value = json::parse(text.text, nullptr, /*allow_exceptions=*/false);
      ASSERT_FALSE(value.is_discarded()) << schema << "\n" << text.text;
      EXPECT_TRUE(validator.IsValid(value)) << schema << "\n" << text.text;
    }
  }
  EXPECT_LT(100 * cut, texts) << cut << " of " << texts << " were cut off";
}

TEST(ConstrainedText, EndsWithTheFewestTokensThatItsGrammarNeeds) {
  Constraints constraints = BardConstraints();
  for (const std::string& schema : Lines("schemas.jsonl")) {
    const auto constraint = constraints.For({GrammarKind::kJsonSchema, schema});
    ASSERT_TRUE(constraint.ok()) << constraint.status();
    const SchemaValidator validator(json::parse(schema));
    for (const int more : {0, 1, 7}) {
      const TokenText text = Generate(*constraint, (*constraint)->tokens_to_finish() + more, more);
      EXPECT_TRUE(text.ended) << schema << "\n" << text.text;
      const json value = json::parse(text.text, nullptr, /*allow_exceptions=*/false);
      EXPECT_TRUE(!value.is_discarded() && validator.IsValid(value)) << schema << "\n" << text.text;
    }
  }
}

TEST(SchemaValidator, AgreesWithPythonsJsonschema) {
  const std::vector<std::string> schemas = Lines("schemas.jsonl");
  int valid = 0, invalid = 0;
  for (const std::string& line : Lines("verdicts.jsonl")) {
    const json verdict = json::parse(line);  // [schema's line from 0, value, valid]
    const SchemaValidator validator(json::parse(schemas[verdict[0].get<size_t>()]));
    EXPECT_EQ(validator.IsValid(verdict[1]), verdict[2].get<bool>())
        << schemas[verdict[0].get<size_t>()] << "\n"
        << line;
    ++(verdict[2] ? valid : invalid);
  }
  EXPECT_GT(valid, 300);
  EXPECT_GT(invalid, 500);
}

TEST(ConstrainedText, TokensOfEveryTokenizerHaveTheBytesThatTheyAddToAText) {
  const std::string text = "He said: \"Größe 12€ 日本\" \n\t{\"a\": [1, 2.5]}  \xF0\x9F\x98\x80!";
  for (const char* const name : {"models/bard-6.7M", "models/TinyStories-656K"}) {
    const auto tokenizer = Tokenizer::Load(std::string(SLUICE_SOURCE_DIR "/tests/data/") + name);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    const auto bytes = (*tokenizer)->TokenBytes();
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    const auto ids = (*tokenizer)->Encode(text, {.add_special_tokens = false});
    ASSERT_TRUE(ids.ok());
    std::string joined;
    for (const int32_t id : *ids) joined += (*bytes)[id];
    // Some put a space before every text, and decoding takes it off.
    const std::string decoded = (*tokenizer)->Decode(*ids, /*skip_special=*/true);
    EXPECT_TRUE(joined == decoded || joined == " " + decoded) << name << ": " << joined;
    for (int32_t id = 0; id < (*tokenizer)->vocab_size(); ++id) {
      if ((*tokenizer)->IsSpecial(id)) {
        EXPECT_EQ((*bytes)[id], "") << name << " " << id;
      }
    }
  }
}

TEST(Samplers, ChooseOnlyWhatIsAllowed) {
  constexpr int64_t kVocab = 200;
  std::mt19937 random(5);
  Sampler sampler(kVocab);
  for (int round = 0; round < 300; ++round) {
    std::vector<uint64_t> allowed(4);
    for (int n = 1 + static_cast<int>(random() % 5); n > 0; --n) {
      const auto id = static_cast<int32_t>(random() % kVocab);
      allowed[id / 64] |= uint64_t{1} << (id % 64);
    }
    const std::vector<float> logits = RandomLogits(kVocab, &random);
    for (const double temperature : {0.0, 0.7, 2.0}) {
      for (const double top_p : {0.3, 0.999999, 1.0}) {
        SamplerOptions openai = OpenAiSampling(), llama;
        openai.temperature = llama.temperature = temperature;
        openai.top_p = llama.top_p = top_p;
        openai.presence_penalty = 1;
        llama.top_k = round % 3 * 7;
        llama.repeat_penalty = 1.5;
        llama.typical_p = round % 2 == 0 ? 1 : 0.5;
        for (const SamplerOptions& options : {openai, llama}) {
          EXPECT_TRUE(grammar::Allows(
              allowed, sampler.Sample(logits, options, {}, {{3, 7}}, round, allowed)));
        }
      }
    }
  }
}

}  // namespace
}  // namespace sluice
