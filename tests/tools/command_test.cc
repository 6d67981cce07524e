// Command lines: sizes, options in all spellings, and usage errors that name the culprit.
#include "tools/command.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/reference_file.h"
#include "tools/commands.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

CommandSpec Sample() {
  CommandSpec command;
  command.name = "sample";
  command.positionals = {"STORE"};
  command.options = {{.name = "--ctx-size", .alias = "-c", .value = "N"},
                     {.name = "--cache-type-k", .alias = "-ctk", .choices = {"f16", "q8_0"}},
                     {.name = "--stop", .value = "TEXT", .repeated = true},
                     {.name = "--json"},
                     {.name = "--help", .alias = "-h"}};
  return command;
}

TEST(ParseByteSize, KnowsBinaryAndDecimalUnits) {
  const std::pair<const char*, int64_t> cases[] = {{"0", 0},
                                                   {"4096", 4096},
                                                   {"3GiB", 3ll << 30},
                                                   {"3g", 3ll << 30},
                                                   {"1.5M", 3 << 19},
                                                   {"512MiB", 512 << 20},
                                                   {"4GB", 4000000000},
                                                   {"2kb", 2000},
                                                   {"1T", 1ll << 40},
                                                   {"7b", 7}};
  for (const auto& [text, bytes] : cases)
    EXPECT_EQ(ParseByteSize(text).value_or(-1), bytes) << text;
  for (const char* bad : {"", "GiB", "-1", "3XB", "1e9", "99999999T", "1..5G", "nan"}) {
    EXPECT_FALSE(ParseByteSize(bad).ok()) << bad;
  }
}

TEST(ParseArguments, TakesOptionsInAllSpellings) {
  const auto args = ParseArguments(
      Sample(), {"-c", "12", "-ctk", "q8_0", "--stop=a", "--stop", "-b", "--json", "--", "-store"});
  ASSERT_TRUE(args.ok()) << args.status();
  EXPECT_EQ(*args->Int("--ctx-size", 0, 0, 100), 12);
  EXPECT_EQ(args->Get("--cache-type-k"), "q8_0");
  EXPECT_THAT(args->All("--stop"), ElementsAre("a", "-b"));
  EXPECT_TRUE(args->Has("--json"));
  EXPECT_THAT(args->positionals(), ElementsAre("-store"));
}

TEST(ParseArguments, NamesWhatIsWrong) {
  struct Case {
    std::vector<std::string> args;
    const char* message;
  };
  const Case cases[] = {
      {{}, "STORE is missing"},
      {{"a", "b"}, "\"b\""},
      {{"a", "--ctx-sise", "1"}, "did you mean --ctx-size"},
      {{"a", "-x"}, "unknown option -x"},
      {{"a", "-c"}, "-c needs a value"},
      {{"a", "-json"}, "did you mean --json"},
      {{"a", "--jsn"}, "did you mean --json"},
      {{"a", "--jsno"}, "did you mean --json"},
      {{"a", "--cache"}, "did you mean --cache-type-k"},
      {{"a", "-m"}, "-m needs a value"},
      {{"a", "-m", "b"}, "-m and \"a\" both name STORE"},
      {{"a", "-ctk", "f64"}, "f16, q8_0"},
      {{"a", "--json=1"}, "takes no value"},
  };
  for (const Case& c : cases) {
    const auto args = ParseArguments(Sample(), c.args);
    ASSERT_FALSE(args.ok()) << c.message;
    EXPECT_TRUE(IsUsageError(args.status()));
    EXPECT_THAT(std::string(args.status().message()), HasSubstr(c.message));
  }
  const auto args = ParseArguments(Sample(), {"a", "-c", "many"});
  EXPECT_THAT(std::string(args->Int("--ctx-size", 0, 0, 9).status().message()),
              HasSubstr("\"many\""));
}

TEST(ParseArguments, SuggestsOnlyWhatIsNear) {
  for (const char* const far :
       {"-x", "-ngl", "-fa", "--io", "--jinx-son", "--context", "--jasmin", "-ub"}) {
    const auto args = ParseArguments(Sample(), {"a", far});
    ASSERT_FALSE(args.ok()) << far;
    EXPECT_THAT(std::string(args.status().message()), Not(HasSubstr("did you mean"))) << far;
  }
}

TEST(ParseArguments, TakesTheLastOfSeveralValuesAndSaysSo) {
  const auto args = ParseArguments(
      Sample(), {"a", "-c", "1", "--ctx-size=2", "--json", "--json", "--stop", "x", "--stop", "y"});
  ASSERT_TRUE(args.ok()) << args.status();
  EXPECT_EQ(args->Get("--ctx-size"), "2");
  EXPECT_THAT(args->All("--stop"), ElementsAre("x", "y"));
  EXPECT_THAT(args->notes(),
              ElementsAre(HasSubstr("--ctx-size is given twice; the last value counts: \"2\"")));
  EXPECT_THAT(ParseArguments(Sample(), {"a", "-c", "1", "-c", "1"})->notes(), testing::IsEmpty());
}

TEST(ParseArguments, TakesChoicesInAnyCase) {
  EXPECT_EQ(ParseArguments(Sample(), {"a", "-ctk", "Q8_0"})->Get("--cache-type-k"), "q8_0");
  EXPECT_EQ(ParseArguments(Sample(), {"a", "--cache_type_k=F16"})->Get("--cache-type-k"), "f16");
}

TEST(ParseArguments, TakesTheModelAsAnOption) {
  EXPECT_THAT(ParseArguments(Sample(), {"-m", "store", "-c", "1"})->positionals(),
              ElementsAre("store"));
  EXPECT_THAT(ParseArguments(Sample(), {"--model=store"})->positionals(), ElementsAre("store"));
}

TEST(Commands, HaveHelpThatNamesEveryOption) {
  for (const CommandSpec& command : Commands()) {
    const std::string help = CommandHelp(command);
    EXPECT_FALSE(command.summary.empty()) << command.name;
    EXPECT_NE(command.run, nullptr) << command.name;
    for (const OptionSpec& option : command.options) {
      EXPECT_EQ(help.find(option.name) == std::string::npos, option.hidden)
          << command.name << option.name;
      EXPECT_TRUE(option.hidden || !option.help.empty()) << command.name << option.name;
    }
  }
}

TEST(Commands, AreDocumentedByTheirOwnHelp) {
  const std::string page = ReadWholeFile(SLUICE_SOURCE_DIR "/docs/cli.md");
  for (const CommandSpec& command : Commands()) {
    EXPECT_THAT(page, HasSubstr(CommandHelp(command)))
        << "docs/cli.md is behind on " << command.name;
  }
}

}  // namespace
}  // namespace sluice
