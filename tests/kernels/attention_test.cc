// Attention and the KV cache: against a naive softmax in double precision, and the same bits
// however the work is split.
#include "kernels/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/encodings/encoding.h"
#include "kernels/ops.h"
#include "tests/support/attention_data.h"
#include "tests/support/cpu_machine.h"
#include "tests/support/random_floats.h"

namespace sluice {
namespace {

// Value i of a position's key (or value) as it was stored.
double Stored(const AttentionSequence& sequence, bool key, int64_t position, int64_t head,
              int64_t i) {
  const AttentionShape& shape = sequence.shape();
  const KvType type = key ? shape.k_type : shape.v_type;
  const int64_t k_bytes = KvRowBytes(shape.k_type, shape.head_dim);
  const int64_t v_bytes = KvRowBytes(shape.v_type, shape.head_dim);
  const int64_t t = position % kKvPageTokens;
  const std::byte* row = sequence.pages().data() +
                         sequence.table()[position / kKvPageTokens] * KvPageBytes(sequence.kv()) +
                         head * kKvPageTokens * (k_bytes + v_bytes) +
                         (key ? t * k_bytes : kKvPageTokens * k_bytes + t * v_bytes);
  if (type == KvType::kF32) {
    float value;
    std::memcpy(&value, row + 4 * i, 4);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, row + (type == KvType::kF16 ? 2 * i : i / 32 * 2), 2);
  if (type == KvType::kF16) return F16ToF32(bits);
  const auto quant = static_cast<int8_t>(row[(shape.head_dim + 31) / 32 * 2 + i]);
  return double{F16ToF32(bits)} * quant;
}

// Attention of one query head by the book.
std::vector<double> Naive(const AttentionSequence& sequence, const AttentionRow& row,
                          const float* q, int64_t head) {
  const AttentionShape& shape = sequence.shape();
  const int64_t kv_head = head / (shape.num_heads / shape.num_kv_heads);
  std::vector<double> p;
  for (int64_t t = row.first_visible; t <= row.position; ++t) {
    double s = 0;
    for (int64_t i = 0; i < shape.head_dim; ++i) s += q[i] * Stored(sequence, true, t, kv_head, i);
    p.push_back(s / std::sqrt(static_cast<double>(shape.head_dim)));
  }
  const double max = *std::max_element(p.begin(), p.end());
  double sum = 0;
  for (double& value : p) sum += value = std::exp(value - max);
  std::vector<double> out(shape.head_dim);
  for (int64_t t = row.first_visible; t <= row.position; ++t) {
    for (int64_t i = 0; i < shape.head_dim; ++i) {
      out[i] += p[t - row.first_visible] / sum * Stored(sequence, false, t, kv_head, i);
    }
  }
  return out;
}

std::vector<float> RandomFloats(int64_t n, uint32_t seed) {
  std::mt19937 random(seed);
  return sluice::RandomFloats(n, random);
}

std::vector<float> Attend(Ops& ops, const AttentionArgs& args, const std::vector<float>& q) {
  const int64_t stride = args.num_heads * args.kv.head_dim;
  std::vector<float> out(args.rows.size() * stride);
  EXPECT_TRUE(ops.Attention(args, q.data(), stride, out.data(), stride).ok());
  return out;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

constexpr KvType kF32 = KvType::kF32;
constexpr KvType kF16 = KvType::kF16;
constexpr KvType kQ8 = KvType::kQ8_0;

TEST(Attention, ScalarCodeIsCloseToANaiveSoftmax) {
  Machine scalar(Isa::kScalar, 1);
  for (const AttentionShape& shape : AttentionShapes()) {
    AttentionSequence sequence(shape, 1);
    sequence.Append(*scalar.ops);
    const std::vector<AttentionRow> rows = sequence.SomeRows();
    const int64_t stride = shape.num_heads * shape.head_dim;
    const std::vector<float> q = RandomFloats(rows.size() * stride, 2);
    const std::vector<float> out = Attend(*scalar.ops, sequence.Args(rows), q);
    for (size_t row = 0; row < rows.size(); ++row) {
      for (int64_t head = 0; head < shape.num_heads; ++head) {
        const int64_t at = row * stride + head * shape.head_dim;
        const std::vector<double> want = Naive(sequence, rows[row], q.data() + at, head);
        for (int64_t i = 0; i < shape.head_dim; ++i) {
          // Scores of up to ~10 with an error of 1e-6 make weights wrong by 1e-5 of themselves at
          // most.
          EXPECT_NEAR(out[at + i], want[i], 2e-5) << "head_dim " << shape.head_dim;
        }
      }
    }
  }
}

TEST(Attention, EveryInstructionSetAndSplitGivesTheBitsOfScalarCode) {
  for (const AttentionShape& shape : AttentionShapes()) {
    Machine scalar(Isa::kScalar, 1);
    AttentionSequence reference(shape, 3);
    reference.Append(*scalar.ops);
    const std::vector<AttentionRow> rows = reference.SomeRows();
    const int64_t stride = shape.num_heads * shape.head_dim;
    const std::vector<float> q = RandomFloats(rows.size() * stride, 4);
    const std::vector<float> want = Attend(*scalar.ops, reference.Args(rows), q);
    for (Isa isa : SupportedIsas()) {
      for (int threads : {1, 2, 9}) {  // 9: few rows are split over chunks
        Machine machine(isa, threads);
        AttentionSequence sequence(shape, 3);
        sequence.Append(*machine.ops);
        EXPECT_TRUE(sequence.pages() == reference.pages()) << IsaName(isa);
        const std::vector<AttentionRow> own = sequence.SomeRows();
        EXPECT_TRUE(SameBits(Attend(*machine.ops, sequence.Args(own), q), want))
            << IsaName(isa) << ", " << threads << " threads, head_dim " << shape.head_dim;
        // One row at a time.
        for (size_t row = 0; row < own.size(); ++row) {
          const std::vector<float> one(q.begin() + row * stride, q.begin() + (row + 1) * stride);
          const std::vector<float> out =
              Attend(*machine.ops, sequence.Args(absl::MakeSpan(own).subspan(row, 1)), one);
          EXPECT_EQ(std::memcmp(out.data(), want.data() + row * stride, stride * 4), 0);
        }
      }
    }
  }
}

// Rows that follow one another share their keys' widened blocks: up to 75 of them here, over block
// and chunk boundaries, with and without a window, some of another sequence between.
TEST(Attention, RowsOfAPromptGiveTheBitsOfScalarCode) {
  for (const AttentionShape& shape : AttentionShapes()) {
    const int64_t stride = shape.num_heads * shape.head_dim;
    const int64_t first_row = std::max<int64_t>(0, shape.positions - 70);
    for (const int64_t window : {int64_t{0}, int64_t{50}}) {
      const auto rows_of = [&](const AttentionSequence& sequence, const AttentionSequence& other) {
        std::vector<AttentionRow> rows;
        for (int64_t p = first_row; p < shape.positions; ++p) {
          if (p == first_row + 20) {
            for (int64_t i = 0; i < std::min<int64_t>(5, p); ++i) rows.push_back(other.Row(i));
          }
          rows.push_back(sequence.Row(p, window == 0 ? 0 : std::max<int64_t>(0, p - window + 1)));
        }
        return rows;
      };
      std::vector<float> want;
      for (Isa isa : SupportedIsas()) {
        for (int threads : {1, 2}) {
          if (isa == Isa::kScalar && threads > 1) continue;
          Machine machine(isa, threads);
          AttentionSequence sequence(shape, 11);
          sequence.Append(*machine.ops);
          // Its page table is another, and leads to the same pages.
          AttentionSequence other = sequence;
          const std::vector<AttentionRow> rows = rows_of(sequence, other);
          const std::vector<float> q = RandomFloats(rows.size() * stride, 13);
          const std::vector<float> out = Attend(*machine.ops, sequence.Args(rows), q);
          if (isa == Isa::kScalar) want = out;
          EXPECT_TRUE(SameBits(out, want))
              << IsaName(isa) << ", " << threads << " threads, head_dim " << shape.head_dim
              << ", window " << window;
        }
      }
    }
  }
}

// More chunks than wait to be merged at once, so that waves follow one another.
TEST(Attention, ALongContextGivesTheSameBitsHoweverItIsSplit) {
  const AttentionShape shape = {kF16, kF16, 2, 1, 16, 40000};
  for (int64_t first : {0, 700}) {
    std::vector<float> results[2];
    for (int threads : {1, 3}) {
      Machine machine(SupportedIsas().back(), threads);
      AttentionSequence sequence(shape, 5);
      sequence.Append(*machine.ops);
      const AttentionRow row = sequence.Row(shape.positions - 1, first);
      results[threads == 3] = Attend(*machine.ops, sequence.Args({&row, 1}), RandomFloats(32, 6));
    }
    EXPECT_TRUE(SameBits(results[0], results[1]));
  }
}

TEST(Attention, PagesOutsideTheWindowAreNotTouched) {
  const AttentionShape shape = {kF16, kF16, 2, 1, 32, 1000};
  for (Isa isa : SupportedIsas()) {
    Machine machine(isa, 2);
    AttentionSequence sequence(shape, 7);
    sequence.Append(*machine.ops);
    AttentionRow row = sequence.Row(999, 640);
    const std::vector<float> q = RandomFloats(64, 8);
    const std::vector<float> want = Attend(*machine.ops, sequence.Args({&row, 1}), q);
    // A page number that would lead far out of the pool.
    std::vector<int32_t> table(row.page_table, row.page_table + 16);
    std::fill(table.begin(), table.begin() + 10, 1 << 30);
    row.page_table = table.data();
    EXPECT_TRUE(SameBits(Attend(*machine.ops, sequence.Args({&row, 1}), q), want));
  }
}

TEST(Attention, NaNInAKeyReachesThoseThatSeeIt) {
  for (KvType type : {kF32, kF16, kQ8}) {
    for (Isa isa : SupportedIsas()) {
      Machine machine(isa, 1);
      const AttentionShape shape = {type, type, 2, 1, 48, 700};
      AttentionSequence sequence(shape, 9);
      sequence.k()[20 * 48 + 3] = std::numeric_limits<float>::quiet_NaN();
      sequence.Append(*machine.ops);
      const AttentionRow rows[] = {sequence.Row(10), sequence.Row(699), sequence.Row(699, 21)};
      const std::vector<float> out =
          Attend(*machine.ops, sequence.Args(rows), RandomFloats(3 * 96, 10));
      for (int i = 0; i < 96; ++i) {
        EXPECT_TRUE(std::isfinite(out[i])) << IsaName(isa);
        EXPECT_TRUE(std::isnan(out[96 + i])) << IsaName(isa);
        EXPECT_TRUE(std::isfinite(out[192 + i])) << IsaName(isa);
      }
    }
  }
}

// Were a lane beyond the last key taken for a score of 0, every true weight would vanish beside it.
TEST(Attention, ScoresFarBelowZeroWeighLikeAnyOther) {
  const AttentionShape shape = {kF32, kF32, 1, 1, 16, 70};
  for (Isa isa : SupportedIsas()) {
    Machine machine(isa, 1);
    AttentionSequence sequence(shape, 13);
    std::fill(sequence.k().begin(), sequence.k().end(), -100.0f);
    sequence.Append(*machine.ops);
    std::vector<AttentionRow> rows;
    for (int64_t p = 0; p < shape.positions; ++p) rows.push_back(sequence.Row(p));
    const std::vector<float> q(shape.positions * 16, 1.0f);
    const std::vector<float> out = Attend(*machine.ops, sequence.Args(rows), q);
    for (size_t i = 0; i < out.size(); ++i) {
      EXPECT_TRUE(std::isfinite(out[i])) << IsaName(isa) << ", position " << i / 16;
    }
  }
}

TEST(AppendKv, RoundsAsItsDefinitionSays) {
  const AttentionShape shape = {kQ8, kF16, 1, 1, 40, 1};
  for (Isa isa : SupportedIsas()) {
    Machine machine(isa, 1);
    AttentionSequence sequence(shape, 11);
    // First block: scale 0; second block (8 values): scale 2, so that halves are ties.
    std::fill(sequence.k().begin(), sequence.k().begin() + 32, 0.0f);
    const float block[] = {254.0f, 1.0f, 3.0f, -5.0f, -254.0f, 2.9f, 0.0f, 100.0f};
    std::copy(block, block + 8, sequence.k().begin() + 32);
    sequence.Append(*machine.ops);
    const double want[] = {254, 0, 4, -4, -254, 2, 0, 100};
    for (int i = 0; i < 32; ++i) EXPECT_EQ(Stored(sequence, true, 0, 0, i), 0);
    for (int i = 0; i < 8; ++i) EXPECT_EQ(Stored(sequence, true, 0, 0, 32 + i), want[i]);
  }
}

TEST(AppendKv, OddBlocksGiveTheSameBytesEverywhere) {
  const float kRows[][2] = {{1e-6f, 2e-6f},        {1e-8f, 1.4e-5f},
                            {65504.0f, -65519.0f}, {65520.0f, 1e-3f},
                            {1e7f, 8.4e6f},        {std::numeric_limits<float>::infinity(), 0}};
  for (KvType type : {kF32, kF16, kQ8}) {
    const AttentionShape shape = {type, type, 1, 1, 10, 6};
    std::vector<std::byte> want;
    for (Isa isa : SupportedIsas()) {
      Machine machine(isa, 1);
      AttentionSequence sequence(shape, 12);
      for (int row = 0; row < 6; ++row) {
        for (int i = 0; i < 10; ++i) {
          const int divisor = 1 + i / 3;
          sequence.k()[row * 10 + i] = kRows[row][i % 2] / static_cast<float>(divisor);
        }
      }
      sequence.Append(*machine.ops);
      if (want.empty()) want = sequence.pages();
      EXPECT_TRUE(sequence.pages() == want) << IsaName(isa);
    }
  }
}

// A run of tokens of all heads, and nothing else.
TEST(CopyKvRows, CopiesRowsOfAllHeads) {
  const KvShape shape = {kQ8, kF16, 2, 40};
  const int64_t stride = KvPageBytes(shape);
  std::vector<std::byte> pages(3 * stride);
  std::mt19937 random(4);
  for (std::byte& byte : pages) byte = static_cast<std::byte>(random());
  const std::vector<std::byte> before = pages;
  CopyKvRows(shape, pages.data(), stride, {{2, 10, 0, 61, 3}});
  int64_t at = 0;
  for (int head = 0; head < 2; ++head) {
    for (const KvType type : {kQ8, kF16}) {
      const int64_t bytes = KvRowBytes(type, 40);
      for (int64_t token = 0; token < kKvPageTokens; ++token, at += bytes) {
        const int64_t from = token < 61 ? at : 2 * stride + at + (10 - 61) * bytes;
        EXPECT_EQ(std::memcmp(pages.data() + at, before.data() + from, bytes), 0)
            << head << ", " << token;
      }
    }
  }
  EXPECT_TRUE(std::equal(pages.begin() + at, pages.end(), before.begin() + at));
}

TEST(CpuAttention, ScratchStaysBelowFourMebibytesAt32kContext) {
  // 64 heads of 128, one row: the split over chunks.
  const AttentionShape shape = {kQ8, kQ8, 64, 8, 128, 1};
  const int64_t kPositions = 32768;
  const KvShape kv = {shape.k_type, shape.v_type, shape.num_kv_heads, shape.head_dim};
  std::vector<std::byte> page(KvPageBytes(kv));
  const std::vector<int32_t> table(kPositions / kKvPageTokens, 0);  // one page over and over
  const AttentionRow row = {table.data(), kPositions - 1, 0};
  const AttentionArgs args = {kv, page.data(), KvPageBytes(kv), shape.num_heads, 0.1f, {&row, 1}};
  // The scalar table has no more scratch than the others, but this would take it long.
  ThreadPool pool(4);
  auto kernels = [] {
#if defined(__x86_64__)
    if (SupportedIsas().back() == Isa::kAvx512) return &kAvx512Kernels;
    if (SupportedIsas().back() == Isa::kAvxVnni) return &kAvxVnniKernels;
    if (SupportedIsas().back() == Isa::kAvx2) return &kAvx2Kernels;
#elif defined(__aarch64__)
    if (SupportedIsas().back() == Isa::kNeon) return &kNeonKernels;
#endif
    return &kScalarKernels;
  }();
  CpuAttention attention(kernels, &pool);
  const std::vector<float> q(64 * 128, 1.0f);
  std::vector<float> out(64 * 128);
  attention.Run(args, q.data(), 64 * 128, out.data(), 64 * 128);
  const int64_t bytes = attention.scratch_bytes();
  EXPECT_LT(bytes, 4 << 20);
  attention.Run(args, q.data(), 64 * 128, out.data(), 64 * 128);
  EXPECT_EQ(attention.scratch_bytes(), bytes);
}

// The plan sets aside what ScratchBytes says, so Run must never take more.
TEST(CpuAttention, TakesTheScratchThatItSaysWithAnyNumberOfThreads) {
  constexpr int64_t kHeads = 16, kDim = 40, kRows = 140;
  const KvShape kv = {kQ8, kQ8, /*num_kv_heads=*/2, kDim};
  std::vector<std::byte> page(KvPageBytes(kv));
  const std::vector<int32_t> table(72, 0);  // one page over and over
  // Two chunks, as scratch is the same for any number of them; the first row, which goes alone,
  // too, has eight.
  std::vector<AttentionRow> rows;
  for (int64_t i = 0; i < kRows; ++i) rows.push_back({table.data(), i == 0 ? 4000 : 520 + i, 0});
  const std::vector<float> q(kRows * kHeads * kDim, 1.0f);
  std::vector<float> out(q.size());
  for (const int threads : {1, 2, 15, 16, 64}) {
    ThreadPool pool(threads);
    CpuAttention attention(&kScalarKernels, &pool);
    const int64_t most = CpuAttention::ScratchBytes(kHeads, kDim, threads);
    int64_t taken = 0;
    for (const int64_t count : {int64_t{1}, kRows}) {  // the split over chunks, and over tiles
      const AttentionArgs args = {kv,     page.data(), KvPageBytes(kv),
                                  kHeads, 0.1f,        {rows.data(), static_cast<size_t>(count)}};
      attention.Run(args, q.data(), kHeads * kDim, out.data(), kHeads * kDim);
      taken = std::max(taken, attention.scratch_bytes());
      EXPECT_LE(taken, most) << threads << " threads, " << count << " rows";
    }
    if (threads == 1) continue;  // one thread splits over chunks never
    EXPECT_EQ(taken, most) << threads << " threads: no more is set aside than what is taken";
  }
}

}  // namespace
}  // namespace sluice
