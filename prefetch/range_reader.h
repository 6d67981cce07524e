// Reads small ranges of any alignment, many at a time, through a bounce buffer.
#ifndef SLUICE_PREFETCH_RANGE_READER_H_
#define SLUICE_PREFETCH_RANGE_READER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/base/mutex.h"
#include "prefetch/io/io_batch.h"
#include "prefetch/io/io_engine.h"
#include "prefetch/slab_stream.h"

namespace sluice {

// Thread-safe; calls take turns. The engine and the bounce buffer must outlive the reader, and the
// engine must be alive while a call runs.
class RangeReader {
 public:
  // `bounce`: memory aligned to 4096, of a positive multiple of 4096 bytes.
  RangeReader(IoEngine* engine, absl::Span<std::byte> bounce) : batch_(engine), bounce_(bounce) {}

  // Reads all ranges and waits for them. They go ahead of slabs, as many at once as the bounce
  // buffer holds. If several fail, the status is that of the first range.
  absl::Status Read(absl::Span<const SlabStream::Range> ranges);

 private:
  // A part of a range, and the blocks around that part in the bounce buffer.
  struct Window {
    int file;
    int64_t offset;  // of the first block in the file
    std::byte* data;
    int64_t skip;  // bytes of the blocks ahead of the part
    absl::Span<std::byte> out;
  };

  absl::Status ReadWindows(absl::Span<const Window> windows) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);

  Mutex turn_;  // held for a whole Read()
  IoBatch batch_ ABSL_GUARDED_BY(turn_);
  const absl::Span<std::byte> bounce_;  // turn_ guards its bytes
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_RANGE_READER_H_
