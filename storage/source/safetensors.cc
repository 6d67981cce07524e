// Reads safetensors headers, trusting nothing in them: each bound is checked against the file's
// size.
#include "storage/source/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "storage/file/json.h"
#include "storage/file/lfs_pointer.h"

namespace sluice {
namespace {

using nlohmann::json;

// The limit of the reference implementation; a 405B model's header has 0.1 MB.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr int64_t kLengthBytes = 8;
constexpr size_t kMaxDimensions = 8;  // no weight has more than 5

// Bits per element of the types that the format defines. A type that is not here is skipped without
// a check of its size: newer writers may add some.
struct Dtype {
  absl::string_view name;
  int bits;
};
constexpr Dtype kDtypes[] = {{"F32", 32},    {"F16", 16},    {"BF16", 16},   {"F64", 64},
                             {"I64", 64},    {"U64", 64},    {"I32", 32},    {"U32", 32},
                             {"I16", 16},    {"U16", 16},    {"I8", 8},      {"U8", 8},
                             {"BOOL", 8},    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8},
                             {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"F4", 4},      {"C64", 64}};

// One member of the header as it stands there.
struct Entry {
  std::string name;
  std::string dtype;
  std::vector<uint64_t> shape;
  std::vector<uint64_t> offsets;
  bool has_dtype = false;
  bool has_shape = false;
  bool has_offsets = false;
};

// Handles the header's values as they are parsed, without a document in between: memory grows only
// with the tensors, and anything that the format does not allow ends the parse at its place.
//
// kStart -> kTop -> kTensor -> kShape or kOffsets -> kTensor -> kTop -> kDone
//           kTop -> kMetadata -> kTop
class HeaderReader : public nlohmann::json_sax<json> {
 public:
  bool null() override {
    return (state_ == State::kTop && key_ == "__metadata__") || Unexpected("null");
  }
  bool boolean(bool) override { return Unexpected("a boolean"); }
  bool number_integer(number_integer_t value) override {
    return Fail(absl::StrCat(Where(), "a negative number, ", value));
  }
  bool number_float(number_float_t, const string_t&) override {
    return Unexpected("a number that is not an integer");
  }
  bool binary(binary_t&) override { return Unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (state_ == State::kShape && entry_.shape.size() < kMaxDimensions) {
      entry_.shape.push_back(value);
    } else if (state_ == State::kOffsets && entry_.offsets.size() < 2) {
      entry_.offsets.push_back(value);
    } else {
      return Unexpected("a number");
    }
    return true;
  }

  bool string(string_t& value) override {
    if (state_ == State::kMetadata) return true;
    if (state_ != State::kTensor || key_ != "dtype") return Unexpected("a string");
    entry_.dtype = std::move(value);
    return true;
  }

  bool start_object(std::size_t) override {
    if (state_ == State::kStart) {
      state_ = State::kTop;
    } else if (state_ == State::kTop && key_ == "__metadata__") {
      state_ = State::kMetadata;
    } else if (state_ == State::kTop) {
      state_ = State::kTensor;
      entry_ = Entry();
      entry_.name = key_;
    } else {
      return Unexpected("an object");
    }
    return true;
  }

  bool end_object() override {
    if (state_ == State::kTop) {
      state_ = State::kDone;
      return true;
    }
    if (state_ == State::kTensor) {
      std::vector<absl::string_view> missing;
      if (!entry_.has_dtype) missing.push_back("\"dtype\"");
      if (!entry_.has_shape) missing.push_back("\"shape\"");
      if (!entry_.has_offsets) missing.push_back("\"data_offsets\"");
      if (!missing.empty()) {
        return Fail(absl::StrCat(Tensor(), " lacks ", absl::StrJoin(missing, " and ")));
      }
      if (entry_.offsets.size() != 2) {
        return Fail(absl::StrCat(Where(), entry_.offsets.size(), " \"data_offsets\" instead of 2"));
      }
      entries_.push_back(std::move(entry_));
    }
    state_ = State::kTop;
    return true;
  }

  bool start_array(std::size_t) override {
    if (state_ == State::kTensor && key_ == "shape") {
      state_ = State::kShape;
    } else if (state_ == State::kTensor && key_ == "data_offsets") {
      state_ = State::kOffsets;
    } else {
      return Unexpected("a list");
    }
    return true;
  }

  bool end_array() override {
    state_ = State::kTensor;
    return true;
  }

