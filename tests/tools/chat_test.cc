// Chats as users have them: in a terminal, typed key by key, and through a pipe.
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/temp_dir.h"
#include "tests/tools/subprocess.h"
#include "tests/tools/terminal.h"

namespace sluice {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kTemplate[] =
    "{{ bos_token }}{% for m in messages %}{{ m.role | upper }}:\n{{ m.content }}"
    "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}\n\n{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:\n{% endif %}";

class Chat : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    dir_ = new TempDir;
    const Finished run =
        RunSluice({"shard", SLUICE_SOURCE_DIR "/tests/data/models/bard-6.7M", Store()});
    ASSERT_EQ(run.exit_code, 0) << run.err;
    std::ofstream(Template()) << kTemplate;
  }
  static void TearDownTestSuite() { delete dir_; }
  static std::string Store() { return *dir_ / "store"; }
  static std::string Template() { return *dir_ / "chat.jinja"; }

  static std::vector<std::string> Args(const std::vector<std::string>& more = {}) {
    std::vector<std::string> args = {"chat", Store(), "--template", Template(),
                                     "-n",   "12",    "--temp",     "0",
                                     "-t",   "1",     "--max-ram",  "64MiB"};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }
  // What is answered to one message.
  static std::string Answer(const std::string& message, const std::string& n = "12") {
    const Finished run =
        RunSluice({"run", Store(), "--chat", "-p", message, "--template", Template(), "-n", n,
                   "--temp", "0", "--max-ram", "64MiB", "--json"});
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return run.exit_code == 0 ? json::parse(run.out)["text"].get<std::string>() : "";
  }
  // Less what stood in a line before it was cleared: progress.
  static std::string WithoutProgress(const std::string& written) {
    const size_t cleared = written.rfind("\x1b[K");
    return cleared == std::string::npos ? written : written.substr(cleared + 3);
  }
  static void Leave(Terminal& terminal) {
    terminal.Type("\x04");  // Ctrl-D
    EXPECT_EQ(terminal.Exit(), 0) << terminal.unread();
  }

  static TempDir* dir_;
};
TempDir* Chat::dir_ = nullptr;

TEST_F(Chat, AnswersTurnByTurnInATerminal) {
  SLUICE_SKIP_WITHOUT_TERMINAL();
  Terminal terminal(Args());
  terminal.Expect("/help lists commands");
  terminal.Expect("> ");
  terminal.Type("Hello there\r");
  terminal.Expect(Answer("Hello there") + "\n");
  terminal.Expect("> ");
  terminal.Type("Who art thou\\\r");  // goes on in the next line
  terminal.Expect(". ");
  terminal.Type("and whence?\r");
  terminal.Expect("> ");
  terminal.Type("/stats\r");
  const std::string stats = terminal.Expect("streamed each pass");
  EXPECT_THAT(stats, HasSubstr("4 messages"));
  EXPECT_THAT(stats, Not(HasSubstr(" 0 of them reused")));
  terminal.Expect("> ");
  Leave(terminal);
}

TEST_F(Chat, StatsShowDrafts) {
  const std::vector<std::string> args = Args({"-md", Store(), "--max-ram", "96MiB"});
  const Finished drafted = RunSluice(args, nullptr, "Hello there\n/stats\n");
  EXPECT_EQ(drafted.exit_code, 0) << drafted.err;
  EXPECT_THAT(drafted.out, HasSubstr(Answer("Hello there")));
  EXPECT_THAT(drafted.err, testing::ContainsRegex("drafts +[0-9]+ rows, [0-9]+ accepted: "));
  const Finished plain = RunSluice(Args({"--speculate", "off"}), nullptr, "Hello there\n/stats\n");
  EXPECT_EQ(plain.exit_code, 0) << plain.err;
  EXPECT_EQ(plain.out, drafted.out);
  EXPECT_THAT(plain.err, Not(HasSubstr("drafts  ")));
}

TEST_F(Chat, EditsLinesAndRemembersThem) {
  SLUICE_SKIP_WITHOUT_TERMINAL();
  Terminal terminal(Args());
  terminal.Expect("> ");
  terminal.Type("Hellp ther\x7f\x7f\x7f\x7f\x7f\x7fo there\r");
  terminal.Expect(Answer("Hello there") + "\n");
  terminal.Expect("> ");
  terminal.Type("/reset\r");
  terminal.Expect("> ");
  terminal.Type("\x1b[A\x1b[A\r");  // up, up: the message
  terminal.Expect(Answer("Hello there") + "\n");
  terminal.Expect("> ");
  Leave(terminal);
}

