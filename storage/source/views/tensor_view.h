// Where the rows of a checkpoint's tensor come from: a view turns what is stored into rows in the
// order and the layout of the architecture. A format that stores matrices in a way of its own is a
// view of its own here.
#ifndef SLUICE_STORAGE_SOURCE_VIEWS_TENSOR_VIEW_H_
#define SLUICE_STORAGE_SOURCE_VIEWS_TENSOR_VIEW_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"

namespace sluice {

// Has no state that changes: all threads may use one at once.
class TensorView {
 public:
  // Reads bytes of the tensor as they are stored, from `begin` on.
  using ReadStored = absl::FunctionRef<absl::Status(int64_t begin, absl::Span<std::byte> out)>;

  virtual ~TensorView() = default;

  // Rows [first_row, first_row + num_rows) in the tensor's own encoding, out.size() / num_rows
  // bytes each. `scratch` is working memory, which grows to ScratchRows(num_rows) rows at most.
  // Errors are those of `read`.
  virtual absl::Status ReadRows(ReadStored read, int64_t first_row, int64_t num_rows,
                                absl::Span<std::byte> out,
                                std::vector<std::byte>* scratch) const = 0;
  virtual int64_t ScratchRows(int64_t num_rows) const = 0;
};

// Rows as they are stored.
std::shared_ptr<const TensorView> PlainRows();

// Rows of heads of `head_rows` rows each, whose halves take turns: row i of the first half is
// stored as row 2i of its head, of the second half as row 2i + 1.
std::shared_ptr<const TensorView> InterleavedRows(int64_t head_rows);

}  // namespace sluice

#endif  // SLUICE_STORAGE_SOURCE_VIEWS_TENSOR_VIEW_H_
