// The converter's rules, and the file of blocks.
#include "gguf_testing.h"

#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <numbers>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "storage/source/checkpoint.h"
#include "storage/source/gguf.h"
#include "store_testing.h"
#include "tests/support/data_file.h"

namespace sluice {
namespace {

constexpr uint32_t kFloatType = 0;

}  // namespace

uint32_t GgufTypeId(absl::string_view name) {
  for (uint32_t id = 0; id < 40; ++id) {
    const GgufTensorType* type = FindGgufTensorType(id);
    if (type != nullptr && type->name == name) return id;
  }
  ADD_FAILURE() << name;
  return 0;
}

std::string Interleave(const std::string& rows, int64_t num_rows, int64_t head_dim) {
  const size_t row_bytes = rows.size() / num_rows;
  std::string out(rows.size(), '\0');
  for (int64_t row = 0; row < num_rows; ++row) {
    const int64_t head = row / head_dim, j = row % head_dim / (head_dim / 2),
                  i = row % (head_dim / 2);
    std::memcpy(out.data() + (head * head_dim + 2 * i + j) * row_bytes,
                rows.data() + row * row_bytes, row_bytes);
  }
  return out;
}

std::vector<float> Llama3Factors(double factor, double low, double high, double original,
                                 double theta, int head_dim) {
  std::vector<float> factors;
  for (int i = 0; i < head_dim / 2; ++i) {
    const float frequency = 1 / std::pow(static_cast<float>(theta), 2.0f * i / head_dim);
    const float wavelength = 2 * std::numbers::pi_v<float> / frequency;
    const float smooth = (original / wavelength - low) / (high - low);
    factors.push_back(wavelength < original / high  ? 1
                      : wavelength > original / low ? factor
                                                    : 1 / ((1 - smooth) / factor + smooth));
  }
  return factors;
}

std::string FloatBytes(const std::vector<float>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), 4 * values.size());
}

std::string GgufNameOf(std::string name) {
  const std::pair<const char*, const char*> kNames[] = {{"model.embed_tokens", "token_embd"},
                                                        {"model.norm", "output_norm"},
                                                        {"lm_head", "output"},
                                                        {"model.layers.", "blk."},
                                                        {"input_layernorm", "attn_norm"},
                                                        {"post_attention_layernorm", "ffn_norm"},
                                                        {"self_attn.q_norm", "attn_q_norm"},
                                                        {"self_attn.k_norm", "attn_k_norm"},
                                                        {"self_attn.q_proj", "attn_q"},
                                                        {"self_attn.k_proj", "attn_k"},
                                                        {"self_attn.v_proj", "attn_v"},
                                                        {"self_attn.o_proj", "attn_output"},
                                                        {"mlp.gate_proj", "ffn_gate"},
                                                        {"mlp.up_proj", "ffn_up"},
                                                        {"mlp.down_proj", "ffn_down"}};
  for (const auto& [from, to] : kNames) {
    if (const size_t at = name.find(from); at != std::string::npos)
      name.replace(at, strlen(from), to);
  }
  return name;
}

