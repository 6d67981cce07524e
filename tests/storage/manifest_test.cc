// Tests of the manifest's text: the same bytes each time, and nothing hostile gets through.
#include "storage/store/manifest.h"

#include <chrono>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "storage/shard/shard_job.h"
#include "storage/shard/store_plan.h"
#include "storage/store/manifest_text.h"
#include "storage/store/store_geometry.h"
#include "store_testing.h"

namespace sluice {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A manifest as Shard() makes it, but for its checksums.
Manifest Planned(absl::string_view model, absl::string_view recipe = "",
                 int64_t slab_bytes = 16384) {
  std::optional<Recipe> chosen;
  if (!recipe.empty()) chosen = Recipe{std::string(recipe)};
  Manifest manifest = PlanStore(*OpenCheckpoint(ModelDir(model)), chosen, slab_bytes).manifest;
  manifest.tokenizer_files = {{"config.json", 12, 3}, {"tokenizer.json", 4, 5}};
  for (size_t i = 0; i < manifest.slabs.size(); ++i)
    manifest.slabs[i].checksum = i * 0x123456789abcdefull;
  return manifest;
}

// The text of an edited document, with a right checksum at its end.
std::string Sealed(json document) {
  document.erase("checksum");
  std::string text = document.dump();
  text.back() = ',';  // was the closing brace
  return SealManifest(text + "\n");
}

absl::Status ParseEdited(const json& document) {
  const absl::StatusOr<Manifest> manifest = ParseManifest(Sealed(document), "m.json");
  if (!manifest.ok()) return manifest.status();
  // What was accepted must be safe to use, and must be written back unchanged.
  const std::string text = SerializeManifest(*manifest);
  const absl::StatusOr<Manifest> again = ParseManifest(text, "again");
  EXPECT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again.ok() ? SerializeManifest(*again) : "", text);
  return absl::OkStatus();
}

TEST(Checksum, IsXxh3AsOthersComputeIt) {
  // XXH3_64bits of the empty input and of "abc", as xxhsum -H3 prints them.
  EXPECT_EQ(ChecksumToHex(Checksum(absl::Span<const std::byte>())), "2d06800538d394c2");
  EXPECT_EQ(ChecksumToHex(Checksum("abc")), "78af5f94892f3950");
  EXPECT_EQ(*ParseChecksum("00000000000000ff"), 255u);
  for (const char* bad : {"", "ff", "00000000000000FF", "00000000000000fg", "00000000000000ff0"}) {
    EXPECT_FALSE(ParseChecksum(bad).ok()) << bad;
  }
}

TEST(Manifest, ComesBackFromItsTextUnchanged) {
  for (const std::string& model : GoldenModels()) {
    for (const char* recipe : {"", "q8_0", "q4_k_m"}) {
      const Manifest manifest = Planned(model, recipe);
      const std::string text = SerializeManifest(manifest);
      const absl::StatusOr<Manifest> parsed = ParseManifest(text, "m.json");
      ASSERT_TRUE(parsed.ok()) << model << ": " << parsed.status();
      EXPECT_EQ(SerializeManifest(*parsed), text) << model;
      ASSERT_EQ(parsed->tensors.size(), manifest.tensors.size());
      for (size_t i = 0; i < manifest.tensors.size(); ++i) {
        EXPECT_EQ(parsed->tensors[i].name, manifest.tensors[i].name);
        EXPECT_EQ(parsed->tensors[i].fallback, manifest.tensors[i].fallback);
        EXPECT_EQ(parsed->tensors[i].encoding, manifest.tensors[i].encoding);
        EXPECT_EQ(parsed->tensors[i].offset, manifest.tensors[i].offset);
      }
      ASSERT_EQ(parsed->slabs.size(), manifest.slabs.size());
      for (size_t i = 0; i < manifest.slabs.size(); ++i) {
        EXPECT_EQ(parsed->slabs[i].tensors, manifest.slabs[i].tensors);
        EXPECT_EQ(parsed->slabs[i].checksum, manifest.slabs[i].checksum);
        EXPECT_EQ(parsed->slabs[i].offset, manifest.slabs[i].offset);
        EXPECT_EQ(parsed->slabs[i].bytes, SlabBytes(*parsed, parsed->slabs[i]));
        EXPECT_EQ(parsed->slabs[i].raw_bytes, parsed->slabs[i].bytes);
      }
      EXPECT_EQ(parsed->slab_bytes_total(), manifest.slab_bytes_total());
      EXPECT_EQ(parsed->max_slab_bytes(), manifest.max_slab_bytes());
      EXPECT_EQ(parsed->source_fingerprint, manifest.source_fingerprint);
    }
  }
}