TEST_F(Chat, CtrlCStopsTheAnswerAndNotTheProgram) {
  SLUICE_SKIP_WITHOUT_TERMINAL();
  // A slow disk, so that the answer takes its time.
  Terminal terminal({"chat", Store(), "--template", Template(), "-n", "1000", "--temp", "0",
                     "--ignore-eos", "-t", "1", "--max-ram", "9MiB", "-c", "256", "--throttle-disk",
                     "100MB/s"});
  terminal.Expect("> ");
  const std::string answer = Answer("Hello there");
  terminal.Type("Hello there\r");
  terminal.Expect(answer.substr(0, 4));
  terminal.Type("\x03");
  terminal.Expect("(interrupted)");
  terminal.Expect("> ");
  terminal.Type("Never mind this\x03");  // clears the line
  terminal.Expect("\n> ");
  // What was answered so far is part of the conversation, and the next answer comes.
  terminal.Type("/regen\r");
  terminal.Expect(answer.substr(0, 4));
  terminal.Type("\x03");
  terminal.Expect("(interrupted)");
  terminal.Expect("> ");
  terminal.Type("/exit\r");
  EXPECT_EQ(terminal.Exit(), 0);
}

TEST_F(Chat, CtrlCTwiceAtThePromptLeaves) {
  SLUICE_SKIP_WITHOUT_TERMINAL();
  {
    Terminal terminal(Args());
    terminal.Expect("> ");
    terminal.Type("\x03");
    terminal.Expect("Ctrl-C once more leaves");
    terminal.Expect("> ");
    terminal.Type("\x03");
    EXPECT_EQ(terminal.Exit(), 130);
  }
  {  // What was typed in between is what the second one clears.
    Terminal terminal(Args());
    terminal.Expect("> ");
    terminal.Type("\x03");
    terminal.Expect("once more leaves");
    terminal.Expect("> ");
    terminal.Type("never mind");
    terminal.Expect("never mind");  // the terminal forgets what nobody has read before Ctrl-C
    terminal.Type("\x03");
    terminal.Expect("once more leaves");
    terminal.Expect("> ");
    terminal.Type("Hello there\r");  // and a message means that nobody is leaving
    terminal.Expect(Answer("Hello there"));
    terminal.Expect("> ");
    terminal.Type("\x03");
    terminal.Expect("once more leaves");
    terminal.Expect("> ");
    terminal.Type("/exit\r");
    EXPECT_EQ(terminal.Exit(), 0);
  }
  {  // In a message of several lines, too.
    Terminal terminal(Args());
    terminal.Expect("> ");
    terminal.Type("one\\\r");
    terminal.Expect(". ");
    terminal.Type("\x03");
    terminal.Expect("once more leaves");
    terminal.Expect("> ");
    terminal.Type("\x03");
    EXPECT_EQ(terminal.Exit(), 130);
  }
}

TEST_F(Chat, SavesAndLoadsSessions) {
  SLUICE_SKIP_WITHOUT_TERMINAL();
  const std::string file = *dir_ / "a.chat";
  std::string wanted;
  {
    Terminal terminal(Args({"--system", "Be merry."}));
    terminal.Expect("> ");
    terminal.Type("Hello there\r");
    terminal.Expect("> ");
    terminal.Type("/save " + file + "\r");
    terminal.Expect("(saved 3 messages");
    terminal.Expect("> ");
    terminal.Type("And then?\r");
    terminal.Expect("And then?\n");
    wanted = WithoutProgress(terminal.Expect("\n> "));
    EXPECT_NE(wanted, "");
    Leave(terminal);
  }
  Terminal terminal(Args());
  terminal.Expect("> ");
  terminal.Type("/load " + file + "\r");
  terminal.Expect("(loaded 3 messages");
  terminal.Expect("> ");
  terminal.Type("And then?\r");
  terminal.Expect("And then?\n");
  EXPECT_EQ(WithoutProgress(terminal.Expect("\n> ")), wanted);
  // Refusals are one line, and the program goes on.
  terminal.Type("/load " + Template() + "\r");
  terminal.Expect("error: " + Template() + ": no session of sluice chat\n");
  terminal.Expect("> ");
  terminal.Type("/load\r");
  terminal.Expect("error: /load wants a FILE\n");
  terminal.Expect("> ");
  terminal.Type("/nonsense\r");
  terminal.Expect("error: there is no /nonsense");
  terminal.Expect("> ");
  Leave(terminal);

  const Finished other = RunSluice(Args({"-ctk", "f32"}), nullptr, "/load " + file + "\n");
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_THAT(other.err, HasSubstr("another type of keys (-ctk): \"f16\", now \"f32\""));
}

