// A grammar or a schema comes as text, from a file, or through a pipe, and a mistake says which was
// looked for.
#include <sys/stat.h>

#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/temp_dir.h"
#include "tests/tools/subprocess.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

constexpr char kGbnf[] = "root ::= \"yes\" | \"no\"\n";
constexpr char kSchema[] = R"({"type": "boolean"})";

class GrammarOptions : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    dir_ = new TempDir;
    const Finished run =
        RunSluice({"shard", SLUICE_SOURCE_DIR "/tests/data/models/bard-6.7M", Store()});
    ASSERT_EQ(run.exit_code, 0) << run.err;
  }
  static void TearDownTestSuite() { delete dir_; }
  static std::string Store() { return *dir_ / "store"; }

  static Finished RunWith(const std::vector<std::string>& options, const std::string& input = "") {
    std::vector<std::string> args = {"run", Store(), "-n", "12", "--seed", "1", "--json"};
    args.insert(args.end(), options.begin(), options.end());
    return RunSluice(args, nullptr, input);
  }
  // What is generated behind "x".
  static std::string TextWith(std::vector<std::string> options, const std::string& input = "") {
    options.insert(options.end(), {"-p", "x"});
    const Finished run = RunWith(options, input);
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return run.exit_code == 0 ? nlohmann::json::parse(run.out)["text"].get<std::string>() : "";
  }
  static void ExpectRefused(std::vector<std::string> options, int exit_code,
                            const std::string& words) {
    options.insert(options.end(), {"-p", "x"});
    const Finished run = RunWith(options);
    EXPECT_EQ(run.exit_code, exit_code) << run.err;
    EXPECT_THAT(run.err, HasSubstr(words));
  }

  static TempDir* dir_;
};
TempDir* GrammarOptions::dir_ = nullptr;

TEST_F(GrammarOptions, TakeTextFilesAndPipes) {
  const std::string gbnf = *dir_ / "a.gbnf", schema = *dir_ / "a.json", odd = *dir_ / "::={",
                    fifo = *dir_ / "fifo";
  std::ofstream(gbnf) << kGbnf;
  std::ofstream(schema) << kSchema;
  std::ofstream(odd) << kGbnf;
  const auto is_answer = testing::AnyOf("yes", "no");
  EXPECT_THAT(TextWith({"--grammar", kGbnf}), is_answer);
  EXPECT_THAT(TextWith({"--grammar", gbnf}), is_answer);
  EXPECT_THAT(TextWith({"--grammar-file", gbnf}), is_answer);
  EXPECT_THAT(TextWith({"--grammar", odd}), is_answer) << "a file of that name comes first";
  EXPECT_THAT(TextWith({"--grammar", "-"}, kGbnf), is_answer);
  EXPECT_THAT(TextWith({"--grammar", "/dev/stdin"}, kGbnf), is_answer);
  EXPECT_THAT(TextWith({"--grammar-file", "-"}, kGbnf), is_answer);
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  std::thread writer([&] { std::ofstream(fifo) << kGbnf; });  // opens once the command does
  EXPECT_THAT(TextWith({"--grammar", fifo}), is_answer);
  writer.join();

  const auto is_boolean = testing::AnyOf("true", "false");
  EXPECT_THAT(TextWith({"--json-schema", kSchema}), is_boolean);
  EXPECT_THAT(TextWith({"-j", std::string("\xEF\xBB\xBF \n") + kSchema}), is_boolean);
  EXPECT_THAT(TextWith({"-j", schema}), is_boolean);
  EXPECT_THAT(TextWith({"-jf", schema}), is_boolean);
  EXPECT_THAT(TextWith({"--json-schema-file=/dev/stdin"}, kSchema), is_boolean);
}

TEST_F(GrammarOptions, SayWhatWasLookedFor) {
  ExpectRefused({"--grammar", "none.gbnf"}, 1,
                "there is no file \"none.gbnf\", and it is no grammar either");
  ExpectRefused({"--json-schema", "none.json"}, 1,
                "there is no file \"none.json\", and it is no JSON schema either");
  ExpectRefused({"--grammar", "root ::= a"}, 1,
                "--grammar: grammar:1:10: the rule \"a\" is used but not defined");
  ExpectRefused({"-j", "{\"type\": 7}"}, 1, "--json-schema: ");
  ExpectRefused({"-j", "{\"type\""}, 1, "--json-schema: ");
  ExpectRefused({"-jf", kSchema}, 2,
                "--json-schema-file names a file; --json-schema takes the text");
  ExpectRefused({"--grammar-file", "root ::= \"a\""}, 2, "--grammar takes the text");
  ExpectRefused({"--grammar-file", "none.gbnf"}, 1, "cannot open none.gbnf");
  ExpectRefused({"--grammar", dir_->path()}, 1, dir_->path());
  ExpectRefused({"--grammar", ""}, 2, "--grammar has an empty value");
  ExpectRefused({"-j", kSchema, "--grammar-file", "x"}, 2,
                "give one of --json-schema and --grammar-file");
  const Finished both = RunWith({"-f", "-", "--grammar", "-"}, kGbnf);
  EXPECT_EQ(both.exit_code, 2);
  EXPECT_THAT(both.err, HasSubstr("cannot both read standard input"));
}

TEST_F(GrammarOptions, EscapesAreProcessedWhereAskedFor) {
  const auto prompt_ids = [](const std::vector<std::string>& options) {
    const Finished run = RunWith(options);
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return nlohmann::json::parse(run.out)["prompt_ids"];
  };
  EXPECT_EQ(prompt_ids({"-p", "a\\nb\\x41\\\\\\q", "-e"}), prompt_ids({"-p", "a\nbA\\\\q"}));
  EXPECT_NE(prompt_ids({"-p", "a\\nb"}), prompt_ids({"-p", "a\nb"})) << "a text is taken as it is";
  EXPECT_EQ(prompt_ids({"-p", "a\\nb", "--no-escape"}), prompt_ids({"-p", "a\\nb"}));
}

}  // namespace
}  // namespace sluice
