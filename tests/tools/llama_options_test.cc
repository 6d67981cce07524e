// Command lines as llama.cpp's users type them: each does what they mean, or says in a line what to
// type.
#include "tools/llama_options.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/commands.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const CommandSpec& CommandNamed(const std::string& name) {
  for (const CommandSpec& command : Commands()) {
    if (command.name == name) return command;
  }
  ADD_FAILURE() << "no command " << name;
  return Commands().front();
}

absl::StatusOr<Arguments> ParseFor(const std::string& command,
                                   const std::vector<std::string>& args) {
  return ParseArguments(CommandNamed(command), args);
}

TEST(LlamaOptions, AreTakenUnderTheirOwnNames) {
  const auto args = ParseFor(
      "run",
      {"-m",    "store",       "-p",        "Hi",      "--n-predict", "8",    "--temperature",
       "0",     "-r",          "a",         "-r",      "b",           "-sys", "Be brief.",
       "-st",   "--no-warmup", "--no-mmap", "--jinja", "-s",          "3",    "-c",
       "64",    "-t",          "2",         "-ctk",    "Q8_0",        "-e",   "--chat-template",
       "chatml"});
  ASSERT_TRUE(args.ok()) << args.status();
  EXPECT_THAT(args->positionals(), ElementsAre("store"));
  EXPECT_EQ(args->Get("--predict"), "8");
  EXPECT_EQ(args->Get("--temp"), "0");
  EXPECT_THAT(args->All("--stop"), ElementsAre("a", "b"));
  EXPECT_EQ(args->Get("--system"), "Be brief.");
  EXPECT_TRUE(args->Has("--chat"));
  EXPECT_EQ(args->Get("--cache-type-k"), "q8_0");
  EXPECT_EQ(args->Get("--template"), "chatml");
  EXPECT_TRUE(ParseFor("run", {"s", "-p", "x", "-no-cnv"})->Has("--no-chat"));
  EXPECT_TRUE(ParseFor("chat", {"-m", "s", "-cnv", "--reverse_prompt", "x"}).ok());
  EXPECT_EQ(ParseFor("run", {"s", "-j", "{}"})->Get("--json-schema"), "{}");
  EXPECT_EQ(ParseFor("run", {"s", "-jf", "f"})->Get("--json-schema-file"), "f");
  for (const char* command :
       {"chat", "plan", "score", "perplexity", "tokenize", "verify", "inspect", "bench", "batch"}) {
    EXPECT_THAT(ParseFor(command, {"--model", "s"})->positionals(), ElementsAre("s")) << command;
  }
}

TEST(LlamaOptions, ThatAreNotHereSayWhatToType) {
  const struct {
    const char* command;
    const char* option;
    const char* words;
  } cases[] = {
      {"run", "-ngl", "--device cuda"},
      {"run", "--n-gpu-layers", "--max-vram"},
      {"chat", "--gpu-layers", "--device cuda"},
      {"run", "-fa", "leave it out"},
      {"run", "-b", "leave it out"},
      {"chat", "-ub", "leave it out"},
      {"run", "-cnv", "sluice chat"},
      {"chat", "-st", "sluice run STORE --chat"},
      {"chat", "-p", "standard input"},
      {"run", "-hf", "sluice shard"},
      {"chat", "-hfr", "sluice shard"},
      {"run", "-mg", "--device cuda:N"},
      {"run", "-ts", "--device cuda:N"},
      {"run", "--mlock", "leave it out"},
      {"run", "-np", "sluice batch"},
      {"run", "--lora", "sluice shard"},
      {"run", "--mirostat", "--top-k"},
      {"batch", "--temp", "each request"},
      {"perplexity", "--chunks", "--tokens"},
      {"run", "-sysf", "--system"},
      {"run", "-tb", "-t N"},
      {"score", "-ngl", "--device cuda"},
  };
  for (const auto& c : cases) {
    const auto args = ParseFor(c.command, {"s", c.option, "1"});
    ASSERT_FALSE(args.ok()) << c.command << c.option;
    EXPECT_TRUE(IsUsageError(args.status()));
    EXPECT_THAT(std::string(args.status().message()),
                AllOf(HasSubstr(c.option), HasSubstr(c.words), Not(HasSubstr("did you mean"))));
  }
  // Nothing to do with a command that runs no model.
  EXPECT_THAT(std::string(ParseFor("verify", {"s", "-ngl", "1"}).status().message()),
              HasSubstr("unknown option -ngl"));
}

TEST(LlamaOptions, AreSuggestedToo) {
  for (const auto& [typed, meant] : {std::pair{"--temprature", "--temperature"},
                                     {"--system-promt", "--system-prompt"},
                                     {"--max-mem", "--max-ram"},
                                     {"--thread", "--threads"},
                                     {"--no-display", "--no-display-prompt"}}) {
    EXPECT_THAT(std::string(ParseFor("run", {"s", typed, "1"}).status().message()),
                HasSubstr(std::string("did you mean ") + meant + "?"));
  }
}

TEST(LlamaOptions, PointToOptionsThatAreThere) {
  for (const CommandSpec& command : Commands()) {
    for (const char* name : {"--n-predict", "--temperature", "-r", "-sys", "--chat-template", "-bf",
                             "-dev", "--usage", "-st", "-no-cnv"}) {
      const LlamaOption option = FindLlamaOption(command, name);
      if (option.meaning != LlamaMeaning::kOption) continue;
      EXPECT_TRUE(std::any_of(command.options.begin(), command.options.end(),
                              [&](const OptionSpec& spec) { return spec.name == option.text; }))
          << command.name << " " << name;
    }
  }
}

TEST(StoreOptions, NamesAreTakenInAnyCaseAndSayWhoseTheyAre) {
  EXPECT_EQ(ParseFor("shard", {"a", "b", "--recipe", "Q4_K_M"})->Get("--recipe"), "q4_k_m");
  EXPECT_EQ(ParseFor("shard", {"a", "b", "--encoding", "BF16"})->Get("--encoding"), "bf16");
  EXPECT_EQ(ParseFor("synth", {"b", "--encoding", "Q8_0"})->Get("--encoding"), "q8_0");
  const auto message = [](std::vector<std::string> args) {
    return std::string(ParseFor("shard", args).status().message());
  };
  EXPECT_THAT(message({"a", "b", "--encoding", "Q4_K_M"}), HasSubstr("type --recipe q4_k_m"));
  EXPECT_THAT(message({"a", "b", "--recipe", "q8_0"}), HasSubstr("type --encoding q8_0"));
  EXPECT_THAT(message({"a", "b", "--recipe", "q4_k_x"}), HasSubstr("did you mean q4_k_m"));
  EXPECT_THAT(message({"a", "b", "--encoding", "iq2_xxs"}),
              AllOf(HasSubstr("is one of"), Not(HasSubstr("type"))));
}

}  // namespace
}  // namespace sluice