TEST(Manifest, KeepsOddNamesAsJsonCan) {
  Manifest manifest = Planned("qwen3-qknorm-bf16");
  manifest.source = "quote \" back\\slash \n \xff (bf16)";
  const absl::StatusOr<Manifest> parsed = ParseManifest(SerializeManifest(manifest), "m.json");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->source, "quote \" back\\slash \n \xef\xbf\xbd (bf16)");
}

// A manifest of a compressed store: slab 0 is a bf16 one, stored in a block less than its raw
// bytes.
Manifest Compressed() {
  std::optional<Recipe> recipe;
  Manifest manifest = PlanStore(*OpenCheckpoint(ModelDir("qwen3-qknorm-bf16")), recipe, 16384,
                                StoreCompression::kZstd)
                          .manifest;
  manifest.slabs[0].compression = SlabCompression::kZstdPlanes;
  manifest.slabs[0].bytes = manifest.slabs[0].raw_bytes - 4097;
  return manifest;
}

TEST(Manifest, FormatTwoHoldsCompressedSlabs) {
  const Manifest manifest = Compressed();
  const std::string text = SerializeManifest(manifest);
  EXPECT_THAT(text,
              AllOf(HasSubstr("\"format_version\": 2"), HasSubstr("\"compression\": \"zstd\"")));
  const absl::StatusOr<Manifest> parsed = ParseManifest(text, "m.json");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(SerializeManifest(*parsed), text);
  EXPECT_EQ(parsed->compression, StoreCompression::kZstd);
  const ManifestSlab& slab = parsed->slabs[0];
  EXPECT_EQ(slab.compression, SlabCompression::kZstdPlanes);
  EXPECT_EQ(slab.bytes, slab.raw_bytes - 4097);
  EXPECT_EQ(slab.raw_bytes, SlabBytes(*parsed, slab));
  EXPECT_EQ(parsed->slabs[1].compression, SlabCompression::kNone);
  EXPECT_EQ(parsed->slabs[1].raw_bytes, parsed->slabs[1].bytes);
  EXPECT_EQ(parsed->raw_slab_bytes_total() - parsed->slab_bytes_total(), 4097);
  EXPECT_EQ(parsed->max_slab_bytes(), Planned("qwen3-qknorm-bf16").max_slab_bytes());
}