TEST_F(Chat, KeepsTheLineWhenTheTerminalIsResized) {
  SLUICE_SKIP_WITHOUT_TERMINAL();
  Terminal terminal(Args());
  terminal.Expect("> ");
  terminal.Type("Hello");
  terminal.Expect("Hello");
  terminal.Resize(40);
  terminal.Type(" there");
  terminal.Expect("there");
  terminal.Resize(120);
  terminal.Type("\r");
  terminal.Expect(Answer("Hello there") + "\n");
  terminal.Resize(60);  // at the prompt, or before it
  terminal.Expect("> ");
  terminal.Type("/stats\r");
  terminal.Expect("2 messages");
  terminal.Expect("> ");
  Leave(terminal);
}

TEST_F(Chat, KeepsTheLineWhenItIsStoppedAndGoesOn) {
  SLUICE_SKIP_WITHOUT_TERMINAL();
  Terminal terminal(Args());
  terminal.Expect("> ");
  terminal.Type("Hello");
  terminal.Expect("Hello");
  terminal.StopAndContinue();
  terminal.Expect("> Hello");  // drawn again
  terminal.Type(
      " thera\x7f"
      "e\r");
  terminal.Expect(Answer("Hello there") + "\n");
  terminal.Expect("> ");
  Leave(terminal);
}

TEST_F(Chat, ReplacesBytesThatAreNotUtf8AndSaysSo) {
  SLUICE_SKIP_WITHOUT_TERMINAL();
  Terminal terminal(Args());
  terminal.Expect("> ");
  terminal.Type("caf\xe9 \xc3\xa9 \xff\r");
  terminal.Expect("(bytes that are not UTF-8 became U+FFFD)");
  terminal.Expect("> ");
  terminal.Type("/stats\r");
  terminal.Expect("2 messages");
  terminal.Expect("> ");
  Leave(terminal);
}

TEST_F(Chat, DimsOrHidesWhatIsThought) {
  SLUICE_SKIP_WITHOUT_TERMINAL();
  const std::string file = *dir_ / "think.jinja";
  std::ofstream(file) << kTemplate << "{% if add_generation_prompt %}<think>\n{% endif %}";
  const std::vector<std::string> args = {"chat", Store(), "--template", file,
                                         "-n",   "8",     "--temp",     "0"};
  {
    Terminal terminal(args);
    terminal.Expect("> ");
    terminal.Type("Hello there\r");
    terminal.Expect("\x1b[2m");
    EXPECT_NE(terminal.Expect("\x1b[0m"), "");
    terminal.Expect("> ");
    Leave(terminal);
  }
  const Finished shown = RunSluice(args, nullptr, "Hello there\n");
  EXPECT_THAT(shown.out, testing::StartsWith("<think>\n"));
  EXPECT_THAT(shown.out, testing::EndsWith("\n</think>\n"));
  std::vector<std::string> hiding = args;
  hiding.push_back("--hide-thinking");
  EXPECT_EQ(RunSluice(hiding, nullptr, "Hello there\n").out, "\n");
}

