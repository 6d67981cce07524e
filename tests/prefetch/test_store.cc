// Writes slabs of random bytes, and damages them.
#include "tests/prefetch/test_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

namespace sluice {

TempDir::TempDir() {
  path_ = testing::TempDir() + "/sluice_prefetch_XXXXXX";
  EXPECT_NE(mkdtemp(path_.data()), nullptr) << path_;
  EXPECT_EQ(chmod(path_.c_str(), 0755), 0) << path_;
}

TempDir::~TempDir() { std::filesystem::remove_all(path_); }

void WriteFile(const std::string& path, absl::Span<const std::byte> bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  out.close();
  ASSERT_TRUE(out.good()) << path;
}

std::vector<std::byte> RandomBytes(int64_t size, uint32_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> bytes(size);
  for (int64_t at = 0; at < size; at += sizeof(uint64_t)) {
    const uint64_t word = random();
    std::memcpy(bytes.data() + at, &word, std::min<int64_t>(sizeof(word), size - at));
  }
  return bytes;
}

TestStore::TestStore(const std::vector<int64_t>& sizes, int num_files,
                     const std::function<bool(int)>& is_resident)
    : files_(num_files) {
  for (int i = 0; i < static_cast<int>(sizes.size()); ++i) {
    const int file = i % num_files;
    std::vector<std::byte>& bytes = files_[file];
    bytes.resize((bytes.size() + 4095) / 4096 * 4096);
    slabs_.push_back(RandomBytes(sizes[i], i));
    const std::vector<std::byte>& slab = slabs_.back();
    cycle_.push_back({.file = file,
                      .offset = static_cast<int64_t>(bytes.size()),
                      .bytes = sizes[i],
                      .checksum = XXH3_64bits(slab.data(), slab.size()),
                      .resident = is_resident(i)});
    bytes.insert(bytes.end(), slab.begin(), slab.end());
  }
  for (int file = 0; file < num_files; ++file) {
    paths_.push_back(dir_.Path(std::to_string(file) + ".slabs"));
    WriteFile(paths_.back(), files_[file]);
  }
}

int64_t TestStore::largest() const {
  int64_t bytes = 0;
  for (const StreamSlab& slab : cycle_) bytes = std::max(bytes, slab.bytes);
  return bytes;
}

void TestStore::FlipByte(int slab, int64_t at) {
  std::vector<std::byte>& bytes = files_[cycle_[slab].file];
  bytes[cycle_[slab].offset + at] ^= std::byte{0x40};
  WriteFile(paths_[cycle_[slab].file], bytes);
}

void TestStore::Truncate(int file, int64_t size) {
  ASSERT_EQ(truncate(paths_[file].c_str(), size), 0);
}

const std::vector<EngineCase>& EngineCases() {
  static const std::vector<EngineCase> cases = {
      {"uring_registered", IoKind::kUring, true, true, "io_uring, O_DIRECT, registered buffers"},
      {"uring_unregistered", IoKind::kUring, true, false,
       "io_uring, O_DIRECT, unregistered buffers"},
      {"uring_buffered", IoKind::kUring, false, true, "io_uring, buffered reads"},
      {"threads", IoKind::kThreads, true, true, "pread threads, O_DIRECT"},
      {"threads_buffered", IoKind::kThreads, false, true, "pread threads, buffered reads"},
  };
  return cases;
}

std::string WhyNot(const EngineCase& engine) {
  const TempDir dir;
  WriteFile(dir.Path("probe"), RandomBytes(4096, 0));
  const auto made = IoEngine::Create({dir.Path("probe")}, {}, engine.Options(1, 4096));
  if (!made.ok()) return std::string(made.status().message());
  if (engine.direct && (*made)->description().find("O_DIRECT,") == std::string::npos &&
      (*made)->description().find(", O_DIRECT") == std::string::npos) {
    return (*made)->description();
  }
  return "";
}

}  // namespace sluice
