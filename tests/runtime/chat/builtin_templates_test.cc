// Templates that are known by name print what llama.cpp prints for that name.
#include "runtime/chat/builtin_templates.h"

#include <ctime>
#include <fstream>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "runtime/chat/chat_template.h"
#include "runtime/chat/template_source.h"
#include "runtime/text/jinja/json.h"
#include "tests/support/temp_dir.h"

namespace sluice {
namespace {

std::string RenderBuiltin(const BuiltinTemplate& builtin, const nlohmann::json& messages,
                          bool generation) {
  const nlohmann::json context = {{"messages", messages}, {"add_generation_prompt", generation}};
  auto variables = jinja::ValueFromJson(context.dump(), "context");
  EXPECT_TRUE(variables.ok()) << variables.status();
  auto parsed = ChatTemplate::Parse({std::string(builtin.name), std::string(builtin.text)}, {});
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  const auto text = parsed->Render(variables->dict().entries(), LocalTime(0));
  EXPECT_TRUE(text.ok()) << builtin.name << ": " << text.status();
  return text.value_or("");
}

TEST(BuiltinTemplates, PrintWhatLlamaCppPrints) {
  std::ifstream file(SLUICE_SOURCE_DIR "/tests/data/chat-templates/builtin.json");
  const nlohmann::json data = nlohmann::json::parse(file);
  int cases = 0;
  for (const nlohmann::json& c : data["cases"]) {
    const std::string name = c["template"];
    const BuiltinTemplate* const builtin = FindBuiltinTemplate(name);
    ASSERT_NE(builtin, nullptr) << name;
    EXPECT_EQ(RenderBuiltin(*builtin, data["messages"], true), c["expected"].get<std::string>())
        << name;
    ++cases;
  }
  EXPECT_GE(cases, 27);
}

// Names without a reference, by the rule of the name that is nearest to them.
TEST(BuiltinTemplates, VariantsDifferWhereTheirNamesSay) {
  const nlohmann::json turns = {{{"role", "system"}, {"content", "S"}},
                                {{"role", "user"}, {"content", "U"}},
                                {{"role", "assistant"}, {"content", "A"}},
                                {{"role", "user"}, {"content", "V"}}};
  const std::pair<const char*, const char*> cases[] = {
      {"llama2-sys", "[INST] <<SYS>>\nS\n<</SYS>>\n\nU [/INST]A</s>[INST] V [/INST]"},
      {"mistral-v7-tekken", "[SYSTEM_PROMPT]S[/SYSTEM_PROMPT][INST]U[/INST]A</s>[INST]V[/INST]"},
      {"falcon3", "<|system|>\nS\n<|user|>\nU\n<|assistant|>\nA\n<|user|>\nV\n<|assistant|>\n"},
      {"zephyr",
       "<|system|>\nS<|endoftext|>\n<|user|>\nU<|endoftext|>\n<|assistant|>\nA<|endoftext|>\n<|"
       "user|>\n"
       "V<|endoftext|>\n<|assistant|>\n"},
      {"deepseek3",
       "S\n\n<｜User｜>U<｜Assistant｜>A<｜end▁of▁sentence｜><｜User｜>V<｜Assistant｜>"},
      {"llama4",
       "<|header_start|>system<|header_end|>\n\nS<|eot|><|header_start|>user<|header_end|>\n\nU<|"
       "eot|>"
       "<|header_start|>assistant<|header_end|>\n\nA<|eot|><|header_start|>user<|header_end|>\n\nV<"
       "|eot|>"
       "<|header_start|>assistant<|header_end|>\n\n"},
      {"exaone3",
       "[|system|]S[|endofturn|]\n[|user|]U\n[|assistant|]A[|endofturn|]\n[|user|]V\n[|assistant|"
       "]"},
  };
  for (const auto& [name, expected] : cases) {
    const BuiltinTemplate* const builtin = FindBuiltinTemplate(name);
    ASSERT_NE(builtin, nullptr) << name;
    EXPECT_EQ(RenderBuiltin(*builtin, turns, true), expected);
  }
}

TEST(BuiltinTemplates, RenderAnyConversationAndKnowWhenToAskForAnAnswer) {
  const nlohmann::json hi = {{{"role", "user"}, {"content", "Hi"}}};
  for (const BuiltinTemplate& builtin : BuiltinTemplates()) {
    const std::string asks = RenderBuiltin(builtin, hi, true),
                      states = RenderBuiltin(builtin, hi, false);
    EXPECT_THAT(asks, testing::StartsWith(states)) << builtin.name;
    EXPECT_THAT(asks, testing::HasSubstr("Hi")) << builtin.name;
    EXPECT_EQ(FindBuiltinTemplate(builtin.name), &builtin) << "two of one name";
  }
  EXPECT_EQ(FindBuiltinTemplate("CHATML"), FindBuiltinTemplate("chatml"));
  EXPECT_EQ(FindBuiltinTemplate("chatmi"), nullptr);
}

TEST(OpenTemplate, TakesAFileThenANameThenAText) {
  const TempDir dir;
  std::ofstream(dir / "llama3") << "from a file";
  EXPECT_EQ(OpenTemplate(dir / "llama3")->text, "from a file");
  EXPECT_FALSE(OpenTemplate(dir / "llama3")->builtin);
  EXPECT_TRUE(OpenTemplate("chatml")->builtin);
  const auto text = OpenTemplate("{{ messages[0].content }}");
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->text, "{{ messages[0].content }}");
  const auto none = OpenTemplate(dir / "none.jinja");
  EXPECT_TRUE(absl::IsNotFound(none.status()));
  EXPECT_THAT(
      std::string(none.status().message()),
      testing::AllOf(testing::HasSubstr("none.jinja"), testing::HasSubstr("chatml, llama2")));
}

}  // namespace
}  // namespace sluice
