// Sums over layers.
#include "runtime/kv/state_layout.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace sluice {

StateLayout::StateLayout(std::vector<LayerState> layers) : layers_(std::move(layers)) {
  before_.reserve(layers_.size() + 1);
  for (const LayerState& layer : layers_) {
    before_.push_back(before_.back() + layer.page_bytes);
    largest_page_bytes_ = std::max(largest_page_bytes_, layer.page_bytes);
  }
}

StateLayout StateLayout::Of(const ModelSpec& model, KvType k_type, KvType v_type) {
  std::vector<LayerState> layers;
  layers.reserve(model.layers.size());
  for (const LayerSpec& layer : model.layers) {
    const AttentionSpec& attention = std::get<AttentionSpec>(layer.mixer);
    const KvShape kv = {k_type, v_type, attention.num_kv_heads, attention.head_dim};
    layers.push_back({kv, attention.window, KvPageBytes(kv)});
  }
  return StateLayout(std::move(layers));
}

int64_t StateLayout::TokenBytes() const {
  int64_t bytes = 0;
  for (const LayerState& layer : layers_) bytes += KvTokenBytes(layer.kv);
  return bytes;
}

int64_t StateLayout::WidestWindow() const {
  int64_t widest = 0;
  for (const LayerState& layer : layers_) {
    if (layer.window == 0) return 0;
    widest = std::max(widest, layer.window);
  }
  return widest;
}

int64_t KvTokenBytes(const KvShape& shape) {
  return shape.num_kv_heads *
         (KvRowBytes(shape.k_type, shape.head_dim) + KvRowBytes(shape.v_type, shape.head_dim));
}

}  // namespace sluice