  bool key(string_t& value) override {
    key_ = std::move(value);
    if (state_ == State::kTop && !names_.insert(key_).second) {
      return Fail(absl::StrCat("\"", ShownName(key_), "\" appears twice"));
    }
    if (state_ != State::kTensor) return true;
    bool* seen = key_ == "dtype"          ? &entry_.has_dtype
                 : key_ == "shape"        ? &entry_.has_shape
                 : key_ == "data_offsets" ? &entry_.has_offsets
                                          : nullptr;
    if (seen == nullptr || *seen) {
      return Fail(absl::StrCat(Where(), seen == nullptr ? "the unknown key \"" : "the key \"",
                               ShownName(key_), seen == nullptr ? "\"" : "\" twice"));
    }
    *seen = true;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return Fail(absl::StrCat("not valid JSON at byte ", position));
  }

  const std::string& error() const { return error_; }
  std::vector<Entry> Take() { return std::move(entries_); }

 private:
  enum class State : uint8_t { kStart, kTop, kMetadata, kTensor, kShape, kOffsets, kDone };

  std::string Where() const {
    if (state_ == State::kStart) return "instead of an object it holds ";
    if (state_ == State::kMetadata) return "\"__metadata__\" has ";
    return absl::StrCat(Tensor(), " has ");
  }
  std::string Tensor() const {
    return absl::StrCat("tensor \"", ShownName(state_ == State::kTop ? key_ : entry_.name), "\"");
  }
  bool Unexpected(absl::string_view what) {
    if (state_ == State::kStart) return Fail(absl::StrCat(Where(), what));
    return Fail(absl::StrCat(Where(), what, " where the format has none"));
  }
  bool Fail(std::string error) {
    if (error_.empty()) error_ = std::move(error);
    return false;
  }

  State state_ = State::kStart;
  std::string key_;
  Entry entry_;
  std::vector<Entry> entries_;
  absl::flat_hash_set<std::string> names_;
  std::string error_;
};

bool ToEncoding(absl::string_view dtype, Encoding* encoding) {
  if (dtype == "F32")
    *encoding = Encoding::kF32;
  else if (dtype == "F16")
    *encoding = Encoding::kF16;
  else if (dtype == "BF16")
    *encoding = Encoding::kBF16;
  else
    return false;
  return true;
}

// Checks that a tensor's extent lies in the data and is what its shape and type take.
// Returns what is wrong, or nothing.
std::string FaultOf(const Entry& entry, uint64_t data_bytes) {
  const uint64_t begin = entry.offsets[0], end = entry.offsets[1];
  if (begin > end || end > data_bytes) {
    return absl::StrCat("data_offsets ", begin, " to ", end, ", but the file has ", data_bytes,
                        " bytes of data");
  }
  uint64_t elements = 1;
  for (const uint64_t dim : entry.shape) {
    if (__builtin_mul_overflow(elements, dim, &elements) || dim > INT64_MAX) {
      return absl::StrCat("the shape [", absl::StrJoin(entry.shape, ", "), "], which overflows");
    }
  }
  for (const Dtype& dtype : kDtypes) {
    if (dtype.name != entry.dtype) continue;
    uint64_t bits = 0;
    if (__builtin_mul_overflow(elements, static_cast<uint64_t>(dtype.bits), &bits) ||
        bits % 8 != 0 || bits / 8 != end - begin) {
      return absl::StrCat(end - begin, " bytes, but [", absl::StrJoin(entry.shape, ", "), "] of ",
                          entry.dtype, " takes another number");
    }
  }
  return "";
}

// The data must be covered by the tensors once, without holes. Returns what is wrong, or nothing.
std::string CoverageFault(const std::vector<Entry>& entries, uint64_t data_bytes) {
  std::vector<const Entry*> by_offset;
  by_offset.reserve(entries.size());
  for (const Entry& entry : entries) by_offset.push_back(&entry);
  std::sort(by_offset.begin(), by_offset.end(),
            [](const Entry* a, const Entry* b) { return a->offsets < b->offsets; });
  uint64_t covered = 0;
  for (const Entry* entry : by_offset) {
    if (entry->offsets[0] != covered) {
      return absl::StrCat("tensor \"", ShownName(entry->name), "\" starts at data byte ",
                          entry->offsets[0], ", the tensors before it end at ", covered);
    }
    covered = entry->offsets[1];
  }
  if (covered == data_bytes) return "";
  return absl::StrCat("the tensors take ", covered, " bytes, but the file has ", data_bytes,
                      " bytes of data");
}

absl::Status Damaged(absl::string_view path, absl::string_view fault) {
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": safetensors header: ", fault, "; download the file again"));
}

}  // namespace

std::string ShownName(absl::string_view name) {
  constexpr size_t kLongest = 120;
  return absl::StrCat(absl::CHexEscape(name.substr(0, kLongest)),
                      name.size() > kLongest ? "..." : "");
}

