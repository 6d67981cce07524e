// A model on a LateDevice, with operations that it does when their stream gets to them.
#ifndef SLUICE_TESTS_RUNTIME_LATE_MODEL_H_
#define SLUICE_TESTS_RUNTIME_LATE_MODEL_H_

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cpu/cpu_ops.h"
#include "runtime/pass/memory_plan.h"
#include "runtime/pass/model.h"
#include "runtime/place/compute_place.h"
#include "tests/prefetch/late_device.h"
#include "tests/runtime/model_harness.h"

namespace sluice {

// Arguments in host memory (rows, positions, page tables) are copied when the call is made, as a
// device must. Errors of the operations themselves end the test.
class LateOps : public Ops {
 public:
  LateOps(LateDevice* device, Stream* stream)
      : device_(device),
        stream_(stream),
        pool_(1),
        ops_(*MakeCpuOps(SupportedIsas().back(), &pool_)) {}

  absl::Status PrepareActivations(ActivationFormat format, const float* x, int64_t x_stride,
                                  int64_t num_rows, int64_t k, std::byte* out) override {
    return Queue(
        [=, this] { return ops_->PrepareActivations(format, x, x_stride, num_rows, k, out); });
  }
  absl::Status MatMul(const MatMulArgs& args) override {
    ++products;
    return Queue([=, this] { return ops_->MatMul(args); });
  }
  absl::Status EndProduct(const EndProductArgs& args) override {
    return Queue([=, this] { return ops_->EndProduct(args); });
  }
  absl::Status RmsNorm(const float* x, int64_t x_stride, int64_t num_rows, int64_t n,
                       const float* weight, float eps, float* out, int64_t out_stride) override {
    return Queue([=, this] {
      return ops_->RmsNorm(x, x_stride, num_rows, n, weight, eps, out, out_stride);
    });
  }
  absl::Status Rope(float* x, int64_t x_stride, int64_t num_rows, int64_t num_heads,
                    int64_t head_dim, const float* cos_sin, absl::Span<const int64_t> positions,
                    const float* norm_weight, float norm_eps) override {
    return Queue([=, this, kept = std::vector<int64_t>(positions.begin(), positions.end())] {
      return ops_->Rope(x, x_stride, num_rows, num_heads, head_dim, cos_sin, kept, norm_weight,
                        norm_eps);
    });
  }
  absl::Status AppendKv(const AttentionArgs& args, const float* k, const float* v,
                        int64_t kv_stride) override {
    if (on_append) on_append();
    return Queue([=, this, rows = std::make_shared<Rows>(args)] {
      return ops_->AppendKv(rows->args, k, v, kv_stride);
    });
  }
  absl::Status CopyKv(const AttentionArgs& args, absl::Span<const KvCopy> copies) override {
    AttentionArgs pages = args;
    pages.rows = {};
    return Queue([=, this, kept = std::vector<KvCopy>(copies.begin(), copies.end())] {
      return ops_->CopyKv(pages, kept);
    });
  }
  absl::Status Attention(const AttentionArgs& args, const float* q, int64_t q_stride, float* out,
                         int64_t out_stride) override {
    return Queue([=, this, rows = std::make_shared<Rows>(args)] {
      return ops_->Attention(rows->args, q, q_stride, out, out_stride);
    });
  }
  absl::Status NoteNonFinite(const float* x, int64_t n, int32_t mark, int32_t* note) override {
    return Queue([=, this] { return ops_->NoteNonFinite(x, n, mark, note); });
  }

  std::function<void()> on_append;  // called for each layer, before it is queued
  int64_t products = 0;             // that were queued

 private:
  // AttentionArgs with rows and page tables of its own.
  struct Rows {
    explicit Rows(const AttentionArgs& from)
        : args(from), rows(from.rows.begin(), from.rows.end()) {
      tables.reserve(rows.size());
      for (AttentionRow& row : rows) {
        row.page_table =
            tables.emplace_back(row.page_table, row.page_table + row.position / kKvPageTokens + 1)
                .data();
      }
      args.rows = rows;
    }
    AttentionArgs args;
    std::vector<AttentionRow> rows;
    std::vector<std::vector<int32_t>> tables;
  };

