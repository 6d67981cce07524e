// Writes checkpoints of random weights of any shape, for tests and benches that need size, not
// sense.
#ifndef SLUICE_TESTS_SUPPORT_SYNTHETIC_CHECKPOINT_H_
#define SLUICE_TESTS_SUPPORT_SYNTHETIC_CHECKPOINT_H_

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

namespace sluice {

struct SyntheticShape {
  int64_t hidden_size = 512;
  int64_t intermediate_size = 1536;
  int64_t num_hidden_layers = 12;
  int64_t num_attention_heads = 8;
  int64_t num_key_value_heads = 4;
  int64_t vocab_size = 8192;
  bool f16_up = false;  // up is f16, so that gate and up get slabs of their own
};

// Writes a Llama checkpoint of random bf16 weights, tied, into the new folder `dir`.
inline void WriteSyntheticCheckpoint(const std::string& dir, const SyntheticShape& shape) {
  using nlohmann::json;
  const int64_t hidden = shape.hidden_size, ffn = shape.intermediate_size;
  const int64_t kv = hidden / shape.num_attention_heads * shape.num_key_value_heads;
  std::filesystem::create_directory(dir);
  std::ofstream(dir + "/config.json") << json{{"architectures", {"LlamaForCausalLM"}},
                                              {"model_type", "llama"},
                                              {"hidden_size", hidden},
                                              {"intermediate_size", ffn},
                                              {"num_hidden_layers", shape.num_hidden_layers},
                                              {"num_attention_heads", shape.num_attention_heads},
                                              {"num_key_value_heads", shape.num_key_value_heads},
                                              {"vocab_size", shape.vocab_size},
                                              {"max_position_embeddings", 2048},
                                              {"rms_norm_eps", 1e-5},
                                              {"bos_token_id", 1},
                                              {"eos_token_id", 2},
                                              {"tie_word_embeddings", true}};
  json header;
  int64_t offset = 0;
  const auto add = [&](const std::string& name, std::vector<int64_t> sizes,
                       const char* dtype = "BF16") {
    int64_t bytes = 2;
    for (const int64_t n : sizes) bytes *= n;
    header[name] = {{"dtype", dtype}, {"shape", sizes}, {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  };
  add("model.embed_tokens.weight", {shape.vocab_size, hidden});
  for (int64_t i = 0; i < shape.num_hidden_layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    add(layer + "input_layernorm.weight", {hidden});
    add(layer + "post_attention_layernorm.weight", {hidden});
    add(layer + "self_attn.q_proj.weight", {hidden, hidden});
    add(layer + "self_attn.k_proj.weight", {kv, hidden});
    add(layer + "self_attn.v_proj.weight", {kv, hidden});
    add(layer + "self_attn.o_proj.weight", {hidden, hidden});
    add(layer + "mlp.gate_proj.weight", {ffn, hidden});
    add(layer + "mlp.up_proj.weight", {ffn, hidden}, shape.f16_up ? "F16" : "BF16");
    add(layer + "mlp.down_proj.weight", {hidden, ffn});
  }
  add("model.norm.weight", {hidden});
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

}  // namespace sluice

#endif  // SLUICE_TESTS_SUPPORT_SYNTHETIC_CHECKPOINT_H_
