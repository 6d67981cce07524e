// Tests of the registry of families, and of what every family in it must hold.
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "storage/model/families/family.h"

namespace sluice {
namespace {

HyperParameters SmallModelOf(const Family& family) {
  HyperParameters h;
  h.architecture = std::string(family.architecture);
  h.hidden_size = 12;
  h.intermediate_size = 20;
  h.num_hidden_layers = 2;
  h.num_attention_heads = 6;
  h.num_key_value_heads = 2;
  h.head_dim = 4;
  h.vocab_size = 50;
  h.max_position_embeddings = 64;
  h.layer_windows = {0, 0};
  h.qkv_bias = h.output_bias = h.mlp_bias = h.qk_norm = true;
  return h;
}

TEST(Families, AreFoundByTheirArchitectureAndNamedOnce) {
  std::set<absl::string_view> architectures, model_types;
  for (const Family* family : Families()) {
    EXPECT_EQ(FindFamily(family->architecture), family);
    EXPECT_EQ(&FamilyOf(SmallModelOf(*family)), family);
    EXPECT_TRUE(architectures.insert(family->architecture).second) << family->architecture;
    EXPECT_TRUE(model_types.insert(family->model_type).second) << family->model_type;
    EXPECT_FALSE(family->gguf_architecture.empty()) << family->architecture;
  }
  EXPECT_GE(architectures.size(), 4);
  EXPECT_EQ(FindFamily(""), nullptr);
  EXPECT_EQ(FindFamily("llama"), nullptr);
}

// A store's manifest lists tensors in this order, and is read by older programs, too.
TEST(Families, ListTheTensorsOfALayerInTheOrderOfTheirSlots) {
  for (const Family* family : Families()) {
    const std::vector<TensorSpec> specs = ListTensors(SmallModelOf(*family));
    ASSERT_EQ(specs.size(), 1 + 2 * 18 + 2) << family->architecture;
    std::set<std::string> names, gguf_names;
    for (size_t i = 0; i < specs.size(); ++i) {
      EXPECT_TRUE(names.insert(specs[i].name).second) << specs[i].name;
      EXPECT_TRUE(gguf_names.insert(specs[i].gguf_name).second) << specs[i].gguf_name;
      if (i > 0 && specs[i].layer == specs[i - 1].layer) {
        EXPECT_LT(specs[i - 1].role, specs[i].role) << family->architecture;
      }
    }
  }
}

TEST(Families, OnlyLlamaAndMistralHaveHalvesOfHeadsTakeTurnsInGgufFiles) {
  for (const Family* family : Families()) {
    int turns = 0;
    for (const TensorSpec& spec : ListTensors(SmallModelOf(*family))) {
      turns += spec.gguf_rows == GgufRows::kHalvesTakeTurns;
    }
    EXPECT_EQ(turns, family->gguf_architecture == "llama" ? 2 * 4 : 0) << family->architecture;
  }
}

TEST(Families, ComeBackFromTheManifestsForm) {
  for (const Family* family : Families()) {
    HyperParameters h = SmallModelOf(*family);
    const ConfigRules& rules = family->config;
    // Biases that config.json cannot say are what the family says.
    for (const auto& [rule, value] : {std::pair(&rules.qkv_bias, &h.qkv_bias),
                                      {&rules.output_bias, &h.output_bias},
                                      {&rules.mlp_bias, &h.mlp_bias}}) {
      if (rule->key.empty()) *value = rule->otherwise;
    }
    h.qk_norm = rules.qk_norm;
    const nlohmann::json form = HyperParametersToJson(h);
    const absl::StatusOr<HyperParameters> back = ParseHyperParameters(form, "manifest");
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(HyperParametersToJson(*back), form);
    EXPECT_EQ(back->architecture, family->architecture);
    EXPECT_EQ(back->qkv_bias, h.qkv_bias);
    EXPECT_EQ(back->output_bias, h.output_bias);
    EXPECT_EQ(back->mlp_bias, h.mlp_bias);
  }
}

}  // namespace
}  // namespace sluice
