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

// Facts about a model that only its tensors tell, counted over all of its files.
struct GgufTensorFacts {
  int64_t vocab_size = 0;  // rows of the embedding
  bool attention_bias = false;
  bool mlp_bias = false;
  std::vector<float> rope_factors;  // rope_freqs.weight, [head_dim / 2], or empty
};

// `gguf` is the model's first file. Unimplemented: names an architecture or a setting that sluice
// does not run. InvalidArgument: a missing, mistyped or inconsistent value. All name the path.
absl::StatusOr<HyperParameters> GgufHyperParameters(const GgufFile& gguf,
                                                    const GgufTensorFacts& facts);

// Returns the tokens that end a text: first eos, eot and eom of the metadata, then control tokens
// that have such a name, as in llama.cpp. Ids beyond the vocabulary are left out.
absl::StatusOr<std::vector<int64_t>> GgufEosTokenIds(const GgufFile& gguf);
// Returns the id under `key` ("tokenizer.ggml.bos_token_id"), or nothing. If a SentencePiece
// vocabulary lacks the key, or has an id that is no token's, llama.cpp's default is returned: bos
// 1, eos 2, unknown 0.
absl::StatusOr<std::optional<int64_t>> GgufTokenId(const GgufFile& gguf, absl::string_view key);

// Finds the parameters of rope type "llama3" that gave these factors, [head_dim / 2]; frequency i
// was divided by factor i. Null if all are 1. `original` is the original context if it is known,
// else 0. Unimplemented: the factors do not follow that rule.
absl::StatusOr<nlohmann::json> Llama3RopeOf(absl::Span<const float> factors, double theta,
                                            int64_t original);

}  // namespace sluice

#endif  // SLUICE_STORAGE_SOURCE_GGUF_CONFIG_H_
