// Conversations reuse what was computed, to the same bits; a full context drops the oldest turns;
// sessions come back from disk as they were, and hostile files do no harm.
#include "runtime/chat/chat_session.h"

#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/kv/kv_rows.h"
#include "tests/runtime/model_harness.h"
#include "tests/support/reference_file.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

constexpr char kTemplate[] =
    "{% for m in messages %}<|start_story|>{{ m.role }}: {{ m.content }}{% if m.role == "
    "'assistant' %}<|end_story|>"
    "{% endif %}\n{% endfor %}{% if add_generation_prompt %}<|start_story|>assistant: {% endif %}";

// A model, a front and a conversation over them.
struct Chat {
  Chat(const LayerStore& store, const Tokenizer* tokenizer, const std::string& folder,
       int64_t context, KvType kv = KvType::kF16, int64_t max_new_tokens = 8,
       const std::string& chat_template = kTemplate, uint64_t store_hash = 1,
       bool fast_math = false)
      : model(store, {.chunk = 16,
                      .kv = kv,
                      .context = context,
                      .all_logits = false,
                      .fast_math = fast_math}) {
    const std::string file = folder + "/t.jinja";
    std::ofstream(file) << chat_template;
    front =
        std::make_unique<ChatFront>(*ChatFront::Load(folder, {.template_file = file}, tokenizer));
    GenerateOptions options;
    options.max_new_tokens = max_new_tokens;
    options.sampler.temperature = 0;
    options.interrupt = &interrupt;
    session = std::make_unique<ChatSession>(model.model.get(), tokenizer, front.get(), store_hash,
                                            LocalTime(0), options);
  }
  TurnResult Say(const std::string& text) {
    absl::StatusOr<TurnResult> turn = session->Say(text, nullptr);
    EXPECT_TRUE(turn.ok()) << turn.status();
    return turn.ok() ? *std::move(turn) : TurnResult();
  }

  std::atomic<bool> interrupt{false};
  TestModel model;
  std::unique_ptr<ChatFront> front;
  std::unique_ptr<ChatSession> session;
};

class Session : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    store_ = new TestStore("TinyStories-656K", "", 50000);
    tokenizer_ = Tokenizer::Load((*store_)->TokenizerDir())->release();
  }
  static void TearDownTestSuite() {
    delete tokenizer_;
    delete store_;
  }
  std::unique_ptr<Chat> MakeChat(int64_t context = 256, KvType kv = KvType::kF16,
                                 int64_t max_new_tokens = 8) {
    return std::make_unique<Chat>(**store_, tokenizer_, dir_.path(), context, kv, max_new_tokens);
  }

  static TestStore* store_;
  static const Tokenizer* tokenizer_;
  TempDir dir_;
};
TestStore* Session::store_ = nullptr;
const Tokenizer* Session::tokenizer_ = nullptr;

// Keys and values of the first `tokens` positions, one behind the other.
std::string RowsOfSession(Model& model, const KvSequence& sequence, int64_t tokens) {
  std::string bytes;
  EXPECT_TRUE(ForEachKvRows(model.kv_cache(), sequence, tokens, KvAccess::kRead,
                            [&](absl::Span<std::byte> part) {
                              bytes.append(reinterpret_cast<const char*>(part.data()), part.size());
                              return absl::OkStatus();
                            })
                  .ok());
  EXPECT_EQ(static_cast<int64_t>(bytes.size()), KvRowsBytes(model.kv_cache().layout(), tokens));
  return bytes;
}

