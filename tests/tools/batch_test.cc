// Batch jobs as users run them: hostile input, parts, other people's files, answers as if alone.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/reference_file.h"
#include "tests/tools/batch_testing.h"
#include "tests/tools/subprocess.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

TEST_F(Batch, ReportsHostileLinesForWhatTheyAreAndDoesTheRest) {
  const std::string ids = "[" + [] {
    std::string list = "5";
    for (int i = 1; i < 300; ++i) list += ",5";
    return list;
  }() + "]";
  const std::string input =
      Write("in.jsonl",
            std::string("{\"custom_id\": \"good\", \"prompt\": \"Once\", \"max_tokens\": 3}\n") +
                "{\"custom_id\": \"cut off\n"
                "\n"
                "{\"custom_id\": \"good\", \"prompt\": \"twice\"}\n"
                "{\"custom_id\": \"url\", \"url\": \"/v1/images\", \"body\": {\"prompt\": \"x\"}}\n"
                "{\"custom_id\": \"field\", \"prompt\": \"x\", \"colour\": 1}\n"
                "{\"custom_id\": \"type\", \"prompt\": 1.5}\n"
                "{\"custom_id\": \"long\", \"prompt\": " +
                ids +
                "}\n"
                "{\"custom_id\": \"vocabulary\", \"prompt\": [1, 5000]}\n"
                "{\"custom_id\": \"bias\", \"prompt\": \"x\", \"logit_bias\": {\"5000\": 1}}\n"
                "{\"prompt\": \"" +
                std::string(10 << 20, 'x') +
                "\"}\n"
                "{\"prompt\": \"\xff\"}\n" +
                std::string("\0\0\n", 3) +
                "{\"custom_id\": \"schema\", \"prompt\": \"x\", \"response_format\": {\"type\": "
                "\"json_schema\", "
                "\"json_schema\": {\"schema\": {\"not\": {}}}}}\n"
                "{\"custom_id\": \"grammar\", \"prompt\": \"x\", \"grammar\": \"root ::= root\"}\n"
                "{\"custom_id\": \"braces\", \"prompt\": \"x\", \"grammar\": \"root ::= [{]\"}\n"
                "{\"custom_id\": \"chat\", \"url\": \"/v1/chat/completions\", \"body\": "
                "{\"messages\": []}}\n"
                "{\"prompt\": \"the last one, without a newline\", \"max_tokens\": 2}");
  const std::string output = mine_ / "out.jsonl";
  const Finished run = RunSluice(Args(input, output, {"--json"}));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto results = Lines(output);
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results.at("good")["response"]["body"]["usage"]["completion_tokens"], 3);
  EXPECT_EQ(results.count("line-18"), 1u);
  std::map<std::string, std::string> codes;
  std::map<std::string, json> params;
  std::string text = ReadWholeFile(mine_ / "out.errors.jsonl");
  for (size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
    const json line = json::parse(text.substr(at, text.find('\n', at) - at));
    EXPECT_EQ(line["response"]["status_code"], 400);
    codes[line["custom_id"]] = line["response"]["body"]["error"]["code"];
    params[line["custom_id"]] = line["response"]["body"]["error"]["param"];
  }
  EXPECT_EQ(params["bias"], "logit_bias");
  EXPECT_EQ(params["vocabulary"], "prompt");
  EXPECT_EQ(params["long"], "prompt");
  EXPECT_EQ(params["field"], "colour");
  EXPECT_EQ(codes, (std::map<std::string, std::string>{{"line-2", "invalid_json"},
                                                       {"good", "duplicate_custom_id"},
                                                       {"url", "invalid_url"},
                                                       {"field", "unknown_parameter"},
                                                       {"type", "invalid_type"},
                                                       {"long", "context_length_exceeded"},
                                                       {"vocabulary", "invalid_value"},
                                                       {"bias", "invalid_value"},
                                                       {"line-11", "line_too_long"},
                                                       {"line-12", "invalid_json"},
                                                       {"line-13", "invalid_json"},
                                                       {"schema", "invalid_grammar"},
                                                       {"grammar", "invalid_grammar"},
                                                       {"braces", "invalid_grammar"},
                                                       {"chat", "invalid_value"}}));
  const json report = json::parse(run.out);
  EXPECT_EQ(report["succeeded"], 2);
  EXPECT_EQ(report["failed"], 15);

  // Again: nothing is left to do; and with --retry-errors the same errors come once more, not
  // twice.
  for (const char* option : {"--json", "--retry-errors"}) {
    ASSERT_EQ(RunSluice(Args(input, output, {option})).exit_code, 0);
    EXPECT_EQ(Lines(output), results);
    const std::string again = ReadWholeFile(mine_ / "out.errors.jsonl");
    EXPECT_EQ(std::count(again.begin(), again.end(), '\n'), 15);
  }
}