TEST_F(Chat, HoldsEveryAnswerToAGrammar) {
  const std::string gbnf = *dir_ / "answer.gbnf", schema = *dir_ / "answer.json";
  std::ofstream(gbnf) << "root ::= (\"aye\" | \"nay\") \", \" [a-z]{4} \".\"";
  std::ofstream(schema)
      << R"({"type": "object", "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}},
      "required": ["n"]})";
  // With a template that opens <think>, too: text that follows a grammar has no thoughts in it.
  const std::string think = *dir_ / "think_grammar.jinja";
  std::ofstream(think) << kTemplate << "{% if add_generation_prompt %}<think>\n{% endif %}";
  for (const std::string& file : {Template(), think}) {
    for (const auto& [option, path, form] :
         {std::tuple{"--grammar", gbnf, R"((aye|nay), [a-z]{4}\.)"},
          {"--json-schema", schema, R"(\{[[:space:]]*"n":[[:space:]]*[0-9][[:space:]]*\})"}}) {
      const Finished run = RunSluice({"chat", Store(), "--template", file, "-n", "40", "--temp",
                                      "2", "--top-k", "0", "--seed", "5", option, path},
                                     nullptr, "Hello there\nAnd then?\n/regen\n");
      ASSERT_EQ(run.exit_code, 0) << run.err;
      EXPECT_THAT(run.out, testing::MatchesRegex(absl::StrCat("(", form, "\n){3}"))) << run.err;
    }
  }
  EXPECT_EQ(RunSluice(Args({"--grammar", gbnf, "--json-schema", schema})).exit_code, 2);
  EXPECT_EQ(RunSluice(Args({"--grammar", gbnf, "--ignore-eos"})).exit_code, 2);
}

TEST_F(Chat, SigtermAtThePromptEndsIt) {
  SLUICE_SKIP_WITHOUT_TERMINAL();
  Terminal terminal(Args());
  terminal.Expect("> ");
  terminal.Signal(SIGTERM);
  EXPECT_EQ(terminal.Exit(), 130);
}

TEST_F(Chat, PrintsPlainAnswersThroughAPipe) {
  const Finished run = RunSluice(Args(), nullptr, "Hello there\r\n\n/reset\nHello \xff\n/regen");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const std::string odd = Answer("Hello \xEF\xBF\xBD");
  EXPECT_EQ(run.out, Answer("Hello there") + "\n" + odd + "\n" + odd + "\n");
  EXPECT_EQ(run.err, "(bytes that are not UTF-8 became U+FFFD)\n");
  EXPECT_EQ(RunSluice(Args(), nullptr, "").out, "");
  EXPECT_EQ(RunSluice(Args(), nullptr, "/exit\nHello there\n").out, "");
}

TEST_F(Chat, EndsWithTheFirstErrorWhereNobodyIsThere) {
  for (const auto& [input, words] : {std::pair{"/nonsense\nHello\n", "there is no /nonsense"},
                                     {"/regen\n", "no answer to regenerate"},
                                     {"/load nowhere.chat\n", "nowhere.chat"}}) {
    const Finished run = RunSluice(Args(), nullptr, input);
    EXPECT_EQ(run.exit_code, 1) << input;
    EXPECT_THAT(run.err, HasSubstr(words));
    EXPECT_EQ(run.out, "");
  }
  const Finished no_template = RunSluice({"chat", Store()}, nullptr, "Hello\n");
  EXPECT_EQ(no_template.exit_code, 1);
  EXPECT_THAT(no_template.err, HasSubstr("has no chat template; give one with --template FILE"));
  EXPECT_EQ(RunSluice({"chat", Store(), "--temp", "hot"}).exit_code, 2);
  EXPECT_EQ(RunSluice({"chat"}).exit_code, 2);
}

TEST_F(Chat, AnInterruptThroughAPipeEndsWithItsCode) {
  std::vector<std::string> args = Args({"--ignore-eos", "--throttle-disk", "100MB/s", "-c", "256"});
  args[5] = "1000";
  args[11] = "9MiB";
  const Finished run = RunSluice(
      args, [](const std::string&, pid_t pid) { kill(pid, SIGINT); }, "Hello there\n");
  EXPECT_TRUE(run.exit_code == 130) << run.exit_code << run.err;
}