TEST(Manifest, RefusesCompressionThatCannotBe) {
  const json good = json::parse(SerializeManifest(Compressed()));
  ASSERT_TRUE(ParseEdited(good).ok()) << ParseEdited(good);
  const json slab = good["slabs"][0];
  ASSERT_EQ(slab.size(), 10u);
  struct Case {
    const char* what;
    std::function<void(json&)> edit;
    const char* message;
  };
  const std::vector<Case> cases = {
      {"format 1", [](json& m) { m["format_version"] = 1; }, "this is format 1"},
      {"format 2 without", [](json& m) { m.erase("compression"); }, "this is format 2"},
      {"format 2 with none", [](json& m) { m["compression"] = "none"; }, "this is format 2"},
      {"unknown", [](json& m) { m["compression"] = "lz4"; }, "unknown compression \"lz4\""},
      {"no string", [](json& m) { m["compression"] = 1; }, "compression"},
      {"a slab in format 1",
       [](json& m) {
         m["format_version"] = 1;
         m.erase("compression");
       },
       "slab 0: compressed, in a store without compression"},
      {"unknown of a slab", [](json& m) { m["slabs"][0][8] = "zip"; },
       "unknown compression \"zip\""},
      {"a slab's none", [](json& m) { m["slabs"][0][8] = "none"; }, "unknown compression \"none\""},
      {"raw bytes missing", [](json& m) { m["slabs"][0].erase(9); }, "integer"},
      {"raw bytes wrong", [](json& m) { m["slabs"][0][9] = 64; }, "64 bytes instead"},
      {"one item more", [](json& m) { m["slabs"][0].push_back(1); }, "too many"},
      {"as long as raw", [](json& m) { m["slabs"][0][3] = m["slabs"][0][9]; }, "cannot be"},
      {"longer than raw", [](json& m) { m["slabs"][0][3] = 1 << 20; }, "cannot be"},
      {"no bytes", [](json& m) { m["slabs"][0][3] = 0; }, "cannot be compressed to 0"},
      {"negative", [](json& m) { m["slabs"][0][3] = -5; }, "cannot be compressed to -5"},
      {"shorter without saying so", [](json& m) { m["slabs"][1][3] = 64; }, "64 bytes instead"},
      {"planes of 32 bits",
       [](json& m) {
         m["tensors"][2]["encoding"] = "f32";
         for (json& slab : m["slabs"]) {
           if (slab[7] == 2)
             slab[slab.size() == 10 ? 9 : 3] = 2 * slab[slab.size() == 10 ? 9 : 3].get<int64_t>();
         }
       },
       "f32 have no planes"},
  };
  for (const Case& c : cases) {
    json document = good;
    c.edit(document);
    const absl::Status status = ParseEdited(document);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.what << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.message)) << c.what;
  }
}

TEST(Manifest, FindsTensorsByRoleAndLayer) {
  const Manifest manifest = Planned("qwen2-bias-bf16");
  EXPECT_EQ(manifest.Find(TensorRole::kQBias, 1)->name, "model.layers.1.self_attn.q_proj.bias");
  EXPECT_EQ(manifest.Find(TensorRole::kQBias, 1)->encoding, Encoding::kF32);
  EXPECT_EQ(manifest.Find(TensorRole::kOBias, 1), nullptr);
  EXPECT_EQ(manifest.Find(TensorRole::kQ, 1000), nullptr);
}

TEST(Manifest, FindsEachOf45000MatricesWhereItIsListed) {
  json config = TinyConfig(16, 16, 16);
  config["num_hidden_layers"] = 6429;  // of seven matrices each
  const StorePlan plan = PlanStore({.hyper_parameters = *ParseHyperParameters(config, "test"),
                                    .name = "test",
                                    .encoding = [](const TensorSpec&) { return Encoding::kBF16; }},
                                   std::nullopt, kDefaultSlabBytes);
  const absl::StatusOr<Manifest> parsed = ParseManifest(SerializeManifest(plan.manifest), "m.json");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  int matrices = 0;
  for (const Manifest* manifest : {&plan.manifest, &*parsed}) {
    for (const ManifestTensor& tensor : manifest->tensors) {
      ASSERT_EQ(manifest->Find(tensor.role, tensor.layer), &tensor) << tensor.name;
      if (PlaceOf(tensor.role) == TensorPlace::kSlabs) ++matrices;
    }
    EXPECT_EQ(manifest->Find(TensorRole::kQ, 6429), nullptr);
    EXPECT_EQ(manifest->Find(TensorRole::kQ, -1), nullptr);
  }
  EXPECT_EQ(matrices, 2 * (6429 * 7 + 1));
}

