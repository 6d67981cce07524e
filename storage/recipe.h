// Recipes: which encoding each tensor gets.
#ifndef SLUICE_STORAGE_RECIPE_H_
#define SLUICE_STORAGE_RECIPE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/encoding.h"
#include "storage/architecture.h"

namespace sluice {

// An encoding for every matrix, or "q4_k_m": llama.cpp's rule for LLAMA_FTYPE_MOSTLY_Q4_K_M, tensor by
// tensor (attention V and FFN down of some layers, and the head, get q6_k).
struct Recipe {
  std::string name;
};
absl::StatusOr<Recipe> ParseRecipe(absl::string_view name);

struct TensorEncoding {
  Encoding encoding;
  bool fallback;  // the shape did not allow the recipe's encoding
};

// The encoding of a matrix or of the embedding. Where K is no multiple of 256 a k-quant becomes q8_0, and
// where it is none of 32 the checkpoint's own dtype. A tied head and its embedding get the same.
TensorEncoding ChooseEncoding(const Recipe& recipe, const HyperParameters& hyper_parameters,
                              const TensorSpec& tensor, Encoding checkpoint_dtype);

}  // namespace sluice

#endif  // SLUICE_STORAGE_RECIPE_H_
