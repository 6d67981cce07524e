// A store several times its budget runs within it, down to the smallest budget that plan names.
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/temp_dir.h"
#include "tests/tools/subprocess.h"

namespace sluice {
namespace {

using nlohmann::json;

// A Llama of random bf16 weights, about 100 MB.
void WriteCheckpoint(const std::string& dir) {
  constexpr int64_t kHidden = 512, kFfn = 1536, kLayers = 12, kVocab = 8192;
  std::filesystem::create_directory(dir);
  std::ofstream(dir + "/config.json") << json{{"architectures", {"LlamaForCausalLM"}},
                                              {"model_type", "llama"},
                                              {"hidden_size", kHidden},
                                              {"intermediate_size", kFfn},
                                              {"num_hidden_layers", kLayers},
                                              {"num_attention_heads", 8},
                                              {"num_key_value_heads", 4},
                                              {"vocab_size", kVocab},
                                              {"max_position_embeddings", 2048},
                                              {"rms_norm_eps", 1e-5},
                                              {"bos_token_id", 1},
                                              {"eos_token_id", 2},
                                              {"tie_word_embeddings", true}};
  json header;
  int64_t offset = 0;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    int64_t bytes = 2;
    for (const int64_t n : shape) bytes *= n;
    header[name] = {{"dtype", "BF16"}, {"shape", shape}, {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  };
  add("model.embed_tokens.weight", {kVocab, kHidden});
  for (int64_t i = 0; i < kLayers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    add(layer + "input_layernorm.weight", {kHidden});
    add(layer + "post_attention_layernorm.weight", {kHidden});
    add(layer + "self_attn.q_proj.weight", {kHidden, kHidden});
    add(layer + "self_attn.k_proj.weight", {kHidden / 2, kHidden});
    add(layer + "self_attn.v_proj.weight", {kHidden / 2, kHidden});
    add(layer + "self_attn.o_proj.weight", {kHidden, kHidden});
    add(layer + "mlp.gate_proj.weight", {kFfn, kHidden});
    add(layer + "mlp.up_proj.weight", {kFfn, kHidden});
    add(layer + "mlp.down_proj.weight", {kHidden, kFfn});
  }
  add("model.norm.weight", {kHidden});
  const std::string text = header.dump();
  std::ofstream file(dir + "/model.safetensors", std::ios::binary);
  const uint64_t header_bytes = text.size();
  file.write(reinterpret_cast<const char*>(&header_bytes), 8).write(text.data(), text.size());
  // bf16 of +-2^-6 .. 2^-5: sign and mantissa at random.
  std::vector<uint16_t> chunk(1 << 16);
  uint32_t state = 12345;
  for (int64_t left = offset / 2; left > 0; left -= static_cast<int64_t>(chunk.size())) {
    for (uint16_t& value : chunk) {
      state = state * 1664525u + 1013904223u;
      value = static_cast<uint16_t>((state >> 31 << 15) | (121 << 7) | (state >> 20 & 0x7F));
    }
    file.write(reinterpret_cast<const char*>(chunk.data()),
               2 * std::min<int64_t>(left, static_cast<int64_t>(chunk.size())));
  }
}

TEST(MemoryBudget, HoldsForTheWholeProcessDownToTheSmallestThatPlanNames) {
#ifdef SLUICE_SANITIZED
  GTEST_SKIP() << "a sanitizer's own memory counts as the process's";
#endif
  const TempDir dir;
  WriteCheckpoint(dir / "model");
  const Finished shard = RunSluice({"shard", dir / "model", dir / "store", "--slab-size", "1MiB"});
  ASSERT_EQ(shard.exit_code, 0) << shard.err;
  EXPECT_LT(shard.peak_rss_bytes, int64_t{512} << 20);

  const Finished plan = RunSluice({"plan", dir / "store", "--max-ram", "1GiB", "-c", "512", "--json"});
  ASSERT_EQ(plan.exit_code, 0) << plan.err;
  const json arithmetic = json::parse(plan.out);
  const int64_t minimum = arithmetic["minimum_bytes"];
  ASSERT_GT(arithmetic["weight_bytes"].get<int64_t>(), 3 * minimum) << "several times the budget";

  std::string ids = "1";
  for (int i = 1; i < 150; ++i) ids += "," + std::to_string(i * 37 % 8192);
  std::string first_output;
  for (const int64_t budget : {minimum, minimum + minimum / 2, 2 * minimum, int64_t{1} << 30}) {
    for (const char* io : {"uring", "threads"}) {
      const Finished run = RunSluice({"run", dir / "store", "--prompt-ids", ids, "-n", "4", "-c", "512", "--temp",
                                      "0", "--ignore-eos", "--json", "--io", io, "--max-ram",
                                      std::to_string(budget)});
      ASSERT_EQ(run.exit_code, 0) << run.err;
      EXPECT_LE(run.peak_rss_bytes, budget + (int64_t{64} << 20)) << "budget " << budget << ", io " << io;
      const json result = json::parse(run.out);
      EXPECT_LE(result["report"]["peak_rss_bytes"].get<int64_t>(), run.peak_rss_bytes + (1 << 20));
      if (first_output.empty()) first_output = result["ids"].dump();
      EXPECT_EQ(result["ids"].dump(), first_output) << "the budget must not change the result";
    }
  }
  const Finished refused =
      RunSluice({"plan", dir / "store", "-c", "512", "--max-ram", std::to_string(minimum - 1)});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_NE(refused.err.find(std::to_string(minimum)), std::string::npos) << refused.err;
}

}  // namespace
}  // namespace sluice
