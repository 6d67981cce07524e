// Divides bytes by rates.
#include "runtime/floor/pass_floor.h"

#include <algorithm>

#include "absl/base/macros.h"
#include "kernels/ops.h"

namespace sluice {
namespace {

double Ratio(double bytes, double bytes_per_s) { return bytes_per_s > 0 ? bytes / bytes_per_s : 0; }

void AddProduct(Encoding encoding, int64_t rows, int64_t bytes,
                std::vector<PassWork::Product>* products) {
  for (PassWork::Product& product : *products) {
    if (product.encoding == encoding && product.rows == rows) {
      product.bytes += bytes;
      return;
    }
  }
  products->push_back({encoding, rows, bytes});
}

// Reading waits for each turn of the ring, and a pass for its rows of the embedding, which take
// about one more. Where that has room for few slabs, each is read, checked and computed with before
// the next one takes its place, too. `floor` has the seconds of verifying and computing.
double RingSeconds(const PassWork& work, const MachineRates& rates, const PassFloor& floor) {
  const double bytes = work.memories.empty() ? 0 : static_cast<double>(work.disk().sent_bytes);
  const double disk_s = Ratio(bytes, rates.disk_bytes_per_s);
  if (work.ring_bytes <= 0 || disk_s <= 0) return disk_s;
  const double turns = 1 + bytes / static_cast<double>(work.ring_bytes);
  const double slab_share = static_cast<double>(work.ring_slab_bytes) / bytes;
  const double slab_s = slab_share * (disk_s + floor.verify_s + floor.compute_s);
  return std::max(disk_s + turns * rates.ring_turn_s, turns * (rates.ring_turn_s + slab_s));
}

// From one memory to another over all links between them.
void Copy(int64_t bytes, int from, int to, std::vector<MemoryWork>* memories) {
  for (int at = from; at > to; --at) {
    (*memories)[at].touched_bytes += bytes;
    (*memories)[at].sent_bytes += bytes;
    (*memories)[at - 1].touched_bytes += bytes;
  }
}

}  // namespace

MachineRates WithFastMath(MachineRates rates) {
  for (const KernelRate& fast : rates.fast_kernels) {
    rates.kernels.erase(
        std::remove_if(rates.kernels.begin(), rates.kernels.end(),
                       [&](const KernelRate& exact) { return exact.encoding == fast.encoding; }),
        rates.kernels.end());
  }
  rates.kernels.insert(rates.kernels.end(), rates.fast_kernels.begin(), rates.fast_kernels.end());
  return rates;
}

double KernelSecondsPerByte(const MachineRates& rates, Encoding encoding, int64_t rows,
                            int num_threads) {
  const KernelRate* below = nullptr;
  const KernelRate* above = nullptr;
  for (const KernelRate& rate : rates.kernels) {
    if (rate.encoding != encoding || rate.bytes_per_s <= 0) continue;
    if (rate.rows <= rows && (below == nullptr || rate.rows > below->rows)) below = &rate;
    if (rate.rows >= rows && (above == nullptr || rate.rows < above->rows)) above = &rate;
  }
  double seconds = 0;
  if (below != nullptr && above != nullptr && below != above) {
    const double share = static_cast<double>(rows - below->rows) / (above->rows - below->rows);
    seconds = (1 - share) / below->bytes_per_s + share / above->bytes_per_s;
  } else if (below != nullptr) {
    seconds = static_cast<double>(rows) / below->rows / below->bytes_per_s;
  } else if (above != nullptr) {
    seconds = 1 / above->bytes_per_s;
  }
  return num_threads > 0 ? seconds * rates.num_threads / num_threads : seconds;
}

double HeadStreamedShare(const Manifest& manifest, const MachineRates& rates, int num_threads,
                         int64_t rows) {
  double compute_s = 0, disk_s = 0;
  for (const ManifestSlab& slab : manifest.slabs) {
    if (!OfLogitRows(manifest.ProductOf(slab))) continue;
    const Encoding encoding = manifest.tensors[slab.tensors[0]].encoding;
    compute_s += static_cast<double>(slab.raw_bytes) *
                 KernelSecondsPerByte(rates, encoding, rows, num_threads);
    disk_s += static_cast<double>(slab.bytes) / rates.disk_bytes_per_s;
  }
  return compute_s > 0 && compute_s < disk_s ? compute_s / disk_s : 1;
}

PassWork DescribePass(const Manifest& manifest, const Residency& residency, int64_t rows,
                      int64_t logit_rows, int num_threads, bool verify_once,
                      const std::vector<bool>& by_host) {
  PassWork work;
  work.num_threads = num_threads;
  const int host = residency.host_tier();
  ABSL_ASSERT(host >= 0);
  work.memories.resize(host + 2);
  for (size_t i = 0; i < manifest.slabs.size(); ++i) {
    const ManifestSlab& slab = manifest.slabs[i];
    const bool streamed = residency.tier[i] == kOnDisk;
    const int computed_at = by_host.empty() || !by_host[i] ? 0 : host;
    if (computed_at == host) {
      AddProduct(manifest.tensors[slab.tensors[0]].encoding,
                 OfLogitRows(manifest.ProductOf(slab)) ? logit_rows : rows, slab.raw_bytes,
                 &work.products);
    }
    work.memories[computed_at].touched_bytes += slab.raw_bytes;
    Copy(slab.raw_bytes, streamed ? host : residency.tier[i], computed_at, &work.memories);
    if (!streamed) continue;
    work.disk().sent_bytes += slab.bytes;
    work.host().touched_bytes += slab.bytes;
    if (slab.compression != SlabCompression::kNone) {
      work.unpacked_bytes += slab.raw_bytes;
      work.host().touched_bytes += slab.bytes + slab.raw_bytes;
    }
    if (verify_once) continue;
    work.verified_bytes += slab.bytes;
    work.host().touched_bytes += slab.bytes;
  }
  return work;
}

void AddHostKv(const StateLayout& layout, int64_t context, int64_t rows, double sequences,
               PassWork* work) {
  const int64_t end_in = (context + kKvPageTokens - 1) / kKvPageTokens;
  const int64_t pages_out = (context + rows - 1) / kKvPageTokens - context / kKvPageTokens + 1;
  int64_t bytes_each = 0;
  for (const LayerState& layer : layout.layers()) {
    const int64_t unseen =
        layer.window > 0 ? std::max<int64_t>(0, context - layer.window + 1) / kKvPageTokens : 0;
    bytes_each += (end_in - unseen + pages_out) * layer.page_bytes;
  }
  const auto bytes = static_cast<int64_t>(sequences * static_cast<double>(bytes_each));
  Copy(bytes, static_cast<int>(work->memories.size()) - 2, 0, &work->memories);
}

std::vector<MemoryRates> MeasuredMemories(const MachineRates& rates) {
  return {{.name = kDeviceMemoryTerm, .bytes_per_s = rates.device_memory_bytes_per_s},
          {.name = kMemoryTerm,
           .bytes_per_s = rates.memory_bytes_per_s,
           .link_name = kLinkTerm,
           .link_bytes_per_s = rates.link_bytes_per_s},
          {.link_name = kDiskTerm, .link_bytes_per_s = rates.disk_bytes_per_s}};
}

PassFloor FloorOf(const PassWork& work, const MachineRates& rates) {
  return FloorOf(work, rates, MeasuredMemories(rates));
}

PassFloor FloorOf(const PassWork& work, const MachineRates& rates,
                  absl::Span<const MemoryRates> memories) {
  ABSL_ASSERT(work.memories.size() <= memories.size());
  memories.remove_prefix(memories.size() - work.memories.size());
  PassFloor floor;
  for (size_t i = memories.size(); i-- > 1;) {
    const MemoryRates &from = memories[i], &to = memories[i - 1];
    floor.memories.push_back(
        {from.link_name, Ratio(work.memories[i].sent_bytes, from.link_bytes_per_s), /*link=*/true});
    floor.memories.push_back({to.name, Ratio(work.memories[i - 1].touched_bytes, to.bytes_per_s)});
  }
  floor.verify_s = Ratio(work.verified_bytes, rates.verify_bytes_per_s);
  for (const PassWork::Product& product : work.products) {
    floor.compute_s += product.bytes * KernelSecondsPerByte(rates, product.encoding, product.rows,
                                                            work.num_threads);
  }
  floor.ring_s = RingSeconds(work, rates, floor);
  if (floor.ring_s > 0)
    floor.turns_s = floor.ring_s - Ratio(work.disk().sent_bytes, rates.disk_bytes_per_s);
  floor.unpack_s = Ratio(work.unpacked_bytes, rates.unpack_bytes_per_s);
  floor.processor_s = floor.compute_s;
  if (rates.num_cpus > 0) {
    const double shared = floor.compute_s * work.num_threads + floor.verify_s + floor.unpack_s;
    floor.processor_s = std::max(floor.compute_s, shared / rates.num_cpus);
  }
  return floor;
}

std::vector<FloorTerm> PassFloor::terms() const {
  std::vector<FloorTerm> all = memories;
  for (FloorTerm& term : all) {
    if (term.name == absl::string_view(kDiskTerm)) term.seconds = std::max(term.seconds, ring_s);
  }
  all.push_back({kComputeTerm, processor_s});
  return all;
}

double PassFloor::Seconds(absl::string_view name) const {
  for (const FloorTerm& term : terms()) {
    if (term.name == name) return term.seconds;
  }
  return 0;
}

double PassFloor::links_s() const {
  double most = 0;
  for (const FloorTerm& term : memories) {
    if (term.link) most = std::max(most, term.seconds);
  }
  return most;
}

double PassFloor::floor_s() const {
  double most = compute_s;
  for (const FloorTerm& term : memories) most = std::max(most, term.seconds);
  return most;
}

double PassFloor::predicted_s() const {
  double most = 0;
  for (const FloorTerm& term : terms()) most = std::max(most, term.seconds);
  return most;
}

const char* PassFloor::bound_by() const {
  const auto all = terms();
  return std::max_element(
             all.begin(), all.end(),
             [](const FloorTerm& a, const FloorTerm& b) { return a.seconds < b.seconds; })
      ->name;
}

}  // namespace sluice