TEST_F(Batch, AnswersFollowTheirGrammars) {
  std::string requests;
  for (int i = 0; i < 12; ++i) {
    requests += json{{"custom_id", std::to_string(i)},
                     {"prompt", "Once upon a time"},
                     {"max_tokens", 30},
                     {"temperature", i % 2 * 2},
                     {"grammar", "root ::= \" \" [a-z]+ (\" \" [a-z]+){1,20} \".\""}}
                    .dump() +
                "\n";
  }
  const std::string output = mine_ / "out.jsonl";
  const Finished run = RunSluice(Args(Write("in.jsonl", requests), output, {"--json"}));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto results = Lines(output);
  ASSERT_EQ(results.size(), 12u);
  for (const auto& [id, line] : results) {
    const json& choice = line["response"]["body"]["choices"][0];
    const std::string text = choice["text"];
    EXPECT_EQ(choice["finish_reason"], "stop") << text;
    EXPECT_EQ(text.find_first_not_of(" abcdefghijklmnopqrstuvwxyz"), text.size() - 1) << text;
    EXPECT_EQ(text.back(), '.');
  }
}

TEST_F(Batch, AnswersChatsAndCompletionsOfOneFile) {
  const std::string chat_template =
      Write("t.jinja",
            "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{{ mood }}{% if "
            "tools %}{{ tools | tojson }}"
            "{% endif %}assistant:");
  const std::string input = Write(
      "in.jsonl",
      R"({"custom_id": "chat", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages":
                [{"role": "user", "content": "Once upon a time"}], "max_tokens": 6, "temperature": 0,
                "chat_template_kwargs": {"mood": "calm "}, "tools": [{"z": 1, "a": 2}]}})"
      "\n"
      R"({"custom_id": "text", "url": "/v1/completions", "body": {"prompt": "Once", "max_tokens": 6}})"
      "\n"
      R"({"custom_id": "short", "messages": [{"role": "user", "content": "Once"}], "max_tokens": 2})"
      "\n"
      R"({"custom_id": "image", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]})");
  // One request a line.
  std::string text = ReadWholeFile(input);
  for (size_t at = 0; (at = text.find("\n       ", at)) != std::string::npos;) text.erase(at, 1);
  Write("in.jsonl", text);

  const std::string output = mine_ / "out.jsonl";
  ASSERT_EQ(RunSluice(Args(input, output, {"--template", chat_template})).exit_code, 0);
  const auto results = Lines(output);
  ASSERT_EQ(results.size(), 3u);
  const json& body = results.at("chat")["response"]["body"];
  EXPECT_EQ(body["object"], "chat.completion");
  EXPECT_EQ(body["model"], "m");
  EXPECT_THAT(body["id"].get<std::string>(), testing::StartsWith("chatcmpl-"));
  EXPECT_EQ(body["choices"][0]["message"]["role"], "assistant");
  EXPECT_EQ(results.at("text")["response"]["body"]["object"], "text_completion");
  EXPECT_EQ(results.at("short")["response"]["body"]["usage"]["completion_tokens"], 2);
  const std::string errors = ReadWholeFile(mine_ / "out.errors.jsonl");
  EXPECT_THAT(errors, HasSubstr("messages[0].content"));
  EXPECT_EQ(std::count(errors.begin(), errors.end(), '\n'), 1);

  // The chat is the completion of what the template prints, without the tokens that go around a
  // text.
  const std::string prompt = "user: Once upon a time\ncalm [{\"z\": 1, \"a\": 2}]assistant:";
  const Finished ids = RunSluice({"tokenize", Store(), "-p", prompt, "--no-special", "--json"});
  const std::string same = Write("same.jsonl", "{\"custom_id\": \"chat\", \"prompt\": " +
                                                   ids.out.substr(0, ids.out.size() - 1) +
                                                   ", \"max_tokens\": 6, \"temperature\": 0}");
  ASSERT_EQ(RunSluice(Args(same, mine_ / "same-out.jsonl")).exit_code, 0);
  EXPECT_EQ(Lines(mine_ / "same-out.jsonl").at("chat")["response"]["body"]["choices"][0]["text"],
            body["choices"][0]["message"]["content"]);

  // The template is part of what the job is.
  const Finished other = RunSluice(Args(input, output));
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_THAT(other.err, HasSubstr("another --template"));
  ASSERT_EQ(RunSluice(Args(input, mine_ / "none.jsonl")).exit_code, 0);
  EXPECT_THAT(ReadWholeFile(mine_ / "none.errors.jsonl"), HasSubstr("chat_template_missing"));
  EXPECT_EQ(Lines(mine_ / "none.jsonl").size(), 1u);
  EXPECT_EQ(
      RunSluice(Args(input, mine_ / "bad.jsonl", {"--template", mine_ / "nowhere"})).exit_code, 1);
}

