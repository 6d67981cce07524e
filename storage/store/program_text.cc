// Writes and reads blocks of a Program, each name from one table.
#include "storage/store/program_text.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kernels/base/status_macros.h"
#include "storage/file/json.h"

namespace sluice {
namespace {

using nlohmann::json;

// What an enumerator is called in the text.
template <typename Enum>
struct Named {
  Enum value;
  absl::string_view name;
};

constexpr Named<BlockKind> kKinds[] = {{BlockKind::kAttention, "attention"},
                                       {BlockKind::kGatedMlp, "gated_mlp"},
                                       {BlockKind::kMerge, "merge"},
                                       {BlockKind::kHead, "head"}};
constexpr Named<Demand> kDemands[] = {{Demand::kAlways, "always"}, {Demand::kRouted, "routed"}};
constexpr Named<PassBuffer> kBuffers[] = {{PassBuffer::kNormed, "normed"},
                                          {PassBuffer::kNormedLast, "normed_last"},
                                          {PassBuffer::kQ, "q"},
                                          {PassBuffer::kK, "k"},
                                          {PassBuffer::kV, "v"},
                                          {PassBuffer::kAttended, "attended"},
                                          {PassBuffer::kGated, "gated"},
                                          {PassBuffer::kMerged, "merged"},
                                          {PassBuffer::kResidual, "residual"},
                                          {PassBuffer::kLogits, "logits"}};
constexpr Named<Epilogue> kEpilogues[] = {{Epilogue::kStore, "store"},
                                          {Epilogue::kAdd, "add"},
                                          {Epilogue::kSwiGlu, "swiglu"},
                                          {Epilogue::kMultiply, "multiply"}};

template <typename Enum, size_t kCount>
absl::string_view NameOf(const Named<Enum> (&names)[kCount], Enum value) {
  for (const Named<Enum>& entry : names) {
    if (entry.value == value) return entry.name;
  }
  return "";
}

// The member `key` of `object`, which is one of `names`.
template <typename Enum, size_t kCount>
absl::StatusOr<Enum> ParseName(const Named<Enum> (&names)[kCount], const json& object,
                               absl::string_view key) {
  SLUICE_ASSIGN_OR_RETURN(const std::string name, JsonString(object, key));
  for (const Named<Enum>& entry : names) {
    if (entry.name == name) return entry.value;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", key, "\": unknown name \"", name.substr(0, 80), "\""));
}

absl::StatusOr<TensorRole> ParseSlot(const json& object, absl::string_view key) {
  SLUICE_ASSIGN_OR_RETURN(const std::string name, JsonString(object, key));
  return ParseRole(name);
}

// `object` may have these members and no others.
absl::Status CheckMembers(const json& object, std::initializer_list<absl::string_view> known) {
  if (!object.is_object()) return absl::InvalidArgumentError("is not an object");
  for (const auto& [key, value] : object.items()) {
    bool found = false;
    for (const absl::string_view name : known) found = found || name == key;
    if (!found) {
      return absl::InvalidArgumentError(absl::StrCat("unknown member \"", key.substr(0, 80), "\""));
    }
  }
  return absl::OkStatus();
}

void WriteMatrix(const ProductMatrix& matrix, std::string* out) {
  absl::StrAppend(out, "{\"slot\": \"", RoleName(matrix.slot), "\"");
  if (matrix.bias.has_value()) absl::StrAppend(out, ", \"bias\": \"", RoleName(*matrix.bias), "\"");
  absl::StrAppend(out, ", \"epilogue\": \"", NameOf(kEpilogues, matrix.epilogue), "\"}");
}

absl::StatusOr<ProductMatrix> ParseMatrix(const json& item) {
  SLUICE_RETURN_IF_ERROR(CheckMembers(item, {"slot", "bias", "epilogue"}));
  ProductMatrix matrix;
  SLUICE_ASSIGN_OR_RETURN(matrix.slot, ParseSlot(item, "slot"));
  if (item.contains("bias")) {
    SLUICE_ASSIGN_OR_RETURN(matrix.bias, ParseSlot(item, "bias"));
  }
  SLUICE_ASSIGN_OR_RETURN(matrix.epilogue, ParseName(kEpilogues, item, "epilogue"));
  return matrix;
}

void WriteProduct(const Product& product, std::string* out) {
  absl::StrAppend(out, "{\"matrices\": [");
  WriteMatrix(product.first, out);
  if (product.second.has_value()) {
    absl::StrAppend(out, ", ");
    WriteMatrix(*product.second, out);
  }
  absl::StrAppend(out, "]");
  if (product.second.has_value()) {
    absl::StrAppend(out, ", \"together\": \"", NameOf(kEpilogues, product.together), "\"");
  }
  absl::StrAppend(out, ", \"reads\": \"", NameOf(kBuffers, product.reads), "\", \"writes\": \"",
                  NameOf(kBuffers, product.writes), "\"");
  if (product.expert >= 0) absl::StrAppend(out, ", \"expert\": ", product.expert);
  absl::StrAppend(out, "}");
}

absl::StatusOr<Product> ParseProduct(const json& item) {
  SLUICE_RETURN_IF_ERROR(CheckMembers(item, {"matrices", "together", "reads", "writes", "expert"}));
  const json* const matrices = JsonFind(item, "matrices");
  if (matrices == nullptr || !matrices->is_array() || matrices->empty() || matrices->size() > 2) {
    return absl::InvalidArgumentError("\"matrices\" is not an array of one or two");
  }
  Product product;
  SLUICE_ASSIGN_OR_RETURN(product.first, ParseMatrix((*matrices)[0]));
  if (matrices->size() == 2) {
    SLUICE_ASSIGN_OR_RETURN(product.second, ParseMatrix((*matrices)[1]));
    SLUICE_ASSIGN_OR_RETURN(product.together, ParseName(kEpilogues, item, "together"));
  } else if (item.contains("together")) {
    return absl::InvalidArgumentError("\"together\" is for two matrices");
  }
  SLUICE_ASSIGN_OR_RETURN(product.reads, ParseName(kBuffers, item, "reads"));
  SLUICE_ASSIGN_OR_RETURN(product.writes, ParseName(kBuffers, item, "writes"));
  if (item.contains("expert")) {
    SLUICE_ASSIGN_OR_RETURN(const int64_t expert, JsonInt(item, "expert"));
    if (expert < 0 || expert > INT32_MAX) {
      return absl::InvalidArgumentError("\"expert\" out of range");
    }
    product.expert = static_cast<int>(expert);
  }
  return product;
}

}  // namespace

