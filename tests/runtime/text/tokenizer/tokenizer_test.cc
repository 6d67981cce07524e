// Options, look-ups and streaming of a whole tokenizer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "runtime/text/tokenizer/unicode.h"
#include "test_files.h"

namespace sluice {
namespace {

using testing::ElementsAre;

std::string ByteVocabulary(const std::string& rest) {
  std::string vocab;
  for (int b = 0; b < 256; ++b) {
    char entry[32];
    std::snprintf(entry, sizeof(entry), "\"<0x%02X>\": %d, ", b, b + 10);
    vocab += entry;
  }
  return R"({"added_tokens": [{"id": 0, "content": "<s>", "special": true}],)" + rest +
         R"("model": {"type": "BPE", "byte_fallback": true, "vocab": {)" + vocab +
         "\"<s>\": 0, \"\u2581\": 1, \"hi\": 2, \"h\": 3, \"i\": 4}, \"merges\": [\"h i\"]}}";
}

std::unique_ptr<Tokenizer> Llama2Style() {
  auto tokenizer = Tokenizer::FromJson(
      ByteVocabulary("\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": ["
                     "{\"type\": \"Prepend\", \"prepend\": \"\u2581\"}, {\"type\": \"Replace\", "
                     "\"pattern\": {\"String\": \" \"}, \"content\": \"\u2581\"}]}, "
                     "\"decoder\": {\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Replace\", "
                     "\"pattern\": {\"String\": \"\u2581\"}, \"content\": \" \"}, "
                     "{\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}, {\"type\": \"Strip\", "
                     "\"content\": \" \", \"start\": 1, \"stop\": 0}]}, "),
      "llama2-style");
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

TEST(Tokenizer, ControlTokensAreTextWhereTheyAreNotParsed) {
  const auto tokenizer = Llama2Style();
  EXPECT_THAT(*tokenizer->Encode("hi<s>"), ElementsAre(1, 2, 0));
  const auto plain = *tokenizer->Encode("hi<s>", {.parse_special = false});
  EXPECT_THAT(plain, ElementsAre(1, 2, 10 + '<', 10 + 's', 10 + '>'));
  EXPECT_EQ(tokenizer->Decode(plain, true), "hi<s>");
  EXPECT_EQ(tokenizer->Decode({1, 2, 0}, true), "hi");
  EXPECT_EQ(tokenizer->Decode({1, 2, 0}, false), "hi<s>");
}

// Of tokenizers whose tokens are known to cover all of a text, of one whose unk token stands for
// any number of characters, and of one that drops white space.
TEST(Tokenizer, GivesMoreThanTheMostThatIsAskedForWhereThereAreMore) {
  const auto words = Tokenizer::FromJson(
      R"({"pre_tokenizer": {"type": "WhitespaceSplit"}, "model": {"type": "BPE", "vocab": {"h": 0, "i": 1, "hi": 2},
          "merges": ["h i"]}})",
      "words");
  ASSERT_TRUE(words.ok()) << words.status();
  const auto llama2 = Llama2Style(), bytes = LoadData("tokenizers/gpt2/tokenizer.json"),
             unknown = LoadData("models/TinyStories-656K/tokenizer.json");
  for (const Tokenizer* tokenizer : {llama2.get(), bytes.get(), unknown.get(), words->get()}) {
    for (const absl::string_view text :
         {"hi", "hi \xC3\xA9\xE2\x82\xAC", "hi<s>hi", "hi        hi      ", "hihihihihi hi"}) {
      std::string repeated;
      for (int i = 0; i < 50; ++i) absl::StrAppend(&repeated, text);
      const std::vector<int32_t> all = *tokenizer->Encode(repeated);
      for (int64_t most = 0; most <= static_cast<int64_t>(all.size()) + 1; ++most) {
        const std::vector<int32_t> some = *tokenizer->Encode(repeated, {.max_ids = most});
        if (static_cast<int64_t>(all.size()) <= most) {
          ASSERT_EQ(some, all) << repeated;
        } else {
          ASSERT_GT(static_cast<int64_t>(some.size()), most) << repeated;
        }
      }
    }
  }
}

// Of a tokenizer that cuts by a regex, of one whose text is a single word, and of one with normal
// forms.
TEST(Tokenizer, TakesNoMoreMemoryThanItMay) {
  const auto normal = Tokenizer::FromJson(
      R"({"normalizer": {"type": "NFC"}, "pre_tokenizer": {"type": "WhitespaceSplit"},
          "model": {"type": "BPE", "vocab": {"h": 0, "i": 1, "hi": 2}, "merges": ["h i"]}})",
      "normal");
  ASSERT_TRUE(normal.ok()) << normal.status();
  const auto llama2 = Llama2Style(), gpt2 = LoadData("tokenizers/gpt2/tokenizer.json");
  for (const Tokenizer* tokenizer : {llama2.get(), gpt2.get(), normal->get()}) {
    for (const absl::string_view text : {"hi ", "h", "7", "hi<s>", "\u0301", "!!\n"}) {
      std::string repeated;
      for (int i = 0; i < 1000; ++i) absl::StrAppend(&repeated, text);
      const std::vector<int32_t> all = *tokenizer->Encode(repeated);
      const auto bytes = static_cast<int64_t>(repeated.size());
      for (const int64_t each : {0, 1, 5, 6, 7, 20, 60, 100, 170, 300}) {
        const auto ids = tokenizer->Encode(repeated, {.max_bytes = each * bytes});
        if (ids.ok()) {
          EXPECT_EQ(*ids, all) << text << each;
        } else {
          EXPECT_TRUE(absl::IsOutOfRange(ids.status())) << ids.status();
        }
        if (each < 6) {
          EXPECT_FALSE(ids.ok()) << text << each;
        } else if (each == 300) {
          EXPECT_TRUE(ids.ok()) << text << ids.status();
        }
      }
      EXPECT_TRUE(tokenizer->Encode(repeated, {.max_ids = 5, .max_bytes = 300 * bytes}).ok());
    }
  }
}

