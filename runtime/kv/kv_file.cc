// Offsets and checksums.
#include "runtime/kv/kv_file.h"

#include <utility>

#include "absl/base/macros.h"
#include "absl/strings/str_cat.h"
#include "storage/store/manifest.h"

namespace sluice {

int64_t KvFile::MemoryBytes(int64_t num_layers, int64_t num_slots) {
  return num_slots * num_layers * static_cast<int64_t>(sizeof(uint64_t));
}

KvFile::KvFile(StateLayout layout, int64_t num_slots, IoEngine* io, int file)
    : layout_(std::move(layout)),
      num_slots_(num_slots),
      io_(io),
      file_(file),
      checksums_(num_slots * layout_.num_layers()) {}

IoRequest KvFile::Request(bool write, int64_t layer, int64_t slot,
                          absl::Span<std::byte> pages) const {
  const int64_t page_bytes = layout_.layer(layer).page_bytes;
  ABSL_ASSERT(slot * page_bytes + static_cast<int64_t>(pages.size()) <= num_slots_ * page_bytes);
  IoRequest request;
  request.file = file_;
  request.offset = layout_.PageBytesBefore(layer) * num_slots_ + slot * page_bytes;
  request.buffer = pages;
  request.bytes = static_cast<int64_t>(pages.size());
  request.write = write;
  request.priority = IoPriority::kWaitedFor;
  return request;
}

void KvFile::Note(int64_t layer, int64_t slot, absl::Span<const std::byte> page) {
  ChecksumOf(layer, slot) = Checksum(page);
}

absl::Status KvFile::Check(int64_t layer, int64_t slot, absl::Span<const std::byte> page) const {
  const uint64_t got = Checksum(page), want = checksums_[slot * num_layers() + layer];
  if (got == want) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("the page of layer ", layer, " in slot ", slot,
                   " of the swap file differs from the page that was written: XXH3 ",
                   ChecksumToHex(got), ", not ", ChecksumToHex(want)));
}

}  // namespace sluice
