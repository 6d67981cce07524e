// Parses a GGUF header; everything in it is compared with the file's size first.
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/base/status_macros.h"
#include "storage/file/input_file.h"
#include "storage/file/lfs_pointer.h"
#include "storage/source/gguf.h"
#include "storage/source/safetensors.h"

namespace sluice {

static_assert(std::endian::native == std::endian::little,
              "values are read as they lie in the file");

namespace {

// Vocabularies of 256,000 tokens with their merges take 12 MB.
constexpr int64_t kMaxMetadataBytes = int64_t{128} << 20;
constexpr int64_t kFirstRead = int64_t{1} << 20;
constexpr int kGgufDimensions = 4;
constexpr int kMaxArrayDepth = 4;  // known files have arrays of scalars and strings only
constexpr uint64_t kMaxNameBytes = 65535;
constexpr int64_t kDefaultAlignment = 32;
constexpr uint64_t kLeastTensorInfoBytes = 8 + 4 + 8 + 4 + 8;
constexpr uint64_t kLeastValueBytes = 8 + 4 + 1;

}  // namespace

// One pass over the header. A member function that reads returns false if it cannot; then fault_
// has the reason, or more_ is set because the bytes at hand end before the header does.
class GgufReader {
 public:
  GgufReader(absl::string_view head, int64_t file_bytes, GgufFile* file)
      : head_(head), file_bytes_(static_cast<uint64_t>(file_bytes)), file_(*file) {}

  absl::Status Run(absl::string_view path) {
    const bool done = ReadAll();
    if (done) return absl::OkStatus();
    if (more_) return absl::OutOfRangeError(absl::StrCat(path, ": GGUF: the header goes on"));
    const absl::StatusCode code =
        unimplemented_ ? absl::StatusCode::kUnimplemented : absl::StatusCode::kInvalidArgument;
    return absl::Status(code, absl::StrCat(path, ": GGUF: ", fault_,
                                           unimplemented_ ? "" : "; download the file again"));
  }

 private:
  using Type = GgufFile::Type;

  bool ReadAll() {
    uint64_t num_tensors, num_values;
    if (!Version() || !Scalar("number of tensors", &num_tensors) ||
        !Scalar("number of keys", &num_values)) {
      return false;
    }
    if (num_tensors > Left() / kLeastTensorInfoBytes || num_values > Left() / kLeastValueBytes) {
      return Fail(absl::StrCat("it says that it holds ", num_tensors, " tensors and ", num_values,
                               " keys, for which its ", file_bytes_, " bytes are too few"));
    }
    for (uint64_t i = 0; i < num_values; ++i) {
      if (!KeyAndValue()) return false;
    }
    for (uint64_t i = 0; i < num_tensors; ++i) {
      if (!TensorInfo()) return false;
    }
    file_.header_bytes_ = static_cast<int64_t>(at_);
    return Place();
  }

  bool Version() {
    absl::string_view magic;
    uint32_t version;
    if (!Take("magic", 4, &magic)) return false;
    if (magic != "GGUF") {
      return Fail(
          absl::StrCat("it does not begin with \"GGUF\" but with \"", ShownName(magic), "\""));
    }
    if (!Scalar("version", &version)) return false;
    if (version == 2 || version == 3) return true;
    unimplemented_ = version != 0;
    if (version > 0 && version < 65536) {
      return Fail(absl::StrCat("version ", version, ", sluice reads 2 and 3; ",
                               version == 1 ? "convert the model again" : "it may be too new"));
    }
    return Fail("a big-endian file, sluice reads little-endian ones; convert the model again");
  }

  uint64_t Left() const { return file_bytes_ - at_; }

  bool Fail(std::string fault) {
    fault_ = std::move(fault);
    return false;
  }

  bool Take(absl::string_view what, uint64_t bytes, absl::string_view* out) {
    if (bytes > Left()) {
      return Fail(absl::StrCat("at byte ", at_, " ", bytes, " bytes are to follow (",
                               ShownName(what), "), but the file ends at ", file_bytes_));
    }
    if (bytes > head_.size() - at_) {
      more_ = true;
      return false;
    }
    *out = head_.substr(at_, bytes);
    at_ += bytes;
    return true;
  }

  template <typename T>
  bool Scalar(absl::string_view what, T* out) {
    absl::string_view bytes;
    if (!Take(what, sizeof(T), &bytes)) return false;
    std::memcpy(out, bytes.data(), sizeof(T));
    return true;
  }

  bool String(absl::string_view what, absl::string_view* out) {
    uint64_t length;
    return Scalar(what, &length) && Take(what, length, out);
  }

  bool Name(absl::string_view what, absl::string_view* out) {
    if (!String(what, out)) return false;
    if (out->empty() || out->size() > kMaxNameBytes) {
      return Fail(absl::StrCat("a ", what, " of ", out->size(), " bytes before byte ", at_));
    }
    return true;
  }

