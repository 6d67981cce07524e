// The products of a pass: what they read is prepared once, tiles come slab by slab.
#ifndef SLUICE_RUNTIME_PASS_PRODUCTS_H_
#define SLUICE_RUNTIME_PASS_PRODUCTS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/ops.h"
#include "runtime/pass/host_products.h"
#include "runtime/pass/resident_tensors.h"
#include "runtime/pass/workspace.h"
#include "runtime/place/compute_place.h"
#include "storage/store/layer_store.h"

namespace sluice {

// Call order of a pass: Begin; for each block Enter; for each buffer that its products read, Read,
// then Multiply with all slabs that read it; Collect before anything reads what they give.
class Products {
 public:
  // All must outlive it. `host_products` may be null: the CPU computes nothing for a device.
  Products(const LayerStore& store, ComputePlace* place, const Workspace* workspace,
           const ResidentTensors* resident, HostProducts* host_products, Rounding rounding);

  // Starts a pass of `num_rows` rows, of which `logit_rows` (valid until the next Begin) want
  // logits. `host_tiles` [num_slabs] or empty: the slabs that the CPU computes in this pass, as
  // BlockExecutor::Begin takes them.
  void Begin(int64_t num_rows, absl::Span<const int64_t> logit_rows,
             absl::Span<const absl::Span<const std::byte>> host_tiles);

  // The slabs from here on are of `block`, whose rows lie in `buffers`.
  void Enter(const Block& block, const PassBuffers& buffers);
  // From slab number `slab` on, which is the first one, products read another buffer, which is
  // complete. Starts those of them that the CPU computes.
  absl::Status Read(int slab);
  // Multiplies what is read with `count` slabs from number `slab` on. Each slab after the first
  // continues the product of the slab before it. A slab that the CPU computes comes alone, and its
  // `tiles` are not looked at.
  absl::Status Multiply(int slab, int count, absl::Span<const std::byte> tiles);
  // Waits for the products of the CPU.
  absl::Status Collect();

  // Work that is to be done beside products that take long (MatMulArgs::aside).
  void SetAside(std::function<void()> work) { aside_ = std::move(work); }
  // Whether a slab's product takes long enough for that in this pass.
  bool TakesLong(int slab) const;

 private:
  // The rows that a product reads, prepared at most once in each format. They are rows of the
  // residual stream, which are normed first, or rows that the block made, which are prepared in
  // place.
  struct Input {
    const float* norm = nullptr;  // weights of the norm; null: rows of the block
    float* rows = nullptr;        // then these
    bool logit_rows = false;      // of the residual stream: only the rows that want logits
    int64_t k = 0;
    int64_t num_rows = 0;
    const std::byte* prepared[kNumActivationFormats] = {};
  };

  absl::Status StartHostProducts(int slab);
  // Whether the slab is of the second matrix of a product, alone.
  bool EndsInFirst(int slab) const;
  bool ByHost(int slab) const { return !host_tiles_.empty() && !host_tiles_[slab].empty(); }
  int64_t RowsOf(const Product& product) const;
  // All but `tiles` and `activations`. `on_host`: with addends in host memory.
  MatMulArgs ArgsOf(int slab, bool on_host) const;
  // `count` rows of the input, from `first` on, as floats.
  absl::StatusOr<const float*> InputTile(int64_t first, int64_t count);
  absl::StatusOr<const std::byte*> Prepared(ActivationFormat format);

  const Manifest& manifest_;
  Ops* const ops_;
  const Workspace* const workspace_;
  const ResidentTensors* const resident_;
  HostProducts* const host_products_;
  const Rounding rounding_;

  int64_t num_rows_ = 0;
  absl::Span<const int64_t> logit_rows_;
  absl::Span<const absl::Span<const std::byte>> host_tiles_;
  const Block* block_ = nullptr;
  PassBuffers buffers_;
  Input input_;
  std::function<void()> aside_;
  std::vector<HostProducts::Product> started_;  // reused
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_PASS_PRODUCTS_H_
