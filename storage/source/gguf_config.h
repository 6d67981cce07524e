// Hyper-parameters from the metadata of a GGUF file, under config.json's names.
#ifndef SLUICE_STORAGE_SOURCE_GGUF_CONFIG_H_
#define SLUICE_STORAGE_SOURCE_GGUF_CONFIG_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "nlohmann/json.hpp"
#include "storage/model/hyper_parameters.h"
#include "storage/source/gguf.h"

namespace sluice {

// What the tensors of a model say about it; all of its files counted.
struct GgufTensorFacts {
  int64_t vocab_size = 0;  // rows of the embedding
  bool attention_bias = false;
  bool mlp_bias = false;
  std::vector<float> rope_factors;  // rope_freqs.weight, [head_dim / 2], or empty
};

// `gguf` is the model's first file. Unimplemented: an architecture or a setting that sluice does
// not run, by name. InvalidArgument: a missing, mistyped or inconsistent value. All name the path.
absl::StatusOr<HyperParameters> GgufHyperParameters(const GgufFile& gguf,
                                                    const GgufTensorFacts& facts);

// Tokens that end a text, the one named eos first: eos, eot and eom of the metadata, then control
// tokens whose names say so, as in llama.cpp. Ids beyond the vocabulary stand for none.
absl::StatusOr<std::vector<int64_t>> GgufEosTokenIds(const GgufFile& gguf);
// The id under `key` ("tokenizer.ggml.bos_token_id"), or nothing. Where a SentencePiece vocabulary
// has no such key, or has an id that is no token's, llama.cpp's default is the id: bos 1, eos 2,
// unknown 0.
absl::StatusOr<std::optional<int64_t>> GgufTokenId(const GgufFile& gguf, absl::string_view key);

// The parameters of rope type "llama3" that the factors were computed with: what frequency i was
// divided by, [head_dim / 2]. Null where all are 1. `original` is the original context where it is
// known, else 0. Unimplemented: the factors do not follow that rule.
absl::StatusOr<nlohmann::json> Llama3RopeOf(absl::Span<const float> factors, double theta,
                                            int64_t original);

}  // namespace sluice

#endif  // SLUICE_STORAGE_SOURCE_GGUF_CONFIG_H_
