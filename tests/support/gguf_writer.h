// Writes GGUF files for tests: sane ones, and any other bytes where a test asks for them.
#ifndef SLUICE_TESTS_SUPPORT_GGUF_WRITER_H_
#define SLUICE_TESTS_SUPPORT_GGUF_WRITER_H_

#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

namespace sluice {

class GgufWriter {
 public:
  // As the format numbers types of values.
  enum Type : uint32_t {
    kUint32 = 4,
    kInt32 = 5,
    kFloat32 = 6,
    kBool = 7,
    kString = 8,
    kArray = 9,
    kUint64 = 10
  };

  template <typename T>
  static std::string Raw(T value) {
    std::string bytes(sizeof(T), '\0');
    std::memcpy(bytes.data(), &value, sizeof(T));
    return bytes;
  }
  static std::string Text(const std::string& text) { return Raw<uint64_t>(text.size()) + text; }
  static std::string Array(Type element, uint64_t count, const std::string& elements) {
    return Raw<uint32_t>(element) + Raw(count) + elements;
  }

  GgufWriter& Value(const std::string& key, uint32_t type, const std::string& bytes) {
    values_ += Text(key) + Raw(type) + bytes;
    ++num_values_;
    return *this;
  }
  GgufWriter& Int(const std::string& key, uint32_t value) {
    return Value(key, kUint32, Raw(value));
  }
  GgufWriter& Float(const std::string& key, float value) {
    return Value(key, kFloat32, Raw(value));
  }
  GgufWriter& Bool(const std::string& key, bool value) {
    return Value(key, kBool, std::string(1, value ? 1 : 0));
  }
  GgufWriter& String(const std::string& key, const std::string& value) {
    return Value(key, kString, Text(value));
  }
  GgufWriter& Strings(const std::string& key, const std::vector<std::string>& list) {
    std::string elements;
    for (const std::string& value : list) elements += Text(value);
    return Value(key, kArray, Array(kString, list.size(), elements));
  }
  GgufWriter& Ints(const std::string& key, const std::vector<int32_t>& list) {
    std::string elements;
    for (const int32_t value : list) elements += Raw(value);
    return Value(key, kArray, Array(kInt32, list.size(), elements));
  }
  GgufWriter& Floats(const std::string& key, const std::vector<float>& list) {
    std::string elements;
    for (const float value : list) elements += Raw(value);
    return Value(key, kArray, Array(kFloat32, list.size(), elements));
  }

  // `shape` is [rows, cols], slowest first; `type` as ggml numbers them.
  GgufWriter& Tensor(const std::string& name, const std::vector<int64_t>& shape, uint32_t type,
                     const std::string& bytes) {
    TensorInfo(name, shape, type, data_.size());
    data_ += bytes;
    data_.resize((data_.size() + alignment - 1) / alignment * alignment);
    return *this;
  }
  // One that says where it is instead of bringing bytes along.
  GgufWriter& TensorInfo(const std::string& name, const std::vector<int64_t>& shape, uint32_t type,
                         uint64_t offset) {
    infos_ += Text(name) + Raw<uint32_t>(shape.size());
    for (size_t i = shape.size(); i-- > 0;) infos_ += Raw(shape[i]);
    infos_ += Raw(type) + Raw(offset);
    ++num_tensors_;
    return *this;
  }

  std::string Bytes() const {
    std::string file =
        "GGUF" + Raw(version) + Raw(num_tensors_) + Raw(num_values_) + values_ + infos_;
    file.resize((file.size() + alignment - 1) / alignment * alignment);
    return file + data_;
  }
  void Write(const std::string& path) const { std::ofstream(path, std::ios::binary) << Bytes(); }

  uint32_t version = 3;
  uint64_t alignment = 32;

 private:
  std::string values_, infos_, data_;
  uint64_t num_values_ = 0, num_tensors_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_TESTS_SUPPORT_GGUF_WRITER_H_
