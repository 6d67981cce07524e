// The floor of a pass (DESIGN: the number that everything serves): pure functions of what a pass has
// to do and of rates measured on this machine.
#ifndef SLUICE_RUNTIME_PASS_FLOOR_H_
#define SLUICE_RUNTIME_PASS_FLOOR_H_

#include <array>
#include <cstdint>
#include <vector>

#include "kernels/encoding.h"
#include "prefetch/residency.h"
#include "storage/manifest.h"

namespace sluice {

// All compute threads together, products of `rows` activation rows.
struct KernelRate {
  Encoding encoding;
  int64_t rows;
  double bytes_per_s;  // of tiles
};

// 0: not measured. Such a stage is taken to cost nothing.
struct MachineRates {
  double disk_bytes_per_s = 0;
  int64_t read_bytes = 0;  // the best way to read: size of a read
  int queue_depth = 0;     // and how many in flight
  double memory_bytes_per_s = 0;
  double verify_bytes_per_s = 0;  // one thread
  double unpack_bytes_per_s = 0;  // one thread decoding bf16, raw bytes
  double bf16_stored_share = 0;   // stored over raw bytes of compressed bf16 weights
  int num_threads = 0;            // that the kernels were measured with
  int num_cpus = 0;
  std::vector<KernelRate> kernels;       // the CPU's, by encoding, then by rows
  std::vector<KernelRate> fast_kernels;  // the same with --fast-math, of the encodings that it changes
  // Of the device that computes, where one does.
  double link_bytes_per_s = 0;           // from host memory to its own
  double device_memory_bytes_per_s = 0;  // of that
};
// The rates with --fast-math: what was measured of that in place of the exact products.
MachineRates WithFastMath(MachineRates rates);

// Seconds a byte of tiles takes in products of `rows` rows with `num_threads` threads: the line through
// the two measured row counts around it, and beyond the last one in proportion to the rows. 0 where
// the encoding was not measured.
double KernelSecondsPerByte(const MachineRates& rates, Encoding encoding, int64_t rows,
                            int num_threads);

// What one pass has to do.
struct PassWork {
  struct Product {
    Encoding encoding;
    int64_t rows;
    int64_t bytes;  // of tiles
  };
  std::vector<Product> products;  // of the CPU
  int64_t disk_bytes = 0;
  int64_t verified_bytes = 0;
  int64_t unpacked_bytes = 0;  // raw
  int64_t touched_bytes = 0;  // memory: each byte of weights, a streamed one for DMA and verifying too
  int64_t copied_bytes = 0;   // to the device that computes, where one does: all weights that do not stay there, and
                              // that the CPU does not compute
  int64_t device_bytes = 0;   // of its memory: each byte of weights, a copied one twice
  // copied_bytes and device_bytes have those of keys and values in host memory, too (AddHostKv).
  int num_threads = 1;
};
// `rows` rows, of which `logit_rows` go through the head. `verify_once`: streamed slabs were verified
// in an earlier pass. `device_tier`: the tier of `residency` that is memory of a device which computes; -1: the CPU
// does. A device's kernels are not among the products, as nobody measures them: its memory bounds them.
// `by_host`: beside a device, which slabs in host memory the CPU computes (HostShare::slabs); empty: none.
PassWork DescribePass(const Manifest& manifest, const Residency& residency, int64_t rows,
                      int64_t logit_rows, int num_threads, bool verify_once, int device_tier = -1,
                      const std::vector<bool>& by_host = {});

// Adds what goes over the link for `sequences` sequences with `rows` rows each behind `context` tokens, whose keys and
// values lie in host memory while a device computes, in pages of `page_bytes` a layer: in the pages that rows see,
// out those that get rows. As one stream copies them, both count, though a link may carry both ways at once.
void AddHostKv(const HyperParameters& h, int64_t page_bytes, int64_t context, int64_t rows, double sequences,
               PassWork* work);

// What something of its own takes, beside which all else may run.
struct FloorTerm {
  const char* name;
  double seconds;
};

struct PassFloor {
  double disk_s = 0;
  double memory_s = 0;
  double link_s = 0;
  double device_memory_s = 0;
  double verify_s = 0;  // one thread's
  double unpack_s = 0;  // one thread's
  double compute_s = 0;
  double processor_s = 0;  // computing, verifying and decoding shared out over the CPUs
  // "disk", "memory", "link", "device memory", "compute" (with all that shares the processors).
  std::array<FloorTerm, 5> terms() const;
  // No pass can be faster, whatever overlaps.
  double floor_s() const;
  // What a pass takes if all that can overlap does; the processors may have to be shared.
  double predicted_s() const;
  // The name of the term that sets predicted_s.
  const char* bound_by() const;
};
PassFloor FloorOf(const PassWork& work, const MachineRates& rates);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_PASS_FLOOR_H_