TEST(TensorIndex, KnowsTheFirstOfEqualTensorsAndNoneOfAnEmptyList) {
  EXPECT_EQ(TensorIndex().Find(TensorRole::kQ, 0), -1);
  ManifestTensor q;
  q.role = TensorRole::kQ;
  q.layer = 2;
  ManifestTensor k = q;
  k.role = TensorRole::kK;
  const std::vector<ManifestTensor> tensors = {k, q, q};
  const TensorIndex index(tensors);
  EXPECT_EQ(index.Find(TensorRole::kQ, 2), 1);
  EXPECT_EQ(index.Find(TensorRole::kK, 2), 0);
  EXPECT_EQ(index.Find(TensorRole::kK, 1), -1);
  EXPECT_EQ(index.Find(TensorRole::kV, 2), -1);
}

TEST(Manifest, FormatThreeHoldsTheProgram) {
  for (Manifest manifest : {Planned("qwen2-bias-bf16", "q4_k_m"), Compressed()}) {
    EXPECT_EQ(SerializeManifest(manifest).find("\"program\""), std::string::npos);
    manifest.format_version = 3;
    const std::string text = SerializeManifest(manifest);
    EXPECT_THAT(text, AllOf(HasSubstr("\"format_version\": 3"),
                            HasSubstr("{\"kind\": \"attention\", \"layer\": 0, \"norm\": "
                                      "\"attention_norm\", \"demand\": \"always\"")));
    const absl::StatusOr<Manifest> parsed = ParseManifest(text, "m.json");
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(SerializeManifest(*parsed), text);
    EXPECT_TRUE(parsed->program == manifest.program);
    EXPECT_EQ(FormatVersion(*parsed), 3);
  }
}

// Nothing older can say which blocks are routed, and to which experts.
TEST(Manifest, ExpertsAreWrittenInFormatThree) {
  Manifest manifest = Planned("qwen3-qknorm-bf16");
  EXPECT_EQ(FormatVersion(manifest), 1);
  manifest.program.blocks[1].demand = Demand::kRouted;
  EXPECT_EQ(FormatVersion(manifest), 3);
  manifest.program.blocks[1].demand = Demand::kAlways;
  manifest.program.blocks[1].products[0].expert = 7;
  EXPECT_EQ(FormatVersion(manifest), 3);
  EXPECT_THAT(SerializeManifest(manifest), HasSubstr("\"writes\": \"gated\", \"expert\": 7}"));
}

TEST(Manifest, RefusesAProgramThatItDoesNotCompute) {
  Manifest manifest = Planned("qwen3-qknorm-bf16");
  manifest.format_version = 3;
  const json good = json::parse(SerializeManifest(manifest));
  ASSERT_TRUE(ParseEdited(good).ok()) << ParseEdited(good);
  struct Case {
    const char* what;
    std::function<void(json&)> edit;
    const char* message;
  };
  const std::vector<Case> cases = {
      {"format 1", [](json& m) { m["format_version"] = 1; }, "this is format 1"},
      {"none", [](json& m) { m.erase("program"); }, "this is format 3"},
      {"no array", [](json& m) { m["program"] = 3; }, "is not an array"},
      {"no block", [](json& m) { m["program"][0] = 3; }, "entry 0: is not an object"},
      {"unknown member", [](json& m) { m["program"][1]["x"] = 1; }, "unknown member \"x\""},
      {"unknown kind", [](json& m) { m["program"][1]["kind"] = "mla"; }, "unknown name \"mla\""},
      {"layer too large", [](json& m) { m["program"][1]["layer"] = 1ll << 40; }, "out of range"},
      {"no slot", [](json& m) { m["program"][1]["norm"] = "x"; }, "entry 1"},
      {"no products", [](json& m) { m["program"][1].erase("products"); }, "is not an array"},
      {"three matrices",
       [](json& m) {
         json& matrices = m["program"][1]["products"][0]["matrices"];
         matrices.push_back(matrices[0]);
       },
       "not an array of one or two"},
      {"together alone", [](json& m) { m["program"][1]["products"][1]["together"] = "swiglu"; },
       "for two matrices"},
      {"negative expert", [](json& m) { m["program"][1]["products"][1]["expert"] = -2; },
       "out of range"},
      {"routed", [](json& m) { m["program"][1]["demand"] = "routed"; },
       "entry 1: not what this program computes"},
      {"an expert", [](json& m) { m["program"][1]["products"][1]["expert"] = 0; },
       "entry 1: not what this program computes"},
      {"another order", [](json& m) { std::swap(m["program"][0], m["program"][1]); },
       "entry 0: not what this program computes"},
      {"a block less", [](json& m) { m["program"].erase(2); }, "not what this program computes"},
      {"a block more", [](json& m) { m["program"].push_back(m["program"][0]); },
       "not what this program computes"},
  };
  for (const Case& test : cases) {
    json edited = good;
    test.edit(edited);
    const absl::Status status = ParseEdited(edited);
    EXPECT_FALSE(status.ok()) << test.what;
    EXPECT_THAT(std::string(status.message()), HasSubstr(test.message)) << test.what;
  }
}

