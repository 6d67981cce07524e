// Divides a memory budget: what is always needed, the ring, and the slabs that stay.
#ifndef SLUICE_RUNTIME_PASS_MEMORY_PLAN_H_
#define SLUICE_RUNTIME_PASS_MEMORY_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/ops.h"
#include "prefetch/residency.h"
#include "prefetch/slab_stream.h"
#include "runtime/floor/host_share.h"
#include "runtime/kv/state_layout.h"
#include "runtime/pass/workspace.h"
#include "storage/store/layer_store.h"

namespace sluice {

// Where keys and values lie while a device computes: in its memory, or pinned in the host's, so
// that the device only has room for two layers' pages. kAuto: on the device where it has room,
// unless a pass has room for more rows otherwise.
enum class KvPlace : uint8_t { kAuto, kDevice, kHost };

// Memory of the device that computes.
struct DeviceBudget {
  int64_t max_bytes = 0;  // for everything that sluice allocates there
  // Part of max_bytes for the operations (without uploads) and the device's own runtime
  int64_t scratch_bytes = 0;
  int64_t host_bytes = 0;  // host memory that its driver takes
  // Of host memory that can be pinned for copies: the ring, slabs that stay there and the KV cache,
  // if it is there, share it.
  int64_t max_pinned_bytes = std::numeric_limits<int64_t>::max();
  KvPlace kv_place = KvPlace::kAuto;
  int compute_capability = 0;  // 90 is 9.0: ArithmeticOf names it
};

struct PlanRequest {
  int64_t max_ram_bytes = 0;  // budget for everything that sluice allocates
  std::string max_ram_source =
      {};                      // where that number comes from, for errors; empty: the user gave it
  int64_t context_tokens = 0;  // of each sequence
  int64_t num_sequences = 1;   // at once; each may want logits of one row a pass
  int64_t kv_pages = 0;        // they share; 0: pages for the whole context of each
  // Of these, in a file, where the host computes; the others are in memory
  int64_t kv_disk_pages = 0;
  int64_t requests_bytes = 0;  // what the caller keeps of them: prompts, answers, ids
  bool reads_prompts = false;  // while it runs: PromptWorkBytes are set aside
  int num_threads = 64;        // that compute on the host: each has scratch of its own
  int64_t pass_rows = 1;       // token rows wanted in one pass; fewer where the budget is tight
  bool logits_of_all_rows = false;  // else of one row a sequence, and of rows that are drafted
  // Of pass_rows, that tokens which are drafted may take, over all sequences: each wants logits.
  int64_t draft_rows = 0;
  int64_t drafters_bytes = 0;  // what drafters without a model hold, where draft_rows are granted
  // What a draft model takes, in any case; the least plan then has all draft_rows and, where the
  // host computes, a ring that lets the disk read while they are computed.
  int64_t draft_model_bytes = 0;
  bool keeps_hidden = false;  // Model::hidden_rows, for an MTP head
  // Of several sequences, or with drafts: the part of the head that the disk reads while all of the
  // head computes with the rows that want logits. The rest of the head stays in memory before other
  // weights do, as passes with prompts compute with those for longer. 1: no weights come first.
  double head_streamed_share = 1;
  KvType k_type = KvType::kF16;
  KvType v_type = KvType::kF16;
  bool fast_math = false;        // RoundingOf says what that is
  int64_t tokenizer_bytes = 0;   // Tokenizer::MemoryBytes
  int64_t constraint_bytes = 0;  // Constraints::MemoryBytes, if grammars are followed
  // Bytes that are on their way while the disk is kept busy: size of a read times reads in flight.
  int64_t bytes_in_flight = int64_t{32} << 20;
  int64_t ring_bytes = 0;              // the ring's size; 0: what the bytes in flight ask for
  std::optional<DeviceBudget> device;  // nothing: the host computes
  std::optional<HostShareRequest> host_share;  // beside a device; nothing: all slabs go there
};

// What a conversation, or a line of a batch, may take on its way to ids while the model runs: 1/32
// of the budget, from 1 to 64 MiB.
int64_t PromptWorkBytes(int64_t max_ram_bytes);
// The smallest budget that has PromptWorkBytes beside `bytes`.
int64_t SmallestWithPrompts(int64_t bytes);

struct PlanItem {
  std::string name;
  int64_t bytes;
};

// A memory that is divided: the host's, or that of a device, where activations, logits and, most
// often, the KV cache lie and slabs are copied to.
struct PlacePlan {
  int64_t budget_bytes = 0;     // for everything that sluice allocates there
  std::vector<PlanItem> items;  // always needed, in the order they are printed
  int64_t fixed_bytes = 0;      // their sum
  int64_t ring_bytes = 0;       // for slabs that pass; 0: all of them stay
  int64_t kept_bytes = 0;       // of slabs that stay
  // The smallest budget that can work with this request, wherever kAuto has the KV cache
  int64_t minimum_bytes = 0;
  int64_t total_bytes() const { return fixed_bytes + ring_bytes + kept_bytes; }
};

struct MemoryPlan {
  PlanRequest request;
  int64_t pass_rows = 0;   // granted
  int64_t logit_rows = 0;  // rows of a pass that may want logits
  int64_t draft_rows = 0;  // rows of a pass that may be drafted, in trees
  int64_t tree_rooms = 0;  // pages of one layer that such rows may take (TreeTables)
  int64_t kv_pages = 0;
  int64_t kv_disk_pages = 0;  // of these
  // From the memory that the processor computes in to the host's, which the disk fills. Slabs of
  // tier i of `residency` stay in places[i].
  std::vector<PlacePlan> places;
  int worker_threads = 1;  // that verify and decode
  Residency residency;
  int64_t kv_host_bytes = 0;  // of a KV cache in host memory, pinned for a device; 0: there is none
  int64_t kv_staged_pages = 0;  // then: of each of the two layers that the device has room for
  // Of slabs that would stay in the host's memory if that could be pinned
  int64_t unpinned_bytes = 0;
  HostShare host_share;      // beside a device: the slabs of host memory that the CPU computes
  int64_t weight_bytes = 0;  // stored bytes of all slabs
  int64_t raw_bytes = 0;     // the same, decoded

