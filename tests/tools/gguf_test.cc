// GGUF files as users meet them: commands that take a model's folder take a GGUF file too.
#include <filesystem>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/gguf_writer.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/subprocess.h"

namespace sluice {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr char kModel[] = SLUICE_SOURCE_DIR "/tests/data/models/bard-6.7M-gguf/bard-q4_k_m.gguf";

TEST(GgufCommands, ShardInspectTokenizeAndRunTakeTheFileItself) {
  const TempDir dir;
  const Finished shard = RunSluice({"shard", kModel, dir / "store"});
  ASSERT_EQ(shard.exit_code, 0) << shard.err;
  json inspected[2];
  const std::string paths[2] = {kModel, dir / "store"};
  for (int i = 0; i < 2; ++i) {
    const Finished run = RunSluice({"inspect", paths[i], "--json"});
    ASSERT_EQ(run.exit_code, 0) << run.err;
    inspected[i] = json::parse(run.out);
    EXPECT_EQ(RunSluice({"tokenize", paths[i], "-p", "ROMEO:\n", "--json"}).out, "[0,1001,276]\n");
  }
  EXPECT_EQ(inspected[0]["kind"], "checkpoint");
  EXPECT_EQ(inspected[0]["config"], inspected[1]["config"]);
  EXPECT_EQ(inspected[1]["source"], "bard-q4_k_m.gguf (q4_k)");
  EXPECT_EQ(inspected[0]["tensors"][0], inspected[1]["tensors"][0]);
  const Finished run =
      RunSluice({"run", dir / "store", "-p", "ROMEO:\n", "-n", "8", "--temp", "0"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
}

TEST(GgufCommands, RequantizingMustBeAskedFor) {
  const TempDir dir;
  const Finished refused = RunSluice({"shard", kModel, dir / "store", "--encoding", "q4_0"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("--allow-requantize"));
  EXPECT_FALSE(std::filesystem::exists(dir / "store"));
  EXPECT_EQ(RunSluice({"shard", kModel, dir / "store", "--encoding", "q4_0", "--allow-requantize"})
                .exit_code,
            0);
}

TEST(GgufCommands, TemplateTakesTheOneOfTheFile) {
  const TempDir dir;
  GgufWriter writer;
  writer.String("tokenizer.ggml.model", "gpt2").Strings("tokenizer.ggml.tokens", {"<s>", "a"});
  writer.Ints("tokenizer.ggml.token_type", {3, 1}).Strings("tokenizer.ggml.merges", {});
  writer.Int("tokenizer.ggml.bos_token_id", 0);
  writer.String("tokenizer.chat_template", "{{ bos_token }}{{ messages[0].content }}");
  writer.Write(dir / "chat.gguf");
  const std::string context = R"({"messages": [{"role": "user", "content": "Hi"}]})";
  const Finished run =
      RunSluice({"template", dir / "chat.gguf", "--context", "-"}, nullptr, context);
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.out, "<s>Hi");
  const Finished none = RunSluice({"template", kModel, "--context", "-"}, nullptr, context);
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_THAT(none.err, HasSubstr("has no chat template"));
}

TEST(GgufCommands, AFolderOfGgufFilesIsHintedAt) {
  const TempDir dir;
  GgufWriter().Write(dir / "model.gguf");
  const Finished run = RunSluice({"shard", dir.path(), dir / "store"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("give the file itself: " + (dir / "model.gguf")));
}

}  // namespace
}  // namespace sluice