TEST_F(Session, AKeptPrefixGivesTheBitsOfAFreshPrefill) {
  std::vector<int32_t> first(100), second(130);
  for (size_t i = 0; i < first.size(); ++i) first[i] = static_cast<int32_t>(5 + i * 37 % 2000);
  struct Case {
    const char* name;
    size_t common;  // of the second prompt with the first, and where they are equal beyond it by
                    // chance
    size_t length;
  };
  for (const KvType kv : {KvType::kF32, KvType::kF16, KvType::kQ8_0}) {
    for (const Case& c : {Case{"nothing in common", 0, 70},
                          {"one token", 1, 2},
                          {"inside a page", 50, 90},
                          {"a whole page", 64, 65},
                          {"over a page", 90, 130},
                          {"a prefix of it", 40, 40},
                          {"the same", 100, 100},
                          {"a single token", 1, 1}}) {
      for (size_t i = 0; i < second.size(); ++i)
        second[i] = i < c.common ? first[i] : static_cast<int32_t>(7 + i);
      const std::vector<int32_t> prompt(second.begin(), second.begin() + c.length);
      GenerateOptions options;
      options.max_new_tokens = 4;
      options.ignore_eos = true;
      options.sampler.temperature = 0;
      const RunConfig config = {.chunk = 32, .kv = kv, .context = 256, .all_logits = false};
      TestModel kept(**store_, config), fresh(**store_, config);
      CachedTokens kept_cache, fresh_cache;
      ASSERT_TRUE(Generate(*kept.model, nullptr, first, options, &kept_cache).ok());
      const auto with = Generate(*kept.model, nullptr, prompt, options, &kept_cache);
      const auto without = Generate(*fresh.model, nullptr, prompt, options, &fresh_cache);
      ASSERT_TRUE(with.ok() && without.ok()) << with.status() << without.status();
      EXPECT_EQ(with->reused_tokens, static_cast<int64_t>(std::min(c.common, c.length - 1)))
          << c.name;
      EXPECT_EQ(without->reused_tokens, 0);
      EXPECT_EQ(with->ids, without->ids) << c.name;
      EXPECT_EQ(kept_cache.tokens, fresh_cache.tokens) << c.name;
      const auto tokens = static_cast<int64_t>(kept_cache.tokens.size());
      EXPECT_EQ(RowsOfSession(*kept.model, kept_cache.pages, tokens),
                RowsOfSession(*fresh.model, fresh_cache.pages, tokens))
          << c.name;
      const auto logits = [&](Model& model, const CachedTokens& cache) {
        const PassRow row = {&cache.pages, tokens, 11, true};
        const auto all = model.RunPass({&row, 1});
        EXPECT_TRUE(all.ok()) << all.status();
        return std::vector<float>(all->begin(), all->end());
      };
      const std::vector<float> a = logits(*kept.model, kept_cache),
                               b = logits(*fresh.model, fresh_cache);
      EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0) << c.name;
      kept.model->kv_cache().Release(kept_cache.pages);
      fresh.model->kv_cache().Release(fresh_cache.pages);
    }
  }
}

TEST_F(Session, AnInterruptedPassLeavesAModelThatGivesTheSameBits) {
  const std::vector<int32_t> tokens = {5, 9, 12, 77, 1000};
  for (const Placement placement : {Placement::kResident, Placement::kHalf, Placement::kStreamed}) {
    const RunConfig config = {.placement = placement, .chunk = 8, .context = 64};
    TestModel model(**store_, config), other(**store_, config);
    const std::vector<float> wanted = other.Logits(tokens);
    KvSequence sequence;
    ASSERT_TRUE(model.model->kv_cache().Reserve(sequence, 8).ok());
    const PassRow row = {&sequence, 0, 3, true};
    const std::atomic<bool> stop{true};
    for (int i = 0; i < 3; ++i)
      EXPECT_TRUE(absl::IsCancelled(model.model->RunPass({&row, 1}, &stop).status()));
    model.model->kv_cache().Release(sequence);
    EXPECT_EQ(model.Logits(tokens), wanted);
  }
}

