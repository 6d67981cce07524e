// What a model keeps of each sequence, layer by layer.
#ifndef SLUICE_RUNTIME_KV_STATE_LAYOUT_H_
#define SLUICE_RUNTIME_KV_STATE_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/ops.h"
#include "storage/model/spec.h"

namespace sluice {

// A layer keeps pages of keys and values.
struct LayerState {
  KvShape kv;
  int64_t window;      // in tokens; 0: a row sees all before it
  int64_t page_bytes;  // of a page in this layer
};

// Layers may differ in the shape of their pages and in their windows. A page number stands for one
// page in each layer.
class StateLayout {
 public:
  StateLayout() = default;
  explicit StateLayout(std::vector<LayerState> layers);
  // As the layers' mixers have it, with keys and values of these types.
  static StateLayout Of(const ModelSpec& model, KvType k_type, KvType v_type);

  int64_t num_layers() const { return static_cast<int64_t>(layers_.size()); }
  const LayerState& layer(int64_t layer) const { return layers_[static_cast<size_t>(layer)]; }
  const std::vector<LayerState>& layers() const { return layers_; }

  // Bytes of a page in all layers, and in the layers before `layer`.
  int64_t page_bytes() const { return PageBytesBefore(num_layers()); }
  int64_t PageBytesBefore(int64_t layer) const { return before_[static_cast<size_t>(layer)]; }
  int64_t largest_page_bytes() const { return largest_page_bytes_; }
  // Bytes of a position's keys and values in all layers, without what pages add to them.
  int64_t TokenBytes() const;
  // The widest of the windows; 0 where a layer has none.
  int64_t WidestWindow() const;

 private:
  std::vector<LayerState> layers_;
  std::vector<int64_t> before_ = {0};  // [num_layers + 1]
  int64_t largest_page_bytes_ = 0;
};

// Bytes of a position's keys and values in one layer.
int64_t KvTokenBytes(const KvShape& shape);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_KV_STATE_LAYOUT_H_
