// Divides bytes by rates.
#include "runtime/pass_floor.h"

#include <algorithm>

#include "kernels/ops.h"

namespace sluice {
namespace {

double Ratio(double bytes, double bytes_per_s) { return bytes_per_s > 0 ? bytes / bytes_per_s : 0; }

void AddProduct(Encoding encoding, int64_t rows, int64_t bytes, std::vector<PassWork::Product>* products) {
  for (PassWork::Product& product : *products) {
    if (product.encoding == encoding && product.rows == rows) {
      product.bytes += bytes;
      return;
    }
  }
  products->push_back({encoding, rows, bytes});
}

}  // namespace

MachineRates WithFastMath(MachineRates rates) {
  for (const KernelRate& fast : rates.fast_kernels) {
    rates.kernels.erase(std::remove_if(rates.kernels.begin(), rates.kernels.end(),
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

PassWork DescribePass(const Manifest& manifest, const Residency& residency, int64_t rows,
                      int64_t logit_rows, int num_threads, bool verify_once, int device_tier,
                      const std::vector<bool>& by_host) {
  PassWork work;
  work.num_threads = num_threads;
  const int head = HeadBlock(manifest.hyper_parameters);
  for (size_t i = 0; i < manifest.slabs.size(); ++i) {
    const ManifestSlab& slab = manifest.slabs[i];
    if (device_tier >= 0 && (by_host.empty() || !by_host[i])) {
      work.device_bytes += slab.raw_bytes;
      if (residency.tier[i] == device_tier) continue;
      work.copied_bytes += slab.raw_bytes;
      work.device_bytes += slab.raw_bytes;
    } else {
      AddProduct(manifest.tensors[slab.tensors[0]].encoding, slab.block == head ? logit_rows : rows,
                 slab.raw_bytes, &work.products);
    }
    work.touched_bytes += slab.raw_bytes;
    if (residency.tier[i] != kOnDisk) continue;
    work.disk_bytes += slab.bytes;
    work.touched_bytes += slab.bytes;
    if (slab.compression != SlabCompression::kNone) {
      work.unpacked_bytes += slab.raw_bytes;
      work.touched_bytes += slab.bytes + slab.raw_bytes;
    }
    if (verify_once) continue;
    work.verified_bytes += slab.bytes;
    work.touched_bytes += slab.bytes;
  }
  return work;
}

void AddHostKv(const HyperParameters& h, int64_t page_bytes, int64_t context, int64_t rows, double sequences,
               PassWork* work) {
  const int64_t end_in = (context + kKvPageTokens - 1) / kKvPageTokens;
  int64_t pages_in = 0;
  for (const int64_t window : h.layer_windows) {
    pages_in += end_in - (window > 0 ? std::max<int64_t>(0, context - window + 1) / kKvPageTokens : 0);
  }
  const int64_t pages_out = h.num_hidden_layers * ((context + rows - 1) / kKvPageTokens - context / kKvPageTokens + 1);
  const auto bytes = [&](int64_t pages) {
    return static_cast<int64_t>(sequences * static_cast<double>(pages * page_bytes));
  };
  work->copied_bytes += bytes(pages_in + pages_out);
  work->touched_bytes += bytes(pages_in + pages_out);
  work->device_bytes += bytes(pages_in + pages_out);
}

PassFloor FloorOf(const PassWork& work, const MachineRates& rates) {
  PassFloor floor;
  floor.disk_s = Ratio(work.disk_bytes, rates.disk_bytes_per_s);
  floor.memory_s = Ratio(work.touched_bytes, rates.memory_bytes_per_s);
  floor.link_s = Ratio(work.copied_bytes, rates.link_bytes_per_s);
  floor.device_memory_s = Ratio(work.device_bytes, rates.device_memory_bytes_per_s);
  floor.verify_s = Ratio(work.verified_bytes, rates.verify_bytes_per_s);
  for (const PassWork::Product& product : work.products) {
    floor.compute_s += product.bytes * KernelSecondsPerByte(rates, product.encoding, product.rows,
                                                            work.num_threads);
  }
  floor.unpack_s = Ratio(work.unpacked_bytes, rates.unpack_bytes_per_s);
  floor.processor_s = floor.compute_s;
  if (rates.num_cpus > 0) {
    const double shared = floor.compute_s * work.num_threads + floor.verify_s + floor.unpack_s;
    floor.processor_s = std::max(floor.compute_s, shared / rates.num_cpus);
  }
  return floor;
}

std::array<FloorTerm, 5> PassFloor::terms() const {
  return {{{"disk", disk_s},
           {"memory", memory_s},
           {"link", link_s},
           {"device memory", device_memory_s},
           {"compute", processor_s}}};
}

double PassFloor::floor_s() const { return std::max({disk_s, memory_s, link_s, device_memory_s, compute_s}); }

double PassFloor::predicted_s() const {
  double most = 0;
  for (const FloorTerm& term : terms()) most = std::max(most, term.seconds);
  return most;
}

const char* PassFloor::bound_by() const {
  const auto all = terms();
  return std::max_element(all.begin(), all.end(), [](const FloorTerm& a, const FloorTerm& b) {
           return a.seconds < b.seconds;
         })->name;
}

}  // namespace sluice
