// GGUF files: llama.cpp's container of metadata and tensors, versions 2 and 3, little-endian.
//
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. A header (magic, version,
// counts), metadata (key, type, value), tensor infos (name, dimensions, type, offset), then the
// tensors' data, each aligned. Strings are a 64-bit length and bytes without a terminator.
#ifndef SLUICE_STORAGE_SOURCE_GGUF_H_
#define SLUICE_STORAGE_SOURCE_GGUF_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace sluice {

// A type of tensor that the format defines. Quantized types have the names of
// kernels/encodings/encoding.h.
struct GgufTensorType {
  uint32_t id;
  absl::string_view name;
  int block_values;
  int block_bytes;
};
// Returns null if the type is unknown.
const GgufTensorType* FindGgufTensorType(uint32_t id);
const GgufTensorType* FindGgufTensorType(absl::string_view name);

// Returns whether `path` is a regular file that begins with "GGUF", or is named *.gguf.
bool IsGgufFile(const std::string& path);

struct GgufTensor {
  std::string name;
  uint32_t type;               // may be unknown; then bytes is 0 and its size was not checked
  std::vector<int64_t> shape;  // 1 to 4 lengths, slowest first: [rows, cols], unlike in the file
  int64_t offset;              // from the start of the file
  int64_t bytes;
};

// The part of a file in front of the data, with every bound checked against the file's size.
// Immutable.
class GgufFile {
 public:
  // Reads the header of a regular file. NotFound, PermissionDenied; Unavailable: a failed read.
  // InvalidArgument: the file is no GGUF file, or is damaged: it ends early, a length or an offset
  // points behind its end, tensors overlap, a name comes twice, an alignment is no power of two,
  // ... Unimplemented: version 1 or an unknown one, or big-endian. All name the path.
  static absl::StatusOr<GgufFile> Open(const std::string& path);
  // Parses the first bytes of a file of `file_bytes` (the fuzzer uses it). OutOfRange: the header
  // continues after `head`.
  static absl::StatusOr<GgufFile> Parse(std::string head, int64_t file_bytes,
                                        absl::string_view path);

  const std::string& path() const { return path_; }
  int64_t file_bytes() const { return file_bytes_; }
  // Returns the header's bytes, up to the data.
  absl::string_view header() const { return absl::string_view(*head_).substr(0, header_bytes_); }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }  // in the file's order

  bool Has(absl::string_view key) const { return values_.contains(key); }
  // Returns the keys that begin with `prefix`, sorted.
  std::vector<absl::string_view> Keys(absl::string_view prefix) const;
  // Returns the value of `key`; nothing if there is no such key. InvalidArgument: the value is of
  // another type (integers may have any width; they must fit int64), or not finite. Views live as
  // long as this file.
  absl::StatusOr<std::optional<int64_t>> Int(absl::string_view key) const;
  // Accepts floats and integers. An f32 becomes the shortest decimal that rounds to it, which is
  // the number that the file was made from: 1e-05 and not 9.9999997e-06.
  absl::StatusOr<std::optional<double>> Double(absl::string_view key) const;
  absl::StatusOr<std::optional<bool>> Bool(absl::string_view key) const;
  absl::StatusOr<std::optional<absl::string_view>> String(absl::string_view key) const;
  absl::StatusOr<std::optional<std::vector<int64_t>>> Ints(absl::string_view key) const;
  absl::StatusOr<std::optional<std::vector<float>>> Floats(absl::string_view key) const;
  absl::StatusOr<std::optional<std::vector<absl::string_view>>> Strings(
      absl::string_view key) const;

 private:
  friend class GgufReader;
  // The numbers are the format's.
  enum class Type : uint32_t {
    kUint8,
    kInt8,
    kUint16,
    kInt16,
    kUint32,
    kInt32,
    kFloat32,
    kBool,
    kString,
    kArray,
    kUint64,
    kInt64,
    kFloat64,
  };
  // `type`, number and bytes describe an array's elements; the bytes of a string are its
  // characters.
  struct Value {
    Type type;
    Type element = Type::kUint8;
    uint64_t count = 0;
    absl::string_view bytes;
  };

  GgufFile() = default;
  absl::Status WrongType(absl::string_view key, const Value& value, absl::string_view wanted) const;
  static absl::string_view TypeName(Type type);
  // Returns 0 for strings and arrays.
  static int ScalarBytes(Type type);
  static std::optional<int64_t> IntOf(Type type, const char* bytes);
  // An array whose elements are of a type for which `accepts` holds.
  template <typename Accepts>
  absl::StatusOr<const Value*> ArrayOf(absl::string_view key, absl::string_view wanted,
                                       Accepts accepts) const;

  std::string path_;
  std::unique_ptr<const std::string> head_;  // the values' views point into it
  int64_t header_bytes_ = 0;
  int64_t file_bytes_ = 0;
  absl::flat_hash_map<absl::string_view, Value> values_;
  std::vector<GgufTensor> tensors_;
};

}  // namespace sluice

#endif  // SLUICE_STORAGE_SOURCE_GGUF_H_