TEST(Manifest, NewerFormatsAreRefusedWithTheVersionThatIsRead) {
  json document = json::parse(SerializeManifest(Planned("qwen3-qknorm-bf16")));
  document["format_version"] = 4;
  document["whatever comes"] = {1, 2, 3};
  const absl::Status status = ParseEdited(document);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("store format 4; this program reads formats 1 to 3"));
  // Also where a person only changed the number.
  const std::string text =
      absl::StrReplaceAll(SerializeManifest(Planned("qwen3-qknorm-bf16")),
                          {{"\"format_version\": 1", "\"format_version\": 7"}});
  EXPECT_EQ(ParseManifest(text, "m.json").status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(Manifest, AnyFlippedBitOfTheTextIsFound) {
  const std::string text = SerializeManifest(Planned("qwen3-qknorm-bf16"));
  for (size_t i = 0; i < text.size(); i += 3) {
    std::string damaged = text;
    damaged[i] ^= static_cast<char>(1 << (i % 8));
    const absl::Status status = ParseManifest(damaged, "m.json").status();
    ASSERT_FALSE(status.ok()) << "byte " << i;
    ASSERT_THAT(std::string(status.message()), StartsWith("m.json: ")) << "byte " << i;
  }
  for (const size_t length : {size_t{0}, size_t{1}, text.size() / 2, text.size() - 1}) {
    EXPECT_EQ(ParseManifest(text.substr(0, length), "m.json").status().code(),
              absl::StatusCode::kDataLoss);
  }
}

TEST(Manifest, RefusesWhatDoesNotFitTogether) {
  const json good = json::parse(SerializeManifest(Planned("llama-gqa-untied-f32")));
  ASSERT_TRUE(ParseEdited(good).ok()) << ParseEdited(good);
  const size_t slabs = good["slabs"].size();
  int gate = -1;  // the first slab of gate and up
  for (size_t i = 0; i < slabs && gate < 0; ++i) {
    if (good["slabs"][i].size() == 9) gate = static_cast<int>(i);
  }
  ASSERT_GE(gate, 0);
  struct Case {
    const char* what;
    std::function<void(json&)> edit;
    const char* message;
  };
  const std::vector<Case> cases = {
      {"format", [](json& m) { m["format"] = "other"; }, "\"format\""},
      {"version 0", [](json& m) { m["format_version"] = 0; }, "no store format 0"},
      {"version missing", [](json& m) { m.erase("format_version"); }, "format_version"},
      {"unknown member", [](json& m) { m["x"] = 1; }, "unknown member \"x\""},
      {"unknown tensor member", [](json& m) { m["tensors"][0]["x"] = 1; }, "unknown member \"x\""},
      {"slab target", [](json& m) { m["slab_bytes"] = 0; }, "slab_bytes"},
      {"stride", [](json& m) { m["embedding_stride"] = 8; }, "embedding_stride"},
      {"resident size", [](json& m) { m["resident_bytes"] = 64; }, "resident.bin"},
      {"resident size odd", [](json& m) { m["resident_bytes"] = 65; }, "resident_bytes"},
      {"config missing", [](json& m) { m.erase("config"); }, "config"},
      {"config no object", [](json& m) { m["config"] = 3; }, "num_hidden_layers"},
      {"layers", [](json& m) { m["config"]["num_hidden_layers"] = 1000000000000; }, "layers"},
      {"fewer layers", [](json& m) { m["config"]["num_hidden_layers"] = 1; }, "tensors instead of"},
      {"hidden size", [](json& m) { m["config"]["hidden_size"] = 128; }, "shape"},
      {"no tensors", [](json& m) { m["tensors"] = json::array(); }, "layers"},
      {"tensor gone", [](json& m) { m["tensors"].erase(3); }, "tensors instead of"},
      {"tensors swapped", [](json& m) { std::swap(m["tensors"][2], m["tensors"][3]); }, "expected"},
      {"tensor named otherwise", [](json& m) { m["tensors"][2]["name"] = "w"; }, "expected"},
      {"role", [](json& m) { m["tensors"][2]["role"] = "k"; }, "expected"},
      {"no such role", [](json& m) { m["tensors"][2]["role"] = "z"; }, "role"},
      {"layer", [](json& m) { m["tensors"][2]["layer"] = 1; }, "expected"},
      {"layer negative", [](json& m) { m["tensors"][2]["layer"] = -1; }, "layer"},
      {"shape",
       [](json& m) {
         m["tensors"][2]["shape"] = {1, 2};
       },
       "shape"},
      {"shape no array", [](json& m) { m["tensors"][2]["shape"] = 5; }, "array"},
      {"encoding", [](json& m) { m["tensors"][2]["encoding"] = "q9"; }, "q9"},
      {"encoding of other size", [](json& m) { m["tensors"][2]["encoding"] = "bf16"; }, "bytes"},
      {"encoding not possible", [](json& m) { m["tensors"][2]["encoding"] = "q4_k"; }, "q4_k"},
      {"resident encoding", [](json& m) { m["tensors"][1]["encoding"] = "bf16"; }, "resident"},
      {"place", [](json& m) { m["tensors"][2]["place"] = "rows"; }, "rows"},
      {"matrix with offset", [](json& m) { m["tensors"][2]["offset"] = 0; }, "offset"},
      {"resident overlap", [](json& m) { m["tensors"][6]["offset"] = 0; }, "tensor 6"},
      {"resident unaligned", [](json& m) { m["tensors"][1]["offset"] = 32; }, "64-aligned"},
      {"resident checksum", [](json& m) { m["tensors"][1]["checksum"] = "12"; }, "checksum"},
      {"root unknown", [](json& m) { m["files"][0][0] = 1; }, "no root 1"},
      {"root negative", [](json& m) { m["files"][0][0] = -1; }, "no root -1"},
      {"root empty", [](json& m) { m["roots"][0] = ""; }, "root"},
      {"no roots", [](json& m) { m["roots"] = json::array(); }, "no root 0"},
      {"path up", [](json& m) { m["files"][0][1] = "../x"; }, "not a path below"},
      {"path up inside", [](json& m) { m["files"][0][1] = "a/../../x"; }, "not a path below"},
      {"path absolute", [](json& m) { m["files"][0][1] = "/etc/passwd"; }, "not a path below"},
      {"path empty", [](json& m) { m["files"][0][1] = ""; }, "not a path below"},
      {"path with NUL", [](json& m) { m["files"][0][1] = std::string("a\0b", 3); },
       "not a path below"},
      {"path twice", [](json& m) { m["files"][1][1] = m["files"][0][1]; }, "listed twice"},
      {"file size odd", [](json& m) { m["files"][0][2] = 4097; }, "4097"},
      {"file size negative", [](json& m) { m["files"][0][2] = -4096; }, "-4096"},
      {"file too short", [](json& m) { m["files"][0][2] = 4096; }, "after"},
      {"copy outside", [](json& m) { m["tokenizer_files"][0][0] = "../x"; }, "tokenizer file 0"},
      {"copy in folder", [](json& m) { m["tokenizer_files"][0][0] = "a/b"; }, "tokenizer file 0"},
      {"copies unsorted", [](json& m) { m["tokenizer_files"][1][0] = "a"; }, "tokenizer file 1"},
      {"no slabs", [](json& m) { m["slabs"] = json::array(); }, "slabs end"},
      {"slab gone", [](json& m) { m["slabs"].erase(1); }, "slab 1"},
      {"last slab gone", [=](json& m) { m["slabs"].erase(slabs - 1); }, "slabs end"},
      {"slab twice", [](json& m) { m["slabs"].push_back(m["slabs"].back()); }, "after the last"},
      {"slabs swapped", [](json& m) { std::swap(m["slabs"][0], m["slabs"][1]); }, "slab 0"},
      {"block", [](json& m) { m["slabs"][0][0] = 1; }, "block"},
      {"file", [](json& m) { m["slabs"][0][1] = 99; }, "no file 99"},
      {"offset odd", [](json& m) { m["slabs"][1][2] = 100; }, "not aligned"},
      {"offset negative", [](json& m) { m["slabs"][1][2] = -4096; }, "not aligned"},
      {"offset huge", [](json& m) { m["slabs"][1][2] = INT64_MAX / 4096 * 4096; }, "after"},
      {"overlap", [](json& m) { m["slabs"][1][2] = 0; }, "overlap"},
      {"bytes", [](json& m) { m["slabs"][0][3] = 64; }, "64 bytes instead"},
      {"checksum", [](json& m) { m["slabs"][0][4] = 5; }, "string"},
      {"first tile", [](json& m) { m["slabs"][0][5] = 1; }, "slab 0"},
      {"first tile negative", [](json& m) { m["slabs"][0][5] = -1; }, "tiles -1"},
      {"first tile huge", [](json& m) { m["slabs"][0][5] = INT64_MAX; }, "tiles"},
      {"no tiles", [](json& m) { m["slabs"][0][6] = 0; }, "tiles"},
      {"tiles huge", [](json& m) { m["slabs"][0][6] = INT64_MAX; }, "tiles"},
      {"tiles more than 64 bits", [](json& m) { m["slabs"][0][6] = UINT64_MAX; }, "integer"},
      {"no tensor", [](json& m) { m["slabs"][0].erase(7); }, "integer"},
      {"tensor unknown", [](json& m) { m["slabs"][0][7] = 1000; }, "no tensor 1000"},
      {"tensor negative", [](json& m) { m["slabs"][0][7] = -1; }, "no tensor -1"},
      {"a norm in a slab", [](json& m) { m["slabs"][0][7] = 1; }, "not a matrix"},
      {"three tensors",
       [](json& m) {
         m["slabs"][0].insert(m["slabs"][0].end(), {3, 4});
       },
       "too many"},
      {"gate twice", [=](json& m) { m["slabs"][gate][8] = m["slabs"][gate][7]; }, "slab"},
      {"up before gate", [=](json& m) { std::swap(m["slabs"][gate][7], m["slabs"][gate][8]); },
       "slab"},
      {"a slab that is no array", [](json& m) { m["slabs"][0] = "x"; }, "array"},
      {"slabs no array", [](json& m) { m["slabs"] = 1; }, "slabs"},
  };
  for (const Case& c : cases) {
    json document = good;
    c.edit(document);
    const absl::Status status = ParseEdited(document);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.what << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.message)) << c.what;
  }
}

