// One table for each way of turning heads.
#include "runtime/pass/rope_tables.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#include <variant>

#include "absl/types/span.h"
#include "kernels/base/status_macros.h"
#include "prefetch/io/host_buffer.h"
#include "storage/model/hyper_parameters.h"

namespace sluice {
namespace {

// How heads are turned.
struct Turn {
  RopeParameters rope;
  int64_t head_dim;
  bool operator==(const Turn&) const = default;

  int64_t TableBytes(int64_t context_tokens) const {
    return context_tokens * head_dim * static_cast<int64_t>(sizeof(float));
  }
};

// The ways of a model, each once, and of each layer the number of its own.
std::vector<Turn> TurnsOf(const ModelSpec& model, std::vector<int>* turn_of_layer) {
  std::vector<Turn> turns;
  for (const LayerSpec& layer : model.layers) {
    const AttentionSpec& attention = std::get<AttentionSpec>(layer.mixer);
    const Turn turn = {attention.rope, attention.head_dim};
    const auto found = std::find(turns.begin(), turns.end(), turn);
    turn_of_layer->push_back(static_cast<int>(found - turns.begin()));
    if (found == turns.end()) turns.push_back(turn);
  }
  return turns;
}

absl::Status FillTable(const Turn& turn, int64_t context_tokens, ComputePlace* place,
                       std::byte* table) {
  constexpr int64_t kRowsAtOnce = 64;
  const std::vector<double> frequencies = RopeInverseFrequencies(turn.rope, turn.head_dim);
  const double scaling = RopeAttentionScaling(turn.rope);
  const int64_t half = turn.head_dim / 2;
  std::vector<float> rows(kRowsAtOnce * turn.head_dim);
  for (int64_t first = 0; first < context_tokens; first += kRowsAtOnce) {
    const int64_t count = std::min(kRowsAtOnce, context_tokens - first);
    for (int64_t r = 0; r < count; ++r) {
      float* const row = rows.data() + r * turn.head_dim;
      for (int64_t i = 0; i < half; ++i) {
        const double angle = static_cast<double>(first + r) * frequencies[i];
        row[i] = static_cast<float>(std::cos(angle) * scaling);
        row[half + i] = static_cast<float>(std::sin(angle) * scaling);
      }
    }
    SLUICE_RETURN_IF_ERROR(place->Upload(table + turn.TableBytes(first),
                                         {reinterpret_cast<const std::byte*>(rows.data()),
                                          static_cast<size_t>(turn.TableBytes(count))}));
  }
  return absl::OkStatus();
}

}  // namespace

int64_t RopeTables::MemoryBytes(const ModelSpec& model, int64_t context_tokens) {
  std::vector<int> turn_of_layer;
  int64_t bytes = 0;
  for (const Turn& turn : TurnsOf(model, &turn_of_layer)) {
    bytes += HostBuffer::RoundedBytes(turn.TableBytes(context_tokens));
  }
  return bytes;
}

absl::StatusOr<RopeTables> RopeTables::Create(const ModelSpec& model, int64_t context_tokens,
                                              ComputePlace* place) {
  RopeTables tables;
  for (const Turn& turn : TurnsOf(model, &tables.table_of_layer_)) {
    SLUICE_ASSIGN_OR_RETURN(DeviceRange table, place->Allocate(turn.TableBytes(context_tokens)));
    SLUICE_RETURN_IF_ERROR(FillTable(turn, context_tokens, place, table.data()));
    tables.tables_.push_back(std::move(table));
  }
  return tables;
}

}  // namespace sluice
