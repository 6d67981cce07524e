// sluice template: where templates and special tokens come from, and what it refuses.
#include <filesystem>
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

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr char kContext[] = R"({"messages": [{"role": "user", "content": "Hi"}]})";

class TemplateCommand : public testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = dir_ / name;
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path) << text;
    return path;
  }

  // What is printed, with the context on standard input.
  std::string Print(std::vector<std::string> args, const std::string& context = kContext) {
    args.insert(args.begin(), "template");
    args.insert(args.end(), {"--context", "-"});
    const Finished run = RunSluice(args, nullptr, context);
    EXPECT_EQ(run.exit_code, 0) << run.err;
    EXPECT_EQ(run.err, "");
    return run.out;
  }

  void ExpectRefused(std::vector<std::string> args, const std::string& words,
                     const std::string& context = kContext, int exit_code = 1) {
    args.insert(args.begin(), "template");
    args.insert(args.end(), {"--context", "-"});
    const Finished run = RunSluice(args, nullptr, context);
    EXPECT_EQ(run.exit_code, exit_code) << run.err;
    EXPECT_EQ(run.out, "");
    EXPECT_THAT(run.err, HasSubstr(words));
  }

  TempDir dir_;
};

TEST_F(TemplateCommand, RendersAFileToTheByte) {
  const std::string file = Write("t.jinja", "{{ messages[0].content }}\n\n{{ z }}{{ a }} ");
  EXPECT_EQ(Print({file}), "Hi\n\n ");
  EXPECT_EQ(Print({file, "--json"}), "\"Hi\\n\\n \"\n");
  const std::string context = Write("c.json", kContext);
  EXPECT_EQ(RunSluice({"template", file, "--context", context}).out, "Hi\n\n ");
}

TEST_F(TemplateCommand, FixesTheClock) {
  const std::string file = Write("t.jinja", "{{ strftime_now('%A %Y-%m-%d %H:%M:%S') }}");
  EXPECT_EQ(Print({file, "--clock", "2026-03-04T05:06:07"}), "Wednesday 2026-03-04 05:06:07");
  EXPECT_EQ(Print({file, "--clock=2026-03-04"}), "Wednesday 2026-03-04 00:00:00");
  for (const char* const clock : {"now", "2026-02-30", "2026-03-04T05:06:07Z", ""}) {
    ExpectRefused({file, "--clock", clock}, "--clock wants a time", kContext, 2);
  }
}

TEST_F(TemplateCommand, FindsTemplateAndTokensOfAModelOrStore) {
  Write(
      "model/tokenizer_config.json",
      R"({"chat_template": "{{ bos_token }}{{ eos_token }}{{ additional_special_tokens[0] }}|config",
            "bos_token": "<s>", "eos_token": {"content": "</s>"}, "pad_token": null,
            "additional_special_tokens": ["<x>"]})");
  EXPECT_EQ(Print({dir_ / "model"}), "<s></s><x>|config");
  EXPECT_EQ(Print({dir_ / "model"}, R"({"bos_token": "given"})"), "given</s><x>|config");
  Write("model/chat_template.jinja", "{{ bos_token }}|file");
  EXPECT_EQ(Print({dir_ / "model"}), "<s>|file");
  fs::create_directories(dir_ / "store");
  fs::rename(dir_ / "model", dir_ / "store/tokenizer");
  EXPECT_EQ(Print({dir_ / "store"}), "<s>|file");
}

TEST_F(TemplateCommand, ChoosesAmongSeveralTemplates) {
  Write(
      "model/tokenizer_config.json",
      R"({"chat_template": [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"},
                              {"name": "rag", "template": "R"}]})");
  EXPECT_EQ(Print({dir_ / "model"}), "D");
  EXPECT_EQ(Print({dir_ / "model"}, R"({"tools": [{}]})"), "T");
  EXPECT_EQ(Print({dir_ / "model"}, R"({"tools": null})"), "D");
  EXPECT_EQ(Print({dir_ / "model", "--name", "rag"}), "R");
  ExpectRefused({dir_ / "model", "--name", "chat"}, "only: default, tool_use, rag");
}

TEST_F(TemplateCommand, SaysWhatIsWrong) {
  const std::string file = Write("t.jinja", "a\n{{ raise_exception('No system role') }}");
  ExpectRefused({file}, "t.jinja: line 2, column 19: No system role");
  ExpectRefused({Write("bad.jinja", "{% if %}")}, "bad.jinja: line 1, column 7");
  ExpectRefused({file}, "not valid JSON", "{");
  ExpectRefused({file}, "not a JSON object", "[]");
  ExpectRefused({dir_ / "nowhere"}, "nowhere");
  ExpectRefused({file, "--name", "x"}, "--name", kContext, 2);
  Write("empty/config.json", "{}");
  ExpectRefused({dir_ / "empty"}, "has no chat template");
  const Finished run = RunSluice({"template", file});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("--context is missing"));
}

}  // namespace
}  // namespace sluice
