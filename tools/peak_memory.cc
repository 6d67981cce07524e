// A sum.
#include "tools/peak_memory.h"

#include "absl/strings/str_cat.h"
#include "kernels/base/format_bytes.h"
#include "tools/command.h"

namespace sluice {

std::string DescribePeak(int64_t peak_rss_bytes, int64_t max_ram_bytes) {
  return absl::StrCat("peak ", FormatBytes(peak_rss_bytes), " of at most ",
                      FormatBytes(max_ram_bytes + kOverheadBytes), ": the budget of ",
                      FormatBytes(max_ram_bytes), ", and ", FormatBytes(kOverheadBytes),
                      " for code, stacks and the allocator");
}

}  // namespace sluice