TEST_F(Chat, RunSaysOnceThatAnInstructModelHasATemplate) {
  const std::string model = *dir_ / "instruct", store = *dir_ / "instruct.store";
  std::filesystem::copy(SLUICE_SOURCE_DIR "/tests/data/models/bard-6.7M", model);
  std::ofstream(model + "/chat_template.jinja") << kTemplate;
  ASSERT_EQ(RunSluice({"shard", model, store}).exit_code, 0);
  const auto says = [](const std::string& from, std::vector<std::string> options) {
    options.insert(options.begin(), {"run", from, "-n", "1", "--temp", "0"});
    const Finished run = RunSluice(options);
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return testing::Matches(
        HasSubstr("the store has a chat template; --chat puts it around the prompt"))(run.err);
  };
  EXPECT_TRUE(says(store, {"-p", "Hello"}));
  for (const std::vector<std::string>& silent :
       {std::vector<std::string>{"-p", "Hello", "--chat"},
        {"-p", "Hello", "--no-chat"},
        {"-p", "Hello", "-no-cnv"},
        {"-p", "Hello", "--json"},
        {"--prompt-ids", "5,6"},
        {"-p", "USER:\nHello<|eos|>"}}) {  // in the template's form already
    EXPECT_FALSE(says(store, silent)) << silent.back();
  }
  EXPECT_FALSE(says(Store(), {"-p", "Hello"}));
  EXPECT_EQ(RunSluice({"run", store, "-p", "x", "--chat", "--no-chat"}).exit_code, 2);
}

TEST_F(Chat, TemplatesAreKnownByName) {
  const auto prompt = [](const std::string& chat_template) {
    const Finished run = RunSluice({"run", Store(), "-st", "-p", "Hello", "-n", "1", "--temp", "0",
                                    "--json", "--template", chat_template});
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return run.exit_code == 0 ? json::parse(run.out)["prompt_ids"] : json();
  };
  const Finished ids =
      RunSluice({"tokenize", Store(), "-p",
                 "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n", "--json"});
  EXPECT_EQ(prompt("chatml"), json::parse(ids.out))
      << "bos as the tokenizer puts it around any text";
  EXPECT_EQ(prompt("ChatML"), prompt("chatml"));
  EXPECT_EQ(prompt(Template()), prompt(kTemplate)) << "a text is a template, too";
  const char* const context =
      R"({"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": true})";
  const Finished shown = RunSluice({"template", "zephyr", "--context", "-"}, nullptr, context);
  EXPECT_EQ(shown.out, "<|user|>\nHi<|endoftext|>\n<|assistant|>\n") << shown.err;
  const Finished none = RunSluice({"run", Store(), "--chat", "-p", "x", "--template", "chatmi"});
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_THAT(none.err, HasSubstr("templates that are known by name are chatml, "));
}

TEST_F(Chat, RunTakesAMessageWithASystemMessage) {
  const std::vector<std::string> args = {
      "run", Store(), "--chat", "-p", "Hello", "--template", Template(), "-n", "8", "--temp", "0"};
  const Finished plain = RunSluice(args);
  ASSERT_EQ(plain.exit_code, 0) << plain.err;
  EXPECT_EQ(plain.out, Answer("Hello", "8") + "\n");  // without the prompt
  std::vector<std::string> more = args;
  more.insert(more.end(), {"--system", "Be merry.", "--json"});
  const json with_system = json::parse(RunSluice(more).out);
  const Finished ids = RunSluice(
      {"tokenize", Store(), "-p", "SYSTEM:\nBe merry.\nUSER:\nHello\nASSISTANT:\n", "--json"});
  EXPECT_EQ(with_system["prompt_ids"], json::parse(ids.out)) << ids.out;  // bos once

  // <|eos|> in a message is a token, or text.
  const auto count = [&](std::vector<std::string> options) {
    std::vector<std::string> all = {"run",        Store(),    "--chat", "-p", "a<|eos|>b",
                                    "--template", Template(), "-n",     "1",  "--json"};
    all.insert(all.end(), options.begin(), options.end());
    const std::vector<int> prompt = json::parse(RunSluice(all).out)["prompt_ids"];
    return std::count(prompt.begin(), prompt.end(), 1);
  };
  EXPECT_EQ(count({}), 1);
  EXPECT_EQ(count({"--no-parse-special"}), 0);

  for (const std::vector<std::string>& wrong :
       {std::vector<std::string>{"-p", "x", "--system", "y"},
        {"-p", "x", "--template", Template()},
        {"--prompt-ids", "1,2", "--chat"}}) {
    std::vector<std::string> all = {"run", Store()};
    all.insert(all.end(), wrong.begin(), wrong.end());
    EXPECT_EQ(RunSluice(all).exit_code, 2);
  }
}

}  // namespace
}  // namespace sluice
