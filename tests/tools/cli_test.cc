// The command as users meet it: exit codes, one-line errors for bad input, JSON on stdout alone,
// Ctrl-C.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/cpu_topology.h"
#include "nlohmann/json.hpp"
#include "tests/support/reference_file.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/subprocess.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Data(const std::string& name) { return SLUICE_SOURCE_DIR "/tests/data/" + name; }

// One line of error (progress may precede it), nothing on stdout, exit code 1, and the words a user
// needs.
void ExpectRefused(const std::vector<std::string>& args, const std::string& words) {
  const Finished run = RunSluice(args);
  EXPECT_EQ(run.exit_code, 1) << run.err << run.out;
  const size_t error = run.err.find("sluice " + args[0] + ": ");
  ASSERT_NE(error, std::string::npos) << run.err;
  EXPECT_EQ(run.err.find('\n', error), run.err.size() - 1) << run.err;
  EXPECT_THAT(run.err.substr(error), HasSubstr(words));
  EXPECT_EQ(run.out, "");
}

// Changes `count` bytes of a file.
void Overwrite(const std::string& path, int64_t offset, const std::string& bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  ASSERT_TRUE(file.good()) << path;
  file.seekp(offset);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

void FlipBit(const std::string& path, int64_t offset) {
  std::string byte = ReadWholeFile(path).substr(offset, 1);
  byte[0] = static_cast<char>(byte[0] ^ 1);
  Overwrite(path, offset, byte);
}

class Cli : public testing::Test {
 protected:
  // A store of TinyStories-656K in many slabs.
  std::string MakeStore(const std::string& name = "store") {
    const std::string store = dir_ / name;
    const Finished run =
        RunSluice({"shard", Data("models/TinyStories-656K"), store, "--slab-size", "64KiB"});
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return store;
  }
  TempDir dir_;
};

TEST_F(Cli, HelpAndVersionSucceedAndWrongUsageIsTwo) {
  for (const std::vector<std::string>& args : {std::vector<std::string>{"--help"},
                                               {"help"},
                                               {"--version"},
                                               {"run", "--help"},
                                               {"shard", "-h"}}) {
    EXPECT_EQ(RunSluice(args).exit_code, 0) << args[0];
  }
  for (const std::vector<std::string>& args :
       {std::vector<std::string>{},
        {"walk"},
        {"run"},
        {"run", "a", "b"},
        {"run", "a", "--walk"},
        {"run", "a", "-p", "x", "-f", "y"},
        {"run", "a", "-p", "x", "-n", "many"},
        {"run", "a", "-p", "x", "--top-p", "2"},
        {"shard", "a"},
        {"shard", "a", "b", "--encoding", "q9"},
        {"shard", "a", "b", "--slab-size", "1"},
        {"shard", "a", "b", "--compress", "lz4"},
        {"shard", "a", "b", "--compress", "zstd", "--slab-size", "65MiB"},
        {"plan", "a", "--max-ram", "lots"},
        {"completion", "fish"},
        {"inspect", "a", "--export", "x"}}) {
    const Finished run = RunSluice(args);
    EXPECT_EQ(run.exit_code, 2) << run.err;
    EXPECT_EQ(run.out, "");
  }
}

TEST_F(Cli, JsonIsOneObjectAndNothingElse) {
  const std::string store = MakeStore();
  const Finished run =
      RunSluice({"run", store, "-p", "Once upon a time", "-n", "8", "--temp", "0", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const json result = json::parse(run.out);
  EXPECT_EQ(result["ids"].size(), 8u);
  EXPECT_EQ(result["finish_reason"], "length");
  EXPECT_FALSE(result["text"].get<std::string>().empty());
  for (const char* key :
       {"prompt_tokens_per_s", "generation_tokens_per_s", "seconds_per_pass", "bytes_per_token",
        "disk_gb_per_s", "disk_wait_share", "disk_busy_share", "first_token_s", "loading_s",
        "most_rss_bytes", "resident_bytes", "streamed_bytes", "peak_rss_bytes"}) {
    EXPECT_TRUE(result["report"][key].is_number()) << key;
  }
  const Finished by_ids =
      RunSluice({"run", store, "--prompt-ids",
                 result["prompt_ids"].dump().substr(1, result["prompt_ids"].dump().size() - 2),
                 "-n", "8", "--temp", "0", "--json"});
  ASSERT_EQ(by_ids.exit_code, 0) << by_ids.err;
  EXPECT_EQ(json::parse(by_ids.out)["ids"], result["ids"]);
}

TEST_F(Cli, TextFollowsASchemaOrAGrammar) {
  const std::string store = dir_ / "bard";
  ASSERT_EQ(RunSluice({"shard", Data("models/bard-6.7M"), store}).exit_code, 0);
  const auto write = [&](const std::string& name, const std::string& text) {
    std::ofstream(dir_ / name) << text;
    return dir_ / name;
  };
  const std::string schema =
      write("schema.json", R"({"type": "object", "properties": {"name": {"type": "string"}, "age":
      {"type": "integer", "minimum": 1, "maximum": 99}}, "required": ["name", "age"], "additionalProperties": false})");
  for (const char* const temperature : {"0", "2"}) {
    const Finished run =
        RunSluice({"run", store, "-p", "The king ", "-n", "40", "--top-k", "0", "--temp",
                   temperature, "--seed", "3", "--json-schema", schema, "--json"});
    ASSERT_EQ(run.exit_code, 0) << run.err;
    const json result = json::parse(run.out);
    EXPECT_EQ(result["finish_reason"], "stop");
    const json value = json::parse(result["text"].get<std::string>());
    EXPECT_TRUE(value["name"].is_string()) << value;
    EXPECT_GE(value["age"], 1);
    EXPECT_LE(value["age"], 99);
    EXPECT_EQ(value.size(), 2u);
  }
  const std::string gbnf = write("list.gbnf", "root ::= (\"- \" [a-z ]{3,12} \"\\n\"){3}\n");
  const Finished list =
      RunSluice({"run", store, "-p", "A list:\n", "--grammar", gbnf, "--seed", "1", "--json"});
  ASSERT_EQ(list.exit_code, 0) << list.err;
  const std::string text = json::parse(list.out)["text"];
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3) << text;
  EXPECT_EQ(text.substr(0, 2), "- ");

  ExpectRefused({"run", store, "-p", "x", "--json-schema",
                 write("bad.json", R"({"properties": {"a": {"not": {}}}})")},
                "bad.json: JSON schema at #/properties/a: \"not\" is not supported");
  ExpectRefused({"run", store, "-p", "x", "--grammar", write("bad.gbnf", "root ::= a")},
                "\"a\" is used but not defined");
  ExpectRefused({"run", store, "-p", "x", "--grammar", dir_ / "none.gbnf"}, "none.gbnf");
  for (const std::vector<std::string>& more : {std::vector<std::string>{"--json-schema", schema},
                                               std::vector<std::string>{"--ignore-eos"}}) {
    std::vector<std::string> args = {"run", store, "-p", "x", "--grammar", gbnf};
    args.insert(args.end(), more.begin(), more.end());
    EXPECT_EQ(RunSluice(args).exit_code, 2);
  }
}

