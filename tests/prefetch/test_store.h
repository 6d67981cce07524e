// Slabs in temporary files for tests, and streams over them.
#ifndef SLUICE_TESTS_PREFETCH_TEST_STORE_H_
#define SLUICE_TESTS_PREFETCH_TEST_STORE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "prefetch/io/io_engine.h"
#include "prefetch/slab_stream.h"

namespace sluice {

// A directory that anyone may read, removed with what it holds by the destructor.
class TempDir {
 public:
  TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir();
  std::string Path(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

void WriteFile(const std::string& path, absl::Span<const std::byte> bytes);
std::vector<std::byte> RandomBytes(int64_t size, uint32_t seed);

// Slab i of the cycle has sizes[i] random bytes and lies in file i % num_files, the next multiple
// of 4096 after what that file holds. The last slab of a file is not padded.
class TestStore {
 public:
  TestStore(
      const std::vector<int64_t>& sizes, int num_files,
      const std::function<bool(int)>& is_resident = [](int) { return false; });

  const std::vector<std::string>& paths() const { return paths_; }
  const std::vector<StreamSlab>& cycle() const { return cycle_; }
  absl::Span<const std::byte> slab(int i) const { return slabs_[i]; }
  absl::Span<const std::byte> file(int i) const { return files_[i]; }
  int64_t largest() const;

  // Damage, on disk.
  void FlipByte(int slab, int64_t at);
  void Truncate(int file, int64_t size);

 private:
  TempDir dir_;
  std::vector<std::string> paths_;
  std::vector<StreamSlab> cycle_;
  std::vector<std::vector<std::byte>> slabs_;
  std::vector<std::vector<std::byte>> files_;
};

// Which engine, and the words that its description must have.
struct EngineCase {
  const char* name;
  IoKind kind;
  bool direct;
  bool register_buffers;
  const char* description;

  IoOptions Options(int queue_depth, int64_t read_bytes) const {
    return {.kind = kind,
            .queue_depth = queue_depth,
            .read_bytes = read_bytes,
            .direct = direct,
            .register_buffers = register_buffers};
  }
};
const std::vector<EngineCase>& EngineCases();
// Why this machine cannot run the case; empty where it can.
std::string WhyNot(const EngineCase& engine);

}  // namespace sluice

#endif  // SLUICE_TESTS_PREFETCH_TEST_STORE_H_
