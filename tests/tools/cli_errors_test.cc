// What a user cannot do: errors of one line that name the file, the number and the remedy.
#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/reference_file.h"
#include "tests/tools/cli_testing.h"
#include "tests/tools/subprocess.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

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

}  // namespace
}  // namespace sluice