TEST_F(Cli, PlansSetMemoryAsideForAGrammar) {
  const std::string store = MakeStore();
  const auto grammar_bytes = [&](const std::string& gbnf,
                                 const std::vector<std::string>& more = {}) {
    std::ofstream(dir_ / "g.gbnf") << gbnf;
    std::vector<std::string> args = {"plan",   store,       "--no-probe",
                                     "--json", "--grammar", dir_ / "g.gbnf"};
    args.insert(args.end(), more.begin(), more.end());
    const Finished plan = RunSluice(args);
    EXPECT_EQ(plan.exit_code, 0) << plan.err;
    return plan.exit_code == 0 ? json::parse(plan.out)["fixed"].value("grammars", int64_t{0}) : 0;
  };
  const int64_t small = grammar_bytes("root ::= [a-z]+");
  EXPECT_GT(small, 0);
  // 100,000 states, each of several words.
  EXPECT_GT(grammar_bytes("root ::= [a-z]{100000}"), small + 2'000'000);
  const Finished none = RunSluice({"plan", store, "--no-probe", "--json"});
  EXPECT_FALSE(json::parse(none.out)["fixed"].contains("grammars"));
  const auto batch_bytes = [&](const std::vector<std::string>& more) {
    std::vector<std::string> args = {"plan", store,        "--batch", "--batch-size",
                                     "4",    "--no-probe", "--json"};
    args.insert(args.end(), more.begin(), more.end());
    return json::parse(RunSluice(args).out)["fixed_bytes"].get<int64_t>();
  };
  EXPECT_GT(batch_bytes({"--grammar", dir_ / "g.gbnf"}), batch_bytes({}) + 2'000'000);
}