  PlacePlan& nearest() { return places.front(); }
  PlacePlan& host() { return places.back(); }
  const PlacePlan& nearest() const { return places.front(); }
  const PlacePlan& host() const { return places.back(); }
  bool on_device() const { return places.size() > 1; }

  // Of host memory that is pinned for a device: what is not there may be refused.
  int64_t pinned_bytes() const { return host().ring_bytes + host().kept_bytes + kv_host_bytes; }

  // Whether keys and values lie in host memory while a device computes.
  bool KvInHostMemory() const { return kv_host_bytes > 0; }
  bool OnDevice(size_t slab) const { return on_device() && residency.tier[slab] == 0; }
  bool InHostMemory(size_t slab) const { return residency.tier[slab] == residency.host_tier(); }
  bool ComputedByHost(size_t slab) const {
    return !host_share.slabs.empty() && host_share.slabs[slab];
  }
  // The slabs that the CPU computes in a pass of so many rows, as DescribePass takes them.
  std::vector<bool> HostSlabs(int64_t rows) const {
    return rows <= host_share.most_rows ? host_share.slabs : std::vector<bool>();
  }
};

// Has the pass read through the plan's ring.
void AddRing(const Manifest& manifest, const MemoryPlan& plan, PassWork* work);

// What Model::hidden_rows takes in host memory, where a plan keeps them.
int64_t HiddenRowsBytes(const ModelSpec& model, const MemoryPlan& plan);

// How large the passes of a plan are.
PassSize PassSizeOf(const MemoryPlan& plan);

// What Ops::Reserve makes room for: the largest of what layers have.
PassLimits LimitsOf(const MemoryPlan& plan, const ModelSpec& model);

// What the model keeps of each sequence, in the types that are asked for.
StateLayout LayoutOf(const Manifest& manifest, const PlanRequest& request);

// The slab as a stream sees it.
StreamSlab StreamSlabOf(const ManifestSlab& slab, bool resident);

// A pure function of the store and the request. ResourceExhausted names the smallest budget that
// works, of the memory that is too small; InvalidArgument a context that is not positive, or pages
// on disk for a device.
absl::StatusOr<MemoryPlan> PlanMemory(const LayerStore& store, const PlanRequest& request);

// --fast-math rounds for bf16 weights on a CPU, and for f16 ones, too, on a device.
Rounding RoundingOf(const PlanRequest& request);
// Names what results depend on: "exact", the same everywhere; "fast-math", on CPUs; or "fast-math
// on compute capability 9.0". Jobs and conversations continue only with the arithmetic that they
// began with.
std::string ArithmeticOf(const PlanRequest& request);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_PASS_MEMORY_PLAN_H_
