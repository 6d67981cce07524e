// Pages of the KV cache in the scratch file: where they lie, and whether they come back as they
// were written.
#ifndef SLUICE_RUNTIME_KV_KV_FILE_H_
#define SLUICE_RUNTIME_KV_KV_FILE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "prefetch/io/io_engine.h"
#include "runtime/kv/state_layout.h"

namespace sluice {

// The file: [layer][slot] pages as they lie in memory, each of its layer's size. It is sparse, and
// grows as far as slots are used. Each page of a layer has an XXH3-64 here: what comes back wrong
// is not used. Thread-compatible.
class KvFile {
 public:
  // Bytes of a request in the engine's queue, about.
  static constexpr int64_t kRequestBytes = 512;
  // What it holds in memory.
  static int64_t MemoryBytes(int64_t num_layers, int64_t num_slots);

  // File number `file` of `io`, which must outlive this.
  KvFile(StateLayout layout, int64_t num_slots, IoEngine* io, int file);

  int64_t num_layers() const { return layout_.num_layers(); }
  int64_t num_slots() const { return num_slots_; }
  IoEngine* io() const { return io_; }

  // Reads or writes a layer's pages of slot `slot` and those behind it, as many as `pages` has room
  // for. It goes ahead of the slabs, which wait no longer than the compute thread does.
  IoRequest Request(bool write, int64_t layer, int64_t slot, absl::Span<std::byte> pages) const;
  // Remembers the checksum of a page that is being written.
  void Note(int64_t layer, int64_t slot, absl::Span<const std::byte> page);
  // DataLoss: this is not what was written there.
  absl::Status Check(int64_t layer, int64_t slot, absl::Span<const std::byte> page) const;

 private:
  uint64_t& ChecksumOf(int64_t layer, int64_t slot) {
    return checksums_[slot * num_layers() + layer];
  }

  const StateLayout layout_;
  const int64_t num_slots_;
  IoEngine* const io_;
  const int file_;
  std::vector<uint64_t> checksums_;  // [slot][layer]
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_KV_KV_FILE_H_
