// Fuzzes the journal of a batch job: no file may do more than lose its damaged end, and what is
// kept is there again when it is opened once more.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/batch/journal.h"
#include "storage/file/checksum.h"

namespace {

constexpr uint64_t kJobHash = 0x0123456789abcdef;

// Opens the journal and returns its entries as bytes; aborts where that fails.
std::string EntriesOf(const std::string& path) {
  std::string entries;
  const auto journal =
      sluice::Journal::Open(path, kJobHash, [&](const sluice::JournalEntry& entry) {
        entries.append(reinterpret_cast<const char*>(&entry), sizeof(entry));
      });
  if (!journal.ok()) std::abort();
  return entries;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int fd = memfd_create("journal", MFD_CLOEXEC);
  if (fd < 0) std::abort();
  // A header that is this job's, then records: the input's bytes with a checksum that is right, as
  // a fuzzer does not find one, and the rest of them as they are.
  std::string file = "sluiceJ1";
  file.append(reinterpret_cast<const char*>(&kJobHash), sizeof(kJobHash));
  const size_t good = size == 0 ? 0 : data[0] % 8;  // entries of the first record
  const size_t bytes = good * sizeof(sluice::JournalEntry);
  if (size > bytes) {
    const absl::Span<const std::byte> entries(reinterpret_cast<const std::byte*>(data + 1), bytes);
    const uint32_t head[2] = {static_cast<uint32_t>(good), 0};
    const uint64_t checksum = sluice::Checksum(entries);
    if (good > 0) {
      file.append(reinterpret_cast<const char*>(head), sizeof(head));
      file.append(reinterpret_cast<const char*>(&checksum), sizeof(checksum));
    }
    file.append(reinterpret_cast<const char*>(data + 1), size - 1);
  }
  if (ftruncate(fd, 0) != 0 ||
      pwrite(fd, file.data(), file.size(), 0) != static_cast<ssize_t>(file.size())) {
    std::abort();
  }
  const std::string path = absl::StrCat("/proc/self/fd/", fd);
  const std::string first = EntriesOf(path);
  if (EntriesOf(path) != first) std::abort();
  std::string read;
  sluice::Journal::Read(path, [&](const sluice::JournalEntry& entry) {
    read.append(reinterpret_cast<const char*>(&entry), sizeof(entry));
  });
  if (read != first) std::abort();
  return 0;
}