TEST_F(Batch, TakesAnEmptyFileAndPlainText) {
  const std::string empty = Write("empty.jsonl", "");
  ASSERT_EQ(RunSluice(Args(empty, mine_ / "none.jsonl")).exit_code, 0);
  EXPECT_EQ(ReadWholeFile(mine_ / "none.jsonl"), "");
  const std::string input = Write("in.txt", "Once upon a time\nThe dog said \"{\n");
  ASSERT_EQ(RunSluice(Args(input, mine_ / "out.jsonl", {"--text"})).exit_code, 0);
  EXPECT_EQ(Lines(mine_ / "out.jsonl").size(), 2u);
}

TEST_F(Batch, RefusesWhatHasNoRoomUntilItIsDoneAndRunsTheRestOneAfterAnother) {
  // Each may hold 20 MiB of the 64 MiB, though all of its answers end at once.
  const std::string many =
      ", \"prompt\": \"Once upon a time\", \"n\": 400, \"max_tokens\": 200, \"logprobs\": 20, "
      "\"stop\": \" \"}\n";
  std::string requests =
      R"({"custom_id": "huge", "prompt": "Once", "n": 4096, "max_tokens": 200, "logprobs": 20})"
      "\n"
      R"({"custom_id": "escaped", "prompt": "Once", "\u006e": 4096, "max_tokens": 200})"
      "\n";
  for (int i = 0; i < 4; ++i) {
    requests += "{\"custom_id\": \"many-" + std::to_string(i) + "\"" + many;
    requests += "{\"custom_id\": \"one-" + std::to_string(i) +
                "\", \"prompt\": \"Once\", \"max_tokens\": 3}\n";
  }
  const std::string output = mine_ / "out.jsonl";
  const Finished run = RunSluice(Args(Write("in.jsonl", requests), output, {"--json"}));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto results = Lines(output);
  EXPECT_EQ(results.size(), 8u);
  EXPECT_EQ(results.at("many-3")["response"]["body"]["choices"].size(), 400u);
  const auto errors = Lines(mine_ / "out.errors.jsonl");
  ASSERT_EQ(errors.size(), 2u);
  const json& error = errors.at("huge")["response"]["body"]["error"];
  EXPECT_EQ(error["code"], "request_too_large");
  EXPECT_EQ(error["param"], "logprobs");
  EXPECT_THAT(error["message"].get<std::string>(),
              HasSubstr("MiB to hold its log probabilities; the budget leaves"));
  EXPECT_EQ(errors.at("escaped")["response"]["body"]["error"]["param"], "n");
}

