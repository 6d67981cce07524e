// The view of q and k in GGUF files of Llama: it reads whole heads and puts their rows in order.
#include <cstring>

#include "kernels/base/status_macros.h"
#include "storage/source/views/tensor_view.h"

namespace sluice {
namespace {

class InterleavedView final : public TensorView {
 public:
  explicit InterleavedView(int64_t head_rows) : head_rows_(head_rows) {}

  absl::Status ReadRows(ReadStored read, int64_t first_row, int64_t num_rows,
                        absl::Span<std::byte> out, std::vector<std::byte>* scratch) const override {
    const int64_t row_bytes = static_cast<int64_t>(out.size()) / num_rows;
    const int64_t half = head_rows_ / 2;
    const int64_t begin = first_row / head_rows_ * head_rows_;
    const int64_t end = (first_row + num_rows + head_rows_ - 1) / head_rows_ * head_rows_;
    scratch->resize((end - begin) * row_bytes);
    SLUICE_RETURN_IF_ERROR(read(begin * row_bytes, absl::MakeSpan(*scratch)));
    for (int64_t row = first_row; row < first_row + num_rows; ++row) {
      const int64_t i = row % head_rows_;
      const int64_t stored = row - i + (i < half ? 2 * i : 2 * (i - half) + 1);
      std::memcpy(out.data() + (row - first_row) * row_bytes,
                  scratch->data() + (stored - begin) * row_bytes, row_bytes);
    }
    return absl::OkStatus();
  }
  // Of the first and the last head only a part may be needed.
  int64_t ScratchRows(int64_t num_rows) const override { return num_rows + 2 * head_rows_; }

 private:
  const int64_t head_rows_;
};

}  // namespace

std::shared_ptr<const TensorView> InterleavedRows(int64_t head_rows) {
  return std::make_shared<InterleavedView>(head_rows);
}

}  // namespace sluice