// Every value of the document is replaced by every one of a set of nasty ones.
TEST(Manifest, NoReplacedValueDoesMoreThanFail) {
  const json good = json::parse(SerializeManifest(Planned("qwen3-qknorm-bf16", "", 1 << 20)));
  const std::vector<json> nasty = {nullptr, -1, 0,       INT64_MAX,     UINT64_MAX,     1e300,
                                   0.5,     "", "../..", json::array(), json::object(), true};
  const json flat = good.flatten();
  int accepted = 0;
  for (const auto& [pointer, value] : flat.items()) {
    for (const json& replacement : nasty) {
      json document = good;
      document[json::json_pointer(pointer)] = replacement;
      if (document != good && ParseEdited(document).ok()) ++accepted;
    }
  }
  // Names for people, numbers of the config that nothing else depends on, and the like.
  EXPECT_LT(accepted, static_cast<int>(flat.size() * nasty.size() / 10));
}

TEST(Manifest, NoMutatedTextDoesMoreThanFail) {
  std::string body = SerializeManifest(Planned("qwen3-qknorm-bf16", "", 1 << 20));
  body.resize(absl::string_view(body).rfind(kSealBegin));
  std::mt19937 random(7);
  const std::string bytes = "0123456789-,:.[]{}\"\\ e\xff";
  for (int i = 0; i < 4000; ++i) {
    std::string text = body;
    for (int edits = 1 + random() % 4; edits > 0; --edits) {
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = bytes[random() % bytes.size()];
          break;
        case 1:
          text.insert(at, text.substr(random() % text.size(), random() % 40));
          break;
        case 2:
          text.erase(at, random() % 40);
          break;
      }
    }
    const absl::StatusOr<Manifest> manifest = ParseManifest(SealManifest(text), "m.json");
    if (manifest.ok()) {
      const std::string written = SerializeManifest(*manifest);
      ASSERT_TRUE(ParseManifest(written, "again").ok());
    }
  }
}

