// Fuzzes session files: the input itself, or a whole file that the input changes, with a checksum
// that is right, as no fuzzer finds one.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "runtime/chat/session_file.h"
#include "storage/file/checksum.h"

namespace {

constexpr int64_t kContext = 128;
const sluice::KvShape kShape = {sluice::KvType::kF16, sluice::KvType::kQ8_0, 1, 8};
const sluice::SessionIdentity kIdentity = {.store_hash = 1, .template_hash = 2, .vocab_size = 50};

// A session of 70 tokens, one page and a bit.
std::string WholeFile(sluice::KvCache& cache) {
  sluice::CachedTokens cached;
  if (!cache.Reserve(cached.pages, kContext).ok()) std::abort();
  for (int32_t i = 0; i < 70; ++i) cached.tokens.push_back(i % 50);
  std::string folder = std::filesystem::temp_directory_path() / "session_fuzz.XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) std::abort();
  const std::string path = folder + "/whole";
  if (!sluice::SaveSession(path, kIdentity,
                           {{"user", "a \"question\""}, {"assistant", "an answer", "a thought"}},
                           cache, cached)
           .ok()) {
    std::abort();
  }
  cache.Release(cached.pages);
  std::ifstream stream(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  std::filesystem::remove_all(folder);
  return bytes;
}

void Seal(std::string* file) {
  sluice::RunningChecksum checksum;
  checksum.Add({reinterpret_cast<const std::byte*>(file->data()), file->size()});
  const uint64_t value = checksum.Value();
  file->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto* const place =
      new std::unique_ptr<sluice::ComputePlace>(sluice::MakeHostPlace(nullptr));
  static auto* const cache = new sluice::KvCache(*sluice::KvCache::Create(
      sluice::StateLayout(std::vector<sluice::LayerState>(2, {kShape, 0, KvPageBytes(kShape)})),
      {.pages = 4}, place->get()));
  static const auto* const whole = new std::string(WholeFile(*cache));
  static const int fd = memfd_create("session", MFD_CLOEXEC);
  if (fd < 0) std::abort();
  if (size == 0 || size > (1 << 16)) return 0;

  // Byte 0: the input itself; a new header in the whole file; or bytes of it that are changed, two
  // of place and one of value each.
  std::string file(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 3 != 0) {
    std::string input = std::move(file);
    file = whole->substr(0, whole->size() - sizeof(uint64_t));
    if (data[0] % 3 == 1) {
      uint32_t header_bytes;
      std::memcpy(&header_bytes, file.data() + 12, sizeof(header_bytes));
      file.replace(16, header_bytes, input);
      const auto new_bytes = static_cast<uint32_t>(input.size());
      std::memcpy(file.data() + 12, &new_bytes, sizeof(new_bytes));
    } else {
      for (size_t i = 0; i + 3 <= input.size(); i += 3) {
        const size_t at = static_cast<uint8_t>(input[i]) | static_cast<uint8_t>(input[i + 1]) << 8;
        file[at % file.size()] = input[i + 2];
      }
    }
    Seal(&file);
  }
  if (ftruncate(fd, 0) != 0 ||
      pwrite(fd, file.data(), file.size(), 0) != static_cast<ssize_t>(file.size())) {
    std::abort();
  }

  sluice::CachedTokens cached;
  const auto messages = sluice::LoadSession(absl::StrCat("/proc/self/fd/", fd), kIdentity, kContext,
                                            /*max_bytes=*/int64_t{64} << 20, *cache, &cached);
  if (messages.status().message().find('\n') != absl::string_view::npos) std::abort();
  if (static_cast<int64_t>(cached.tokens.size()) > kContext) std::abort();
  if (!messages.ok() && !cached.tokens.empty()) std::abort();
  for (const int32_t id : cached.tokens) {
    if (id < 0 || id >= kIdentity.vocab_size) std::abort();
  }
  cache->Release(cached.pages);
  if (cache->pool().available() != 4) std::abort();
  return 0;
}
