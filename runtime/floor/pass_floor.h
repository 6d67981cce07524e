// The floor of a pass (DESIGN: the number that everything serves): pure functions of what a pass
// has to do and of rates measured on this machine.
#ifndef SLUICE_RUNTIME_FLOOR_PASS_FLOOR_H_
#define SLUICE_RUNTIME_FLOOR_PASS_FLOOR_H_

#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kernels/encodings/encoding.h"
#include "prefetch/residency.h"
#include "runtime/kv/state_layout.h"
#include "storage/store/manifest.h"

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
  // What a turn of a ring takes beside its bytes' time on the disk: the latency of a read, and the
  // threads that wake up one another until the next one is asked for. A small ring turns often.
  double ring_turn_s = 0;
  int64_t read_bytes = 0;  // the best way to read: size of a read
  int queue_depth = 0;     // and how many in flight
  double memory_bytes_per_s = 0;
  double verify_bytes_per_s = 0;  // one thread
  double unpack_bytes_per_s = 0;  // one thread decoding bf16, raw bytes
  double bf16_stored_share = 0;   // stored over raw bytes of compressed bf16 weights
  int num_threads = 0;            // that the kernels were measured with
  int num_cpus = 0;
  std::vector<KernelRate> kernels;  // the CPU's, by encoding, then by rows
  // The same with --fast-math, of the encodings that it changes
  std::vector<KernelRate> fast_kernels;
  // Of the device that computes, where one does.
  double link_bytes_per_s = 0;           // from host memory to its own
  double device_memory_bytes_per_s = 0;  // of that
};
// The rates with --fast-math: what was measured of that in place of the exact products.
MachineRates WithFastMath(MachineRates rates);

// Seconds a byte of tiles takes in products of `rows` rows with `num_threads` threads: the line
// through the two measured row counts around it, and beyond the last one in proportion to the rows.
// 0 where the encoding was not measured.
double KernelSecondsPerByte(const MachineRates& rates, Encoding encoding, int64_t rows,
                            int num_threads);

// Names of a floor's terms, as users see them.
inline constexpr char kDiskTerm[] = "disk";
inline constexpr char kMemoryTerm[] = "memory";
inline constexpr char kLinkTerm[] = "link";
inline constexpr char kDeviceMemoryTerm[] = "device memory";
inline constexpr char kComputeTerm[] = "compute";

// How fast a memory is, and its link to the one before it; with the names of their terms.
struct MemoryRates {
  const char* name = "";
  double bytes_per_s = 0;
  const char* link_name = "";
  double link_bytes_per_s = 0;
};
// What was measured, as a list as PassWork::memories: a device's memory, the host's and the disk.
std::vector<MemoryRates> MeasuredMemories(const MachineRates& rates);

// The part of the head that the disk reads while the CPU computes all of the head for `rows` rows
// that want logits; 1 where that was not measured.
double HeadStreamedShare(const Manifest& manifest, const MachineRates& rates, int num_threads,
                         int64_t rows);

// What one pass has to do in a memory, or with the disk.
struct MemoryWork {
  int64_t touched_bytes = 0;  // read and written in it; of a disk its link says it all
  int64_t sent_bytes = 0;     // over its link to the memory before it
};

// What one pass has to do.
struct PassWork {
  struct Product {
    Encoding encoding;
    int64_t rows;
    int64_t bytes;  // of tiles
  };
  std::vector<Product> products;     // of the CPU
  std::vector<MemoryWork> memories;  // the tiers of a Residency, then the disk
  int64_t verified_bytes = 0;
  int64_t unpacked_bytes = 0;  // raw
  // Of the ring that streamed slabs pass, and of the largest slab (AddRing sets them); 0: a ring
  // without an end.
  int64_t ring_bytes = 0;
  int64_t ring_slab_bytes = 0;
  int num_threads = 1;

  // Next to the processor that computes: a device's memory, or the host's.
  MemoryWork& nearest() { return memories.front(); }
  MemoryWork& host() { return memories[memories.size() - 2]; }
  MemoryWork& disk() { return memories.back(); }
  const MemoryWork& nearest() const { return memories.front(); }
  const MemoryWork& host() const { return memories[memories.size() - 2]; }
  const MemoryWork& disk() const { return memories.back(); }
};
// `rows` rows, of which `logit_rows` go through the head. `verify_once`: streamed slabs were
// verified in an earlier pass. Each byte of weights is read in the memory next to the processor
// that computes it: the first or, for the CPU, the host's. One that does not stay there crosses all
// links between that and where it lies, read in one memory and written in the next; from disk
// stored bytes come to the host's memory, and are verified and decoded there. A device's kernels
// are not among the products, as nobody measures them: its memory bounds them. `by_host`: beside a
// device, which slabs in host memory the CPU computes (HostShare::slabs); empty: none.
PassWork DescribePass(const Manifest& manifest, const Residency& residency, int64_t rows,
                      int64_t logit_rows, int num_threads, bool verify_once,
                      const std::vector<bool>& by_host = {});

// Adds the bytes that the links carry for `sequences` sequences with `rows` rows each after
// `context` tokens, if a device computes and keys and values lie in host memory. Pages that rows
// see are copied in, and pages that get rows are copied out. One stream does both, so both count,
// though a link may carry both ways at once.
void AddHostKv(const StateLayout& layout, int64_t context, int64_t rows, double sequences,
               PassWork* work);

// The seconds of one resource, beside which all others may work.
struct FloorTerm {
  const char* name;
  double seconds;
  bool link = false;  // of a link between memories or from the disk
};

struct PassFloor {
  std::vector<FloorTerm> memories;  // and their links, from the disk's to the first memory
  double verify_s = 0;              // one thread's
  double unpack_s = 0;              // one thread's
  double compute_s = 0;
  double processor_s = 0;  // computing, verifying and decoding shared out over the CPUs
  double ring_s = 0;       // reading through the ring, whose turns take their time, too
  double turns_s = 0;      // of it, what the disk's rate alone would not take
  // Those of the memories, and kComputeTerm: processor_s. The disk's is ring_s where that is more.
  std::vector<FloorTerm> terms() const;
  // Of the term with that name; 0 where there is none.
  double Seconds(absl::string_view name) const;
  // The largest of the links'.
  double links_s() const;
  // No pass can be faster, whatever overlaps.
  double floor_s() const;
  // What a pass takes if all that can overlap does; the processors may have to be shared.
  double predicted_s() const;
  // The name of the term that sets predicted_s.
  const char* bound_by() const;
};
// `memories` are those of the pass, behind others that it may not have, as where no device
// computes.
PassFloor FloorOf(const PassWork& work, const MachineRates& rates,
                  absl::Span<const MemoryRates> memories);
// With the memories that were measured.
PassFloor FloorOf(const PassWork& work, const MachineRates& rates);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_FLOOR_PASS_FLOOR_H_