// A file that is all hole stands for 810 GB of weights; only its header is ever read here.
TEST(Manifest, A405BModelsManifestIsReadInAFractionOfASecond) {
  TemporaryFolder folder(TemporaryFolder::Where::kDisk);
  json config = TinyConfig(16384, 53248, 128256);
  config["num_hidden_layers"] = 126;
  config["num_attention_heads"] = 128;
  config["num_key_value_heads"] = 8;
  WriteBytes(folder / "config.json", config.dump());
  json header;
  int64_t end = 0;
  for (const TensorSpec& spec : ListTensors(*ParseHyperParameters(config, "test"))) {
    int64_t bytes = 2;
    for (const int64_t n : spec.shape) bytes *= n;
    header[spec.name] = {
        {"dtype", "BF16"}, {"shape", spec.shape}, {"data_offsets", {end, end + bytes}}};
    end += bytes;
  }
  std::string text = header.dump();
  std::string length;
  for (int i = 0; i < 8; ++i) length.push_back(static_cast<char>(text.size() >> (8 * i)));
  WriteBytes(folder / "model.safetensors", length + text);
  std::error_code error;
  std::filesystem::resize_file(folder / "model.safetensors", 8 + text.size() + end, error);
  if (error) GTEST_SKIP() << "no sparse file of " << end << " bytes: " << error.message();

  const std::unique_ptr<Checkpoint> checkpoint = OpenCheckpoint(folder.path());
  for (const char* recipe : {"bf16", "q4_k_m"}) {
    const StorePlan plan = PlanStore(*checkpoint, Recipe{recipe}, kDefaultSlabBytes);
    const std::string manifest = SerializeManifest(plan.manifest);
    const auto start = std::chrono::steady_clock::now();
    const absl::StatusOr<Manifest> parsed = ParseManifest(manifest, "m.json");
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    std::printf("%s: %zu slabs, %zu bytes of text, parsed in %.3f s; a worker's buffers %.1f MB\n",
                recipe, parsed->slabs.size(), manifest.size(), seconds,
                ShardWorker::MaxBytes(plan) / 1e6);
    // One tile is 16 rows of 53,248 values. Eight threads must stay far below 512 MiB.
    EXPECT_LT(ShardWorker::MaxBytes(plan), 16 << 20);
  }
}

}  // namespace
}  // namespace sluice
