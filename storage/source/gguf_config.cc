// Turns each key of the metadata into the key that config.json has for it.
#include "storage/source/gguf_config.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/base/status_macros.h"
#include "storage/model/families/family.h"
#include "storage/source/safetensors.h"

namespace sluice {
namespace {

using nlohmann::json;

// Returns the first family that GGUF files call `name`, or null.
const Family* FindGgufFamily(absl::string_view name) {
  const auto families = Families();
  const auto found = absl::c_find_if(
      families, [&](const Family* family) { return family->gguf_architecture == name; });
  return found == families.end() ? nullptr : *found;
}
// Returns the one of those families that has such windows: llama.cpp runs both Llama and Mistral as
// "llama".
const Family* FindGgufFamily(absl::string_view name, WindowRule windows) {
  const auto families = Families();
  const auto found = absl::c_find_if(families, [&](const Family* family) {
    return family->gguf_architecture == name && family->config.windows == windows;
  });
  return found == families.end() ? nullptr : *found;
}

// Lists "llama, qwen2, ...": each name once.
std::string GgufArchitectures() {
  std::vector<absl::string_view> names;
  for (const Family* family : Families()) {
    if (!absl::c_linear_search(names, family->gguf_architecture)) {
      names.push_back(family->gguf_architecture);
    }
  }
  return absl::StrJoin(names, ", ");
}

// Settings of related models that change the computation, below "<architecture>.".
struct ForeignGgufKey {
  absl::string_view key;
  double neutral;
};
constexpr ForeignGgufKey kForeignGgufKeys[] = {
    {"expert_count", 0},
    {"expert_used_count", 0},
    {"expert_shared_count", 0},
    {"logit_scale", 1},
    {"residual_scale", 1},
    {"embedding_scale", 1},
    {"attention.scale", 0},
    {"attention.clamp_kqv", 0},
    {"attention.max_alibi_bias", 0},
    {"attn_logit_softcapping", 0},
    {"final_logit_softcapping", 0},
    {"attention.temperature_scale", 0},
    {"attention.temperature_length", 0},
    {"attention.sliding_window_pattern", 0},
    {"attention.q_lora_rank", 0},
    {"attention.kv_lora_rank", 0},
    {"nextn_predict_layers", 0},
    {"rope.scaling.yarn_log_multiplier", 0},
    {"rope.scaling.yarn_ext_factor", 1},
};

// Names of control tokens that end the answer of a chat model.
constexpr absl::string_view kEndNames[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|eom_id|>", "<EOT>"};
constexpr int64_t kControlToken = 3;

// llama.cpp's defaults for a SentencePiece vocabulary ("tokenizer.ggml.model" llama) that names no
// such token.
struct DefaultTokenId {
  absl::string_view key;
  int64_t id;
};
constexpr DefaultTokenId kSentencePieceIds[] = {{"tokenizer.ggml.bos_token_id", 1},
                                                {"tokenizer.ggml.eos_token_id", 2},
                                                {"tokenizer.ggml.unknown_token_id", 0}};

class Converter {
 public:
  Converter(const GgufFile& gguf, const GgufTensorFacts& facts) : gguf_(gguf), facts_(facts) {}

  absl::StatusOr<json> Run() {
    SLUICE_RETURN_IF_ERROR(ReadArchitecture());
    SLUICE_RETURN_IF_ERROR(CheckForeignKeys());
    SLUICE_RETURN_IF_ERROR(ReadSizes());
    SLUICE_RETURN_IF_ERROR(ReadWindow());
    SLUICE_RETURN_IF_ERROR(ReadRope());
    config_["hidden_act"] = "silu";
    config_["attention_bias"] = facts_.attention_bias;
    config_["mlp_bias"] = facts_.mlp_bias;
    config_["vocab_size"] = facts_.vocab_size;
    // Checkpoint::Open finds out whether there is a head of its own.
    config_["tie_word_embeddings"] = true;
    SLUICE_ASSIGN_OR_RETURN(const auto bos, GgufTokenId(gguf_, "tokenizer.ggml.bos_token_id"));
    config_["bos_token_id"] = bos.has_value() ? json(*bos) : json(nullptr);
    SLUICE_ASSIGN_OR_RETURN(config_["eos_token_id"], GgufEosTokenIds(gguf_));
    return config_;
  }

 private:
  absl::Status Unimplemented(absl::string_view what) const {
    return absl::UnimplementedError(absl::StrCat(gguf_.path(), ": ", what));
  }
  absl::Status Invalid(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat(gguf_.path(), ": ", what));
  }
  std::string Key(absl::string_view name) const { return absl::StrCat(architecture_, ".", name); }

  void SetFamily(const Family& family) {
    config_["architectures"] = json::array({std::string(family.architecture)});
  }

  absl::Status ReadArchitecture() {
    SLUICE_ASSIGN_OR_RETURN(const auto name, gguf_.String("general.architecture"));
    if (!name.has_value()) return Invalid("no \"general.architecture\", so no model");
    const Family* const family = FindGgufFamily(*name);
    if (family == nullptr) {
      return Unimplemented(absl::StrCat("sluice does not run the architecture \"", ShownName(*name),
                                        "\" yet, only ", GgufArchitectures()));
    }
    architecture_ = std::string(*name);
    SetFamily(*family);
    return absl::OkStatus();
  }

  absl::Status CheckForeignKeys() const {
    for (const ForeignGgufKey& foreign : kForeignGgufKeys) {
      const std::string key = Key(foreign.key);
      if (!gguf_.Has(key)) continue;
      const absl::StatusOr<std::optional<double>> value = gguf_.Double(key);
      if (value.ok() && (**value == foreign.neutral || **value == 0)) continue;
      return Unimplemented(absl::StrCat("\"", key, "\" is ",
                                        value.ok() ? absl::StrCat(**value) : "no number",
                                        ", which sluice does not compute"));
    }
    SLUICE_ASSIGN_OR_RETURN(const auto causal, gguf_.Bool(Key("attention.causal")));
    if (!causal.value_or(true)) return Unimplemented("attention that is not causal");
    return absl::OkStatus();
  }

  // Reads an integer, or an array with one for each layer if they are all the same.
  absl::StatusOr<std::optional<int64_t>> IntOfAllLayers(absl::string_view name) const {
    const std::string key = Key(name);
    absl::StatusOr<std::optional<int64_t>> value = gguf_.Int(key);
    if (value.ok()) return value;
    const auto list = gguf_.Ints(key);
    if (!list.ok() || (*list)->empty()) return value.status();
    if (absl::c_any_of(**list, [&](int64_t n) { return n != (**list)[0]; })) {
      return Unimplemented(
          absl::StrCat("\"", key, "\" differs from layer to layer, which sluice does not run"));
    }
    return (**list)[0];
  }

  absl::Status Copy(absl::string_view name, const char* target, bool needed) {
    SLUICE_ASSIGN_OR_RETURN(const auto value, IntOfAllLayers(name));
    if (!value.has_value()) {
      return needed ? Invalid(absl::StrCat("\"", Key(name), "\" is missing")) : absl::OkStatus();
    }
    config_[target] = *value;
    return absl::OkStatus();
  }

  absl::Status ReadSizes() {
    SLUICE_RETURN_IF_ERROR(Copy("embedding_length", "hidden_size", true));
    SLUICE_RETURN_IF_ERROR(Copy("feed_forward_length", "intermediate_size", true));
    SLUICE_RETURN_IF_ERROR(Copy("block_count", "num_hidden_layers", true));
    SLUICE_RETURN_IF_ERROR(Copy("attention.head_count", "num_attention_heads", true));
    SLUICE_RETURN_IF_ERROR(Copy("context_length", "max_position_embeddings", true));
    config_["num_key_value_heads"] = config_["num_attention_heads"];
    SLUICE_RETURN_IF_ERROR(Copy("attention.head_count_kv", "num_key_value_heads", false));
    SLUICE_ASSIGN_OR_RETURN(const auto eps, gguf_.Double(Key("attention.layer_norm_rms_epsilon")));
    if (!eps.has_value())
      return Invalid(absl::StrCat("\"", Key("attention.layer_norm_rms_epsilon"), "\" is missing"));
    config_["rms_norm_eps"] = *eps;

    const int64_t heads = config_["num_attention_heads"], hidden = config_["hidden_size"];
    if (heads < 1) return Invalid(absl::StrCat(heads, " attention heads"));
    head_dim_ = hidden / heads;
    SLUICE_ASSIGN_OR_RETURN(const auto key_length, gguf_.Int(Key("attention.key_length")));
    if (!key_length.has_value() && hidden % heads != 0) {
      return Invalid(absl::StrCat("rows of ", hidden, " values for ", heads, " heads, and no \"",
                                  Key("attention.key_length"), "\""));
    }
    head_dim_ = key_length.value_or(head_dim_);
    config_["head_dim"] = head_dim_;
    for (const char* name : {"attention.value_length", "rope.dimension_count"}) {
      SLUICE_ASSIGN_OR_RETURN(const auto length, gguf_.Int(Key(name)));
      if (!length.has_value() || *length == head_dim_) continue;
      return Unimplemented(absl::StrCat("\"", Key(name), "\" is ", *length, " where heads have ",
                                        head_dim_, " values, which sluice does not run"));
    }
    return absl::OkStatus();
  }

  absl::Status ReadWindow() {
    SLUICE_ASSIGN_OR_RETURN(const auto window, gguf_.Int(Key("attention.sliding_window")));
    const int64_t context = config_["max_position_embeddings"];
    if (!window.has_value() || *window == 0 || *window >= context) return absl::OkStatus();
    config_["sliding_window"] = *window;
    if (FindGgufFamily(architecture_, WindowRule::kByLayerType) != nullptr) {
      config_["use_sliding_window"] = true;
      config_["max_window_layers"] = 0;
      return absl::OkStatus();
    }
    const Family* const sliding = FindGgufFamily(architecture_, WindowRule::kEveryLayer);
    if (sliding == nullptr) {
      return Unimplemented(
          absl::StrCat("a sliding window in \"", architecture_, "\", which sluice does not run"));
    }
    if (facts_.attention_bias || facts_.mlp_bias) {
      return Unimplemented("a sliding window and biases in one model, which sluice does not run");
    }
    SetFamily(*sliding);
    return absl::OkStatus();
  }

  absl::Status ReadRope() {
    SLUICE_ASSIGN_OR_RETURN(const auto base, gguf_.Double(Key("rope.freq_base")));
    const double theta = base.value_or(10000.0);
    SLUICE_ASSIGN_OR_RETURN(const auto type, gguf_.String(Key("rope.scaling.type")));
    SLUICE_ASSIGN_OR_RETURN(auto factor, gguf_.Double(Key("rope.scaling.factor")));
    SLUICE_ASSIGN_OR_RETURN(const auto old_factor, gguf_.Double(Key("rope.scale_linear")));
    if (!factor.has_value()) factor = old_factor;
    SLUICE_ASSIGN_OR_RETURN(const auto original,
                            gguf_.Int(Key("rope.scaling.original_context_length")));
    // Files from before the type was written have only a factor.
    const std::string name(type.value_or(factor.value_or(1) != 1 ? "linear" : "none"));
    json rope = {{"rope_type", "default"}};
    if (!facts_.rope_factors.empty()) {
      if (name != "none" && factor.value_or(1) != 1) {
        return Unimplemented(
            absl::StrCat("rope_freqs.weight together with rope scaling \"", ShownName(name), "\""));
      }
      if (static_cast<int64_t>(facts_.rope_factors.size()) * 2 != head_dim_) {
        return Invalid(absl::StrCat("rope_freqs.weight has ", facts_.rope_factors.size(),
                                    " values, expected half of the ", head_dim_, " of a head"));
      }
      absl::StatusOr<json> llama3 = Llama3RopeOf(facts_.rope_factors, theta, original.value_or(0));
      if (!llama3.ok()) return Unimplemented(llama3.status().message());
      if (!llama3->is_null()) rope = *std::move(llama3);
    } else if (name == "linear" && factor.value_or(1) != 1) {
      rope = {{"rope_type", "linear"}, {"factor", *factor}};
    } else if (name == "yarn") {
      SLUICE_RETURN_IF_ERROR(ReadYarn(factor, original, &rope));
    } else if (name != "none" && name != "linear") {
      return Unimplemented(
          absl::StrCat("sluice does not compute the rope scaling \"", ShownName(name), "\" yet"));
    }
    rope["rope_theta"] = theta;
    config_["rope_parameters"] = rope;
    return absl::OkStatus();
  }

  absl::Status ReadYarn(std::optional<double> factor, std::optional<int64_t> original,
                        json* rope) const {
    if (!factor.has_value() || !(*factor > 0))
      return Invalid(absl::StrCat("\"", Key("rope.scaling.factor"), "\" is missing"));
    *rope = {{"rope_type", "yarn"}, {"factor", *factor}};
    if (original.has_value()) (*rope)["original_max_position_embeddings"] = *original;
    for (const char* name : {"beta_fast", "beta_slow"}) {
      SLUICE_ASSIGN_OR_RETURN(const auto beta,
                              gguf_.Double(Key(absl::StrCat("rope.scaling.yarn_", name))));
      if (beta.has_value()) (*rope)[name] = *beta;
    }
    // llama.cpp multiplies its own factor by this one; transformers takes it for the whole factor.
    for (const char* name : {"rope.scaling.attn_factor", "rope.scaling.yarn_attn_factor"}) {
      SLUICE_ASSIGN_OR_RETURN(const auto attention, gguf_.Double(Key(name)));
      if (!attention.has_value() || *attention == 1) continue;
      (*rope)["attention_factor"] = *attention * (*factor > 1 ? 0.1 * std::log(*factor) + 1 : 1);
    }
    return absl::OkStatus();
  }

  const GgufFile& gguf_;
  const GgufTensorFacts& facts_;
  std::string architecture_;
  int64_t head_dim_ = 0;
  json config_;
};

}  // namespace

absl::StatusOr<std::optional<int64_t>> GgufTokenId(const GgufFile& gguf, absl::string_view key) {
  SLUICE_ASSIGN_OR_RETURN(const auto id, gguf.Int(key));
  SLUICE_ASSIGN_OR_RETURN(const auto tokens, gguf.Strings("tokenizer.ggml.tokens"));
  const int64_t size = tokens.has_value() ? static_cast<int64_t>(tokens->size()) : 0;
  if (id.has_value() && *id >= 0 && *id < size) return id;
  SLUICE_ASSIGN_OR_RETURN(const auto model, gguf.String("tokenizer.ggml.model"));
  if (model != "llama") return std::nullopt;
  for (const DefaultTokenId& token : kSentencePieceIds) {
    if (key == token.key && token.id < size) return token.id;
  }
  return std::nullopt;
}

absl::StatusOr<std::vector<int64_t>> GgufEosTokenIds(const GgufFile& gguf) {
  std::vector<int64_t> ids;
  const auto add = [&](int64_t id) {
    if (!absl::c_linear_search(ids, id)) ids.push_back(id);
  };
  for (const char* name : {"eos", "eot", "eom"}) {
    SLUICE_ASSIGN_OR_RETURN(const auto id,
                            GgufTokenId(gguf, absl::StrCat("tokenizer.ggml.", name, "_token_id")));
    if (id.has_value()) add(*id);
  }
  SLUICE_ASSIGN_OR_RETURN(const auto tokens, gguf.Strings("tokenizer.ggml.tokens"));
  SLUICE_ASSIGN_OR_RETURN(const auto types, gguf.Ints("tokenizer.ggml.token_type"));
  if (!tokens.has_value() || !types.has_value()) return ids;
  for (size_t i = 0; i < std::min(tokens->size(), types->size()); ++i) {
    if ((*types)[i] == kControlToken && absl::c_linear_search(kEndNames, (*tokens)[i]))
      add(static_cast<int64_t>(i));
  }
  return ids;
}

absl::StatusOr<HyperParameters> GgufHyperParameters(const GgufFile& gguf,
                                                    const GgufTensorFacts& facts) {
  SLUICE_ASSIGN_OR_RETURN(const json config, Converter(gguf, facts).Run());
  return ParseHyperParameters(config, gguf.path());
}

}  // namespace sluice
