// Recipes: which encoding each tensor gets.
#ifndef SLUICE_STORAGE_MODEL_RECIPE_H_
#define SLUICE_STORAGE_MODEL_RECIPE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/encodings/encoding.h"
#include "storage/model/architecture.h"

namespace sluice {

// An encoding for every matrix, or a mix: llama.cpp's rule for a file type, tensor by tensor
// ("q4_k_m" is that of LLAMA_FTYPE_MOSTLY_Q4_K_M: attention V and FFN down of some layers, and the
// head, get q6_k). What it calls Q2_K is "q2_k_m" here, as q2_k is an encoding.
struct Recipe {
  std::string name;
};
std::vector<std::string> MixNames();
absl::StatusOr<Recipe> ParseRecipe(absl::string_view name);

struct TensorEncoding {
  Encoding encoding;
  bool fallback;  // the shape did not allow the recipe's encoding
};

// The encoding of a matrix or of the embedding. Where K is no multiple of 256 a k-quant becomes
// q8_0, and where it is none of 32 the checkpoint's own dtype. A tied head and its embedding get
// the same.
TensorEncoding ChooseEncoding(const Recipe& recipe, const HyperParameters& hyper_parameters,
                              const TensorSpec& tensor, Encoding checkpoint_dtype);

}  // namespace sluice

#endif  // SLUICE_STORAGE_MODEL_RECIPE_H_