TEST_F(Cli, SeedsMakeSamplingReproducible) {
  const std::string store = MakeStore();
  const auto text = [&](const char* seed) {
    return json::parse(
        RunSluice({"run", store, "-p", "The dog", "-n", "16", "--seed", seed, "--json"})
            .out)["ids"];
  };
  EXPECT_EQ(text("5"), text("5"));
  EXPECT_NE(text("5"), text("6"));
}

TEST_F(Cli, ComputesTheSameWhereverItsThreadsRun) {
  const std::string store = MakeStore();
  const std::vector<std::string> args = {"run", store, "-p", "Once",  "--temp",
                                         "0",   "-n",  "8",  "--json"};
  const std::string cpu = std::to_string(AllowedCpus().front());
  std::vector<std::string> texts;
  for (const std::vector<std::string>& more : {std::vector<std::string>{},
                                               {"-Cr", cpu, "-t", "1"},
                                               {"-Cr", cpu, "-t", "2"},
                                               {"--cpu-strict", "1"}}) {
    std::vector<std::string> all = args;
    all.insert(all.end(), more.begin(), more.end());
    const Finished run = RunSluice(all);
    ASSERT_EQ(run.exit_code, 0) << run.err;
    texts.push_back(json::parse(run.out)["text"]);
    EXPECT_EQ(texts.back(), texts.front());
  }
}

TEST_F(Cli, CtrlCStopsReportsAndExitsWith130) {
  const std::string store = MakeStore();
  bool sent = false;
  const Finished run =
      RunSluice({"run", store, "-p", "Once", "--ignore-eos", "-c", "512", "--max-ram", "24MiB"},
                [&](const std::string& out, pid_t pid) {
                  if (!sent && out.size() > 20) sent = kill(pid, SIGINT) == 0;
                });
  EXPECT_TRUE(sent);
  // A fast machine may fill the context before the signal arrives.
  if (run.exit_code != 0) {
    EXPECT_EQ(run.exit_code, 130) << run.err;
  }
  EXPECT_THAT(run.err, HasSubstr("generation"));
}

// `timeout` and container runtimes signal a process and its group, and terminals may send one
// beside.
TEST_F(Cli, SeveralSignalsAtOnceAreOneAndTheRunStillReports) {
  const std::string store = MakeStore();
  for (const std::pair<int, int>& both :
       {std::pair{SIGTERM, SIGTERM}, {SIGINT, SIGTERM}, {SIGTERM, SIGINT}}) {
    bool sent = false;
    const Finished run = RunSluice({"run", store, "-p", "Once", "--ignore-eos", "-c", "512",
                                    "--max-ram", "24MiB", "--throttle-disk", "50MB/s"},
                                   [&](const std::string& out, pid_t pid) {
                                     if (sent || out.size() <= 20) return;
                                     sent =
                                         kill(pid, both.first) == 0 && kill(pid, both.second) == 0;
                                   });
    EXPECT_TRUE(sent);
    if (run.exit_code != 0) {
      EXPECT_EQ(run.exit_code, 130) << run.err;
    }
    EXPECT_THAT(run.err, HasSubstr("generation")) << both.first << " and " << both.second;
  }
}