TEST(Tokenizer, KnowsHowManyBytesSoFewIdsCanBe) {
  const auto llama2 = Llama2Style(), gpt2 = LoadData("tokenizers/gpt2/tokenizer.json");
  for (const Tokenizer* tokenizer : {llama2.get(), gpt2.get()}) {
    for (const absl::string_view text :
         {"hi", "<s>", "          ", "<|endoftext|>", " the", "-----"}) {
      const int64_t most = tokenizer->MostTextBytes(10);
      std::string repeated;
      while (static_cast<int64_t>(repeated.size()) <= most) absl::StrAppend(&repeated, text);
      EXPECT_GT(tokenizer->Encode(repeated)->size(), 10u) << text;
    }
    EXPECT_EQ(tokenizer->MostTextBytes(0), 0);
    EXPECT_EQ(tokenizer->MostTextBytes(INT64_MAX), INT64_MAX);
  }
}

TEST(Tokenizer, LooksUpTokens) {
  const auto tokenizer = Llama2Style();
  EXPECT_EQ(tokenizer->vocab_size(), 266);
  EXPECT_EQ(tokenizer->TokenId("<0x00>"), 10);
  EXPECT_EQ(tokenizer->TokenId("nope"), std::nullopt);
  EXPECT_EQ(tokenizer->Token(2), "hi");
  EXPECT_EQ(tokenizer->Token(7), "");
  EXPECT_EQ(tokenizer->Token(-1), "");
  EXPECT_TRUE(tokenizer->Contains(265));
  for (const int32_t id : {7, -1, 266, INT32_MAX}) EXPECT_FALSE(tokenizer->Contains(id)) << id;
  EXPECT_TRUE(tokenizer->IsSpecial(0));
  EXPECT_FALSE(tokenizer->IsSpecial(2));
  EXPECT_FALSE(tokenizer->IsSpecial(100000));
  EXPECT_GT(tokenizer->MemoryBytes(), 1000);
}

TEST(Tokenizer, MalformedInputCountsAsReplacementCharacters) {
  const auto tokenizer = Llama2Style();
  EXPECT_EQ(*tokenizer->Encode("hi\xE2\x82!"), *tokenizer->Encode("hi\uFFFD!"));
}

