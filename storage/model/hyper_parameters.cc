// Reads config.json: the rules of its family say what its keys mean.
#include "storage/model/hyper_parameters.h"

#include <cmath>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/base/status_macros.h"
#include "storage/file/json.h"
#include "storage/model/families/family.h"

namespace sluice {
namespace {

using nlohmann::json;

constexpr int64_t kDefaultSlidingWindow = 4096;
constexpr int64_t kDefaultMaxWindowLayers = 28;

// Far above every real model, and low enough that no product of two of them overflows and that a
// hostile number of layers cannot fill the memory.
constexpr int64_t kMaxHiddenSize = int64_t{1} << 20;
constexpr int64_t kMaxIntermediateSize = int64_t{1} << 22;
constexpr int64_t kMaxLayers = int64_t{1} << 14;
constexpr int64_t kMaxHeads = int64_t{1} << 14;
constexpr int64_t kMaxHeadDim = int64_t{1} << 14;
constexpr int64_t kMaxVocabSize = int64_t{1} << 24;
constexpr int64_t kMaxPositions = (int64_t{1} << 31) - 1;
constexpr int64_t kMaxMtpHeads = 64;

constexpr absl::string_view kMtpHeadsKey = "num_nextn_predict_layers";
constexpr absl::string_view kIsMtpHeadKey = "is_mtp_head";  // in manifests only

// Keys of relatives of these families that change the computation. A value other than the neutral
// one is refused by name; null, false and empty are always neutral.
struct ForeignKey {
  absl::string_view key;
  double neutral;
};
constexpr ForeignKey kForeignKeys[] = {
    {"partial_rotary_factor", 1},
    {"rotary_pct", 1},
    {"attn_logit_softcapping", 0},
    {"final_logit_softcapping", 0},
    {"logit_scale", 1},
    {"logits_scaling", 1},
    {"logit_softcap", 0},
    {"query_pre_attn_scalar", 0},
    {"attention_multiplier", 0},
    {"embedding_multiplier", 1},
    {"residual_multiplier", 1},
    {"scale_emb", 1},
    {"scale_depth", 0},
    {"clip_qkv", 0},
    {"num_experts", 0},
    {"num_local_experts", 0},
    {"n_routed_experts", 0},
    {"num_experts_per_tok", 0},
    {"kv_lora_rank", 0},
    {"attention_chunk_size", 0},
    {"attn_temperature_tuning", 0},
    {"llama_4_scaling", 0},
    {"no_rope_layers", 0},
    {"cross_attention_layers", 0},
    {"per_layer_config", 0},
    {"alibi", 0},
    {"use_parallel_residual", 0},
    {"parallel_attn", 0},
    {"use_qk_norm", 0},
    {"use_attention_sinks", 0},
    {"text_config", 0},
    {"vision_config", 0},
    {"audio_config", 0},
};

struct RopeTypeName {
  RopeType type;
  absl::string_view name;
};
constexpr RopeTypeName kRopeTypes[] = {{RopeType::kDefault, "default"},
                                       {RopeType::kLinear, "linear"},
                                       {RopeType::kLlama3, "llama3"},
                                       {RopeType::kYarn, "yarn"}};

absl::Status Invalid(absl::string_view message) { return absl::InvalidArgumentError(message); }

// For messages: what the file says, short and on one line whatever it is.
std::string Shown(const json& value) {
  return value.dump(-1, ' ', true, json::error_handler_t::replace).substr(0, 60);
}

absl::StatusOr<int64_t> IntInRange(const json& object, absl::string_view key, int64_t low,
                                   int64_t high) {
  SLUICE_ASSIGN_OR_RETURN(const int64_t value, JsonInt(object, key));
  if (value < low || value > high) {
    return Invalid(absl::StrCat("\"", key, "\" is ", value, ", expected ", low, " to ", high));
  }
  return value;
}

absl::StatusOr<int64_t> IntOr(const json& object, absl::string_view key, int64_t fallback,
                              int64_t low, int64_t high) {
  if (JsonFind(object, key) == nullptr) return fallback;
  return IntInRange(object, key, low, high);
}

absl::StatusOr<double> PositiveOr(const json& object, absl::string_view key, double fallback) {
  if (JsonFind(object, key) == nullptr) return fallback;
  SLUICE_ASSIGN_OR_RETURN(const double value, JsonDouble(object, key));
  if (!(value > 0) || !std::isfinite(value)) {
    return Invalid(absl::StrCat("\"", key, "\" is ", value, ", expected a positive number"));
  }
  return value;
}

absl::StatusOr<bool> BoolOr(const json& object, absl::string_view key, bool fallback) {
  if (JsonFind(object, key) == nullptr) return fallback;
  return JsonBool(object, key);
}

absl::StatusOr<const Family*> FindConfigFamily(const json& config) {
  std::string name;
  if (const json* list = JsonFind(config, "architectures")) {
    if (!list->is_array() || list->size() != 1 || !list->front().is_string()) {
      return Invalid(absl::StrCat("\"architectures\" is ", Shown(*list), ", expected one name"));
    }
    name = list->front().get<std::string>();
  }
  std::string model_type;
  if (JsonFind(config, "model_type") != nullptr) {
    SLUICE_ASSIGN_OR_RETURN(model_type, JsonString(config, "model_type"));
  }
  if (name.empty() && model_type.empty()) {
    return Invalid("\"architectures\" is missing, expected one name");
  }
  for (const Family* family : Families()) {
    if (name.empty() ? model_type != family->model_type : name != family->architecture) continue;
    if (!model_type.empty() && model_type != family->model_type) {
      return absl::UnimplementedError(absl::StrCat("architecture ", name, " with model_type ",
                                                   Shown(model_type),
                                                   ", which sluice does not run"));
    }
    return family;
  }
  return absl::UnimplementedError(absl::StrCat(
      "sluice does not run the architecture ", Shown(name.empty() ? model_type : name),
      " yet, only ", absl::StrJoin(Families(), ", ", [](std::string* out, const Family* family) {
        absl::StrAppend(out, family->architecture);
      })));
}

absl::Status CheckNotQuantized(const json& config) {
  for (const absl::string_view key : {"quantization_config", "compression_config"}) {
    const json* quantization = JsonFind(config, key);
    if (quantization == nullptr) continue;
    const json* method = JsonFind(*quantization, "quant_method");
    return absl::FailedPreconditionError(absl::StrCat(
        "the checkpoint is quantized (\"", key, "\", method ",
        method == nullptr ? std::string("unknown") : Shown(*method),
        "); give the original F32, F16 or BF16 checkpoint, sluice quantizes it itself"));
  }
  return absl::OkStatus();
}

bool IsNeutral(const json& value, double neutral) {
  if (value.is_null() || value == false) return true;
  if (value.is_number()) return value == neutral;
  return (value.is_structured() || value.is_string()) && value.empty();
}

absl::Status CheckForeignKeys(const json& config) {
  for (const ForeignKey& foreign : kForeignKeys) {
    const json* value = JsonFind(config, foreign.key);
    if (value == nullptr || IsNeutral(*value, foreign.neutral)) continue;
    return absl::UnimplementedError(absl::StrCat("\"", foreign.key, "\" is ", Shown(*value),
                                                 ", which sluice does not compute"));
  }
  if (const json* act = JsonFind(config, "hidden_act")) {
    if (*act != "silu" && *act != "swish") {  // two names of one function
      return absl::UnimplementedError(
          absl::StrCat("\"hidden_act\" is ", Shown(*act), ", sluice computes only \"silu\""));
    }
  }
  return absl::OkStatus();
}

absl::Status ParseSizes(const json& config, const ConfigRules& rules, HyperParameters* h) {
  SLUICE_ASSIGN_OR_RETURN(h->hidden_size, IntInRange(config, "hidden_size", 1, kMaxHiddenSize));
  SLUICE_ASSIGN_OR_RETURN(h->intermediate_size,
                          IntInRange(config, "intermediate_size", 1, kMaxIntermediateSize));
  SLUICE_ASSIGN_OR_RETURN(h->num_hidden_layers,
                          IntInRange(config, "num_hidden_layers", 1, kMaxLayers));
  SLUICE_ASSIGN_OR_RETURN(h->num_attention_heads,
                          IntInRange(config, "num_attention_heads", 1, kMaxHeads));
  SLUICE_ASSIGN_OR_RETURN(h->vocab_size, IntInRange(config, "vocab_size", 1, kMaxVocabSize));
  SLUICE_ASSIGN_OR_RETURN(
      h->max_position_embeddings,
      IntOr(config, "max_position_embeddings", rules.max_position_embeddings, 1, kMaxPositions));

  // transformers takes an explicit null, unlike a missing key, for one K/V head per query head.
  const bool kv_heads_missing = !config.contains("num_key_value_heads");
  SLUICE_ASSIGN_OR_RETURN(
      h->num_key_value_heads,
      IntOr(config, "num_key_value_heads",
            kv_heads_missing && rules.num_key_value_heads > 0 ? rules.num_key_value_heads
                                                              : h->num_attention_heads,
            1, kMaxHeads));
  if (h->num_attention_heads % h->num_key_value_heads != 0) {
    return Invalid(absl::StrCat("\"num_attention_heads\" is ", h->num_attention_heads,
                                ", no multiple of \"num_key_value_heads\", ",
                                h->num_key_value_heads));
  }

  if (JsonFind(config, "head_dim") != nullptr || rules.head_dim > 0) {
    SLUICE_ASSIGN_OR_RETURN(h->head_dim, IntOr(config, "head_dim", rules.head_dim, 1, kMaxHeadDim));
  } else if (h->hidden_size % h->num_attention_heads == 0) {
    h->head_dim = h->hidden_size / h->num_attention_heads;
  } else {
    return Invalid(absl::StrCat("\"hidden_size\" is ", h->hidden_size, ", no multiple of ",
                                h->num_attention_heads, " heads, and \"head_dim\" is missing"));
  }
  if (h->head_dim % 2 != 0) {
    return Invalid(absl::StrCat("\"head_dim\" is ", h->head_dim,
                                ", which is odd: rotary embeddings turn pairs of values"));
  }
  SLUICE_ASSIGN_OR_RETURN(h->rms_norm_eps, PositiveOr(config, "rms_norm_eps", 1e-6));
  if (h->rms_norm_eps > 1) {
    return Invalid(absl::StrCat("\"rms_norm_eps\" is ", h->rms_norm_eps, ", expected at most 1"));
  }
  SLUICE_ASSIGN_OR_RETURN(h->tie_word_embeddings, BoolOr(config, "tie_word_embeddings", false));
  return absl::OkStatus();
}

absl::StatusOr<bool> HasBias(const json& config, const BiasRule& rule) {
  if (rule.key.empty()) return rule.otherwise;
  return BoolOr(config, rule.key, rule.otherwise);
}

// `layer_types` where it is given, with each name checked; empty where it is not.
absl::StatusOr<std::vector<bool>> LayersThatSlide(const json& config, int64_t num_layers) {
  std::vector<bool> slides;
  const json* types = JsonFind(config, "layer_types");
  if (types == nullptr) return slides;
  if (!types->is_array() || types->size() != static_cast<size_t>(num_layers)) {
    return Invalid(absl::StrCat("\"layer_types\" is ", Shown(*types), ", expected a list of ",
                                num_layers, ", one for each layer"));
  }
  for (const json& type : *types) {
    if (type != "full_attention" && type != "sliding_attention" && type != "attention") {
      return absl::UnimplementedError(absl::StrCat("\"layer_types\" has ", Shown(type),
                                                   ", sluice runs only \"full_attention\" and ",
                                                   "\"sliding_attention\""));
    }
    slides.push_back(type == "sliding_attention");
  }
  return slides;
}

absl::Status ParseWindows(const json& config, const Family& family, HyperParameters* h) {
  const ConfigRules& rules = family.config;
  const int64_t num_layers = h->num_hidden_layers;
  bool windowed = rules.windows != WindowRule::kNone;
  if (rules.windows == WindowRule::kByLayerType) {
    SLUICE_ASSIGN_OR_RETURN(windowed, BoolOr(config, "use_sliding_window", false));
  }
  int64_t window = 0;
  if (windowed) {
    // An explicit null, unlike a missing key, switches the window off.
    const int64_t fallback = config.contains("sliding_window") ? 0 : kDefaultSlidingWindow;
    SLUICE_ASSIGN_OR_RETURN(window, IntOr(config, "sliding_window", fallback, 1, kMaxPositions));
  }
  SLUICE_ASSIGN_OR_RETURN(const std::vector<bool> slides, LayersThatSlide(config, num_layers));
  const int64_t num_sliding = absl::c_count(slides, true);
  if (num_sliding > 0 && window == 0) {
    return Invalid(absl::StrCat("\"layer_types\" has \"sliding_attention\", but ",
                                family.architecture, " has no sliding window with these settings"));
  }

  h->layer_windows.assign(num_layers, 0);
  if (rules.windows == WindowRule::kByLayerType && slides.empty()) {
    SLUICE_ASSIGN_OR_RETURN(const int64_t first, IntOr(config, "max_window_layers",
                                                       kDefaultMaxWindowLayers, 0, kMaxPositions));
    for (int64_t i = first; i < num_layers; ++i) h->layer_windows[i] = window;
  } else if (rules.windows == WindowRule::kByLayerType) {
    for (int64_t i = 0; i < num_layers; ++i) h->layer_windows[i] = slides[i] ? window : 0;
  } else {
    // transformers' Mistral does not read `layer_types`, others do: run it only where both agree.
    if (window > 0 && !slides.empty() && num_sliding < num_layers) {
      return absl::UnimplementedError(
          absl::StrCat("\"layer_types\" mixes full and sliding layers, ", "which ",
                       family.architecture, " does not have"));
    }
    h->layer_windows.assign(num_layers, window);
  }
  return absl::OkStatus();
}

absl::Status ParseRopeScaling(const json& config, const json& rope, HyperParameters* h) {
  RopeParameters& r = h->rope;
  const bool has_factor = JsonFind(rope, "factor") != nullptr;
  if (r.type != RopeType::kLinear) {
    // The top-level key is the older spelling; transformers prefers it.
    const json& holder =
        JsonFind(config, "original_max_position_embeddings") != nullptr ? config : rope;
    SLUICE_ASSIGN_OR_RETURN(r.original_max_position_embeddings,
                            IntOr(holder, "original_max_position_embeddings",
                                  h->max_position_embeddings, 1, kMaxPositions));
  }
  if (r.type == RopeType::kYarn && !has_factor) {
    r.factor = static_cast<double>(h->max_position_embeddings) /
               static_cast<double>(r.original_max_position_embeddings);
  } else if (!has_factor) {
    return Invalid("the rope parameters lack \"factor\"");
  } else {
    SLUICE_ASSIGN_OR_RETURN(r.factor, PositiveOr(rope, "factor", 1.0));
  }
  if (r.type == RopeType::kLlama3) {
    SLUICE_ASSIGN_OR_RETURN(r.low_freq_factor, JsonDouble(rope, "low_freq_factor"));
    SLUICE_ASSIGN_OR_RETURN(r.high_freq_factor, JsonDouble(rope, "high_freq_factor"));
    if (!(r.low_freq_factor > 0) || !(r.high_freq_factor > r.low_freq_factor)) {
      return Invalid(absl::StrCat("\"high_freq_factor\" is ", r.high_freq_factor,
                                  ", expected more than \"low_freq_factor\", ", r.low_freq_factor,
                                  ", and that more than 0"));
    }
  }
  if (r.type == RopeType::kYarn) {
    // transformers takes 0 for "not given" in these four.
    for (const auto& [key, value] :
         {std::pair<absl::string_view, double*>("beta_fast", &r.beta_fast),
          {"beta_slow", &r.beta_slow},
          {"mscale", &r.mscale},
          {"mscale_all_dim", &r.mscale_all_dim}}) {
      const json* given = JsonFind(rope, key);
      if (given == nullptr || *given == 0) continue;
      SLUICE_ASSIGN_OR_RETURN(*value, PositiveOr(rope, key, 0));
    }
    SLUICE_ASSIGN_OR_RETURN(r.truncate, BoolOr(rope, "truncate", true));
    if (JsonFind(rope, "attention_factor") != nullptr) {
      SLUICE_ASSIGN_OR_RETURN(r.attention_factor, PositiveOr(rope, "attention_factor", 1.0));
    }
  }
  return absl::OkStatus();
}

absl::Status ParseRope(const json& config, HyperParameters* h) {
  // transformers prefers `rope_scaling` where it says anything, then `rope_parameters`.
  json rope = json::object();
  for (const absl::string_view key : {"rope_parameters", "rope_scaling"}) {
    const json* member = JsonFind(config, key);
    if (member == nullptr) continue;
    if (!member->is_object()) {
      return Invalid(absl::StrCat("\"", key, "\" is ", Shown(*member), ", expected an object"));
    }
    if (!member->empty()) rope = *member;
  }
  for (const absl::string_view key : {"full_attention", "sliding_attention"}) {
    if (JsonFind(rope, key) != nullptr) {
      return absl::UnimplementedError(
          absl::StrCat("rope parameters by layer type (\"", key, "\"), which sluice does not run"));
    }
  }
  const json* partial = JsonFind(rope, "partial_rotary_factor");
  if (partial != nullptr && *partial != 1) {
    return absl::UnimplementedError(absl::StrCat("\"partial_rotary_factor\" is ", Shown(*partial),
                                                 ", which sluice does not compute"));
  }
  for (const json* holder : {&config, &std::as_const(rope)}) {
    SLUICE_ASSIGN_OR_RETURN(h->rope.theta, PositiveOr(*holder, "rope_theta", h->rope.theta));
  }
  if (h->rope.theta <= 1) {
    return Invalid(absl::StrCat("\"rope_theta\" is ", h->rope.theta, ", expected more than 1"));
  }

  std::string name = "default";
  for (const absl::string_view key : {"type", "rope_type"}) {
    if (JsonFind(rope, key) != nullptr) {
      SLUICE_ASSIGN_OR_RETURN(name, JsonString(rope, key));
    }
  }
  const auto* known =
      absl::c_find_if(kRopeTypes, [&](const RopeTypeName& t) { return t.name == name; });
  if (known == std::end(kRopeTypes)) {
    return absl::UnimplementedError(
        absl::StrCat("sluice does not compute the rope type ", Shown(name), " yet"));
  }
  h->rope.type = known->type;
  return known->type == RopeType::kDefault ? absl::OkStatus() : ParseRopeScaling(config, rope, h);
}

// An id, or nothing for -1, which some configurations write for "none".
absl::StatusOr<std::optional<int64_t>> TokenId(const json& object, absl::string_view key) {
  SLUICE_ASSIGN_OR_RETURN(const int64_t id, IntInRange(object, key, -1, kMaxPositions));
  if (id == -1) return std::optional<int64_t>();
  return std::optional<int64_t>(id);
}

absl::Status ParseTokenIds(const json& config, const ConfigRules& rules, HyperParameters* h) {
  if (JsonFind(config, "bos_token_id") != nullptr) {
    SLUICE_ASSIGN_OR_RETURN(h->bos_token_id, TokenId(config, "bos_token_id"));
  } else if (!config.contains("bos_token_id")) {
    h->bos_token_id = rules.bos_token_id;
  }
  if (config.contains("eos_token_id")) {
    SLUICE_ASSIGN_OR_RETURN(h->eos_token_ids, ParseEosTokenIds(config));
  } else if (rules.eos_token_id.has_value()) {
    h->eos_token_ids.push_back(*rules.eos_token_id);
  }
  return absl::OkStatus();
}

absl::Status ParseMtp(const json& config, const Family& family, HyperParameters* h) {
  if (family.mtp == nullptr) return absl::OkStatus();
  SLUICE_ASSIGN_OR_RETURN(h->num_mtp_heads, IntOr(config, kMtpHeadsKey, 0, 0, kMaxMtpHeads));
  SLUICE_ASSIGN_OR_RETURN(h->is_mtp_head, BoolOr(config, kIsMtpHeadKey, false));
  if (h->is_mtp_head && h->num_hidden_layers != 1) {
    return Invalid(absl::StrCat("\"num_hidden_layers\" is ", h->num_hidden_layers,
                                ", a head that drafts has 1"));
  }
  return absl::OkStatus();
}

absl::StatusOr<HyperParameters> Parse(const json& config) {
  if (!config.is_object()) return Invalid("not a JSON object");
  HyperParameters h;
  SLUICE_RETURN_IF_ERROR(CheckNotQuantized(config));
  SLUICE_ASSIGN_OR_RETURN(const Family* family, FindConfigFamily(config));
  const ConfigRules& rules = family->config;
  h.architecture = std::string(family->architecture);
  SLUICE_RETURN_IF_ERROR(CheckForeignKeys(config));
  SLUICE_RETURN_IF_ERROR(ParseSizes(config, rules, &h));
  SLUICE_ASSIGN_OR_RETURN(h.qkv_bias, HasBias(config, rules.qkv_bias));
  SLUICE_ASSIGN_OR_RETURN(h.output_bias, HasBias(config, rules.output_bias));
  SLUICE_ASSIGN_OR_RETURN(h.mlp_bias, HasBias(config, rules.mlp_bias));
  h.qk_norm = rules.qk_norm;
  SLUICE_RETURN_IF_ERROR(ParseRope(config, &h));
  SLUICE_RETURN_IF_ERROR(ParseWindows(config, *family, &h));
  SLUICE_RETURN_IF_ERROR(ParseTokenIds(config, rules, &h));
  SLUICE_RETURN_IF_ERROR(ParseMtp(config, *family, &h));
  return h;
}

json RopeToJson(const RopeParameters& r) {
  json rope = {{"rope_theta", r.theta}};
  for (const RopeTypeName& t : kRopeTypes) {
    if (t.type == r.type) rope["rope_type"] = std::string(t.name);
  }
  if (r.type == RopeType::kDefault) return rope;
  rope["factor"] = r.factor;
  if (r.type == RopeType::kLinear) return rope;
  rope["original_max_position_embeddings"] = r.original_max_position_embeddings;
  if (r.type == RopeType::kLlama3) {
    rope["low_freq_factor"] = r.low_freq_factor;
    rope["high_freq_factor"] = r.high_freq_factor;
    return rope;
  }
  rope["beta_fast"] = r.beta_fast;
  rope["beta_slow"] = r.beta_slow;
  rope["truncate"] = r.truncate;
  if (r.attention_factor.has_value()) rope["attention_factor"] = *r.attention_factor;
  if (r.mscale > 0) rope["mscale"] = r.mscale;
  if (r.mscale_all_dim > 0) rope["mscale_all_dim"] = r.mscale_all_dim;
  return rope;
}

}  // namespace

HyperParameters MtpHeadOf(const HyperParameters& model) {
  HyperParameters head = model;
  head.num_hidden_layers = 1;
  head.layer_windows = {0};
  head.num_mtp_heads = 0;
  head.is_mtp_head = true;
  return head;
}

absl::StatusOr<std::vector<int64_t>> ParseEosTokenIds(const json& object) {
  std::vector<int64_t> ids;
  const json* value = JsonFind(object, "eos_token_id");
  if (value == nullptr) return ids;
  const json list = value->is_array() ? *value : json::array({*value});
  for (const json& id : list) {
    SLUICE_ASSIGN_OR_RETURN(const std::optional<int64_t> known,
                            TokenId({{"eos_token_id", id}}, "eos_token_id"));
    if (known.has_value() && !absl::c_linear_search(ids, *known)) ids.push_back(*known);
  }
  return ids;
}

absl::StatusOr<HyperParameters> ParseHyperParameters(const json& config, absl::string_view what) {
  absl::StatusOr<HyperParameters> h = Parse(config);
  if (h.ok()) return h;
  return absl::Status(h.status().code(), absl::StrCat(what, ": ", h.status().message()));
}

json HyperParametersToJson(const HyperParameters& h) {
  json config = {
      {"architectures", json::array({h.architecture})},
      {"hidden_act", "silu"},
      {"hidden_size", h.hidden_size},
      {"intermediate_size", h.intermediate_size},
      {"num_hidden_layers", h.num_hidden_layers},
      {"num_attention_heads", h.num_attention_heads},
      {"num_key_value_heads", h.num_key_value_heads},
      {"head_dim", h.head_dim},
      {"vocab_size", h.vocab_size},
      {"max_position_embeddings", h.max_position_embeddings},
      {"rms_norm_eps", h.rms_norm_eps},
      {"rope_parameters", RopeToJson(h.rope)},
      {"tie_word_embeddings", h.tie_word_embeddings},
      {"bos_token_id", h.bos_token_id.has_value() ? json(*h.bos_token_id) : json(nullptr)},
      {"eos_token_id", h.eos_token_ids},
  };
  const Family& family = FamilyOf(h);
  const ConfigRules& rules = family.config;
  config["model_type"] = std::string(family.model_type);
  for (const auto& [rule, value] : {std::pair(&rules.qkv_bias, h.qkv_bias),
                                    {&rules.output_bias, h.output_bias},
                                    {&rules.mlp_bias, h.mlp_bias}}) {
    if (!rule->key.empty()) config[std::string(rule->key)] = value;
  }
  if (h.num_mtp_heads > 0) config[std::string(kMtpHeadsKey)] = h.num_mtp_heads;
  if (h.is_mtp_head) config[std::string(kIsMtpHeadKey)] = true;
  if (rules.windows == WindowRule::kNone) return config;
  const int64_t window = h.layer_windows.empty() ? 0 : *absl::c_max_element(h.layer_windows);
  config["sliding_window"] = window > 0 ? json(window) : json(nullptr);
  if (rules.windows != WindowRule::kByLayerType) return config;
  config["use_sliding_window"] = window > 0;
  for (const int64_t w : h.layer_windows) {
    config["layer_types"].push_back(w > 0 ? "sliding_attention" : "full_attention");
  }
  return config;
}

}  // namespace sluice