GgufParts ConvertToGguf(const std::string& name) {
  const std::unique_ptr<Checkpoint> checkpoint = OpenCheckpoint(ModelDir(name));
  const HyperParameters& h = checkpoint->hyper_parameters();
  const std::string arch = h.architecture == "Qwen2ForCausalLM"     ? "qwen2"
                           : h.architecture == "Qwen3ForCausalLM"   ? "qwen3"
                           : h.architecture == "SeedOssForCausalLM" ? "seed_oss"
                                                                    : "llama";
  GgufParts model;
  GgufWriter& w = model.metadata;
  w.String("general.architecture", arch).String("general.name", "test");
  w.Int(arch + ".context_length", h.max_position_embeddings)
      .Int(arch + ".embedding_length", h.hidden_size);
  w.Int(arch + ".block_count", h.num_hidden_layers)
      .Int(arch + ".feed_forward_length", h.intermediate_size);
  w.Int(arch + ".attention.head_count", h.num_attention_heads);
  w.Int(arch + ".attention.head_count_kv", h.num_key_value_heads);
  w.Float(arch + ".attention.layer_norm_rms_epsilon", static_cast<float>(h.rms_norm_eps));
  w.Float(arch + ".rope.freq_base", static_cast<float>(h.rope.theta));
  w.Int(arch + ".attention.key_length", h.head_dim)
      .Int(arch + ".attention.value_length", h.head_dim);
  w.Int(arch + ".rope.dimension_count", h.head_dim);
  if (h.architecture == "MistralForCausalLM")
    w.Int(arch + ".attention.sliding_window", h.layer_windows[0]);
  if (h.rope.type == RopeType::kLinear || h.rope.type == RopeType::kYarn) {
    w.String(arch + ".rope.scaling.type", h.rope.type == RopeType::kLinear ? "linear" : "yarn");
    w.Float(arch + ".rope.scaling.factor", static_cast<float>(h.rope.factor));
  }
  if (h.rope.type == RopeType::kYarn) {
    w.Int(arch + ".rope.scaling.original_context_length", h.rope.original_max_position_embeddings);
  }
  if (h.rope.type == RopeType::kLlama3) {
    const std::vector<float> factors = Llama3Factors(
        h.rope.factor, h.rope.low_freq_factor, h.rope.high_freq_factor,
        h.rope.original_max_position_embeddings, h.rope.theta, static_cast<int>(h.head_dim));
    model.pieces.push_back(
        {"rope_freqs.weight", {h.head_dim / 2}, kFloatType, FloatBytes(factors)});
  }
  w.Strings("tokenizer.ggml.tokens",
            std::vector<std::string>(h.vocab_size, "x"));  // no model: ids only
  w.Int("tokenizer.ggml.bos_token_id", *h.bos_token_id)
      .Int("tokenizer.ggml.eos_token_id", h.eos_token_ids[0]);
  for (const TensorSpec& spec : ListTensors(h)) {
    if (spec.role == TensorRole::kHead && h.tie_word_embeddings) continue;
    const CheckpointTensor& tensor = *checkpoint->Find(spec.name);
    // llama.cpp's only name of its own for this family.
    const bool odd = arch == "seed_oss" && spec.role == TensorRole::kMlpNorm;
    GgufPiece piece{odd ? absl::StrCat("blk.", spec.layer, ".post_attention_norm.weight")
                        : GgufNameOf(spec.name),
                    spec.shape, GgufTypeId(Info(tensor.encoding).name),
                    std::string(tensor.bytes, '\0')};
    const auto bytes =
        absl::MakeSpan(reinterpret_cast<std::byte*>(piece.bytes.data()), piece.bytes.size());
    EXPECT_TRUE(checkpoint->Read(tensor, 0, bytes).ok());
    if (spec.shape.size() == 1 && piece.type != kFloatType) {  // the converter makes f32 of vectors
      std::vector<float> values(spec.shape[0]);
      DecodeRow(tensor.encoding, bytes.data(), spec.shape[0], values.data());
      piece.type = kFloatType;
      piece.bytes = FloatBytes(values);
    }
    const bool q_or_k = spec.role == TensorRole::kQ || spec.role == TensorRole::kK ||
                        spec.role == TensorRole::kQBias || spec.role == TensorRole::kKBias;
    if (arch == "llama" && q_or_k) piece.bytes = Interleave(piece.bytes, spec.shape[0], h.head_dim);
    model.pieces.push_back(std::move(piece));
  }
  return model;
}

GgufParts GgufOfBlocks(uint32_t type, const std::string& rows) {
  GgufParts model;
  model.metadata.String("general.architecture", "llama");
  for (const auto& [key, value] : std::map<std::string, uint32_t>{{"context_length", 128},
                                                                  {"embedding_length", 1024},
                                                                  {"block_count", 1},
                                                                  {"feed_forward_length", 16},
                                                                  {"attention.head_count", 1},
                                                                  {"attention.key_length", 16},
                                                                  {"attention.value_length", 16}}) {
    model.metadata.Int("llama." + key, value);
  }
  model.metadata.Float("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  const std::string ones = FloatBytes(std::vector<float>(1024, 1)), zeros(1024 * 16 * 4, '\0');
  model.pieces = {{"token_embd.weight", {16, 1024}, type, rows},
                  {"output_norm.weight", {1024}, kFloatType, ones},
                  {"output.weight",
                   {16, 1024},
                   type,
                   rows.substr(rows.size() / 2) + rows.substr(0, rows.size() / 2)},
                  {"blk.0.attn_norm.weight", {1024}, kFloatType, ones},
                  {"blk.0.attn_q.weight", {16, 1024}, type, Interleave(rows, 16, 16)},
                  {"blk.0.attn_k.weight", {16, 1024}, type, Interleave(rows, 16, 16)},
                  {"blk.0.attn_v.weight", {16, 1024}, type, rows},
                  {"blk.0.attn_output.weight", {1024, 16}, kFloatType, zeros},
                  {"blk.0.ffn_norm.weight", {1024}, kFloatType, ones},
                  {"blk.0.ffn_gate.weight", {16, 1024}, type, rows},
                  {"blk.0.ffn_up.weight", {16, 1024}, type, rows},
                  {"blk.0.ffn_down.weight", {1024, 16}, kFloatType, zeros}};
  return model;
}

GgmlBlocks::GgmlBlocks() : file_(ReadData("gguf-blocks/gguf-blocks.safetensors")) {
  uint64_t header_bytes;
  std::memcpy(&header_bytes, file_.data(), 8);
  header_ = nlohmann::json::parse(file_.substr(8, header_bytes));
  data_ = 8 + header_bytes;
}

std::string GgmlBlocks::Get(const std::string& name) const {
  const auto& offsets = header_.at(name).at("data_offsets");
  const size_t begin = offsets[0], end = offsets[1];
  return file_.substr(data_ + begin, end - begin);
}

}  // namespace sluice