TEST_F(Session, EachTurnComputesOnlyWhatIsNew) {
  const auto chat = MakeChat();
  chat->session->SetSystem("You tell stories.");
  const TurnResult first = chat->Say("Once upon a time");
  EXPECT_EQ(first.generated.reused_tokens, 0);
  const int64_t cached = chat->session->cached_tokens();
  EXPECT_EQ(cached, first.prompt_tokens + static_cast<int64_t>(first.generated.ids.size()) - 1);
  const TurnResult second = chat->Say("there was a dog");
  EXPECT_GE(second.generated.reused_tokens, first.prompt_tokens);
  ASSERT_EQ(chat->session->messages().size(), 5u);
  EXPECT_EQ(chat->session->messages()[4].content, second.generated.text);

  // The same conversation at once.
  const auto fresh = MakeChat();
  fresh->session->SetSystem("You tell stories.");
  EXPECT_EQ(fresh->Say("Once upon a time").generated.ids, first.generated.ids);
  fresh->session->Reset();
  EXPECT_EQ(fresh->Say("Once upon a time").generated.ids, first.generated.ids);
  EXPECT_EQ(fresh->Say("there was a dog").generated.ids, second.generated.ids);
}

TEST_F(Session, AnswersAgainOnlyWhereThereIsAnAnswer) {
  const auto chat = MakeChat();
  EXPECT_TRUE(absl::IsFailedPrecondition(chat->session->Regenerate(nullptr).status()));
  const TurnResult first = chat->Say("Once upon a time");
  const auto again = chat->session->Regenerate(nullptr);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->generated.ids, first.generated.ids);  // greedy
  EXPECT_EQ(again->generated.reused_tokens, again->prompt_tokens - 1);
  EXPECT_EQ(chat->session->messages().size(), 2u);
}

TEST_F(Session, AnInterruptBeforeTheFirstTokenLeavesTheConversationAsItWas) {
  const auto chat = MakeChat();
  chat->Say("Once upon a time");
  const std::vector<ChatMessage> before = chat->session->messages();
  chat->interrupt = true;
  for (const bool again : {false, true}) {
    const auto turn =
        again ? chat->session->Regenerate(nullptr) : chat->session->Say("more", nullptr);
    ASSERT_TRUE(turn.ok()) << turn.status();
    EXPECT_EQ(turn->generated.finish_reason, FinishReason::kInterrupt);
    EXPECT_EQ(chat->session->messages(), before);
  }
  chat->interrupt = false;
  const auto other = MakeChat();
  other->Say("Once upon a time");
  EXPECT_EQ(chat->Say("more").generated.ids, other->Say("more").generated.ids);
}

TEST_F(Session, AFullContextDropsTheOldestTurnsBehindTheSystemMessage) {
  const auto chat = MakeChat(128);
  chat->session->SetSystem("You tell stories.");
  int64_t dropped = 0;
  for (int turn = 0; turn < 12; ++turn) {
    const std::string text = "turn " + std::to_string(turn) + " of a story";
    const TurnResult result = chat->Say(text);
    EXPECT_LE(result.prompt_tokens + 8, 128);
    EXPECT_EQ(result.dropped_messages % 2, 0);  // a message and its answer
    EXPECT_FALSE(result.context_full);
    dropped += result.dropped_messages;
    const std::vector<ChatMessage>& messages = chat->session->messages();
    EXPECT_EQ(messages[0].role, "system");
    EXPECT_EQ(messages[1].role, "user");
    EXPECT_EQ(messages[messages.size() - 2].content, text);
    EXPECT_EQ(static_cast<int64_t>(messages.size()), 1 + 2 * (turn + 1) - dropped);
  }
  EXPECT_GT(dropped, 0);
  // What is left is answered as if the dropped turns had never been.
  std::vector<ChatMessage> left = chat->session->messages();
  const auto prompt =
      chat->front->Encode(TextConversation({left.begin(), left.end() - 1}), LocalTime(0));
  TestModel fresh(**store_, {.chunk = 16, .kv = KvType::kF16, .context = 128, .all_logits = false});
  GenerateOptions options;
  options.max_new_tokens = 8;
  options.sampler.temperature = 0;
  options.end_tokens = chat->front->turn_ends();
  EXPECT_EQ(Generate(*fresh.model, tokenizer_, prompt->ids, options)->text, left.back().content);

  const std::vector<ChatMessage> before = chat->session->messages();
  std::string story;
  for (int i = 0; i < 300; ++i) story += "dog ";
  const auto too_long = chat->session->Say(story, nullptr);
  EXPECT_TRUE(absl::IsInvalidArgument(too_long.status()));
  EXPECT_THAT(std::string(too_long.status().message()),
              HasSubstr("more than the 128 tokens that the context has"));
  EXPECT_EQ(chat->session->messages(), before);
}