// Nobody can tell a read that hangs to return; the program ends without it.
TEST_F(Cli, OneSignalEndsARunWhoseDiskHangs) {
  const std::string store = MakeStore();
  for (const int signal : {SIGTERM, SIGINT}) {
    bool sent = false;
    const Finished run = RunSluice(
        {"run", store, "-p", "Once", "-n", "3", "--throttle-disk", "1B/s", "--max-ram", "24MiB"},
        [&](const std::string&, pid_t pid) { sent = sent || kill(pid, signal) == 0; });
    EXPECT_TRUE(sent);
    EXPECT_EQ(run.exit_code, 130) << run.err;
    EXPECT_THAT(run.err, HasSubstr("interrupted"));
  }
}

// A pipe that nobody writes to, as a disk that does not answer.
TEST_F(Cli, OneSignalEndsACommandThatWaitsForItsInput) {
  const std::string store = MakeStore();
  ASSERT_EQ(mkfifo((dir_ / "pipe").c_str(), 0600), 0);
  for (const std::string command : {"run", "score", "perplexity"}) {
    const pid_t pid = fork();
    if (pid == 0) {
      const int nothing = open("/dev/null", O_WRONLY);
      dup2(nothing, STDOUT_FILENO);
      dup2(nothing, STDERR_FILENO);
      execl(SluiceBinary().c_str(), "sluice", command.c_str(), store.c_str(), "-f",
            (dir_ / "pipe").c_str(), nullptr);
      _exit(127);
    }
    // Returns once the command reads
    const int writer = open((dir_ / "pipe").c_str(), O_WRONLY | O_CLOEXEC);
    ASSERT_GE(writer, 0);
    kill(pid, SIGTERM);
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    close(writer);
    ASSERT_TRUE(WIFEXITED(status)) << command;
    EXPECT_EQ(WEXITSTATUS(status), 130) << command;
  }
}

TEST_F(Cli, EndsAtOnceWhereItsOutputIsFullOrClosed) {
  const std::string store = MakeStore();
  // The context has room for 510 tokens; generating them all would be no error, only late.
  const std::string run =
      SluiceBinary() + " run " + store + " -p Once --ignore-eos -c 512 --max-ram 24MiB";
  const std::string sluice = std::exchange(SluiceBinary(), "/bin/sh");
  for (const std::string& command :
       {run + " >/dev/full", run + " >&-", run + " --json >/dev/full", run + " --json >&-",
        sluice + " --help >/dev/full", sluice + " tokenize " + store + " -p Once >/dev/full",
        sluice + " inspect " + store + " >&-", sluice + " run --help >/dev/full"}) {
    const Finished finished = RunSluice({"-c", "exec " + command});
    EXPECT_EQ(finished.exit_code, 1) << command << finished.err;
    EXPECT_THAT(finished.err, HasSubstr("cannot write to standard output")) << command;
    if (command.find("--json") == std::string::npos) {
      EXPECT_THAT(finished.err, Not(HasSubstr("generation"))) << command;
    }
  }
  // Without standard error or input all else works.
  for (const std::string& command : {run + " -n 2 2>&-", run + " -n 2 <&-"}) {
    const Finished finished = RunSluice({"-c", "exec " + command});
    EXPECT_EQ(finished.exit_code, 0) << command << finished.err;
    EXPECT_THAT(finished.out, HasSubstr("Once"));
  }
  SluiceBinary() = sluice;
}

TEST_F(Cli, AFileBeyondTheLimitOfFilesIsAnErrorOfOneLine) {
  BeforeExec() = [] {
    const rlimit limit = {.rlim_cur = 100 << 10, .rlim_max = 100 << 10};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(9);
  };
  ExpectRefused({"shard", Data("models/TinyStories-656K"), dir_ / "large"},
                "File too large (`ulimit -f`");
  BeforeExec() = nullptr;
}