  bool ReadType(absl::string_view key, Type* type) {
    uint32_t number;
    if (!Scalar("type of a value", &number)) return false;
    if (number > static_cast<uint32_t>(Type::kFloat64)) {
      return Fail(
          absl::StrCat("the value of \"", ShownName(key), "\" has the unknown type ", number));
    }
    *type = static_cast<Type>(number);
    return true;
  }

  // Moves behind the elements of an array; `value` gets their type, number and bytes.
  bool Array(absl::string_view key, int depth, GgufFile::Value* value) {
    if (depth > kMaxArrayDepth) {
      return Fail(
          absl::StrCat("\"", ShownName(key), "\" has arrays nested deeper than ", kMaxArrayDepth));
    }
    if (!ReadType(key, &value->element) || !Scalar("length of an array", &value->count))
      return false;
    const uint64_t begin = at_;
    const int scalar_bytes = GgufFile::ScalarBytes(value->element);
    const uint64_t least = scalar_bytes > 0                  ? scalar_bytes
                           : value->element == Type::kString ? 8
                                                             : 12;
    if (value->count > Left() / least) {
      return Fail(absl::StrCat("the array \"", ShownName(key), "\" is said to have ", value->count,
                               " elements, more than the file has room for"));
    }
    if (scalar_bytes > 0) return Take("an array", value->count * scalar_bytes, &value->bytes);
    for (uint64_t i = 0; i < value->count; ++i) {
      GgufFile::Value element;
      const bool read = value->element == Type::kString ? String("an element", &element.bytes)
                                                        : Array(key, depth + 1, &element);
      if (!read) return false;
    }
    value->bytes = head_.substr(begin, at_ - begin);
    return true;
  }

  bool KeyAndValue() {
    absl::string_view key;
    GgufFile::Value value;
    if (!Name("key", &key) || !ReadType(key, &value.type)) return false;
    bool read = false;
    if (value.type == Type::kString) {
      read = String(key, &value.bytes);
    } else if (value.type == Type::kArray) {
      read = Array(key, 1, &value);
    } else {
      read = Take(key, GgufFile::ScalarBytes(value.type), &value.bytes);
    }
    if (!read) return false;
    if (!file_.values_.emplace(key, value).second) {
      return Fail(absl::StrCat("the key \"", ShownName(key), "\" appears twice"));
    }
    return true;
  }

  bool TensorInfo() {
    absl::string_view name;
    uint32_t num_dimensions;
    if (!Name("name of a tensor", &name) || !Scalar("number of dimensions", &num_dimensions))
      return false;
    const auto fail = [&](absl::string_view what) {
      return Fail(absl::StrCat("tensor \"", ShownName(name), "\" has ", what));
    };
    if (num_dimensions < 1 || num_dimensions > kGgufDimensions) {
      return fail(
          absl::StrCat(num_dimensions, " dimensions, the format has 1 to ", kGgufDimensions));
    }
    GgufTensor tensor;
    tensor.name = std::string(name);
    uint64_t lengths[kGgufDimensions];
    uint64_t elements = 1;
    bool sane = true;
    for (uint32_t i = 0; i < num_dimensions; ++i) {
      if (!Scalar("dimension", &lengths[i])) return false;
      sane = sane && lengths[i] > 0 && lengths[i] <= INT64_MAX &&
             !__builtin_mul_overflow(elements, lengths[i], &elements);
    }
    if (!sane) {
      return fail(absl::StrCat("the dimensions [",
                               absl::StrJoin(absl::MakeConstSpan(lengths, num_dimensions), ", "),
                               "], which are empty or overflow"));
    }
    for (uint32_t i = num_dimensions; i-- > 0;)
      tensor.shape.push_back(static_cast<int64_t>(lengths[i]));
    uint64_t offset, bytes = 0;
    if (!Scalar("type of a tensor", &tensor.type) || !Scalar("offset of a tensor", &offset))
      return false;
    if (const GgufTensorType* type = FindGgufTensorType(tensor.type)) {
      if (lengths[0] % type->block_values != 0) {
        return fail(absl::StrCat("rows of ", lengths[0], " values, no whole number of ", type->name,
                                 " blocks of ", type->block_values));
      }
      if (__builtin_mul_overflow(elements / type->block_values,
                                 static_cast<uint64_t>(type->block_bytes), &bytes)) {
        return fail(absl::StrCat(elements, " values, which overflow"));
      }
    }
    if (offset > file_bytes_ || bytes > file_bytes_ - offset) {
      return fail(absl::StrCat(bytes, " bytes at byte ", offset,
                               " of the data, but the whole file has ", file_bytes_));
    }
    tensor.offset = static_cast<int64_t>(offset);
    tensor.bytes = static_cast<int64_t>(bytes);
    if (!names_.insert(tensor.name).second) return fail("a name that appears twice");
    file_.tensors_.push_back(std::move(tensor));
    return true;
  }

