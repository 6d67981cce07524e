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

// Slabs in host memory reach a device over the link, pass after pass. Slabs that the CPU computes
// with are not copied: their activations come from the device and their products go there, a few
// KiB for each MiB of weights.
struct HostShareRequest {
  std::optional<double>
      fraction;  // of the bytes of slabs in host memory, 0 to 1; nothing: what `rates` say is best
  MachineRates rates;
  int num_threads = 1;
  bool verify_once = false;
};

struct HostShare {
  std::vector<bool> slabs;  // [num_slabs], or empty: none
  int64_t most_rows =
      0;  // a pass of more rows has all slabs copied: the CPU would be slower than the link
  int64_t num_slabs = 0;
  int64_t bytes = 0;  // of tiles
};

// Passes of more rows than this are never shared: buffers are sized by it.
inline constexpr int64_t kMostSharedRows = 16;

// The least share of what lies between `copied` and `by_host`, the same pass with nothing and with
// all that could be computed by the CPU, with which host memory's link is not what bounds the pass
// any more: it is done when the CPU is, or when the disk is. 0 where the link bounds nothing to
// begin with, 1 where it always does. Where the rates of link or kernels are not known: 0.
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
