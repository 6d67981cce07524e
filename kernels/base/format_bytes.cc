// Picks the unit.
#include "kernels/base/format_bytes.h"

#include "absl/strings/str_format.h"

namespace sluice {

std::string FormatBytes(int64_t bytes) {
  const double value = static_cast<double>(bytes);
  if (value >= 0x1p30) return absl::StrFormat("%.2f GiB", value / 0x1p30);
  if (value >= 0x1p20) return absl::StrFormat("%.1f MiB", value / 0x1p20);
  if (value >= 0x1p10) return absl::StrFormat("%.1f KiB", value / 0x1p10);
  return absl::StrFormat("%d bytes", bytes);
}

}  // namespace sluice
