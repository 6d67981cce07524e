// The promise about memory, in words: what a report says of the peak.
#ifndef SLUICE_TOOLS_PEAK_MEMORY_H_
#define SLUICE_TOOLS_PEAK_MEMORY_H_

#include <cstdint>
#include <string>

namespace sluice {

// What code, stacks and the allocator's own overhead take beside a budget, at the most
// (docs/architecture.md).
inline constexpr int64_t kOverheadBytes = int64_t{64} << 20;

// "peak 14.3 MiB of at most 72.0 MiB: the budget of 8.0 MiB, and 64.0 MiB for code, stacks and the
// allocator".
std::string DescribePeak(int64_t peak_rss_bytes, int64_t max_ram_bytes);

}  // namespace sluice

#endif  // SLUICE_TOOLS_PEAK_MEMORY_H_
