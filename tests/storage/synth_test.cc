// Stores of random weights: whole, reproducible, and never on top of something else.
#include "storage/shard/synth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "storage/model/model_shapes.h"
#include "storage/store/export.h"
#include "storage/store/layer_store.h"
#include "storage/store/verify.h"
#include "tests/support/temp_dir.h"

namespace sluice {
namespace {

using testing::HasSubstr;

SynthOptions SmallOptions() {
  SynthOptions options;
  options.name = "small";
  HyperParameters& h = options.hyper_parameters;
  h = *ModelShape("llama-3.1-8b");
  h.hidden_size = 256;
  h.intermediate_size = 512;
  h.num_hidden_layers = 2;
  h.num_attention_heads = 4;
  h.num_key_value_heads = 2;
  h.head_dim = 64;
  h.vocab_size = 1024;
  h.layer_windows = {0, 0};
  options.slab_bytes = 64 << 10;
  options.num_threads = 2;
  return options;
}

TEST(Synth, WritesStoresThatVerify) {
  const TempDir dir;
  for (const char* recipe : {"", "q4_k_m", "q8_0", "f16"}) {
    SynthOptions options = SmallOptions();
    if (*recipe != '\0') options.recipe = *ParseRecipe(recipe);
    const std::string path = dir / (std::string("store") + recipe);
    const auto made = Synthesize(path, options);
    ASSERT_TRUE(made.ok()) << made.status();
    const auto verified = VerifyStore(path, VerifyOptions());
    ASSERT_TRUE(verified.ok()) << verified.status();
    EXPECT_THAT(*verified, testing::IsEmpty());
    const auto store = LayerStore::Open(path);
    ASSERT_TRUE(store.ok()) << store.status();
    EXPECT_EQ((*store)->hyper_parameters().num_hidden_layers, 2);
  }
}

TEST(Synth, GivesTheSameBytesForTheSameOptions) {
  const TempDir dir;
  SynthOptions options = SmallOptions();
  ASSERT_TRUE(Synthesize(dir / "a", options).ok());
  options.num_threads = 1;
  ASSERT_TRUE(Synthesize(dir / "b", options).ok());
  const auto read = [&](const std::string& name) {
    std::ifstream in(dir / name, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  EXPECT_EQ(read("a/manifest.json"), read("b/manifest.json"));
  EXPECT_EQ(read("a/head.slabs"), read("b/head.slabs"));
}

TEST(Synth, CompressesWhereThatIsAskedFor) {
  const TempDir dir;
  SynthOptions options = SmallOptions();
  options.compression = StoreCompression::kZstd;
  ASSERT_TRUE(Synthesize(dir / "packed", options).ok());
  EXPECT_THAT(VerifyStore(dir / "packed", VerifyOptions()).value(), testing::IsEmpty());
  const auto store = LayerStore::Open(dir / "packed");
  ASSERT_TRUE(store.ok()) << store.status();
  const Manifest& manifest = (*store)->manifest();
  // Random weights are made to compress as trained ones do.
  EXPECT_LT(manifest.slab_bytes_total(), 0.69 * manifest.raw_slab_bytes_total());
}

TEST(Synth, RefusesAFolderWithSomethingElse) {
  const TempDir dir;
  std::ofstream(dir / "letter") << "dear";
  const absl::Status status = Synthesize(dir.path(), SmallOptions()).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("letter"));
}

TEST(Synth, GoesAgainAfterAnInterruption) {
  const TempDir dir;
  SynthOptions options = SmallOptions();
  const std::atomic<bool> stop(true);
  options.stop = &stop;
  EXPECT_TRUE(absl::IsCancelled(Synthesize(dir / "store", options).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(LayerStore::Open(dir / "store").status())) << "unfinished";
  SynthOptions other = SmallOptions();
  other.recipe = *ParseRecipe("q8_0");
  EXPECT_FALSE(Synthesize(dir / "store", other).ok()) << "that one was begun with other options";
  options.stop = nullptr;
  const auto again = Synthesize(dir / "store", options);
  EXPECT_TRUE(again.ok()) << again.status();
  EXPECT_THAT(VerifyStore(dir / "store", VerifyOptions()).value(), testing::IsEmpty());
}

TEST(Synth, LeavesAFinishedStoreAlone) {
  const TempDir dir;
  SynthOptions options = SmallOptions();
  const auto made = Synthesize(dir / "store", options);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_FALSE(made->complete);
  const auto again = Synthesize(dir / "store", options);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->complete);
  EXPECT_EQ(SerializeManifest(again->manifest), SerializeManifest(made->manifest));
  options.recipe = *ParseRecipe("q8_0");
  EXPECT_THAT(std::string(Synthesize(dir / "store", options).status().message()),
              HasSubstr("as checkpoint, not as q8_0"));
  options = SmallOptions();
  options.hyper_parameters.rms_norm_eps *= 2;
  EXPECT_TRUE(absl::IsFailedPrecondition(Synthesize(dir / "store", options).status()));
}

TEST(ModelShapes, AreThoseOfRealModels) {
  for (const std::string& name : ModelShapeNames()) {
    const auto shape = ModelShape(name);
    ASSERT_TRUE(shape.ok()) << name << ": " << shape.status();
    EXPECT_EQ(shape->intermediate_size % 16, 0);
  }
  const HyperParameters h = *ModelShape("llama-3.3-70b");
  EXPECT_EQ(h.num_hidden_layers, 80);
  EXPECT_EQ(h.hidden_size, 8192);
  EXPECT_EQ(h.rope.type, RopeType::kLlama3);
  EXPECT_TRUE(absl::IsInvalidArgument(ModelShape("gpt-5").status()));
}

}  // namespace
}  // namespace sluice