TEST_F(Batch, AnswersManyRequestsThatNeedNoModel) {
  constexpr int kLines = 20000;
  std::string requests;
  for (int i = 0; i < kLines; ++i) requests += "{\"prompt\": \"Once\", \"max_tokens\": 0}\n";
  const std::string output = mine_ / "out.jsonl";
  const Finished run = RunSluice(Args(Write("in.jsonl", requests), output, {"--json"}));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(json::parse(run.out)["succeeded"], kLines);
  EXPECT_EQ(json::parse(run.out)["passes"], 0);
  const auto results = Lines(output);
  EXPECT_EQ(results.size(), size_t{kLines});
  EXPECT_EQ(results.at("line-20000")["response"]["body"]["choices"][0]["text"], "");
  ExpectOnlyResults();
}

TEST_F(Batch, ScoresATextWithEcho) {
  const std::string input = Write(
      "in.jsonl",
      "{\"prompt\": [1, 80, 429, 598], \"max_tokens\": 0, \"echo\": true, \"logprobs\": 2}\n");
  ASSERT_EQ(RunSluice(Args(input, mine_ / "out.jsonl", {"-ctk", "f32", "-ctv", "f32"})).exit_code,
            0);
  const auto lines = Lines(mine_ / "out.jsonl");
  ASSERT_EQ(lines.size(), 1u);
  const json& choice = lines.begin()->second["response"]["body"]["choices"][0];
  const json score = json::parse(RunSluice({"score", Store(), "--prompt-ids", "1,80,429,598",
                                            "-ctk", "f32", "-ctv", "f32", "--json"})
                                     .out);
  EXPECT_EQ(choice["logprobs"]["token_logprobs"], score["logprobs"]);
  EXPECT_EQ(choice["logprobs"]["tokens"].size(), 4u);
  EXPECT_TRUE(choice["logprobs"]["top_logprobs"][0].is_null());
  EXPECT_EQ(choice["logprobs"]["top_logprobs"][2].size(), 2u);
  EXPECT_EQ(choice["finish_reason"], "length");
}

// The first 64 lines promise short answers, so that pages for eight of those are what there is for
// eight long ones.
TEST_F(Batch, SwapsWhatItPreemptsAndLeavesNothingBehind) {
  std::string text;
  for (int i = 0; i < 76; ++i) {
    text += json{{"prompt", "Once upon a time"}, {"max_tokens", i < 64 ? 2 : 180}}.dump() + "\n";
  }
  const std::string input = Write("in.jsonl", text);
  const Finished alone = RunSluice(Args(input, mine_ / "alone.jsonl", {"--json"}, "1"));
  ASSERT_EQ(alone.exit_code, 0) << alone.err;
  EXPECT_EQ(json::parse(alone.out)["preemptions"], 0);
  const Finished together = RunSluice(Args(input, mine_ / "together.jsonl", {"--json"}));
  ASSERT_EQ(together.exit_code, 0) << together.err;
  const json report = json::parse(together.out);
  EXPECT_GT(report["swaps"], 0) << report;
  EXPECT_LE(report["swaps"], report["preemptions"]);
  EXPECT_GT(report["bytes_written"], 0);
  EXPECT_EQ(Lines(mine_ / "together.jsonl"), Lines(mine_ / "alone.jsonl"));
  ExpectOnlyResults();
}