absl::StatusOr<SafetensorsFile> ParseSafetensorsHeader(absl::string_view header, int64_t file_bytes,
                                                       absl::string_view path) {
  const int64_t header_bytes = static_cast<int64_t>(header.size());
  if (file_bytes < kLengthBytes + header_bytes) {
    return Damaged(path,
                   absl::StrCat("it takes ", header_bytes, " bytes of a file of ", file_bytes));
  }
  const uint64_t data_bytes = static_cast<uint64_t>(file_bytes - kLengthBytes - header_bytes);
  // The JSON library takes a zero byte for the end of the text and would not look behind it.
  if (const size_t zero = header.find('\0'); zero != absl::string_view::npos) {
    return Damaged(path, absl::StrCat("not valid JSON at byte ", zero + 1));
  }
  HeaderReader reader;
  if (!ReadJsonEvents(header, &reader)) {
    return Damaged(path, reader.error().empty() ? "not valid JSON" : reader.error());
  }

  const std::vector<Entry> entries = reader.Take();
  for (const Entry& entry : entries) {
    const std::string fault = FaultOf(entry, data_bytes);
    if (!fault.empty()) {
      return Damaged(path, absl::StrCat("tensor \"", ShownName(entry.name), "\" has ", fault));
    }
  }
  const std::string fault = CoverageFault(entries, data_bytes);
  if (!fault.empty()) return Damaged(path, fault);

  SafetensorsFile file;
  file.path = std::string(path);
  file.bytes = file_bytes;
  for (const Entry& entry : entries) {
    CheckpointTensor tensor;
    if (!ToEncoding(entry.dtype, &tensor.encoding)) {
      file.skipped.push_back({entry.name, entry.dtype});
      continue;
    }
    tensor.name = entry.name;
    tensor.shape.assign(entry.shape.begin(), entry.shape.end());
    tensor.file = 0;
    tensor.offset = kLengthBytes + header_bytes + static_cast<int64_t>(entry.offsets[0]);
    tensor.bytes = static_cast<int64_t>(entry.offsets[1] - entry.offsets[0]);
    file.tensors.push_back(std::move(tensor));
  }
  return file;
}

absl::StatusOr<FileDescriptor> OpenForReading(const std::string& path) {
  // O_NONBLOCK: a FIFO must not block the open; regular files ignore it.
  FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) {
    const int error = errno;
    if (error == EMFILE) {
      return absl::ResourceExhaustedError(
          absl::StrCat("cannot open ", path, ": too many open files; raise `ulimit -n`"));
    }
    return absl::ErrnoToStatus(error, absl::StrCat("cannot open ", path));
  }
  struct stat info;
  if (::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not a regular file"));
  }
  return fd;
}

absl::StatusOr<SafetensorsHeader> ReadSafetensorsHeader(int fd, const std::string& path) {
  const auto read_at = [&](int64_t offset, char* out, size_t bytes) -> absl::Status {
    for (size_t done = 0; done < bytes;) {
      const ssize_t n = ::pread(fd, out + done, bytes - done, offset + static_cast<int64_t>(done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        return absl::UnavailableError(
            absl::StrCat(path, ": cannot read the header: ", std::strerror(errno)));
      }
      if (n == 0) return Damaged(path, "the file ends inside it");
      done += static_cast<size_t>(n);
    }
    return absl::OkStatus();
  };

  struct stat info;
  if (::fstat(fd, &info) != 0) {
    return absl::UnavailableError(absl::StrCat(path, ": fstat: ", std::strerror(errno)));
  }
  SafetensorsHeader header;
  header.file_bytes = info.st_size;
  if (header.file_bytes < kLengthBytes) {
    return Damaged(path, absl::StrCat("the file has only ", header.file_bytes, " bytes"));
  }
  unsigned char bytes[kLengthBytes];
  SLUICE_RETURN_IF_ERROR(read_at(0, reinterpret_cast<char*>(bytes), sizeof(bytes)));
  SLUICE_RETURN_IF_ERROR(CheckNoLfsPointer(
      absl::string_view(reinterpret_cast<const char*>(bytes), sizeof(bytes)), path));
  uint64_t length = 0;
  for (int i = 0; i < kLengthBytes; ++i) length |= uint64_t{bytes[i]} << (8 * i);
  const uint64_t limit = std::min<uint64_t>(kMaxHeaderBytes, header.file_bytes - kLengthBytes);
  if (length > limit) {
    return Damaged(path,
                   absl::StrCat("its length is said to be ", length, " bytes, but it can have ",
                                "at most ", limit, " in a file of ", header.file_bytes));
  }
  header.text.resize(length);
  SLUICE_RETURN_IF_ERROR(read_at(kLengthBytes, header.text.data(), length));
  return header;
}

absl::StatusOr<SafetensorsFile> OpenSafetensors(const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenForReading(path));
  SLUICE_ASSIGN_OR_RETURN(const SafetensorsHeader header, ReadSafetensorsHeader(fd.get(), path));
  return ParseSafetensorsHeader(header.text, header.file_bytes, path);
}

}  // namespace sluice