TEST(Tokenizer, BosOfTheConfigIsHonouredWhereTheFileAddsNone) {
  const std::string folder = MakeTestFolder("bos");
  WriteTestFile(folder + "/tokenizer.json", ByteVocabulary(""));
  EXPECT_THAT(*(*Tokenizer::Load(folder))->Encode("hi"), ElementsAre(2));
  WriteTestFile(folder + "/tokenizer_config.json",
                R"({"add_bos_token": true, "bos_token": {"content": "<s>"}, "eos_token": "<s>"})");
  EXPECT_THAT(*(*Tokenizer::Load(folder))->Encode("hi"), ElementsAre(0, 2));
  EXPECT_THAT(*(*Tokenizer::Load(folder))->Encode("hi", {.add_special_tokens = false}),
              ElementsAre(2));
  WriteTestFile(folder + "/tokenizer_config.json", R"({"add_bos_token": true, "bos_token": null})");
  EXPECT_TRUE(absl::IsInvalidArgument(Tokenizer::Load(folder).status()));
}

TEST(StreamDecoder, KeepsTheSpaceAfterAPrompt) {
  const auto tokenizer = Llama2Style();
  StreamDecoder alone(tokenizer.get(), true);
  EXPECT_EQ(alone.Push(1), "");
  EXPECT_EQ(alone.Push(2), "hi");
  const std::vector<int32_t> prompt = {0, 1, 2};
  StreamDecoder continued(tokenizer.get(), true, prompt);
  EXPECT_EQ(continued.Push(1), " ");
  EXPECT_EQ(continued.Push(2), "hi");
}

TEST(StreamDecoder, NeverShowsHalfACharacter) {
  const auto tokenizer = Llama2Style();
  StreamDecoder decoder(tokenizer.get(), true);
  EXPECT_EQ(decoder.Push(10 + 0xE2), "");
  EXPECT_EQ(decoder.Push(10 + 0x82), "");
  EXPECT_EQ(decoder.Push(10 + 0xAC), "");  // more bytes may come and spoil the run
  EXPECT_EQ(decoder.Push(2), "\u20AChi");
  EXPECT_EQ(decoder.Push(10 + 0xE2), "");
  EXPECT_EQ(decoder.Flush(), "\uFFFD");
  EXPECT_EQ(decoder.Push(1), "");  // as if new
  EXPECT_EQ(decoder.Push(2), "hi");
}

TEST(StreamDecoder, ByteLevelShowsACharacterWithItsLastByte) {
  const auto tokenizer = LoadData("models/bard-6.7M/tokenizer.json");
  ASSERT_NE(tokenizer, nullptr);
  const auto ids = *tokenizer->Encode("\U0001F600", {.add_special_tokens = false});
  ASSERT_GT(ids.size(), 1u);
  StreamDecoder decoder(tokenizer.get(), true);
  for (size_t i = 0; i + 1 < ids.size(); ++i) EXPECT_EQ(decoder.Push(ids[i]), "");
  EXPECT_EQ(decoder.Push(ids.back()), "\U0001F600");
}

TEST(StreamDecoder, GivesWhatDecodeGivesForAnyIds) {
  std::mt19937 random(7);
  for (const char* model : {"bard-6.7M", "TinyStories-656K"}) {
    const auto tokenizer = LoadData(absl::StrCat("models/", model, "/tokenizer.json"));
    ASSERT_NE(tokenizer, nullptr);
    for (int round = 0; round < 300; ++round) {
      std::vector<int32_t> ids(random() % 40);
      for (int32_t& id : ids) id = static_cast<int32_t>(random() % (round % 2 ? 280 : 2100));
      for (const bool skip : {false, true}) {
        StreamDecoder decoder(tokenizer.get(), skip);
        std::string text;
        for (const int32_t id : ids) {
          const std::string more = decoder.Push(id);
          EXPECT_EQ(IncompleteTail(more), 0u);
          text += more;
        }
        EXPECT_EQ(text + decoder.Flush(), tokenizer->Decode(ids, skip));
      }
    }
  }
}

}  // namespace
}  // namespace sluice