TEST_F(Batch, GivesTheSameWithKeysAndValuesOnDisk) {
  std::string text;
  for (int i = 0; i < 24; ++i) {
    text +=
        json{{"prompt", "Once upon a time"}, {"max_tokens", 80 + i}, {"logprobs", 1}}.dump() + "\n";
  }
  const std::string input = Write("in.jsonl", text);
  const Finished memory =
      RunSluice(Args(input, mine_ / "memory.jsonl", {"--json", "--kv-disk", "0"}));
  ASSERT_EQ(memory.exit_code, 0) << memory.err;
  EXPECT_EQ(json::parse(memory.out)["kv_disk_pages"], 0);
  EXPECT_EQ(json::parse(memory.out)["kv_bytes_read"], 0);
  const Finished disk =
      RunSluice(Args(input, mine_ / "disk.jsonl", {"--json", "--kv-disk", "1GiB"}));
  ASSERT_EQ(disk.exit_code, 0) << disk.err;
  const json report = json::parse(disk.out);
  EXPECT_EQ(report["kv_disk_pages"], report["kv_pages"]) << "there are fewer than a GiB";
  EXPECT_GT(report["kv_bytes_read"], report["kv_bytes_written"]);
  EXPECT_GT(report["kv_bytes_written"], 0);
  EXPECT_EQ(Lines(mine_ / "disk.jsonl"), Lines(mine_ / "memory.jsonl"));
  ExpectOnlyResults();
  const Finished plan = RunSluice(
      {"plan", Store(), "--batch", "--batch-size", "8", "--no-probe", "--kv-disk", "1GiB"});
  EXPECT_EQ(plan.exit_code, 0) << plan.err;
  EXPECT_THAT(plan.out, HasSubstr("0 pages of 64 tokens in RAM and 32 on disk ("));
  const Finished wrong = RunSluice(Args(input, mine_ / "wrong.jsonl", {"--kv-disk", "much"}));
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("--kv-disk"));
}

