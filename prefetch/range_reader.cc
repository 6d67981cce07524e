// Cuts ranges into windows of whole blocks until the bounce buffer is full, reads and copies them,
// and goes on.
#include "prefetch/range_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/base/status_macros.h"
#include "prefetch/io/host_buffer.h"

namespace sluice {

absl::Status RangeReader::Read(absl::Span<const SlabStream::Range> ranges) {
  const MutexLock turn(&turn_);
  std::vector<Window> windows;
  int64_t used = 0;
  for (const SlabStream::Range& range : ranges) {
    int64_t offset = range.offset;
    absl::Span<std::byte> out = range.out;
    while (!out.empty()) {
      const int64_t skip = offset % kReadAlignment;
      const int64_t whole = std::min<int64_t>(
          RoundUp(skip + static_cast<int64_t>(out.size()), kReadAlignment), bounce_.size());
      if (used + whole > static_cast<int64_t>(bounce_.size())) {
        SLUICE_RETURN_IF_ERROR(ReadWindows(windows));
        windows.clear();
        used = 0;
      }
      const int64_t part = std::min<int64_t>(out.size(), whole - skip);
      windows.push_back({.file = range.file,
                         .offset = offset - skip,
                         .data = bounce_.data() + used,
                         .skip = skip,
                         .out = out.first(part)});
      used += whole;
      offset += part;
      out.remove_prefix(part);
    }
  }
  return ReadWindows(windows);
}

absl::Status RangeReader::ReadWindows(absl::Span<const Window> windows) {
  for (const Window& window : windows) {
    const int64_t bytes = window.skip + static_cast<int64_t>(window.out.size());
    IoRequest request;
    request.file = window.file;
    request.offset = window.offset;
    request.buffer = {window.data, static_cast<size_t>(RoundUp(bytes, kReadAlignment))};
    request.bytes = bytes;
    request.priority = IoPriority::kWaitedFor;
    batch_.Submit(std::move(request));
  }
  for (const absl::Status& status : batch_.Wait()) SLUICE_RETURN_IF_ERROR(status);
  for (const Window& window : windows) {
    std::memcpy(window.out.data(), window.data + window.skip, window.out.size());
  }
  return absl::OkStatus();
}

}  // namespace sluice
