// The buffers that a pass works in: their sizes, by which memory is planned, and the buffers
// themselves, which are allocated by the same sizes.
#ifndef SLUICE_RUNTIME_PASS_WORKSPACE_H_
#define SLUICE_RUNTIME_PASS_WORKSPACE_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "kernels/device.h"
#include "kernels/ops.h"
#include "runtime/place/compute_place.h"
#include "storage/store/manifest.h"

namespace sluice {

// Which 16-bit floats meet activations that are rounded to their own type.
enum class Rounding : uint8_t { kNone, kBF16, kBF16AndF16 };
// The format of the activations that weights of `encoding` are multiplied with.
ActivationFormat ActivationsOf(Encoding encoding, Rounding rounding);

// How large passes can be.
struct PassSize {
  int64_t rows;                // in one pass
  int64_t logit_rows;          // of these, that may want logits
  int64_t context_tokens = 1;  // of each sequence
  int num_threads = 1;         // that compute on the host
};

// Bytes of each buffer that a pass works in.
struct WorkspaceSizes {
  int64_t residual_bytes;  // [rows, hidden_size] f32
  int64_t normed_bytes;    // [a tile of rows, hidden_size] f32
  int64_t ahead_bytes;     // in front of the block's, for PreparedAhead
  int64_t block_bytes;     // what the blocks need, one after the other (BlockNeeds)
  int64_t activation_bytes[kNumActivationFormats];  // the hidden state, 0 if nothing needs it
  int64_t logits_bytes;                             // [logit_rows, vocab_size] f32
  int64_t rope_bytes;                               // RopeTables::MemoryBytes
  int64_t note_bytes;                               // Ops::NoteNonFinite's note
  int64_t staging_bytes;                            // embedding rows as stored
  int64_t scratch_bytes;                            // of the host's kernels, of all threads
  // Without logits, rotary tables, scratch and what is staged on the host.
  int64_t activations() const;
};

// The sizes for such passes: what the blocks of the Program need, and what is around them.
WorkspaceSizes SizeWorkspace(const Manifest& manifest, const PassSize& size, Rounding rounding);

// Rows of the matrix that a slab's product gives for each row of activations.
int64_t ProductRows(const Manifest& manifest, const ManifestSlab& slab);

// Rows that are normed and prepared as products read them, one tile after the other: between
// residual stream and product only a tile of them is there as floats.
inline constexpr int64_t kRowTile = 64;
// What a block makes for its own products to read is read by one matrix only, so it is prepared in
// place: the first prepared row begins this many bytes before the floats. So a prepared tile never
// overwrites floats that are still needed.
int64_t PreparedAhead(int64_t rows, int64_t prepared_row_bytes, int64_t float_row_bytes);

// Where the rows of each PassBuffer begin; null for those that the block at work does not have.
class PassBuffers {
 public:
  float*& operator[](PassBuffer buffer) { return rows_[static_cast<size_t>(buffer)]; }
  float* operator[](PassBuffer buffer) const { return rows_[static_cast<size_t>(buffer)]; }

 private:
  std::array<float*, kNumPassBuffers> rows_ = {};
};

// The buffers, in memory of a place.
class Workspace {
 public:
  // `place` must outlive it. ResourceExhausted.
  static absl::StatusOr<Workspace> Create(const WorkspaceSizes& sizes, ComputePlace* place);

  // Those that lie where they do in every block: the residual stream, a tile of it that is normed,
  // and logits.
  const PassBuffers& buffers() const { return buffers_; }
  // What blocks share. A buffer that their products read begins here (PreparedAhead).
  float* block() const { return block_; }
  std::byte* activations(ActivationFormat format) const {
    return activations_[static_cast<size_t>(format)].data();
  }
  int32_t* note() const { return reinterpret_cast<int32_t*>(note_.data()); }

 private:
  DeviceRange residual_, normed_, ahead_and_block_, logits_, note_;
  std::array<DeviceRange, kNumActivationFormats> activations_;
  PassBuffers buffers_;
  float* block_ = nullptr;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_PASS_WORKSPACE_H_