TEST_F(Session, SaysThatAnAnswerEndedWithTheContext) {
  const auto chat = MakeChat(48, KvType::kF16, -1);
  bool full = false;
  for (int turn = 0; turn < 6 && !full; ++turn)
    full = chat->Say("Once upon a time there was").context_full;
  EXPECT_TRUE(full);
}

TEST_F(Session, ComesBackFromDiskAndGoesOnWithoutPrefill) {
  for (const KvType kv : {KvType::kF32, KvType::kF16, KvType::kQ8_0}) {
    const std::string file = dir_ / "a.chat";
    const auto chat = MakeChat(256, kv);
    chat->session->SetSystem("You tell \"stories\" \xE2\x80\x94 short ones.");
    chat->Say(
        "Once upon a time there was a little dog who liked to run in the park with his friends all "
        "day");
    chat->Say("One day");
    ASSERT_TRUE(chat->session->Save(file).ok());
    const std::vector<ChatMessage> saved = chat->session->messages();
    const int64_t cached = chat->session->cached_tokens();
    EXPECT_GT(cached, 64);
    const TurnResult wanted = chat->Say("and then");

    const auto loaded = MakeChat(256, kv);
    loaded->Say("Something else altogether");
    ASSERT_TRUE(loaded->session->Load(file).ok()) << loaded->session->Load(file);
    EXPECT_EQ(loaded->session->messages(), saved);
    EXPECT_EQ(loaded->session->cached_tokens(), cached);
    const TurnResult got = loaded->Say("and then");
    EXPECT_EQ(got.generated.reused_tokens, wanted.generated.reused_tokens);
    EXPECT_GE(got.generated.reused_tokens, cached - 2);
    EXPECT_EQ(got.generated.ids, wanted.generated.ids);

    // The same conversation gives the same file, wherever its pages are.
    const auto twice = MakeChat(256, kv);
    ASSERT_TRUE(twice->session->Load(file).ok());
    ASSERT_TRUE(twice->session->Save(dir_ / "b.chat").ok());
    EXPECT_EQ(ReadWholeFile(dir_ / "b.chat"), ReadWholeFile(file));
  }
}

TEST_F(Session, AnEmptyConversationCanBeSaved) {
  const auto chat = MakeChat();
  ASSERT_TRUE(chat->session->Save(dir_ / "empty.chat").ok());
  ASSERT_TRUE(chat->session->Load(dir_ / "empty.chat").ok());
  EXPECT_TRUE(chat->session->messages().empty());
}

TEST_F(Session, RefusesAnotherModelTemplateOrCacheByName) {
  const std::string file = dir_ / "a.chat";
  const auto chat = MakeChat();
  chat->Say("Once upon a time there was a little dog");
  ASSERT_TRUE(chat->session->Save(file).ok());
  const auto error = [&](int64_t context, KvType kv, const char* chat_template, uint64_t store_hash,
                         bool fast_math = false) {
    Chat other(**store_, tokenizer_, dir_.path(), context, kv, 8, chat_template, store_hash,
               fast_math);
    const absl::Status status = other.session->Load(file);
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_TRUE(other.session->messages().empty());
    EXPECT_EQ(status.message().find('\n'), absl::string_view::npos);
    return std::string(status.message());
  };
  EXPECT_THAT(error(256, KvType::kF16, kTemplate, 2),
              HasSubstr("another store: \"0000000000000001\", now"));
  EXPECT_THAT(error(256, KvType::kF16, "{{ messages }}", 1), HasSubstr("another chat template"));
  EXPECT_THAT(error(256, KvType::kF32, kTemplate, 1),
              HasSubstr("another type of keys (-ctk): \"f16\", now \"f32\""));
  EXPECT_THAT(error(256, KvType::kF16, kTemplate, 1, true),
              HasSubstr("another arithmetic (--fast-math): \"exact\", now \"fast-math\""));
  EXPECT_THAT(error(16, KvType::kF16, kTemplate, 1), HasSubstr("the context only 16"));
}

