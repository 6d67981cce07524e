// GGUF's types, and typed access to metadata.
#include "storage/source/gguf.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "storage/source/safetensors.h"

namespace sluice {
namespace {

// ggml's types, without those that were removed from it.
constexpr GgufTensorType kTensorTypes[] = {
    {0, "f32", 1, 4},         {1, "f16", 1, 2},         {2, "q4_0", 32, 18},
    {3, "q4_1", 32, 20},      {6, "q5_0", 32, 22},      {7, "q5_1", 32, 24},
    {8, "q8_0", 32, 34},      {9, "q8_1", 32, 36},      {10, "q2_k", 256, 84},
    {11, "q3_k", 256, 110},   {12, "q4_k", 256, 144},   {13, "q5_k", 256, 176},
    {14, "q6_k", 256, 210},   {15, "q8_k", 256, 292},   {16, "iq2_xxs", 256, 66},
    {17, "iq2_xs", 256, 74},  {18, "iq3_xxs", 256, 98}, {19, "iq1_s", 256, 50},
    {20, "iq4_nl", 32, 18},   {21, "iq3_s", 256, 110},  {22, "iq2_s", 256, 82},
    {23, "iq4_xs", 256, 136}, {24, "i8", 1, 1},         {25, "i16", 1, 2},
    {26, "i32", 1, 4},        {27, "i64", 1, 8},        {28, "f64", 1, 8},
    {29, "iq1_m", 256, 56},   {30, "bf16", 1, 2},       {34, "tq1_0", 256, 54},
    {35, "tq2_0", 256, 66},   {39, "mxfp4", 32, 17},
};

template <typename T>
T Load(const char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

double Shortest(float value) {
  char text[64];
  const std::to_chars_result end = std::to_chars(text, text + sizeof(text) - 1, value);
  *end.ptr = '\0';
  return std::strtod(text, nullptr);
}

}  // namespace

const GgufTensorType* FindGgufTensorType(uint32_t id) {
  for (const GgufTensorType& type : kTensorTypes) {
    if (type.id == id) return &type;
  }
  return nullptr;
}

const GgufTensorType* FindGgufTensorType(absl::string_view name) {
  for (const GgufTensorType& type : kTensorTypes) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

bool IsGgufFile(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return false;
  if (absl::EndsWith(path, ".gguf")) return true;
  char magic[4] = {};
  std::ifstream(path, std::ios::binary).read(magic, sizeof(magic));
  return absl::string_view(magic, sizeof(magic)) == "GGUF";
}

absl::string_view GgufFile::TypeName(Type type) {
  static constexpr absl::string_view kNames[] = {"uint8",  "int8",    "uint16", "int16",  "uint32",
                                                 "int32",  "float32", "bool",   "string", "array",
                                                 "uint64", "int64",   "float64"};
  return kNames[static_cast<int>(type)];
}

int GgufFile::ScalarBytes(Type type) {
  static constexpr int kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return kBytes[static_cast<int>(type)];
}

std::optional<int64_t> GgufFile::IntOf(Type type, const char* bytes) {
  switch (type) {
    case Type::kUint8:
      return Load<uint8_t>(bytes);
    case Type::kInt8:
      return Load<int8_t>(bytes);
    case Type::kUint16:
      return Load<uint16_t>(bytes);
    case Type::kInt16:
      return Load<int16_t>(bytes);
    case Type::kUint32:
      return Load<uint32_t>(bytes);
    case Type::kInt32:
      return Load<int32_t>(bytes);
    case Type::kInt64:
      return Load<int64_t>(bytes);
    case Type::kUint64: {
      const uint64_t value = Load<uint64_t>(bytes);
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
      return static_cast<int64_t>(value);
    }
    default:
      return std::nullopt;
  }
}

absl::Status GgufFile::WrongType(absl::string_view key, const Value& value,
                                 absl::string_view wanted) const {
  return absl::InvalidArgumentError(
      absl::StrCat(path_, ": GGUF: \"", ShownName(key), "\" is of the type ", TypeName(value.type),
                   value.type == Type::kArray ? absl::StrCat(" of ", TypeName(value.element)) : "",
                   ", expected ", wanted));
}

std::vector<absl::string_view> GgufFile::Keys(absl::string_view prefix) const {
  std::vector<absl::string_view> keys;
  for (const auto& [key, value] : values_) {
    if (absl::StartsWith(key, prefix)) keys.push_back(key);
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

absl::StatusOr<std::optional<int64_t>> GgufFile::Int(absl::string_view key) const {
  const auto found = values_.find(key);
  if (found == values_.end()) return std::nullopt;
  const std::optional<int64_t> value = IntOf(found->second.type, found->second.bytes.data());
  if (!value.has_value()) return WrongType(key, found->second, "an integer that fits 63 bits");
  return value;
}

absl::StatusOr<std::optional<double>> GgufFile::Double(absl::string_view key) const {
  const auto found = values_.find(key);
  if (found == values_.end()) return std::nullopt;
  const Value& value = found->second;
  double number = NAN;
  if (value.type == Type::kFloat32) {
    const float single = Load<float>(value.bytes.data());
    number = std::isfinite(single) ? Shortest(single) : NAN;
  } else if (value.type == Type::kFloat64) {
    number = Load<double>(value.bytes.data());
  } else if (const std::optional<int64_t> integer = IntOf(value.type, value.bytes.data())) {
    number = static_cast<double>(*integer);
  }
  if (!std::isfinite(number)) return WrongType(key, value, "a finite number");
  return number;
}

absl::StatusOr<std::optional<bool>> GgufFile::Bool(absl::string_view key) const {
  const auto found = values_.find(key);
  if (found == values_.end()) return std::nullopt;
  if (found->second.type != Type::kBool) return WrongType(key, found->second, "a boolean");
  return found->second.bytes[0] != 0;
}

absl::StatusOr<std::optional<absl::string_view>> GgufFile::String(absl::string_view key) const {
  const auto found = values_.find(key);
  if (found == values_.end()) return std::nullopt;
  if (found->second.type != Type::kString) return WrongType(key, found->second, "a string");
  return found->second.bytes;
}

template <typename Accepts>
absl::StatusOr<const GgufFile::Value*> GgufFile::ArrayOf(absl::string_view key,
                                                         absl::string_view wanted,
                                                         Accepts accepts) const {
  const auto found = values_.find(key);
  if (found == values_.end()) return nullptr;
  if (found->second.type != Type::kArray || !accepts(found->second.element)) {
    return WrongType(key, found->second, wanted);
  }
  return &found->second;
}

absl::StatusOr<std::optional<std::vector<int64_t>>> GgufFile::Ints(absl::string_view key) const {
  SLUICE_ASSIGN_OR_RETURN(const Value* array, ArrayOf(key, "an array of integers", [](Type type) {
                            return type != Type::kString && type != Type::kArray &&
                                   type != Type::kBool && type != Type::kFloat32 &&
                                   type != Type::kFloat64;
                          }));
  if (array == nullptr) return std::nullopt;
  std::vector<int64_t> values;
  values.reserve(array->count);
  const int step = ScalarBytes(array->element);
  for (uint64_t i = 0; i < array->count; ++i) {
    const std::optional<int64_t> value = IntOf(array->element, array->bytes.data() + i * step);
    if (!value.has_value()) return WrongType(key, *array, "integers that fit 63 bits");
    values.push_back(*value);
  }
  return values;
}

absl::StatusOr<std::optional<std::vector<float>>> GgufFile::Floats(absl::string_view key) const {
  SLUICE_ASSIGN_OR_RETURN(const Value* array, ArrayOf(key, "an array of float32", [](Type type) {
                            return type == Type::kFloat32;
                          }));
  if (array == nullptr) return std::nullopt;
  std::vector<float> values(array->count);
  if (!values.empty()) std::memcpy(values.data(), array->bytes.data(), 4 * values.size());
  return values;
}

absl::StatusOr<std::optional<std::vector<absl::string_view>>> GgufFile::Strings(
    absl::string_view key) const {
  SLUICE_ASSIGN_OR_RETURN(const Value* array, ArrayOf(key, "an array of strings", [](Type type) {
                            return type == Type::kString;
                          }));
  if (array == nullptr) return std::nullopt;
  std::vector<absl::string_view> values;
  values.reserve(array->count);
  absl::string_view rest = array->bytes;  // the reader has checked all of it
  for (uint64_t i = 0; i < array->count; ++i) {
    const uint64_t length = Load<uint64_t>(rest.data());
    values.push_back(rest.substr(8, length));
    rest.remove_prefix(8 + length);
  }
  return values;
}

}  // namespace sluice
