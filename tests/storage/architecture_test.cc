// Tests of the architecture table.
#include "storage/model/architecture.h"

#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

HyperParameters Small() {
  HyperParameters h;
  h.architecture = "LlamaForCausalLM";
  h.hidden_size = 12;
  h.intermediate_size = 20;
  h.num_hidden_layers = 2;
  h.num_attention_heads = 6;
  h.num_key_value_heads = 2;
  h.head_dim = 4;
  h.vocab_size = 50;
  return h;
}

std::vector<std::string> RolesOf(const std::vector<TensorSpec>& specs, int layer) {
  std::vector<std::string> roles;
  for (const TensorSpec& spec : specs) {
    if (spec.layer == layer) roles.emplace_back(RoleName(spec.role));
  }
  return roles;
}

const TensorSpec& Get(const std::vector<TensorSpec>& specs, TensorRole role, int layer) {
  for (const TensorSpec& spec : specs) {
    if (spec.role == role && spec.layer == layer) return spec;
  }
  ADD_FAILURE() << "no " << RoleName(role) << " in layer " << layer;
  return specs.front();
}

TEST(Architecture, ListsTheTensorsOfAPlainLlamaInTheOrderOfAPass) {
  const std::vector<TensorSpec> specs = ListTensors(Small());
  ASSERT_EQ(specs.size(), 1 + 2 * 9 + 2);
  EXPECT_EQ(specs.front().name, "model.embed_tokens.weight");
  EXPECT_THAT(specs.front().shape, ElementsAre(50, 12));
  EXPECT_THAT(RolesOf(specs, 0),
              ElementsAre("attention_norm", "q", "k", "v", "o", "mlp_norm", "gate", "up", "down"));
  EXPECT_EQ(RolesOf(specs, 0), RolesOf(specs, 1));
  EXPECT_THAT(RolesOf(specs, -1), ElementsAre("embedding", "final_norm", "head"));
  EXPECT_EQ(specs.back().name, "lm_head.weight");
  EXPECT_THAT(specs.back().shape, ElementsAre(50, 12));
}

TEST(Architecture, ShapesAreOutputsByInputs) {
  HyperParameters h = Small();
  h.qkv_bias = h.output_bias = h.mlp_bias = h.qk_norm = true;
  const std::vector<TensorSpec> specs = ListTensors(h);
  const struct {
    TensorRole role;
    const char* name;
    std::vector<int64_t> shape;
  } kCases[] = {
      {TensorRole::kAttentionNorm, "input_layernorm.weight", {12}},
      {TensorRole::kQ, "self_attn.q_proj.weight", {24, 12}},
      {TensorRole::kK, "self_attn.k_proj.weight", {8, 12}},
      {TensorRole::kV, "self_attn.v_proj.weight", {8, 12}},
      {TensorRole::kO, "self_attn.o_proj.weight", {12, 24}},
      {TensorRole::kQBias, "self_attn.q_proj.bias", {24}},
      {TensorRole::kKBias, "self_attn.k_proj.bias", {8}},
      {TensorRole::kVBias, "self_attn.v_proj.bias", {8}},
      {TensorRole::kOBias, "self_attn.o_proj.bias", {12}},
      {TensorRole::kQNorm, "self_attn.q_norm.weight", {4}},
      {TensorRole::kKNorm, "self_attn.k_norm.weight", {4}},
      {TensorRole::kMlpNorm, "post_attention_layernorm.weight", {12}},
      {TensorRole::kGate, "mlp.gate_proj.weight", {20, 12}},
      {TensorRole::kUp, "mlp.up_proj.weight", {20, 12}},
      {TensorRole::kDown, "mlp.down_proj.weight", {12, 20}},
      {TensorRole::kGateBias, "mlp.gate_proj.bias", {20}},
      {TensorRole::kUpBias, "mlp.up_proj.bias", {20}},
      {TensorRole::kDownBias, "mlp.down_proj.bias", {12}},
  };
  for (const auto& c : kCases) {
    const TensorSpec& spec = Get(specs, c.role, 1);
    EXPECT_EQ(spec.name, std::string("model.layers.1.") + c.name);
    EXPECT_EQ(spec.shape, c.shape) << c.name;
  }
}

TEST(Architecture, BiasesAndHeadNormsComeWithTheirFlags) {
  const struct {
    bool HyperParameters::*flag;
    int more;
  } kCases[] = {{&HyperParameters::qkv_bias, 3},
                {&HyperParameters::output_bias, 1},
                {&HyperParameters::mlp_bias, 3},
                {&HyperParameters::qk_norm, 2}};
  for (const auto& c : kCases) {
    HyperParameters h = Small();
    const size_t plain = ListTensors(h).size();
    h.*c.flag = true;
    EXPECT_EQ(ListTensors(h).size(), plain + 2 * c.more);
  }
}

TEST(Architecture, ATiedHeadHasTheEmbeddingsName) {
  HyperParameters h = Small();
  h.tie_word_embeddings = true;
  const std::vector<TensorSpec> specs = ListTensors(h);
  EXPECT_EQ(specs.back().role, TensorRole::kHead);
  EXPECT_EQ(specs.back().name, specs.front().name);
  EXPECT_EQ(specs.back().shape, specs.front().shape);
}

TEST(Architecture, RolesHaveNamesThatAreReadBack) {
  std::set<std::string> names;
  for (int i = 0; i <= static_cast<int>(TensorRole::kHead); ++i) {
    const TensorRole role = static_cast<TensorRole>(i);
    EXPECT_TRUE(names.emplace(RoleName(role)).second) << RoleName(role);
    const auto parsed = ParseRole(RoleName(role));
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(*parsed, role);
  }
  EXPECT_THAT(std::string(ParseRole("qq").status().message()), HasSubstr("\"qq\""));
  EXPECT_FALSE(ParseRole("").ok());
}

TEST(Architecture, MatricesStreamVectorsStayAndTheEmbeddingIsGathered) {
  HyperParameters h = Small();
  h.qkv_bias = h.output_bias = h.mlp_bias = h.qk_norm = true;
  for (const TensorSpec& spec : ListTensors(h)) {
    const TensorPlace place = PlaceOf(spec.role);
    if (spec.role == TensorRole::kEmbedding) {
      EXPECT_EQ(place, TensorPlace::kRows);
    } else {
      EXPECT_EQ(place, spec.shape.size() == 2 ? TensorPlace::kSlabs : TensorPlace::kResident);
    }
  }
}

TEST(Architecture, OnlyHarmlessTensorsAreIgnored) {
  HyperParameters tied = Small();
  tied.tie_word_embeddings = true;
  EXPECT_TRUE(IsIgnorableTensor(tied, "lm_head.weight"));
  EXPECT_FALSE(IsIgnorableTensor(Small(), "lm_head.weight"));
  for (const char* name :
       {"model.layers.0.self_attn.rotary_emb.inv_freq",
        "model.layers.17.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq"}) {
    EXPECT_TRUE(IsIgnorableTensor(Small(), name)) << name;
  }
  for (const char* name : {"", "inv_freq", "model.layers..self_attn.rotary_emb.inv_freq",
                           "model.layers.x.self_attn.rotary_emb.inv_freq",
                           "model.layers.0.self_attn.q_proj.bias", "lm_head.bias"}) {
    EXPECT_FALSE(IsIgnorableTensor(tied, name)) << name;
  }
}

}  // namespace
}  // namespace sluice
