// One line a tensor: its slot, its names in Hugging Face checkpoints and GGUF files, its shape.
#include "storage/model/families/parts.h"

#include <string>
#include <utility>

namespace sluice {
namespace {

constexpr char kFfnNorm[] = "ffn_norm.weight";

void Append(TensorRole role, absl::string_view name, absl::string_view gguf_name,
            std::vector<int64_t> shape, std::vector<TensorSpec>* tensors,
            GgufRows gguf_rows = GgufRows::kInOrder) {
  tensors->push_back(
      {role, -1, std::string(name), std::move(shape), std::string(gguf_name), gguf_rows});
}

}  // namespace

void AppendAttention(const ModelSpec& model, const AttentionSpec& a, GgufRows q_and_k,
                     std::vector<TensorSpec>* tensors) {
  const int64_t hidden = model.hidden_size, q = a.q_dim(), kv = a.kv_dim();
  using enum TensorRole;
  Append(kAttentionNorm, "input_layernorm.weight", "attn_norm.weight", {hidden}, tensors);
  Append(kQ, "self_attn.q_proj.weight", "attn_q.weight", {q, hidden}, tensors, q_and_k);
  Append(kK, "self_attn.k_proj.weight", "attn_k.weight", {kv, hidden}, tensors, q_and_k);
  Append(kV, "self_attn.v_proj.weight", "attn_v.weight", {kv, hidden}, tensors);
  Append(kO, "self_attn.o_proj.weight", "attn_output.weight", {hidden, q}, tensors);
  if (a.qkv_bias) {
    Append(kQBias, "self_attn.q_proj.bias", "attn_q.bias", {q}, tensors, q_and_k);
    Append(kKBias, "self_attn.k_proj.bias", "attn_k.bias", {kv}, tensors, q_and_k);
    Append(kVBias, "self_attn.v_proj.bias", "attn_v.bias", {kv}, tensors);
  }
  if (a.output_bias) {
    Append(kOBias, "self_attn.o_proj.bias", "attn_output.bias", {hidden}, tensors);
  }
  if (a.qk_norm) {
    Append(kQNorm, "self_attn.q_norm.weight", "attn_q_norm.weight", {a.head_dim}, tensors);
    Append(kKNorm, "self_attn.k_norm.weight", "attn_k_norm.weight", {a.head_dim}, tensors);
  }
}

void AppendGatedMlp(const ModelSpec& model, const GatedMlpSpec& mlp, absl::string_view gguf_norm,
                    std::vector<TensorSpec>* tensors) {
  const int64_t hidden = model.hidden_size, inner = mlp.intermediate_size;
  using enum TensorRole;
  Append(kMlpNorm, "post_attention_layernorm.weight", gguf_norm, {hidden}, tensors);
  Append(kGate, "mlp.gate_proj.weight", "ffn_gate.weight", {inner, hidden}, tensors);
  Append(kUp, "mlp.up_proj.weight", "ffn_up.weight", {inner, hidden}, tensors);
  Append(kDown, "mlp.down_proj.weight", "ffn_down.weight", {hidden, inner}, tensors);
  if (!mlp.bias) return;
  Append(kGateBias, "mlp.gate_proj.bias", "ffn_gate.bias", {inner}, tensors);
  Append(kUpBias, "mlp.up_proj.bias", "ffn_up.bias", {inner}, tensors);
  Append(kDownBias, "mlp.down_proj.bias", "ffn_down.bias", {hidden}, tensors);
}

void AppendLlamaLayer(const ModelSpec& model, const LayerSpec& layer,
                      std::vector<TensorSpec>* tensors) {
  AppendAttention(model, std::get<AttentionSpec>(layer.mixer), GgufRows::kHalvesTakeTurns, tensors);
  AppendGatedMlp(model, std::get<GatedMlpSpec>(layer.feed_forward), kFfnNorm, tensors);
}

void AppendPlainLayer(const ModelSpec& model, const LayerSpec& layer,
                      std::vector<TensorSpec>* tensors) {
  AppendAttention(model, std::get<AttentionSpec>(layer.mixer), GgufRows::kInOrder, tensors);
  AppendGatedMlp(model, std::get<GatedMlpSpec>(layer.feed_forward), kFfnNorm, tensors);
}

bool Has80GroupedLayers(const HyperParameters& h) {
  return h.num_hidden_layers == 80 && h.num_attention_heads != h.num_key_value_heads;
}

}  // namespace sluice
