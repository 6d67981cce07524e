// Fuzzes the GGUF reader, and what is made of a vocabulary: whatever is accepted must lie inside
// the file.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "storage/source/gguf.h"
#include "storage/source/gguf_config.h"
#include "storage/source/gguf_tokenizer.h"

namespace {

void CheckOneLine(const absl::Status& status) {
  if (status.message().find('\n') != absl::string_view::npos) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kMost = 1 << 16;
  if (size < 2 || size > kMost) return 0;
  // The first two bytes are the size of what the file has behind the rest.
  const int64_t behind = data[0] | data[1] << 8;
  std::string head(reinterpret_cast<const char*>(data) + 2, size - 2);
  const int64_t file_bytes = static_cast<int64_t>(head.size()) + behind;
  const auto file = sluice::GgufFile::Parse(std::move(head), file_bytes, "fuzz");
  if (!file.ok()) {
    CheckOneLine(file.status());
    return 0;
  }
  for (const sluice::GgufTensor& tensor : file->tensors()) {
    if (tensor.offset < 0 || tensor.bytes < 0 || tensor.offset > file_bytes - tensor.bytes)
      std::abort();
  }
  for (const absl::string_view key : file->Keys("")) {
    file->Int(key).IgnoreError();
    file->Double(key).IgnoreError();
    file->Strings(key).IgnoreError();
    file->Floats(key).IgnoreError();
    file->Ints(key).IgnoreError();
  }
  CheckOneLine(sluice::GgufTokenizerFiles(*file).status());
  sluice::GgufTensorFacts facts;
  facts.vocab_size = 32;
  CheckOneLine(sluice::GgufHyperParameters(*file, facts).status());
  return 0;
}