TEST_F(Session, HostileFilesAreRefusedAndTheConversationGoesOn) {
  const std::string file = dir_ / "a.chat", bad = dir_ / "bad.chat";
  const auto chat = MakeChat();
  chat->Say("Once upon a time");
  ASSERT_TRUE(chat->session->Save(file).ok());
  const std::string good = ReadWholeFile(file);
  const std::vector<ChatMessage> before = chat->session->messages();
  const auto refuse = [&](const std::string& bytes, const std::string& what) {
    std::ofstream(bad, std::ios::binary | std::ios::trunc) << bytes;
    const absl::Status status = chat->session->Load(bad);
    EXPECT_FALSE(status.ok()) << what;
    EXPECT_THAT(std::string(status.message()), HasSubstr("bad.chat")) << what;
    EXPECT_EQ(chat->session->messages(), before) << what;
  };
  for (const size_t size : {size_t{0}, size_t{7}, size_t{8}, size_t{15}, size_t{16}, size_t{24},
                            size_t{100}, good.size() / 2, good.size() - 9, good.size() - 1}) {
    refuse(good.substr(0, size), "cut to " + std::to_string(size));
  }
  refuse(good + "x", "a byte more");
  refuse(std::string(1 << 16, '\0'), "zeros");
  for (const size_t at :
       {size_t{0}, size_t{9}, size_t{20}, size_t{200}, good.size() / 2, good.size() - 4}) {
    std::string flipped = good;
    flipped[at] = static_cast<char>(flipped[at] ^ 4);
    refuse(flipped, "a bit of byte " + std::to_string(at));
  }
  // Lengths that lie: of the header, and of the tokens.
  for (const uint32_t length :
       {0u, 1u, 0x7FFFFFFFu, 0xFFFFFFFFu, static_cast<uint32_t>(good.size())}) {
    std::string lying = good;
    std::memcpy(lying.data() + 12, &length, sizeof(length));
    refuse(lying, "a header of " + std::to_string(length));
  }
  const size_t tokens = good.find("\"tokens\":");
  ASSERT_NE(tokens, std::string::npos);
  const size_t comma = good.find_first_of(",}", tokens);
  for (const char* const number :
       {"-1", "0", "9", "99", "1e3", "9223372036854775807", "\"x\"", "null"}) {
    std::string lying = good;
    lying.replace(tokens + 9, comma - tokens - 9, number);
    const auto header = static_cast<uint32_t>(lying.find("}", tokens) + 1 - 16);
    std::memcpy(lying.data() + 12, &header, sizeof(header));
    refuse(lying, std::string("tokens ") + number);
  }
  EXPECT_FALSE(chat->session->Load(dir_ / "nowhere").ok());
  EXPECT_FALSE(chat->session->Load(dir_.path()).ok());
  EXPECT_FALSE(chat->session->Save(dir_ / "no/such/folder").ok());
  EXPECT_FALSE(chat->session->Save(dir_.path()).ok());

  const auto other = MakeChat();
  other->Say("Once upon a time");
  EXPECT_EQ(chat->Say("more").generated.ids, other->Say("more").generated.ids);
}

}  // namespace
}  // namespace sluice
