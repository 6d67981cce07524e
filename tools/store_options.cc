// Encodings, recipes and slab sizes as the command line spells them.
#include "tools/store_options.h"

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "kernels/encodings/encoding.h"
#include "storage/store/manifest.h"

namespace sluice {
namespace {

constexpr int64_t kMinSlabBytes = 4096;
constexpr int64_t kMaxSlabBytes = int64_t{256} << 20;

std::vector<std::string> EncodingNames() {
  std::vector<std::string> names;
  for (const EncodingInfo& info : Encodings()) names.emplace_back(info.name);
  return names;
}

}  // namespace

std::vector<OptionSpec> StoreOptionSpecs(const std::string& fallback) {
  return {
      {.name = "--encoding",
       .value = "NAME",
       .help = absl::StrCat("Encoding of all matrices (default: ", fallback,
                            "); docs/encodings.md lists the names."),
       .choices = EncodingNames()},
      {.name = "--recipe",
       .help = "A mix of encodings, tensor by tensor, by llama.cpp's rule (q2_k_m: its Q2_K).",
       .choices = MixNames()},
      {.name = "--compress",
       .help = "Lossless compression of bf16, f16 and q8_0, where it pays (default none).",
       .choices = {"none", "zstd"}},
      {.name = "--slab-size",
       .value = "SIZE",
       .help = "Unit of reading and residency (default 8MiB)."},
      {.name = "--threads", .alias = "-t", .value = "N", .help = "Threads (default: all CPUs)."},
  };
}

absl::StatusOr<std::optional<Recipe>> ParseRecipeOptions(const Arguments& args) {
  const std::optional<std::string> encoding = args.Get("--encoding");
  const std::optional<std::string> recipe = args.Get("--recipe");
  if (encoding.has_value() && recipe.has_value()) {
    return UsageError("give --encoding or --recipe, not both");
  }
  if (!encoding.has_value() && !recipe.has_value()) return std::nullopt;
  return ParseRecipe(encoding.has_value() ? *encoding : *recipe);
}

absl::StatusOr<int64_t> ParseSlabSize(const Arguments& args) {
  SLUICE_ASSIGN_OR_RETURN(const int64_t bytes, args.Bytes("--slab-size", kDefaultSlabBytes));
  if (bytes < kMinSlabBytes || bytes > kMaxSlabBytes) {
    return UsageError(absl::StrCat("--slab-size is from 4KiB to 256MiB, not ", bytes, " bytes"));
  }
  return bytes;
}

absl::StatusOr<StoreCompression> ParseCompression(const Arguments& args, int64_t slab_bytes) {
  SLUICE_ASSIGN_OR_RETURN(const StoreCompression compression,
                          ParseStoreCompression(args.Get("--compress").value_or("none")));
  if (compression != StoreCompression::kNone && slab_bytes > kMaxCompressedSlabBytes) {
    return UsageError(absl::StrCat("with --compress, --slab-size is at most ",
                                   kMaxCompressedSlabBytes >> 20, "MiB"));
  }
  return compression;
}

}  // namespace sluice
