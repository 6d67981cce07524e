// The command as users meet it: exit codes, JSON on stdout alone, and what each command prints.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/cpu_topology.h"
#include "nlohmann/json.hpp"
#include "tests/support/reference_file.h"
#include "tests/tools/cli_testing.h"
#include "tests/tools/subprocess.h"

namespace sluice {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

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
