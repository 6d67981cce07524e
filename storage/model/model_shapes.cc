// A table of what differs, put into config.json's words.
#include "storage/model/model_shapes.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"

namespace sluice {
namespace {

struct Shape {
  const char* name;
  const char* architecture;
  int64_t hidden_size;
  int64_t intermediate_size;
  int64_t num_hidden_layers;
  int64_t num_attention_heads;
  int64_t num_key_value_heads;
  int64_t head_dim;
  int64_t vocab_size;
  int64_t max_position_embeddings;
  double rms_norm_eps;
  double rope_theta;
  double rope_factor;  // of rope_type llama3; 0: default
  bool tie_word_embeddings;
};

constexpr char kLlama[] = "LlamaForCausalLM";
constexpr char kQwen3[] = "Qwen3ForCausalLM";
constexpr Shape kShapes[] = {
    {"llama-3.2-1b", kLlama, 2048, 8192, 16, 32, 8, 64, 128256, 131072, 1e-5, 500000, 32, true},
    {"llama-3.2-3b", kLlama, 3072, 8192, 28, 24, 8, 128, 128256, 131072, 1e-5, 500000, 32, true},
    {"llama-3.1-8b", kLlama, 4096, 14336, 32, 32, 8, 128, 128256, 131072, 1e-5, 500000, 8, false},
    {"qwen3-32b", kQwen3, 5120, 25600, 64, 64, 8, 128, 151936, 40960, 1e-6, 1000000, 0, false},
    {"llama-3.3-70b", kLlama, 8192, 28672, 80, 64, 8, 128, 128256, 131072, 1e-5, 500000, 8, false},
    {"llama-3.1-405b", kLlama, 16384, 53248, 126, 128, 8, 128, 128256, 131072, 1e-5, 500000, 8,
     false},
};

}  // namespace

std::vector<std::string> ModelShapeNames() {
  std::vector<std::string> names;
  for (const Shape& shape : kShapes) names.push_back(shape.name);
  return names;
}

absl::StatusOr<HyperParameters> ModelShape(absl::string_view name) {
  for (const Shape& shape : kShapes) {
    if (name != shape.name) continue;
    nlohmann::json config = {{"architectures", {shape.architecture}},
                             {"hidden_act", "silu"},
                             {"hidden_size", shape.hidden_size},
                             {"intermediate_size", shape.intermediate_size},
                             {"num_hidden_layers", shape.num_hidden_layers},
                             {"num_attention_heads", shape.num_attention_heads},
                             {"num_key_value_heads", shape.num_key_value_heads},
                             {"head_dim", shape.head_dim},
                             {"vocab_size", shape.vocab_size},
                             {"max_position_embeddings", shape.max_position_embeddings},
                             {"rms_norm_eps", shape.rms_norm_eps},
                             {"rope_theta", shape.rope_theta},
                             {"tie_word_embeddings", shape.tie_word_embeddings}};
    if (shape.rope_factor > 0) {
      config["rope_scaling"] = {{"rope_type", "llama3"},
                                {"factor", shape.rope_factor},
                                {"low_freq_factor", 1.0},
                                {"high_freq_factor", 4.0},
                                {"original_max_position_embeddings", 8192}};
    }
    return ParseHyperParameters(config, name);
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown shape \"", name, "\": one of ",
                                                 absl::StrJoin(ModelShapeNames(), ", ")));
}

}  // namespace sluice
