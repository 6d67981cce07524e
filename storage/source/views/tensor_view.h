// A view turns the stored bytes of a checkpoint's tensor into rows in the order and the layout of
// the architecture. Each way of storing a matrix is a view of its own here.
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

// Has no mutable state: all threads may use one at once.
class TensorView {
 public:
  // Reads bytes of the tensor as they are stored, from `begin` on.
  using ReadStored = absl::FunctionRef<absl::Status(int64_t begin, absl::Span<std::byte> out)>;

  virtual ~TensorView() = default;

  // Reads rows [first_row, first_row + num_rows) in the tensor's own encoding, out.size() /
  // num_rows bytes each. `scratch` is working memory, which grows to at most ScratchRows(num_rows)
  // rows. Errors are those of `read`.
  virtual absl::Status ReadRows(ReadStored read, int64_t first_row, int64_t num_rows,
                                absl::Span<std::byte> out,
                                std::vector<std::byte>* scratch) const = 0;
  virtual int64_t ScratchRows(int64_t num_rows) const = 0;
};

// A view of rows that are stored as the architecture has them.
std::shared_ptr<const TensorView> PlainRows();

// A view of heads of `head_rows` rows each, whose halves take turns: row i of the first half is
// stored as row 2i of its head, row i of the second half as row 2i + 1.
std::shared_ptr<const TensorView> InterleavedRows(int64_t head_rows);

}  // namespace sluice

#endif  // SLUICE_STORAGE_SOURCE_VIEWS_TENSOR_VIEW_H_
