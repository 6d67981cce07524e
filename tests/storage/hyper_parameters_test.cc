// Tests of reading config.json, and of rotary frequencies against transformers.
#include "storage/model/hyper_parameters.h"

#include <cmath>
#include <random>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/file/json.h"
#include "storage/model/architecture.h"

namespace sluice {
namespace {

using nlohmann::json;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// The keys that have no default.
json Config(const std::string& architecture = "LlamaForCausalLM") {
  return {{"architectures", {architecture}}, {"hidden_size", 64},
          {"intermediate_size", 160},        {"num_hidden_layers", 4},
          {"num_attention_heads", 32},       {"vocab_size", 320}};
}

json With(json config, const json& more) {
  config.update(more);
  return config;
}

HyperParameters Read(const json& config) {
  const auto h = ParseHyperParameters(config, "config.json");
  EXPECT_TRUE(h.ok()) << h.status() << " " << config;
  return h.ok() ? *h : HyperParameters();
}

json ReadJson(const std::string& path) {
  const auto parsed = ReadJsonFile(absl::StrCat(SLUICE_SOURCE_DIR "/tests/data/", path));
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() ? *parsed : json();
}

constexpr const char* kConfigs[] = {"TinyStories-656K",      "bard-6.7M",
                                    "llama-gqa-untied-f32",  "qwen2-bias-bf16",
                                    "qwen2-yarn-bf16",       "llama3-rope-bf16-sharded",
                                    "qwen3-qknorm-bf16",     "mistral-window-f16",
                                    "llama-linear-rope-f32", "seed-oss-bf16"};

TEST(HyperParameters, MissingKeysHaveTheDefaultsOfTransformers) {
  const struct {
    const char* architecture;
    int64_t kv_heads, head_dim, positions;
    int64_t window;
    bool qkv_bias, output_bias, qk_norm;
    std::optional<int64_t> bos;
    std::vector<int64_t> eos;
  } kCases[] = {
      {"LlamaForCausalLM", 32, 2, 2048, 0, false, false, false, 1, {2}},
      {"MistralForCausalLM", 8, 2, 131072, 4096, false, false, false, 1, {2}},
      {"Qwen2ForCausalLM", 32, 2, 32768, 0, true, false, false, std::nullopt, {}},
      {"Qwen3ForCausalLM", 32, 128, 32768, 0, false, false, true, std::nullopt, {}},
      {"MiMoForCausalLM", 32, 2, 32768, 0, true, false, false, std::nullopt, {}},
      {"SeedOssForCausalLM", 8, 128, 524288, 0, true, false, false, 0, {2}},
  };
  for (const auto& c : kCases) {
    const HyperParameters h = Read(Config(c.architecture));
    EXPECT_EQ(h.architecture, c.architecture);
    EXPECT_EQ(h.num_key_value_heads, c.kv_heads);
    EXPECT_EQ(h.head_dim, c.head_dim);
    EXPECT_EQ(h.max_position_embeddings, c.positions);
    EXPECT_THAT(h.layer_windows, ElementsAre(c.window, c.window, c.window, c.window));
    EXPECT_EQ(h.qkv_bias, c.qkv_bias);
    EXPECT_EQ(h.output_bias, c.output_bias);
    EXPECT_EQ(h.qk_norm, c.qk_norm);
    EXPECT_FALSE(h.mlp_bias);
    EXPECT_FALSE(h.tie_word_embeddings);
    EXPECT_EQ(h.rms_norm_eps, 1e-6);
    EXPECT_EQ(h.rope.type, RopeType::kDefault);
    EXPECT_EQ(h.rope.theta, 10000.0);
    EXPECT_EQ(h.bos_token_id, c.bos);
    EXPECT_EQ(h.eos_token_ids, c.eos);
  }
}

TEST(HyperParameters, ANullIsNotAlwaysAMissingKey) {
  EXPECT_EQ(Read(With(Config("MistralForCausalLM"), {{"num_key_value_heads", nullptr}}))
                .num_key_value_heads,
            32);
  EXPECT_THAT(Read(With(Config("MistralForCausalLM"), {{"sliding_window", nullptr}})).layer_windows,
              Each(0));
  EXPECT_EQ(Read(With(Config(), {{"head_dim", nullptr}})).head_dim, 2);
  const HyperParameters none =
      Read(With(Config(), {{"bos_token_id", nullptr}, {"eos_token_id", nullptr}}));
  EXPECT_FALSE(none.bos_token_id.has_value());
  EXPECT_THAT(none.eos_token_ids, IsEmpty());
}

TEST(HyperParameters, BiasesFollowTheArchitecture) {
  const json biases = {{"attention_bias", true}, {"mlp_bias", true}};
  const struct {
    const char* architecture;
    bool qkv, output, mlp;
  } kCases[] = {
      {"LlamaForCausalLM", true, true, true},   {"MistralForCausalLM", false, false, false},
      {"Qwen2ForCausalLM", true, false, false}, {"Qwen3ForCausalLM", true, true, false},
      {"MiMoForCausalLM", true, false, false},  {"SeedOssForCausalLM", true, false, true}};
  for (const auto& c : kCases) {
    const HyperParameters h = Read(With(Config(c.architecture), biases));
    EXPECT_EQ(h.qkv_bias, c.qkv) << c.architecture;
    EXPECT_EQ(h.output_bias, c.output) << c.architecture;
    EXPECT_EQ(h.mlp_bias, c.mlp) << c.architecture;
  }
}

TEST(HyperParameters, HeadsThatDraftAreCountedWhereTheFamilyHasThem) {
  const json heads = {{"num_nextn_predict_layers", 1}};
  EXPECT_EQ(Read(With(Config("MiMoForCausalLM"), heads)).num_mtp_heads, 1);
  EXPECT_EQ(Read(Config("MiMoForCausalLM")).num_mtp_heads, 0);
  EXPECT_EQ(Read(With(Config("Qwen2ForCausalLM"), heads)).num_mtp_heads, 0);
  const HyperParameters head = MtpHeadOf(Read(With(Config("MiMoForCausalLM"), heads)));
  EXPECT_EQ(head.num_hidden_layers, 1);
  const HyperParameters back = Read(HyperParametersToJson(head));
  EXPECT_TRUE(back.is_mtp_head);
  EXPECT_EQ(back.num_mtp_heads, 0);
  const auto wrong = ParseHyperParameters(With(Config("MiMoForCausalLM"), {{"is_mtp_head", true}}),
                                          "manifest.json");
  EXPECT_THAT(wrong.status().message(), HasSubstr("a head that drafts has 1"));
}

TEST(HyperParameters, SlidingWindowsAreThoseOfTransformers) {
  const struct {
    const char* architecture;
    json keys;
    std::vector<int64_t> windows;
  } kCases[] = {
      {"LlamaForCausalLM", {{"sliding_window", 16}}, {0, 0, 0, 0}},  // transformers ignores it
      {"MistralForCausalLM", {{"sliding_window", 16}}, {16, 16, 16, 16}},
      {"MistralForCausalLM",
       {{"sliding_window", 16}, {"layer_types", std::vector<std::string>(4, "sliding_attention")}},
       {16, 16, 16, 16}},
      {"MistralForCausalLM",
       {{"sliding_window", nullptr},
        {"layer_types", std::vector<std::string>(4, "full_attention")}},
       {0, 0, 0, 0}},
      {"Qwen2ForCausalLM", {{"sliding_window", 16}}, {0, 0, 0, 0}},
      {"Qwen2ForCausalLM", {{"sliding_window", 16}, {"use_sliding_window", false}}, {0, 0, 0, 0}},
      {"Qwen2ForCausalLM", {{"sliding_window", -1}, {"use_sliding_window", false}}, {0, 0, 0, 0}},
      {"Qwen2ForCausalLM", {{"sliding_window", 16}, {"use_sliding_window", true}}, {0, 0, 0, 0}},
      {"Qwen2ForCausalLM",
       {{"use_sliding_window", true}, {"max_window_layers", 0}},
       {4096, 4096, 4096, 4096}},
      {"Qwen2ForCausalLM",
       {{"sliding_window", nullptr}, {"use_sliding_window", true}, {"max_window_layers", 0}},
       {0, 0, 0, 0}},
      {"Qwen3ForCausalLM",
       {{"sliding_window", 16}, {"use_sliding_window", true}, {"max_window_layers", 3}},
       {0, 0, 0, 16}},
      {"Qwen2ForCausalLM",
       {{"sliding_window", 16},
        {"use_sliding_window", true},
        {"max_window_layers", 0},
        {"layer_types", {"full_attention", "sliding_attention", "full_attention", "attention"}}},
       {0, 16, 0, 0}},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(Read(With(Config(c.architecture), c.keys)).layer_windows, c.windows) << c.keys;
  }
}

TEST(HyperParameters, OlderAndNewerSpellingsOfRopeMeanTheSame) {
  const json yarn = {{"factor", 4.0}, {"original_max_position_embeddings", 512}};
  const json kSame[] = {
      {{"rope_theta", 5e5}, {"rope_scaling", With(yarn, {{"type", "yarn"}})}},
      {{"rope_theta", 5e5}, {"rope_scaling", With(yarn, {{"rope_type", "yarn"}})}},
      {{"rope_theta", 5e5},
       {"rope_scaling", With(yarn, {{"rope_type", "yarn"}, {"type", "linear"}})}},
      {{"rope_theta", 5e5}, {"rope_parameters", With(yarn, {{"rope_type", "yarn"}})}},
      {{"rope_parameters", With(yarn, {{"rope_type", "yarn"}, {"rope_theta", 5e5}})}},
      {{"rope_theta", 7.0},
       {"rope_parameters", With(yarn, {{"rope_type", "yarn"}, {"rope_theta", 500000}})}},
      {{"rope_parameters", {{"rope_type", "default"}}},
       {"rope_scaling", With(yarn, {{"rope_type", "yarn"}, {"rope_theta", 5e5}})}},
      {{"original_max_position_embeddings", 512},
       {"rope_scaling",
        {{"rope_type", "yarn"},
         {"rope_theta", 5e5},
         {"factor", 4},
         {"original_max_position_embeddings", 77}}}},
  };
  for (const json& keys : kSame) {
    const HyperParameters h = Read(With(Config(), keys));
    EXPECT_EQ(h.rope.type, RopeType::kYarn) << keys;
    EXPECT_EQ(h.rope.theta, 5e5) << keys;
    EXPECT_EQ(h.rope.factor, 4.0) << keys;
    EXPECT_EQ(h.rope.original_max_position_embeddings, 512) << keys;
  }
  for (const json& keys :
       {json{{"rope_scaling", nullptr}}, json{{"rope_scaling", json::object()}},
        json{{"rope_scaling", {{"type", "default"}}}},
        json{{"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 1e4}}}}}) {
    const HyperParameters h = Read(With(Config(), keys));
    EXPECT_EQ(h.rope.type, RopeType::kDefault) << keys;
    EXPECT_EQ(h.rope.theta, 1e4) << keys;
  }
}

TEST(HyperParameters, RopeScalingWithoutAnOriginalContextUsesTheModels) {
  const HyperParameters h =
      Read(With(Config(), {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 2}}}}));
  EXPECT_EQ(h.rope.original_max_position_embeddings, 2048);
}

TEST(HyperParameters, EndOfSequenceMayBeOneIdOrMany) {
  const struct {
    json id;
    std::vector<int64_t> ids;
  } kCases[] = {{7, {7}}, {json::array({7, 3, 7}), {7, 3}}, {json::array(), {}}, {nullptr, {}},
                {-1, {}}, {json::array({-1, 5}), {5}}};
  for (const auto& c : kCases) {
    EXPECT_EQ(Read(With(Config(), {{"eos_token_id", c.id}})).eos_token_ids, c.ids) << c.id;
  }
}

TEST(HyperParameters, WithoutArchitecturesTheModelTypeDecides) {
  json config = With(Config(), {{"model_type", "qwen3"}});
  config.erase("architectures");
  EXPECT_EQ(Read(config).architecture, "Qwen3ForCausalLM");
}

TEST(HyperParameters, NeutralValuesOfForeignKeysAreAccepted) {
  Read(With(Config(), {{"partial_rotary_factor", 1.0},
                       {"logit_scale", 1},
                       {"num_experts", 0},
                       {"final_logit_softcapping", nullptr},
                       {"hidden_act", "swish"},
                       {"no_rope_layers", json::array()},
                       {"use_qk_norm", false},
                       {"quantization_config", nullptr},
                       {"pretraining_tp", 2},
                       {"torch_dtype", "bfloat16"},
                       {"dtype", "float16"}}));
}

struct BadConfig {
  const char* architecture;
  json keys;
  absl::StatusCode code;
  const char* why;
};

std::vector<BadConfig> BadConfigs() {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;
  constexpr const char* kLlama = "LlamaForCausalLM";
  constexpr const char* kMistral = "MistralForCausalLM";
  constexpr const char* kQwen = "Qwen2ForCausalLM";
  const auto rope = [](const json& members) { return json{{"rope_scaling", members}}; };
  return {
      {"MixtralForCausalLM", json::object(), kUnimplemented,
       "\"MixtralForCausalLM\" yet, only Llama"},
      {"x\ny", json::object(), kUnimplemented, "\"x\\ny\""},
      {kLlama, {{"architectures", json::array()}}, kInvalid, "\"architectures\" is []"},
      {kLlama, {{"architectures", "LlamaForCausalLM"}}, kInvalid, "expected one name"},
      {kLlama, {{"architectures", {1}}}, kInvalid, "expected one name"},
      {kLlama, {{"architectures", nullptr}}, kInvalid, "\"architectures\" is missing"},
      {kLlama, {{"model_type", "mistral"}}, kUnimplemented, "model_type \"mistral\""},
      {kLlama, {{"model_type", 3}}, kInvalid, "\"model_type\" is 3"},
      {kLlama,
       {{"quantization_config", {{"quant_method", "gptq"}}}},
       absl::StatusCode::kFailedPrecondition,
       "method \"gptq\"); give the original"},
      {"DeepseekV3ForCausalLM",
       {{"quantization_config", {{"quant_method", "fp8"}}}},
       absl::StatusCode::kFailedPrecondition,
       "method \"fp8\""},
      {kLlama,
       {{"quantization_config", 1}},
       absl::StatusCode::kFailedPrecondition,
       "method unknown"},
      {kLlama, {{"hidden_act", "gelu"}}, kUnimplemented, "\"hidden_act\" is \"gelu\""},
      {kLlama, {{"hidden_act", 7}}, kUnimplemented, "\"hidden_act\" is 7"},
      {kLlama,
       {{"partial_rotary_factor", 0.5}},
       kUnimplemented,
       "\"partial_rotary_factor\" is 0.5"},
      {kLlama, {{"attn_logit_softcapping", 50.0}}, kUnimplemented, "\"attn_logit_softcapping\""},
      {kLlama, {{"logits_scaling", 8}}, kUnimplemented, "\"logits_scaling\" is 8"},
      {kLlama, {{"embedding_multiplier", 12.0}}, kUnimplemented, "\"embedding_multiplier\""},
      {kLlama, {{"num_experts", 8}}, kUnimplemented, "\"num_experts\" is 8"},
      {kLlama, {{"vision_config", {{"a", 1}}}}, kUnimplemented, "\"vision_config\""},
      {kLlama, {{"use_qk_norm", true}}, kUnimplemented, "\"use_qk_norm\" is true"},
      {kLlama, {{"hidden_size", nullptr}}, kInvalid, "\"hidden_size\" is missing"},
      {kLlama, {{"hidden_size", "64"}}, kInvalid, "\"hidden_size\" is \"64\""},
      {kLlama, {{"hidden_size", 64.5}}, kInvalid, "\"hidden_size\" is 64.5"},
      {kLlama, {{"hidden_size", 0}}, kInvalid, "\"hidden_size\" is 0, expected 1 to"},
      {kLlama, {{"hidden_size", -64}}, kInvalid, "\"hidden_size\" is -64"},
      {kLlama, {{"hidden_size", int64_t{1} << 31}}, kInvalid, "\"hidden_size\" is 2147483648"},
      {kLlama, {{"hidden_size", UINT64_MAX}}, kInvalid, "\"hidden_size\" is 1844"},
      {kLlama, {{"hidden_size", 65}}, kInvalid, "\"head_dim\" is missing"},
      {kLlama, {{"intermediate_size", 0}}, kInvalid, "\"intermediate_size\" is 0"},
      {kLlama, {{"num_hidden_layers", 0}}, kInvalid, "\"num_hidden_layers\" is 0"},
      {kLlama,
       {{"num_hidden_layers", 1000000000}},
       kInvalid,
       "\"num_hidden_layers\" is 1000000000"},
      {kLlama, {{"num_attention_heads", -1}}, kInvalid, "\"num_attention_heads\" is -1"},
      {kLlama, {{"num_key_value_heads", 0}}, kInvalid, "\"num_key_value_heads\" is 0"},
      {kLlama, {{"num_key_value_heads", 5}}, kInvalid, "no multiple of \"num_key_value_heads\", 5"},
      {kLlama, {{"num_key_value_heads", 64}}, kInvalid, "no multiple"},
      {kLlama, {{"head_dim", 7}}, kInvalid, "\"head_dim\" is 7, which is odd"},
      {kLlama, {{"head_dim", 0}}, kInvalid, "\"head_dim\" is 0"},
      {kLlama, {{"vocab_size", 0}}, kInvalid, "\"vocab_size\" is 0"},
      {kLlama, {{"max_position_embeddings", 0}}, kInvalid, "\"max_position_embeddings\" is 0"},
      {kLlama, {{"max_position_embeddings", int64_t{1} << 31}}, kInvalid, "2147483648"},
      {kLlama, {{"rms_norm_eps", 0}}, kInvalid, "\"rms_norm_eps\" is 0"},
      {kLlama, {{"rms_norm_eps", -1e-6}}, kInvalid, "\"rms_norm_eps\" is -1e-06"},
      {kLlama, {{"rms_norm_eps", 5}}, kInvalid, "\"rms_norm_eps\" is 5"},
      {kLlama, {{"tie_word_embeddings", 1}}, kInvalid, "\"tie_word_embeddings\" is 1"},
      {kLlama, {{"attention_bias", "no"}}, kInvalid, "\"attention_bias\" is \"no\""},
      {kLlama, {{"bos_token_id", -2}}, kInvalid, "\"bos_token_id\" is -2"},
      {kLlama, {{"eos_token_id", {1, "2"}}}, kInvalid, "\"eos_token_id\" is \"2\""},
      {kLlama, {{"eos_token_id", 0.5}}, kInvalid, "\"eos_token_id\" is 0.5"},
      {kLlama, {{"rope_theta", 0}}, kInvalid, "\"rope_theta\" is 0"},
      {kLlama, {{"rope_theta", 1}}, kInvalid, "\"rope_theta\" is 1, expected more"},
      {kLlama, {{"rope_theta", "10000"}}, kInvalid, "\"rope_theta\" is \"10000\""},
      {kLlama, rope("linear"), kInvalid, "\"rope_scaling\" is \"linear\""},
      {kLlama, rope({{"type", 7}}), kInvalid, "\"type\" is 7"},
      {kLlama, rope({{"type", "dynamic"}, {"factor", 2}}), kUnimplemented, "rope type \"dynamic\""},
      {kLlama, rope({{"type", "su"}}), kUnimplemented, "rope type \"su\""},
      {kLlama, rope({{"rope_type", "longrope"}}), kUnimplemented, "rope type \"longrope\""},
      {kLlama, rope({{"type", "mrope"}}), kUnimplemented, "rope type \"mrope\""},
      {kLlama, rope({{"type", "linear"}}), kInvalid, "lack \"factor\""},
      {kLlama, rope({{"type", "linear"}, {"factor", 0}}), kInvalid, "\"factor\" is 0"},
      {kLlama, rope({{"type", "linear"}, {"factor", -2}}), kInvalid, "\"factor\" is -2"},
      {kLlama, rope({{"rope_type", "llama3"}, {"factor", 8}, {"high_freq_factor", 4}}), kInvalid,
       "\"low_freq_factor\" is missing"},
      {kLlama,
       rope({{"rope_type", "llama3"},
             {"factor", 8},
             {"low_freq_factor", 4},
             {"high_freq_factor", 4}}),
       kInvalid, "\"high_freq_factor\" is 4"},
      {kLlama, rope({{"rope_type", "yarn"}, {"factor", 8}, {"beta_fast", -1}}), kInvalid,
       "\"beta_fast\" is -1"},
      {kLlama, rope({{"rope_type", "yarn"}, {"factor", 8}, {"truncate", 1}}), kInvalid,
       "\"truncate\" is 1"},
      {kLlama,
       rope({{"rope_type", "yarn"}, {"factor", 8}, {"original_max_position_embeddings", 0}}),
       kInvalid, "\"original_max_position_embeddings\" is 0"},
      {kLlama,
       {{"rope_parameters", {{"full_attention", {{"rope_type", "default"}}}}}},
       kUnimplemented,
       "by layer type"},
      {kLlama,
       {{"rope_parameters", {{"rope_type", "default"}, {"partial_rotary_factor", 0.5}}}},
       kUnimplemented,
       "\"partial_rotary_factor\" is 0.5"},
      {kMistral, {{"sliding_window", 0}}, kInvalid, "\"sliding_window\" is 0"},
      {kMistral, {{"sliding_window", "all"}}, kInvalid, "\"sliding_window\" is \"all\""},
      {kMistral,
       {{"layer_types",
         {"full_attention", "sliding_attention", "full_attention", "sliding_attention"}}},
       kUnimplemented,
       "mixes full and sliding"},
      {kLlama,
       {{"layer_types", std::vector<std::string>(4, "sliding_attention")}},
       kInvalid,
       "has no sliding window"},
      {kQwen,
       {{"layer_types", std::vector<std::string>(4, "sliding_attention")}},
       kInvalid,
       "has no sliding window"},
      {kQwen,
       {{"layer_types", std::vector<std::string>(3, "full_attention")}},
       kInvalid,
       "expected a list of 4"},
      {kQwen,
       {{"layer_types", std::vector<std::string>(4, "linear_attention")}},
       kUnimplemented,
       "\"linear_attention\""},
      {kQwen, {{"layer_types", 4}}, kInvalid, "\"layer_types\" is 4"},
      {kQwen,
       {{"use_sliding_window", true}, {"max_window_layers", -1}},
       kInvalid,
       "\"max_window_layers\" is -1"},
  };
}

TEST(HyperParameters, WhatCannotBeRunIsRefusedByNameOnOneLine) {
  for (const BadConfig& c : BadConfigs()) {
    const auto h = ParseHyperParameters(With(Config(c.architecture), c.keys), "dir/config.json");
    EXPECT_EQ(h.status().code(), c.code) << c.keys << " " << h.status();
    const std::string message(h.status().message());
    EXPECT_THAT(message, StartsWith("dir/config.json: "));
    EXPECT_THAT(message, HasSubstr(c.why)) << c.keys;
    EXPECT_THAT(message, Not(HasSubstr("\n")));
  }
  EXPECT_FALSE(ParseHyperParameters(json::array(), "x").ok());
  EXPECT_FALSE(ParseHyperParameters(nullptr, "x").ok());
}

TEST(HyperParameters, ReadBackFromTheManifestsFormTheyAreTheSame) {
  std::vector<json> configs;
  for (const char* model : kConfigs) {
    configs.push_back(ReadJson(absl::StrCat("models/", model, "/config.json")));
  }
  for (const json& c : ReadJson("golden/rope.json")) {
    configs.push_back(With(Config(), {{"rope_parameters", c["rope_parameters"]},
                                      {"max_position_embeddings", c["max_position_embeddings"]}}));
  }
  configs.push_back(With(Config("Qwen2ForCausalLM"), {{"use_sliding_window", true},
                                                      {"max_window_layers", 2},
                                                      {"rms_norm_eps", 0.1 + 0.2},
                                                      {"eos_token_id", {3, 1, 2}}}));
  configs.push_back(With(Config(), {{"attention_bias", true},
                                    {"mlp_bias", true},
                                    {"bos_token_id", nullptr},
                                    {"eos_token_id", nullptr}}));
  configs.push_back(With(Config("MistralForCausalLM"), {{"sliding_window", nullptr}}));
  for (const json& config : configs) {
    const HyperParameters h = Read(config);
    const json form = HyperParametersToJson(h);
    const HyperParameters back = Read(*ParseJson(form.dump(), "manifest"));
    EXPECT_EQ(HyperParametersToJson(back), form) << config;
    // What the form might have left out.
    EXPECT_EQ(back.layer_windows, h.layer_windows);
    EXPECT_EQ(back.eos_token_ids, h.eos_token_ids);
    EXPECT_EQ(back.bos_token_id, h.bos_token_id);
    EXPECT_EQ(back.qkv_bias, h.qkv_bias);
    EXPECT_EQ(back.output_bias, h.output_bias);
    EXPECT_EQ(back.mlp_bias, h.mlp_bias);
    EXPECT_EQ(back.qk_norm, h.qk_norm);
    EXPECT_EQ(RopeInverseFrequencies(back.rope, back.head_dim),
              RopeInverseFrequencies(h.rope, h.head_dim));
    EXPECT_EQ(RopeAttentionScaling(back.rope), RopeAttentionScaling(h.rope));
  }
}

TEST(HyperParameters, RotaryFrequenciesAreThoseOfTransformers) {
  const json cases = ReadJson("golden/rope.json");
  ASSERT_EQ(cases.size(), 11);
  for (const json& c : cases) {
    const HyperParameters h =
        Read(With(Config(), {{"rope_parameters", c["rope_parameters"]},
                             {"max_position_embeddings", c["max_position_embeddings"]},
                             {"head_dim", c["head_dim"]}}));
    const std::vector<double> frequencies = RopeInverseFrequencies(h.rope, h.head_dim);
    const auto expected = c["inverse_frequencies"].get<std::vector<double>>();
    ASSERT_EQ(frequencies.size(), expected.size());
    // A few roundings of doubles, which pow and log may place differently.
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(frequencies[i] / expected[i], 1, 4e-15) << c["name"] << " " << i;
    }
    EXPECT_NEAR(RopeAttentionScaling(h.rope), c["attention_scaling"].get<double>(), 1e-15)
        << c["name"];
  }
}

TEST(HyperParameters, PlainRotaryFrequenciesArePowersOfTheta) {
  const HyperParameters h = Read(With(Config(), {{"head_dim", 8}, {"rope_theta", 10000.0}}));
  EXPECT_THAT(
      RopeInverseFrequencies(h.rope, h.head_dim),
      ElementsAre(1.0, testing::DoubleEq(0.1), testing::DoubleEq(0.01), testing::DoubleEq(0.001)));
  EXPECT_EQ(RopeAttentionScaling(h.rope), 1.0);
}

// What the rest of the program relies on.
void ExpectSound(const HyperParameters& h) {
  for (const int64_t size :
       {h.hidden_size, h.intermediate_size, h.num_hidden_layers, h.num_attention_heads,
        h.num_key_value_heads, h.head_dim, h.vocab_size, h.max_position_embeddings}) {
    EXPECT_GT(size, 0);
    EXPECT_LT(size, int64_t{1} << 31);
  }
  EXPECT_EQ(h.num_attention_heads % h.num_key_value_heads, 0);
  EXPECT_EQ(h.head_dim % 2, 0);
  EXPECT_EQ(h.layer_windows.size(), h.num_hidden_layers);
  for (const double frequency : RopeInverseFrequencies(h.rope, h.head_dim))
    EXPECT_TRUE(std::isfinite(frequency));
  EXPECT_TRUE(std::isfinite(RopeAttentionScaling(h.rope)));
  const json form = HyperParametersToJson(h);
  const auto back = ParseHyperParameters(form, "manifest");
  ASSERT_TRUE(back.ok()) << back.status() << form;
  EXPECT_EQ(HyperParametersToJson(*back), form);
}

TEST(HyperParameters, MutatedConfigurationsAreReadSoundlyOrRefused) {
  std::mt19937 random(20260102);
  const auto pick = [&](size_t n) { return static_cast<size_t>(random() % n); };
  const json kValues[] = {nullptr,
                          true,
                          false,
                          0,
                          1,
                          -1,
                          2,
                          7,
                          64,
                          1000003,
                          INT64_MAX,
                          UINT64_MAX,
                          0.5,
                          -0.0,
                          1e-300,
                          1e300,
                          "",
                          "yarn",
                          "llama3",
                          "x\n",
                          json::array(),
                          {1, 2},
                          {-1, nullptr},
                          json::object(),
                          {{"rope_type", "yarn"}},
                          {{"type", "linear"}, {"factor", 1e-300}}};
  int accepted = 0, refused = 0;
  for (int round = 0; round < 3000; ++round) {
    json config =
        ReadJson(absl::StrCat("models/", kConfigs[pick(std::size(kConfigs))], "/config.json"));
    for (size_t i = 0, edits = 1 + pick(2); i < edits; ++i) {
      json* object = &config;
      if (config.contains("rope_parameters") && config["rope_parameters"].is_object() &&
          !config["rope_parameters"].empty() && pick(3) == 0) {
        object = &config["rope_parameters"];
      }
      auto member = object->begin();
      std::advance(member, pick(object->size()));
      if (pick(6) == 0) {
        object->erase(member);
      } else {
        *member = kValues[pick(std::size(kValues))];
      }
    }
    const auto h = ParseHyperParameters(config, "config.json");
    (h.ok() ? accepted : refused) += 1;
    if (h.ok()) {
      ExpectSound(*h);
    } else {
      EXPECT_THAT(std::string(h.status().message()), Not(HasSubstr("\n")));
    }
  }
  EXPECT_GT(accepted, 300);
  EXPECT_GT(refused, 300);
}

}  // namespace
}  // namespace sluice
