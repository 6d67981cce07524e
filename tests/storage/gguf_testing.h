// Models in GGUF form for tests, made as llama.cpp's converter makes them.
#ifndef SLUICE_TESTS_STORAGE_GGUF_TESTING_H_
#define SLUICE_TESTS_STORAGE_GGUF_TESTING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "tests/support/gguf_writer.h"

namespace sluice {

// ggml's number of a type of tensor: "q4_k".
uint32_t GgufTypeId(absl::string_view name);

// Row (half j, i) of a head of `head_dim` rows becomes row 2i + j.
std::string Interleave(const std::string& rows, int64_t num_rows, int64_t head_dim);

// What rope_freqs.weight holds for a Llama 3: what each frequency is divided by.
std::vector<float> Llama3Factors(double factor, double low, double high, double original,
                                 double theta, int head_dim);

std::string FloatBytes(const std::vector<float>& values);

// "blk.0.attn_q.weight" for "model.layers.0.self_attn.q_proj.weight".
std::string GgufNameOf(std::string name);

struct GgufPiece {
  std::string name;
  std::vector<int64_t> shape;
  uint32_t type;
  std::string bytes;
};

// A model on its way into one GGUF file or several.
struct GgufParts {
  GgufWriter metadata;
  std::vector<GgufPiece> pieces;
  void Write(const std::string& path) const {
    GgufWriter writer = metadata;
    for (const GgufPiece& p : pieces) writer.Tensor(p.name, p.shape, p.type, p.bytes);
    writer.Write(path);
  }
};

// A checkpoint of tests/data/models in GGUF form.
GgufParts ConvertToGguf(const std::string& name);

// A Llama of one layer whose q, k, v, gate, up, embedding and head are 16 rows of 1,024 values.
GgufParts GgufOfBlocks(uint32_t type, const std::string& rows);

// Rows that ggml quantized, and what it made of them.
class GgmlBlocks {
 public:
  GgmlBlocks();
  // The bytes of a tensor of gguf-blocks.safetensors.
  std::string Get(const std::string& name) const;

 private:
  std::string file_;
  nlohmann::json header_;
  size_t data_;
};

}  // namespace sluice

#endif  // SLUICE_TESTS_STORAGE_GGUF_TESTING_H_