TEST_F(Cli, ReportsNoSpeedOfWhatWasNotGenerated) {
  const std::string store = MakeStore();
  const Finished one = RunSluice({"run", store, "-p", "Once", "-n", "1"});
  EXPECT_THAT(one.err, HasSubstr("generation        1 tokens, 1 passes"));
  EXPECT_THAT(one.err, Not(HasSubstr("read a token")));
  const Finished none = RunSluice({"run", store, "-p", "Once", "-n", "0"});
  EXPECT_EQ(none.exit_code, 0) << none.err;
  EXPECT_THAT(none.err, Not(HasSubstr("tokens/s")));
}

TEST_F(Cli, TokenizesLinesBothWays) {
  const std::string lines = "\"Once upon a time\"\n\"\"\n\"\\u00e9\\n two\"\n";
  const std::string model = Data("models/TinyStories-656K");
  const Finished encoded =
      RunSluice({"tokenize", model, "--jsonl", "--no-special"}, nullptr, lines);
  ASSERT_EQ(encoded.exit_code, 0) << encoded.err;
  EXPECT_EQ(std::count(encoded.out.begin(), encoded.out.end(), '\n'), 3);
  const Finished decoded =
      RunSluice({"tokenize", model, "--jsonl", "--decode"}, nullptr, encoded.out);
  ASSERT_EQ(decoded.exit_code, 0) << decoded.err;
  EXPECT_EQ(json::parse(decoded.out.substr(0, decoded.out.find('\n'))), "Once upon a time");
  ExpectRefused({"tokenize", model, "--jsonl", "-p", "no json"}, "line 1");
  ExpectRefused({"tokenize", model, "--decode", "-p", "1,x"}, "\"x\"");
}

TEST_F(Cli, DecodingRefusesIdsWithoutAToken) {
  const std::string model = Data("models/TinyStories-656K");
  for (const auto& [ids, named] :
       std::vector<std::pair<std::string, std::string>>{{"99999", "99999"},
                                                        {"2048", "2048"},
                                                        {"5,99999,6", "99999"},
                                                        {"-1", "-1"},
                                                        {"99999999999", "99999999999"},
                                                        {"1.5", "1.5"}}) {
    for (const std::vector<std::string>& more :
         std::vector<std::vector<std::string>>{{}, {"--json"}, {"--jsonl"}}) {
      std::vector<std::string> args = {
          "tokenize", model, "--decode", "-p",
          more == std::vector<std::string>{"--jsonl"} ? "[" + ids + "]" : ids};
      args.insert(args.end(), more.begin(), more.end());
      ExpectRefused(args, named);
      ExpectRefused(args, "vocabulary of 2048");
    }
  }
}

TEST_F(Cli, ScoresAddUpToThePerplexity) {
  const std::string store = MakeStore();
  const Finished score =
      RunSluice({"score", store, "--prompt-ids", "1,80,429,598", "--top", "2", "--json"});
  ASSERT_EQ(score.exit_code, 0) << score.err;
  const json result = json::parse(score.out);
  ASSERT_EQ(result["logprobs"].size(), 4u);
  EXPECT_TRUE(result["logprobs"][0].is_null());
  for (int i = 1; i < 4; ++i) {
    EXPECT_LT(result["logprobs"][i], 0);
    ASSERT_EQ(result["top"][i].size(), 2u);
    EXPECT_GE(result["top"][i][0][1], result["top"][i][1][1]);
    EXPECT_GE(result["top"][i][0][1], result["logprobs"][i]);
  }
}

TEST_F(Cli, InspectsStoresAndCheckpoints) {
  for (const std::string& path : {MakeStore(), Data("models/TinyStories-656K")}) {
    const Finished text = RunSluice({"inspect", path});
    EXPECT_EQ(text.exit_code, 0) << text.signal << text.err;
    EXPECT_THAT(text.out, HasSubstr("model.layers.1.mlp.down_proj.weight"));
    EXPECT_THAT(text.out, HasSubstr("num_key_value_heads"));
    EXPECT_THAT(text.out, HasSubstr("bits a weight"));
    const Finished object = RunSluice({"inspect", path, "--json"});
    ASSERT_EQ(object.exit_code, 0) << object.err;
    const json parsed = json::parse(object.out);
    EXPECT_EQ(parsed["config"]["hidden_size"], 128);
    EXPECT_GT(parsed["tensors"].size(), 15u);
  }
}

