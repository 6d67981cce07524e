// Shards a checkpoint into a temporary store and runs passes over it, placed as a test wants.
#ifndef SLUICE_TESTS_RUNTIME_MODEL_HARNESS_H_
#define SLUICE_TESTS_RUNTIME_MODEL_HARNESS_H_

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/thread_pool.h"
#include "runtime/pass/memory_plan.h"
#include "runtime/pass/model.h"
#include "storage/shard/sharder.h"
#include "storage/source/checkpoint.h"
#include "storage/store/layer_store.h"
#include "tests/support/temp_dir.h"

namespace sluice {

// Below tests/data of the checkout, or SLUICE_TEST_DATA: programs that are carried to another
// machine have it beside them.
inline std::string TestDataPath(const std::string& name) {
  const char* const carried = std::getenv("SLUICE_TEST_DATA");
  return std::string(carried != nullptr ? carried : SLUICE_SOURCE_DIR "/tests/data") + "/" + name;
}

// A store made from a checkpoint of tests/data/models, or of another folder (an absolute path).
class TestStore {
 public:
  TestStore(const std::string& model, const std::string& recipe, int64_t slab_bytes,
            StoreCompression compression = StoreCompression::kNone) {
    auto checkpoint = Checkpoint::Open(model[0] == '/' ? model : TestDataPath("models/" + model));
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
    ShardOptions options;
    options.slab_bytes = slab_bytes;
    options.num_threads = 2;
    options.compression = compression;
    if (!recipe.empty()) options.recipe = *ParseRecipe(recipe);
    const auto result = Shard(**checkpoint, dir_ / "store", options);
    EXPECT_TRUE(result.ok()) << result.status();
    auto store = LayerStore::Open(dir_ / "store");
    EXPECT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  const LayerStore& operator*() const { return *store_; }
  const LayerStore* operator->() const { return store_.get(); }

 private:
  TempDir dir_;
  std::unique_ptr<LayerStore> store_;
};

enum class Placement { kResident, kHalf, kStreamed };

struct RunConfig {
  std::string name;
  Placement placement = Placement::kResident;
  IoKind io = IoKind::kAuto;
  int64_t chunk = 512;  // rows a pass
  int num_threads = 1;
  Isa isa = SupportedIsas().back();
  KvType kv = KvType::kF32;
  int64_t context = 512;
  bool all_logits = true;
  bool fast_math = false;     // products need RoundsActivations(isa)
  int64_t kv_pages = 0;       // 0: of the whole context
  int64_t kv_disk_pages = 0;  // of the KV cache's, on disk
  int64_t draft_rows = 0;     // of a pass, in trees
  bool keeps_hidden = false;
  int64_t ring_slabs = 2;  // of the largest size, where something is streamed; 2 is the least
  SlabStream::EngineFactory make_engine = &IoEngine::Create;
};

inline int64_t LargestPlace(const Manifest& manifest) {
  int64_t most = 0;
  for (const ManifestSlab& slab : manifest.slabs) {
    most = std::max(most, StreamSlabOf(slab, false).place_bytes());
  }
  return most;
}

// The logits of all of `tokens` as one new sequence, in passes of as many rows as the plan has.
inline absl::StatusOr<std::vector<float>> LogitsOf(Model& model,
                                                   const std::vector<int32_t>& tokens) {
  KvSequence sequence;
  EXPECT_TRUE(model.kv_cache().Reserve(sequence, static_cast<int64_t>(tokens.size())).ok());
  std::vector<float> all;
  for (size_t done = 0; done < tokens.size();) {
    std::vector<PassRow> rows;
    while (done < tokens.size() && static_cast<int64_t>(rows.size()) < model.plan().pass_rows) {
      rows.push_back({&sequence, static_cast<int64_t>(done), tokens[done], true});
      ++done;
    }
    const auto logits = model.RunPass(rows);
    if (!logits.ok()) return logits.status();
    all.insert(all.end(), logits->begin(), logits->end());
  }
  model.kv_cache().Release(sequence);
  return all;
}

// A model over `store`, which must outlive it.
struct TestModel {
  TestModel(const LayerStore& store, const RunConfig& config) : pool(config.num_threads) {
    PlanRequest request;
    request.max_ram_bytes = int64_t{8} << 30;
    request.context_tokens = config.context;
    request.pass_rows = config.chunk;
    request.logits_of_all_rows = config.all_logits;
    request.k_type = request.v_type = config.kv;
    request.fast_math = config.fast_math;
    request.kv_pages = config.kv_pages;
    request.kv_disk_pages = config.kv_disk_pages;
    request.draft_rows = config.draft_rows;
    request.keeps_hidden = config.keeps_hidden;
    auto plan = PlanMemory(store, request);
    EXPECT_TRUE(plan.ok()) << plan.status();
    if (config.placement != Placement::kResident) {
      plan->host().ring_bytes = config.ring_slabs * LargestPlace(store.manifest());
      for (size_t i = 0; i < plan->residency.tier.size(); ++i) {
        if (config.placement == Placement::kStreamed || i % 2 == 0)
          plan->residency.tier[i] = kOnDisk;
      }
    }
    ops = *MakeCpuOps(config.isa, &pool);
    place = MakeHostPlace(ops.get());
    ReadOptions read;
    read.io.kind = config.io;
    read.make_engine = config.make_engine;
    if (config.kv_disk_pages > 0) read.io.scratch_dir = scratch.emplace().path();
    auto made = Model::Create(store, *plan, place.get(), read);
    EXPECT_TRUE(made.ok()) << made.status();
    model = *std::move(made);
  }

  // The logits of all of `tokens` as one new sequence, which cannot fail.
  std::vector<float> Logits(const std::vector<int32_t>& tokens) {
    absl::StatusOr<std::vector<float>> logits = TryLogits(tokens);
    EXPECT_TRUE(logits.ok()) << logits.status();
    return logits.ok() ? *std::move(logits) : std::vector<float>();
  }

  absl::StatusOr<std::vector<float>> TryLogits(const std::vector<int32_t>& tokens) {
    return LogitsOf(*model, tokens);
  }

  std::optional<TempDir> scratch;
  ThreadPool pool;
  std::unique_ptr<Ops> ops;
  std::unique_ptr<ComputePlace> place;
  std::unique_ptr<Model> model;
};

}  // namespace sluice

#endif  // SLUICE_TESTS_RUNTIME_MODEL_HARNESS_H_
