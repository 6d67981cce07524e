// Which slabs the CPU computes where a device computes the others: a pure function of sizes and
// rates.
#ifndef SLUICE_RUNTIME_FLOOR_HOST_SHARE_H_
#define SLUICE_RUNTIME_FLOOR_HOST_SHARE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "prefetch/residency.h"
#include "runtime/floor/pass_floor.h"
#include "storage/store/manifest.h"

namespace sluice {

// A slab in host memory crosses the link in each pass, unless the CPU computes with it. Then only
// its activations and products cross the link: a few KiB for each MiB of weights.
struct HostShareRequest {
  // Of the bytes of slabs in host memory, 0 to 1; nothing: what `rates` say is best
  std::optional<double> fraction;
  MachineRates rates;
  int num_threads = 1;
  bool verify_once = false;
};

struct HostShare {
  std::vector<bool> slabs;  // [num_slabs], or empty: none
  // A pass of more rows has all slabs copied: the CPU would be slower than the link
  int64_t most_rows = 0;
  int64_t num_slabs = 0;
  int64_t bytes = 0;  // of tiles
};

// Passes of more rows than this are never shared: buffers are sized by it.
inline constexpr int64_t kMostSharedRows = 16;

// Returns the smallest share of the slabs that the CPU should compute so that the link no longer
// bounds the pass: the link is then done when the CPU is, or when the disk is. `copied` describes
// the pass with no slab on the CPU, `by_host` the same pass with all slabs there that can be. The
// result is 0 where the link does not bound the pass at all, or where its rate or the kernels' is
// unknown, and 1 where the link always bounds it.
double BalancedHostShare(const PassWork& copied, const PassWork& by_host,
                         const MachineRates& rates);

// `fraction` of the bytes of those slabs that are `possible`, spread evenly over the walk.
std::vector<bool> SpreadOver(absl::Span<const int64_t> slab_bytes,
                             const std::vector<bool>& possible, double fraction);

// Picks from the slabs in host memory. Where the request names no fraction: balanced for passes of
// `rows` rows, of which `logit_rows` go through the head, and none where that does not pay.
// `rounded`: the device rounds activations of f16 and bf16 weights, which the CPU does in another
// way: not those.
HostShare ChooseHostShare(const Manifest& manifest, const Residency& residency,
                          const HostShareRequest& request, int64_t rows, int64_t logit_rows,
                          bool rounded);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_FLOOR_HOST_SHARE_H_