  absl::Status Queue(std::function<absl::Status()> operation) {
    device_->Launch(stream_, [operation = std::move(operation)] {
      if (!operation().ok()) std::abort();
    });
    return absl::OkStatus();
  }

  LateDevice* const device_;
  Stream* const stream_;
  ThreadPool pool_;
  const std::unique_ptr<Ops> ops_;
};

// Tokens of a vocabulary, far from each other.
inline std::vector<int32_t> SomeTokens(int64_t vocab_size, int64_t count = 26) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i)
    tokens.push_back(static_cast<int32_t>((i * 37 + 5) % vocab_size));
  return tokens;
}

// How a LateModel differs from one that keeps a sequence's keys and values on the device.
struct LateOptions {
  KvPlace kv = KvPlace::kDevice;
  KvType kv_type = KvType::kF32;
  int64_t context = 128;
  int64_t sequences = 1;
  int64_t kv_pages = 0;          // 0: for the whole context
  int64_t draft_rows = 0;        // of a pass, in trees
  bool streamed = false;         // no slab stays, however much room there is
  std::string scratch_dir = {};  // empty: no file for what is swapped
  // Of the slabs in host memory, the CPU computes such a fraction of the bytes, in passes that are
  // not too long.
  std::optional<double> host_share = {};
};

// A model computing on a LateDevice, with so much device and host memory beyond the least that it
// needs.
struct LateModel {
  LateModel(const LayerStore& store, uint32_t seed, int64_t more_vram, int64_t more_ram,
            int64_t rows, int64_t copy_bytes_per_s = 0, LateDevice::Faults faults = {},
            const LateOptions& options = {})
      : device(seed, faults),
        stream(*device.NewStream()),
        ops(&device, stream.get()),
        host_pool(2),
        host_ops(*MakeCpuOps(SupportedIsas().back(), &host_pool)),
        place(*MakeDevicePlace(&device, stream.get(), &ops, host_ops.get())) {
    PlanRequest request;
    request.context_tokens = options.context;
    request.num_sequences = options.sequences;
    request.kv_pages = options.kv_pages;
    request.draft_rows = options.draft_rows;
    request.pass_rows = rows;
    request.logits_of_all_rows = true;
    request.k_type = request.v_type = options.kv_type;
    if (options.host_share.has_value())
      request.num_sequences = rows;  // so many rows whatever the memory
    request.bytes_in_flight = 1;     // a ring of a few slabs
    request.max_ram_bytes = int64_t{1} << 33;
    request.device = DeviceBudget{.max_bytes = int64_t{1} << 33, .kv_place = options.kv};
    const MemoryPlan roomy = *PlanMemory(store, request);
    request.max_ram_bytes = roomy.host().minimum_bytes + more_ram;
    request.device->max_bytes = roomy.nearest().minimum_bytes + more_vram;
    if (options.host_share.has_value()) {
      request.host_share.emplace().fraction = options.host_share;
      const HostProductSizes sizes = SizeHostProducts(store.manifest(), rows, rows);
      request.max_ram_bytes += sizes.host_bytes();
      request.device->max_bytes += sizes.product_bytes;
    }
    plan = *PlanMemory(store, request);
    if (options.streamed) {
      plan.host().ring_bytes = plan.nearest().ring_bytes = 2 * LargestPlace(store.manifest());
      plan.residency.tier.assign(plan.residency.tier.size(), kOnDisk);
    }
    ReadOptions read = {.io = {.kind = IoKind::kThreads}, .copy_bytes_per_s = copy_bytes_per_s};
    read.io.scratch_dir = options.scratch_dir;
    auto made = Model::Create(store, plan, place.get(), read);
    EXPECT_TRUE(made.ok()) << made.status();
    model = *std::move(made);
  }

  LateDevice device;
  std::unique_ptr<Stream> stream;
  LateOps ops;
  ThreadPool host_pool;
  std::unique_ptr<Ops> host_ops;
  std::unique_ptr<ComputePlace> place;
  MemoryPlan plan;
  std::unique_ptr<Model> model;
};

}  // namespace sluice

#endif  // SLUICE_TESTS_RUNTIME_LATE_MODEL_H_