TEST_F(Batch, RefusesFilesOfOtherJobsByName) {
  const std::string input = Write("in.jsonl", "{\"prompt\": \"x\", \"max_tokens\": 2}\n");
  const std::string output = mine_ / "out.jsonl";
  ASSERT_EQ(RunSluice(Args(input, output)).exit_code, 0);
  const std::string results = ReadWholeFile(output);
  const auto refusal = [&](const std::vector<std::string>& args) {
    const Finished run = RunSluice(args);
    EXPECT_EQ(run.exit_code, 1) << run.err;
    EXPECT_EQ(ReadWholeFile(output), results);
    return run.err;
  };
  EXPECT_THAT(refusal(Args(input, output, {"-ctk", "q8_0"})), HasSubstr("-ctk"));
  EXPECT_THAT(refusal(Args(input, output, {"--seed", "5"})), HasSubstr("--seed"));
  EXPECT_THAT(refusal(Args(input, output, {"--text"})), HasSubstr("format"));
  EXPECT_THAT(refusal(Args(Write("other.jsonl", "{\"prompt\": \"y\"}\n"), output)),
              HasSubstr("another input"));
  const int fd = open(output.c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_EQ(flock(fd, LOCK_EX), 0);
  EXPECT_THAT(refusal(Args(input, output)), HasSubstr("another process"));
  close(fd);
  fs::remove(mine_ / "out.job.json");
  EXPECT_THAT(refusal(Args(input, output)), HasSubstr("out.job.json"));
  EXPECT_EQ(RunSluice(Args(mine_ / "nowhere", mine_ / "new.jsonl")).exit_code, 1);
  EXPECT_FALSE(fs::exists(mine_ / "new.jsonl"));
  EXPECT_EQ(RunSluice({"batch", Store(), "-i", input}).exit_code, 2);
}

// The chunks of prompts, the rows beside a row, and the order differ.
TEST_F(Batch, AnswersAmong500AsAlone) {
  std::vector<std::string> lines;
  for (int i = 0; i < 500; ++i) {
    std::string prompt;
    for (int j = 0; j < 1 + i % 90; ++j)
      prompt += (j > 0 ? "," : "") + std::to_string((i * 31 + j * 7) % 2000);
    lines.push_back("{\"custom_id\": \"r" + std::to_string(i) + "\", \"prompt\": [" + prompt +
                    "], \"max_tokens\": 6, \"logprobs\": 2}\n");
  }
  std::string all, few;
  for (const std::string& line : lines) all += line;
  for (int i = 499; i > 0; i -= 45) few += lines[i];
  const std::string together = mine_ / "together.jsonl", alone = mine_ / "alone.jsonl";
  const Finished run = RunSluice(Args(Write("all.jsonl", all), together, {"--json"}, "500"));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  ASSERT_EQ(json::parse(run.out)["batch_size"], 500);
  ASSERT_EQ(RunSluice(Args(Write("few.jsonl", few), alone, {}, "1")).exit_code, 0);
  const auto answers = Lines(together);
  ASSERT_EQ(answers.size(), 500u);
  for (const auto& [id, line] : Lines(alone)) {
    EXPECT_EQ(line["response"]["body"]["choices"], answers.at(id)["response"]["body"]["choices"])
        << id;
  }
}

TEST_F(Batch, PartsMergeToTheWholeInTheOrderOfTheInput) {
  std::string text;
  for (int i = 0; i < 12; ++i)
    text += "{\"custom_id\": \"r" + std::to_string(i) +
            "\", \"prompt\": \"The dog\", \"max_tokens\": 4}\n";
  text += "{\"custom_id\": \"r3\", \"prompt\": \"again\"}\n\nnonsense\n";
  const std::string input = Write("in.jsonl", text);
  const std::string output = mine_ / "out.jsonl";
  const std::vector<std::string> merge = {"batch", "--merge", "-i", input, "-o", output};
  EXPECT_THAT(RunSluice(merge).err, HasSubstr("no parts"));
  for (const char* part : {"0/3", "2/3"})
    ASSERT_EQ(RunSluice(Args(input, output, {"--part", part})).exit_code, 0);
  EXPECT_THAT(RunSluice(merge).err, HasSubstr("part 1 of 3 was not run"));
  ASSERT_EQ(RunSluice(Args(input, output, {"--part", "1/3"})).exit_code, 0);
  const std::string part = mine_ / "out.part1of3.jsonl";
  const std::string whole_part = ReadWholeFile(part);
  ASSERT_FALSE(whole_part.empty());
  Write("out.part1of3.jsonl", whole_part.substr(0, whole_part.size() - 10));
  EXPECT_THAT(RunSluice(merge).err, HasSubstr("run part 1 of 3 to its end"));
  Write("out.part1of3.jsonl", whole_part);
  EXPECT_FALSE(fs::exists(output));

  ASSERT_EQ(RunSluice(merge).exit_code, 0) << RunSluice(merge).err;
  ASSERT_EQ(RunSluice(Args(input, mine_ / "whole.jsonl")).exit_code, 0);
  EXPECT_EQ(Lines(output), Lines(mine_ / "whole.jsonl"));
  const std::string results = ReadWholeFile(output);
  for (int i = 1; i < 12; ++i) {
    EXPECT_LT(results.find("\"r" + std::to_string(i - 1) + "\""),
              results.find("\"r" + std::to_string(i) + "\""));
  }
  EXPECT_EQ(
      ReadWholeFile(mine_ / "out.errors.jsonl").find("duplicate_custom_id") != std::string::npos,
      true);
  EXPECT_THAT(RunSluice(merge).err, HasSubstr("exists already"));
  for (const char* wrong : {"3/3", "-1/3", "1", "a/b"}) {
    EXPECT_EQ(RunSluice(Args(input, output, {"--part", wrong})).exit_code, 2) << wrong;
  }
}

TEST_F(Batch, RefusesInputThatIsNoFileAndAnOutputThatAnotherNameShares) {
  ASSERT_EQ(mkfifo((mine_ / "pipe").c_str(), 0600), 0);
  const Finished pipe = RunSluice(Args(mine_ / "pipe", mine_ / "out.jsonl"));
  EXPECT_EQ(pipe.exit_code, 1);
  EXPECT_THAT(pipe.err,
              HasSubstr("pipe is not a regular file, and a job reads its input more than once"));
  EXPECT_FALSE(fs::exists(mine_ / "out.job.json"));
  const int errors = open((mine_ / "out.errors.jsonl").c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(flock(errors, LOCK_EX), 0);
  const Finished other =
      RunSluice(Args(Write("in.jsonl", "{\"prompt\": \"Once\"}\n"), mine_ / "out"));
  close(errors);
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_THAT(other.err, HasSubstr("another process is writing this job's results"));
}

}  // namespace
}  // namespace sluice