  bool Alignment(uint64_t* alignment) {
    *alignment = kDefaultAlignment;
    const auto found = file_.values_.find("general.alignment");
    if (found == file_.values_.end()) return true;
    const std::optional<int64_t> value =
        GgufFile::IntOf(found->second.type, found->second.bytes.data());
    if (!value.has_value() || *value <= 0 || (*value & (*value - 1)) != 0) {
      return Fail(absl::StrCat("\"general.alignment\" is ",
                               value.has_value() ? absl::StrCat(*value) : "no integer",
                               ", expected a power of two"));
    }
    *alignment = static_cast<uint64_t>(*value);
    return true;
  }

  // Turns offsets, which count from the beginning of the data, into the file's.
  bool Place() {
    uint64_t alignment;
    if (!Alignment(&alignment)) return false;
    if (file_.tensors_.empty()) return true;
    const uint64_t data_begin = at_ + (alignment - at_ % alignment) % alignment;
    if (data_begin < at_ || data_begin > file_bytes_) {
      return Fail(absl::StrCat("the data is to begin at ", data_begin, ", but the file ends at ",
                               file_bytes_));
    }
    std::vector<const GgufTensor*> by_offset;
    for (GgufTensor& tensor : file_.tensors_) {
      if (static_cast<uint64_t>(tensor.offset) % alignment != 0) {
        return Fail(absl::StrCat("tensor \"", ShownName(tensor.name), "\" has the offset ",
                                 tensor.offset, ", no multiple of ", alignment));
      }
      tensor.offset += static_cast<int64_t>(data_begin);
      if (static_cast<uint64_t>(tensor.offset) > file_bytes_ ||
          static_cast<uint64_t>(tensor.bytes) > file_bytes_ - tensor.offset) {
        return Fail(absl::StrCat("tensor \"", ShownName(tensor.name), "\" is to take ",
                                 tensor.bytes, " bytes at byte ", tensor.offset,
                                 ", but the file ends at ", file_bytes_));
      }
      by_offset.push_back(&tensor);
    }
    std::sort(by_offset.begin(), by_offset.end(), [](const GgufTensor* a, const GgufTensor* b) {
      return std::pair(a->offset, a->bytes) < std::pair(b->offset, b->bytes);
    });
    for (size_t i = 1; i < by_offset.size(); ++i) {
      const GgufTensor& before = *by_offset[i - 1];
      if (by_offset[i]->offset >= before.offset + before.bytes) continue;
      return Fail(absl::StrCat("tensors \"", ShownName(before.name), "\" and \"",
                               ShownName(by_offset[i]->name), "\" overlap at byte ",
                               by_offset[i]->offset));
    }
    return true;
  }

  const absl::string_view head_;
  const uint64_t file_bytes_;
  GgufFile& file_;
  uint64_t at_ = 0;
  bool more_ = false;
  bool unimplemented_ = false;
  std::string fault_;
  absl::flat_hash_set<std::string> names_;
};

absl::StatusOr<GgufFile> GgufFile::Parse(std::string head, int64_t file_bytes,
                                         absl::string_view path) {
  GgufFile file;
  file.path_ = std::string(path);
  file.file_bytes_ = file_bytes;
  head.resize(std::min<size_t>(head.size(), static_cast<size_t>(file_bytes)));
  file.head_ = std::make_unique<const std::string>(std::move(head));
  SLUICE_RETURN_IF_ERROR(GgufReader(*file.head_, file_bytes, &file).Run(path));
  return file;
}

absl::StatusOr<GgufFile> GgufFile::Open(const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenForReading(path));
  const off_t file_bytes = ::lseek(fd.get(), 0, SEEK_END);
  if (file_bytes < 0) return FileError(errno, "find the size of", path);
  for (int64_t bytes = kFirstRead;; bytes *= 4) {
    std::string head(std::min({bytes, static_cast<int64_t>(file_bytes), kMaxMetadataBytes}), '\0');
    for (size_t done = 0; done < head.size();) {
      const ssize_t n =
          ::pread(fd.get(), head.data() + done, head.size() - done, static_cast<off_t>(done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return FileError(errno, "read the header of", path);
      if (n == 0)
        return absl::DataLossError(absl::StrCat(path, ": has become shorter while it was read"));
      done += static_cast<size_t>(n);
    }
    SLUICE_RETURN_IF_ERROR(CheckNoLfsPointer(head, path));
    const bool all =
        static_cast<int64_t>(head.size()) == std::min<int64_t>(file_bytes, kMaxMetadataBytes);
    absl::StatusOr<GgufFile> file = Parse(std::move(head), file_bytes, path);
    if (!absl::IsOutOfRange(file.status())) return file;
    if (all) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": GGUF: metadata of more than ", kMaxMetadataBytes >> 20, " MiB"));
    }
  }
}

}  // namespace sluice