void WriteBlock(const Block& block, std::string* out) {
  absl::StrAppend(out, "{\"kind\": \"", NameOf(kKinds, block.kind), "\"");
  if (block.layer >= 0) absl::StrAppend(out, ", \"layer\": ", block.layer);
  absl::StrAppend(out, ", \"norm\": \"", RoleName(block.norm), "\", \"demand\": \"",
                  NameOf(kDemands, block.demand), "\", \"products\": [");
  absl::string_view separator;
  for (const Product& product : block.products) {
    absl::StrAppend(out, separator);
    WriteProduct(product, out);
    separator = ", ";
  }
  absl::StrAppend(out, "]}");
}

absl::StatusOr<Block> ParseBlock(const json& item) {
  SLUICE_RETURN_IF_ERROR(CheckMembers(item, {"kind", "layer", "norm", "demand", "products"}));
  Block block = {};
  SLUICE_ASSIGN_OR_RETURN(block.kind, ParseName(kKinds, item, "kind"));
  block.layer = -1;
  if (item.contains("layer")) {
    SLUICE_ASSIGN_OR_RETURN(const int64_t layer, JsonInt(item, "layer"));
    if (layer < 0 || layer > INT32_MAX) return absl::InvalidArgumentError("\"layer\" out of range");
    block.layer = static_cast<int>(layer);
  }
  SLUICE_ASSIGN_OR_RETURN(block.norm, ParseSlot(item, "norm"));
  SLUICE_ASSIGN_OR_RETURN(block.demand, ParseName(kDemands, item, "demand"));
  const json* const products = JsonFind(item, "products");
  if (products == nullptr || !products->is_array()) {
    return absl::InvalidArgumentError("\"products\" is not an array");
  }
  for (const json& entry : *products) {
    SLUICE_ASSIGN_OR_RETURN(const Product product, ParseProduct(entry));
    block.products.push_back(product);
  }
  return block;
}

}  // namespace sluice
