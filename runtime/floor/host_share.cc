// Tries shares until link and CPU are done at the same time.
#include "runtime/floor/host_share.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/string_view.h"

namespace sluice {
namespace {

int64_t Between(int64_t from, int64_t to, double share) {
  return from + std::llround(share * static_cast<double>(to - from));
}

// `share` of the way from one pass to the other.
PassWork Mix(const PassWork& copied, const PassWork& by_host, double share) {
  PassWork work = copied;
  work.products = by_host.products;
  for (PassWork::Product& product : work.products) product.bytes = Between(0, product.bytes, share);
  for (size_t i = 0; i < work.memories.size(); ++i) {
    const MemoryWork &from = copied.memories[i], &to = by_host.memories[i];
    work.memories[i] = {.touched_bytes = Between(from.touched_bytes, to.touched_bytes, share),
                        .sent_bytes = Between(from.sent_bytes, to.sent_bytes, share)};
  }
  return work;
}

// Host memory is read either way, by the CPU or for the link.
bool LinkBounds(const PassFloor& floor) {
  double others = 0;
  for (const FloorTerm& term : floor.terms()) {
    const absl::string_view name = term.name;
    if (name != kLinkTerm && name != kMemoryTerm) others = std::max(others, term.seconds);
  }
  return floor.Seconds(kLinkTerm) > others;
}

}  // namespace

double BalancedHostShare(const PassWork& copied, const PassWork& by_host,
                         const MachineRates& rates) {
  const auto bounds = [&](double share) {
    return LinkBounds(FloorOf(Mix(copied, by_host, share), rates));
  };
  if (rates.link_bytes_per_s <= 0 || FloorOf(by_host, rates).compute_s <= 0 || !bounds(0)) return 0;
  if (bounds(1)) return 1;
  double too_little = 0, enough = 1;
  for (int i = 0; i < 40; ++i) {
    const double middle = (too_little + enough) / 2;
    (bounds(middle) ? too_little : enough) = middle;
  }
  return enough;
}

std::vector<bool> SpreadOver(absl::Span<const int64_t> slab_bytes,
                             const std::vector<bool>& possible, double fraction) {
  std::vector<bool> chosen(slab_bytes.size());
  double credit = 0;
  for (size_t i = 0; i < slab_bytes.size(); ++i) {
    if (!possible[i]) continue;
    const auto bytes = static_cast<double>(slab_bytes[i]);
    credit += bytes * fraction;
    if (fraction <= 0 || credit + 0.5 < bytes) continue;
    chosen[i] = true;
    credit -= bytes;
  }
  return chosen;
}

HostShare ChooseHostShare(const Manifest& manifest, const Residency& residency,
                          const HostShareRequest& request, int64_t rows, int64_t logit_rows,
                          bool rounded) {
  HostShare share;
  if (rows > kMostSharedRows && !request.fraction.has_value()) return share;
  std::vector<int64_t> bytes;
  std::vector<bool> possible;
  for (size_t i = 0; i < manifest.slabs.size(); ++i) {
    const ManifestSlab& slab = manifest.slabs[i];
    const Encoding encoding = manifest.tensors[slab.tensors[0]].encoding;
    const bool other_bits = rounded && (encoding == Encoding::kF16 || encoding == Encoding::kBF16);
    const bool measured = KernelSecondsPerByte(request.rates, encoding, 1, request.num_threads) > 0;
    bytes.push_back(slab.raw_bytes);
    possible.push_back(residency.tier[i] == residency.host_tier() && !other_bits &&
                       (measured || request.fraction.has_value()));
  }
  const auto describe = [&](int64_t of_rows, const std::vector<bool>& by_host) {
    return DescribePass(manifest, residency, of_rows, std::min(of_rows, logit_rows),
                        request.num_threads, request.verify_once, by_host);
  };
  const double fraction =
      request.fraction.has_value()
          ? *request.fraction
          : BalancedHostShare(describe(rows, {}), describe(rows, possible), request.rates);
  std::vector<bool> chosen = SpreadOver(bytes, possible, fraction);
  if (request.fraction.has_value()) {
    share.most_rows = kMostSharedRows;
  } else {
    const auto pays = [&](int64_t of_rows) {
      return FloorOf(describe(of_rows, chosen), request.rates).predicted_s() <
             FloorOf(describe(of_rows, {}), request.rates).predicted_s();
    };
    while (share.most_rows < kMostSharedRows && pays(share.most_rows + 1)) ++share.most_rows;
  }
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (!chosen[i]) continue;
    ++share.num_slabs;
    share.bytes += bytes[i];
  }
  if (share.num_slabs == 0 || (share.most_rows < rows && !request.fraction.has_value())) return {};
  share.slabs = std::move(chosen);
  return share;
}

}  // namespace sluice