TEST_F(Cli, ExportsTheCheckpointsOwnBytes) {
  const std::string store = MakeStore();
  const Finished run = RunSluice(
      {"inspect", store, "--export", "model.layers.1.mlp.down_proj.weight", "-o", dir_ / "t"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const ReferenceFile checkpoint(Data("models/TinyStories-656K/model.safetensors"));
  const std::vector<char> expected = checkpoint.Get<char>("model.layers.1.mlp.down_proj.weight");
  EXPECT_EQ(ReadWholeFile(dir_ / "t"), std::string(expected.begin(), expected.end()));
}

TEST_F(Cli, ShowsWhatCompressionSavedAndExportsTheSameBytes) {
  const std::string plain = MakeStore(), small = dir_ / "small";
  const Finished shard = RunSluice({"shard", Data("models/TinyStories-656K"), small, "--encoding",
                                    "bf16", "--compress", "zstd"});
  ASSERT_EQ(shard.exit_code, 0) << shard.err;
  EXPECT_THAT(shard.out, HasSubstr("compressed to 0.6"));
  EXPECT_EQ(RunSluice({"verify", small}).exit_code, 0);
  EXPECT_THAT(RunSluice({"inspect", small}).out,
              HasSubstr("compression                  zstd\n    bf16"));
  const json inspected = json::parse(RunSluice({"inspect", small, "--json"}).out);
  EXPECT_EQ(inspected["compression"], "zstd");
  EXPECT_LT(inspected["stored_bytes"], inspected["raw_bytes"]);
  EXPECT_EQ(inspected["encodings"]["bf16"]["stored_bytes"], inspected["stored_bytes"]);
  EXPECT_EQ(json::parse(RunSluice({"inspect", plain, "--json"}).out)["compression"], "none");

  const std::string wide = dir_ / "bf16";
  ASSERT_EQ(RunSluice({"shard", Data("models/TinyStories-656K"), wide, "--encoding", "bf16",
                       "--compress", "none"})
                .exit_code,
            0);
  for (const std::string& store : {wide, small}) {
    const Finished run = RunSluice(
        {"inspect", store, "--export", "model.layers.0.mlp.up_proj.weight", "-o", store + ".t"});
    ASSERT_EQ(run.exit_code, 0) << run.err;
  }
  EXPECT_EQ(ReadWholeFile(wide + ".t"), ReadWholeFile(small + ".t"));
  ExpectRefused({"shard", Data("models/TinyStories-656K"), small, "--encoding", "bf16"},
                "holds a finished store");
}

TEST_F(Cli, RefusesStoresThatAreBroken) {
  const std::string store = MakeStore();
  const auto copy = [&](const std::string& name) {
    fs::copy(store, dir_ / name, fs::copy_options::recursive);
    return dir_ / name;
  };
  const std::vector<std::string> go = {"-p", "Once", "-n", "4", "--temp", "0"};
  const auto run = [&](const std::string& path) {
    std::vector<std::string> args = {"run", path};
    args.insert(args.end(), go.begin(), go.end());
    args.push_back("--json");
    return args;
  };
  ExpectRefused(run(dir_ / "nowhere"), "nowhere");
  ExpectRefused(run(Data("models/TinyStories-656K")), "TinyStories-656K");

  const std::string slabs = copy("flipped_slab");
  FlipBit(slabs + "/layers/001.slabs", 5000);
  ExpectRefused(run(slabs), "001.slabs");
  // Where the text is shown as it comes, its line is ended before the error.
  EXPECT_EQ(RunSluice({"run", slabs, "-p", "Once", "-n", "4", "--temp", "0"}).out, "Once\n");
  const Finished verify = RunSluice({"verify", slabs});
  EXPECT_EQ(verify.exit_code, 1);
  EXPECT_THAT(verify.out, HasSubstr("001.slabs"));
  EXPECT_EQ(RunSluice({"verify", store}).exit_code, 0);

  const std::string rows = copy("flipped_rows");
  for (int64_t offset = 0; offset < static_cast<int64_t>(fs::file_size(rows + "/embedding.rows"));
       offset += 256) {
    FlipBit(rows + "/embedding.rows", offset);
  }
  ExpectRefused(run(rows), "embedding.rows");

  const std::string resident = copy("flipped_resident");
  FlipBit(resident + "/resident.bin", 10);
  ExpectRefused(run(resident), "resident.bin");

  const std::string truncated = copy("truncated");
  fs::resize_file(truncated + "/head.slabs", 4096);
  ExpectRefused(run(truncated), "head.slabs");

  const std::string missing = copy("missing");
  fs::remove(missing + "/layers/000.slabs");
  ExpectRefused(run(missing), "000.slabs");

  const std::string manifest = copy("manifest");
  std::string text = ReadWholeFile(manifest + "/manifest.json");
  const size_t version = text.find("\"format_version\": 1");
  ASSERT_NE(version, std::string::npos);
  Overwrite(manifest + "/manifest.json", static_cast<int64_t>(version), "\"format_version\": 9");
  ExpectRefused(run(manifest), "format 9");
  std::ofstream(manifest + "/manifest.json", std::ios::trunc) << text.substr(0, text.size() / 2);
  ExpectRefused(run(manifest), "manifest.json");

  const std::string tokenizer = copy("tokenizer");
  std::ofstream(tokenizer + "/tokenizer/tokenizer.json", std::ios::trunc) << "{\"model\": 5}";
  ExpectRefused(run(tokenizer), "tokenizer.json");
  for (const char* const name : {"tokenizer.json", "tokenizer_config.json"}) {
    const std::string without = copy(std::string("without_") + name);
    fs::remove(without + "/tokenizer/" + name);
    ExpectRefused(run(without), std::string(name) + ": the manifest lists it, but it is not there");
  }
}

TEST_F(Cli, RefusesPromptsThatCannotBeRun) {
  const std::string store = MakeStore();
  ExpectRefused({"run", store, "--prompt-ids", "", "--json"}, "empty");
  ExpectRefused({"run", store, "--prompt-ids", "1,2,3,4,5,6,7,8", "-c", "4", "--json"},
                "8 tokens, the context only 4");
  ExpectRefused({"run", store, "--prompt-ids", "1,99999", "--json"}, "99999");
  ExpectRefused({"run", store, "-f", dir_ / "nowhere"}, "nowhere");
  ExpectRefused({"run", store, "-p", "x", "-c", "100000"}, "512");
  ExpectRefused({"run", store, "-p", "x", "--max-ram", "1MiB"}, "needs at least");
}

TEST_F(Cli, RefusesWeightsThatAreNoNumbers) {
  const std::string model = dir_ / "model";
  fs::copy(Data("models/llama-gqa-untied-f32"), model, fs::copy_options::recursive);
  std::string file = ReadWholeFile(model + "/model.safetensors");
  uint64_t header_bytes;
  std::memcpy(&header_bytes, file.data(), 8);
  const json header = json::parse(file.substr(8, header_bytes));
  const int64_t offset = header["model.layers.1.mlp.up_proj.weight"]["data_offsets"][0];
  Overwrite(model + "/model.safetensors", static_cast<int64_t>(8 + header_bytes) + offset,
            std::string("\0\0\xC0\x7F", 4));
  ASSERT_EQ(RunSluice({"shard", model, dir_ / "store"}).exit_code, 0);
  ExpectRefused({"run", dir_ / "store", "--prompt-ids", "1,2", "-n", "2", "--json"}, "layer 1");
  ExpectRefused({"shard", model, dir_ / "quantized", "--encoding", "q8_0"}, "up_proj");
}

TEST_F(Cli, ComputesOnTheCpuUnlessADeviceIsThere) {
  const std::string store = MakeStore();
  ExpectRefused({"run", store, "-p", "x", "-n", "1", "--device", "cuda:99"}, "CUDA: ");
  ExpectRefused({"batch", store, "-i", "none", "-o", "none", "--device", "cuda:99"}, "CUDA: ");
  EXPECT_EQ(RunSluice({"run", store, "-p", "x", "--device", "tpu"}).exit_code, 2);
  EXPECT_EQ(RunSluice({"run", store, "-p", "x", "--max-vram", "1GiB"}).exit_code, 2);
  const Finished run =
      RunSluice({"run", store, "-p", "x", "-n", "2", "--temp", "0", "--device", "auto", "--json"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  const Finished cpu = RunSluice({"run", store, "-p", "x", "-n", "2", "--temp", "0", "--json"});
  EXPECT_EQ(cpu.err.find("computing on the CPU"), std::string::npos) << "nobody asked for a device";
  EXPECT_EQ(json::parse(run.out)["ids"], json::parse(cpu.out)["ids"]);
}

TEST_F(Cli, FastMathSaysWhatComesOfItAndAJobKeepsToIt) {
  const std::string plain = MakeStore(), store = dir_ / "bf16";
  ASSERT_EQ(
      RunSluice({"shard", Data("models/TinyStories-656K"), store, "--encoding", "bf16"}).exit_code,
      0);
  const auto run = [](const std::string& of, const std::vector<std::string>& more) {
    std::vector<std::string> args = {"run", of, "-p", "Once", "-n", "4", "--temp", "0", "--json"};
    args.insert(args.end(), more.begin(), more.end());
    return RunSluice(args);
  };
  for (const Finished& vain :
       {run(plain, {"--fast-math"}), run(store, {"--fast-math", "--isa", "scalar"})}) {
    ASSERT_EQ(vain.exit_code, 0) << vain.err;
    EXPECT_THAT(vain.err, HasSubstr("sluice: --fast-math changes nothing: "));
    EXPECT_EQ(json::parse(vain.out)["report"]["fast_math"], false);
  }
  EXPECT_EQ(json::parse(run(store, {}).out)["report"]["fast_math"], false);
  if (!RoundsActivations(SupportedIsas().back())) GTEST_SKIP() << "the rest needs AVX512_BF16";
  const Finished fast = run(store, {"--fast-math"});
  ASSERT_EQ(fast.exit_code, 0) << fast.err;
  const std::string words = "sluice: --fast-math rounds the activations of bf16 weights";
  ASSERT_THAT(fast.err, HasSubstr(words));
  EXPECT_EQ(fast.err.find(words, fast.err.find(words) + 1), std::string::npos) << "once";
  EXPECT_EQ(json::parse(fast.out)["report"]["fast_math"], true);

  std::ofstream(dir_ / "in") << "Once upon\n";
  const std::vector<std::string> job = {"batch",           store, "--text", "-c",        "64",
                                        "--batch-size",    "1",   "-i",     dir_ / "in", "-o",
                                        dir_ / "out.jsonl"};
  ASSERT_EQ(RunSluice(job).exit_code, 0);
  std::vector<std::string> other = job;
  other.push_back("--fast-math");
  ExpectRefused(other,
                "belongs to a job with another arithmetic (--fast-math): exact, now fast-math");
}

TEST_F(Cli, CompletionScriptsAreValidShell) {
  for (const char* shell : {"bash", "zsh"}) {
    const Finished script = RunSluice({"completion", shell});
    EXPECT_EQ(script.exit_code, 0);
    EXPECT_THAT(script.out, HasSubstr("--max-ram"));
    EXPECT_EQ(script.out.find("--isa"), std::string::npos) << "hidden";
  }
  std::ofstream(dir_ / "completion.bash") << RunSluice({"completion", "bash"}).out;
  EXPECT_EQ(std::system(("bash -n " + (dir_ / "completion.bash")).c_str()), 0);
}

}  // namespace
}  // namespace sluice
