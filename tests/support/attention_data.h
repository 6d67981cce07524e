// A sequence's keys and values in pages, and shapes, for tests of attention on CPUs and on devices.
#ifndef SLUICE_TESTS_SUPPORT_ATTENTION_DATA_H_
#define SLUICE_TESTS_SUPPORT_ATTENTION_DATA_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "kernels/ops.h"
#include "tests/support/random_floats.h"

namespace sluice {

struct AttentionShape {
  KvType k_type;
  KvType v_type;
  int64_t num_heads;
  int64_t num_kv_heads;
  int64_t head_dim;
  int64_t positions;
};

// Head sizes with and without padding, groups of 1 to 11 heads, contexts of a position to three
// chunks.
inline std::vector<AttentionShape> AttentionShapes() {
  constexpr KvType kF32 = KvType::kF32, kF16 = KvType::kF16, kQ8 = KvType::kQ8_0;
  return {
      {kF32, kF32, 1, 1, 8, 1},      {kF16, kF16, 4, 2, 16, 64},  {kQ8, kQ8, 6, 2, 32, 65},
      {kF16, kQ8, 8, 2, 64, 130},    {kQ8, kF32, 3, 3, 80, 100},  {kF32, kF16, 7, 1, 96, 70},
      {kF16, kF16, 11, 1, 128, 600}, {kQ8, kQ8, 5, 1, 40, 1100},  {kF16, kF16, 16, 2, 256, 67},
      {kF16, kF16, 20, 2, 256, 67},  {kF32, kF32, 2, 1, 6, 1300}, {kF16, kF16, 28, 4, 128, 90},
  };
}

// One sequence's keys and values in pages that lie in no order, unused places full of NaN.
class AttentionSequence {
 public:
  AttentionSequence(const AttentionShape& shape, uint32_t seed)
      : shape_(shape), kv_{shape.k_type, shape.v_type, shape.num_kv_heads, shape.head_dim} {
    std::mt19937 random(seed);
    const int64_t values = shape.positions * shape.num_kv_heads * shape.head_dim;
    k_ = RandomFloats(values, random);
    v_ = RandomFloats(values, random);
    table_.resize((shape.positions + kKvPageTokens - 1) / kKvPageTokens);
    std::iota(table_.begin(), table_.end(), 1);
    std::shuffle(table_.begin(), table_.end(), random);
    pages_.resize((table_.size() + 1) * KvPageBytes(kv_), std::byte{0xFF});
  }

  // `pages` are pages() or a copy of them, on a device for instance.
  AttentionArgs Args(std::byte* pages, absl::Span<const AttentionRow> rows) const {
    return {.kv = kv_,
            .pages = pages,
            .page_stride = KvPageBytes(kv_),
            .num_heads = shape_.num_heads,
            .attention_scale = 1.0f / std::sqrt(static_cast<float>(shape_.head_dim)),
            .rows = rows};
  }
  AttentionArgs Args(absl::Span<const AttentionRow> rows) { return Args(pages_.data(), rows); }
  AttentionRow Row(int64_t position, int64_t first_visible = 0) const {
    return {.page_table = table_.data(), .position = position, .first_visible = first_visible};
  }
  // The last row, the first, one between, and two with windows: of one position, and from the
  // middle of a block on.
  std::vector<AttentionRow> SomeRows() const {
    const int64_t last = shape_.positions - 1;
    return {Row(last), Row(0), Row(shape_.positions / 2), Row(last, last),
            Row(last, shape_.positions / 3)};
  }

  // Writes all positions.
  void Append(Ops& ops) {
    std::vector<AttentionRow> rows;
    for (int64_t p = 0; p < shape_.positions; ++p) rows.push_back(Row(p));
    const int64_t stride = shape_.num_kv_heads * shape_.head_dim;
    ASSERT_TRUE(ops.AppendKv(Args(rows), k_.data(), v_.data(), stride).ok());
  }

  const AttentionShape& shape() const { return shape_; }
  const KvShape& kv() const { return kv_; }
  std::vector<float>& k() { return k_; }
  std::vector<float>& v() { return v_; }
  std::vector<std::byte>& pages() { return pages_; }
  const std::vector<std::byte>& pages() const { return pages_; }
  std::vector<int32_t>& table() { return table_; }
  const std::vector<int32_t>& table() const { return table_; }
  int64_t q_dim() const { return shape_.num_heads * shape_.head_dim; }

 private:
  const AttentionShape shape_;
  const KvShape kv_;
  std::vector<float> k_, v_;
  std::vector<int32_t> table_;
  std::vector<std::byte> pages_;
};

}  // namespace sluice

#endif  // SLUICE_TESTS_SUPPORT_ATTENTION_DATA_H_
