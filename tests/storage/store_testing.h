// What the tests of stores share: folders that go away, small checkpoints, and comparing folders.
#ifndef SLUICE_TESTS_STORAGE_STORE_TESTING_H_
#define SLUICE_TESTS_STORAGE_STORE_TESTING_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "storage/shard/sharder.h"
#include "storage/source/checkpoint.h"
#include "storage/store/layer_store.h"

namespace sluice {

// A new empty folder, removed by the destructor. In memory where there is /dev/shm: tests of
// hundreds of stores would otherwise wait for the disk's fsync. kDisk is for what only a disk does
// (O_DIRECT).
class TemporaryFolder {
 public:
  enum class Where { kMemory, kDisk };
  explicit TemporaryFolder(Where where = Where::kMemory);
  ~TemporaryFolder();
  const std::string& path() const { return path_; }
  std::string operator/(absl::string_view name) const;

 private:
  std::string path_;
};

// The checked-in models: golden ones of a few tensors, and the two trained ones.
std::vector<std::string> GoldenModels();
std::string ModelDir(absl::string_view name);
std::unique_ptr<Checkpoint> OpenCheckpoint(const std::string& dir);
std::unique_ptr<LayerStore> OpenStore(const std::string& dir);

// A Llama config.json of one layer; all sizes are small and odd ones are welcome.
nlohmann::json TinyConfig(int hidden, int intermediate, int vocab);

// Writes config.json and model.safetensors with every tensor that the config asks for. Values are
// pseudo-random of about 0.1 and the same every time. `dtype` gives "F32", "F16" or "BF16" for a
// tensor's name; `edit` may change its f32 values before they are rounded to that.
void WriteCheckpoint(
    const std::string& dir, const nlohmann::json& config,
    const std::function<std::string(const std::string&)>& dtype,
    const std::function<void(const std::string&, std::vector<float>*)>& edit = nullptr);

inline std::string Message(const absl::Status& status) { return std::string(status.message()); }

std::string ReadBytes(const std::string& path);
void WriteBytes(const std::string& path, absl::string_view bytes);

// Every regular file below `dir`, by its path there, with its bytes.
std::map<std::string, std::string> ReadFolder(const std::string& dir);
// Names of files that differ or that only one of the folders has.
std::vector<std::string> DifferingFiles(const std::string& a, const std::string& b);

ShardOptions Options(absl::string_view recipe = "", int64_t slab_bytes = 16384, int num_threads = 2,
                     StoreCompression compression = StoreCompression::kNone);
// Opens the checkpoint and shards it.
absl::Status TryShard(const std::string& model_dir, const std::string& store,
                      const ShardOptions& options = Options());
// Shards, and fails the test where that fails. `recipe` empty: the checkpoint's own dtype.
Manifest ShardOrDie(const std::string& model_dir, const std::string& store_dir,
                    absl::string_view recipe = "", int64_t slab_bytes = 16384, int num_threads = 2,
                    StoreCompression compression = StoreCompression::kNone);

// All rows of a tensor, and the status of reading it.
absl::Status CollectTensor(const LayerStore& store, int tensor, std::string* bytes);

}  // namespace sluice

#endif  // SLUICE_TESTS_STORAGE_STORE_TESTING_H_
