// Attention on a device: the bits of scalar code, however rows are tiled and chunks are split.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/cuda/attention_plan.h"
#include "tests/kernels/cuda/scalar_machine.h"
#include "tests/kernels/cuda/test_device.h"
#include "tests/support/attention_data.h"

namespace sluice::cuda {
namespace {

constexpr KvType kF32 = KvType::kF32;
constexpr KvType kF16 = KvType::kF16;
constexpr KvType kQ8 = KvType::kQ8_0;

std::vector<float> ByScalarCode(AttentionSequence& sequence, absl::Span<const AttentionRow> rows,
                                const std::vector<float>& q) {
  Scalar scalar;
  std::vector<float> out(rows.size() * sequence.q_dim());
  EXPECT_TRUE(scalar.ops()
                  .Attention(sequence.Args(sequence.pages().data(), rows), q.data(),
                             sequence.q_dim(), out.data(), sequence.q_dim())
                  .ok());
  return out;
}

std::vector<float> ByDevice(TestDevice& device, AttentionSequence& sequence,
                            absl::Span<const AttentionRow> rows, const std::vector<float>& q) {
  const auto pages = device.Put(sequence.pages());
  const auto device_q = device.Put(q);
  const auto out = device.Put(std::vector<float>(rows.size() * sequence.q_dim()));
  EXPECT_TRUE(device.ops()
                  .Attention(sequence.Args(pages.data(), rows), device_q.data(), sequence.q_dim(),
                             out.data(), sequence.q_dim())
                  .ok());
  return out.Values();
}

class CudaAttention : public CudaTest {};

TEST_F(CudaAttention, RowsAloneAndTogetherGiveTheBitsOfScalarCode) {
  Scalar scalar;
  size_t turn = 0;
  for (const AttentionShape& shape : AttentionShapes()) {
    AttentionSequence sequence(shape, 3);
    sequence.Append(scalar.ops());
    const std::vector<AttentionRow> rows = sequence.SomeRows();
    std::mt19937 random(4);
    const std::vector<float> q = RandomFloats(rows.size() * sequence.q_dim(), random);
    const std::vector<float> want = ByScalarCode(sequence, rows, q);
    // With a scratch for one row's chunks only, rows come one call after the other.
    for (int64_t scratch : {int64_t{1}, int64_t{32} << 20}) {
      const std::vector<uint64_t> seeds = Backend::Seeds();
      TestDevice device(seeds[turn++ % seeds.size()], {.attention_scratch_bytes = scratch});
      EXPECT_TRUE(SameBits(ByDevice(device, sequence, rows, q), want))
          << "head_dim " << shape.head_dim;
    }
    // One row: split over chunks where there are several.
    TestDevice device(1);
    const std::vector<float> one(q.begin(), q.begin() + sequence.q_dim());
    const std::vector<float> want_one(want.begin(), want.begin() + sequence.q_dim());
    EXPECT_TRUE(SameBits(ByDevice(device, sequence, {rows.data(), 1}, one), want_one));
  }
}

// Rows that follow one another share their keys: over block and chunk boundaries, with and without
// a window, some of another sequence between, one of which continues their positions.
TEST_F(CudaAttention, RowsOfAPromptGiveTheBitsOfScalarCode) {
  Scalar scalar;
  size_t turn = 0;
  for (const AttentionShape& shape : AttentionShapes()) {
    AttentionSequence sequence(shape, 11);
    sequence.Append(scalar.ops());
    std::vector<int32_t> other = sequence.table();
    if (other.size() > 2) std::swap(other[0], other[1]);
    for (int64_t window : {0, 50}) {
      std::vector<AttentionRow> rows;
      // Where there are chunks, rows on both sides of where one ends.
      const int64_t begin = shape.positions > kAttentionChunk
                                ? shape.positions / kAttentionChunk * kAttentionChunk - 12
                                : std::max<int64_t>(0, shape.positions - 70);
      const int64_t most = shape.positions > kAttentionChunk || shape.head_dim > 64 ? 26 : 70;
      const int64_t end = std::min(begin + most, shape.positions);
      for (int64_t p = begin; p < end; ++p) {
        if (p == begin + 20) {
          for (int64_t i = 0; i < std::min<int64_t>(5, p); ++i)
            rows.push_back({other.data(), i, 0});
        }
        rows.push_back(sequence.Row(p, window == 0 ? 0 : std::max<int64_t>(0, p - window + 1)));
        if (p % 9 == 4) rows.back().page_table = other.data();
      }
      std::mt19937 random(13);
      const std::vector<float> q = RandomFloats(rows.size() * sequence.q_dim(), random);
      const std::vector<uint64_t> seeds = Backend::Seeds();
      TestDevice device(seeds[turn++ % seeds.size()]);
      EXPECT_TRUE(SameBits(ByDevice(device, sequence, rows, q), ByScalarCode(sequence, rows, q)))
          << "head_dim " << shape.head_dim << ", window " << window;
    }
  }
}

TEST_F(CudaAttention, PagesOutsideTheWindowAreNotTouched) {
  Scalar scalar;
  AttentionSequence sequence({kF16, kF16, 2, 1, 32, 1000}, 7);
  sequence.Append(scalar.ops());
  std::mt19937 random(8);
  const std::vector<float> q = RandomFloats(64, random);
  AttentionRow row = sequence.Row(999, 640);
  const std::vector<float> want = ByScalarCode(sequence, {&row, 1}, q);
  // Page numbers that would lead far out of the pool.
  std::fill(sequence.table().begin(), sequence.table().begin() + 10, 1 << 30);
  TestDevice device(2);
  EXPECT_TRUE(SameBits(ByDevice(device, sequence, {&row, 1}, q), want));
}

TEST_F(CudaAttention, NaNInAKeyReachesThoseThatSeeIt) {
  for (KvType type : {kF32, kF16, kQ8}) {
    Scalar scalar;
    AttentionSequence sequence({type, type, 2, 1, 48, 700}, 9);
    sequence.k()[20 * 48 + 3] = std::numeric_limits<float>::quiet_NaN();
    sequence.Append(scalar.ops());
    const std::vector<AttentionRow> rows = {sequence.Row(10), sequence.Row(699),
                                            sequence.Row(699, 21)};
    std::mt19937 random(10);
    TestDevice device(3);
    const std::vector<float> out = ByDevice(device, sequence, rows, RandomFloats(3 * 96, random));
    for (int i = 0; i < 96; ++i) {
      EXPECT_TRUE(std::isfinite(out[i]));
      EXPECT_TRUE(std::isnan(out[96 + i]));
      EXPECT_TRUE(std::isfinite(out[192 + i]));
    }
  }
}

// Rows that share what is read of a block do not all see all of it.
TEST_F(CudaAttention, NaNInAValueReachesOnlyThoseThatSeeIt) {
  Scalar scalar;
  AttentionSequence sequence({kF32, kF32, 2, 2, 16, 70}, 9);
  sequence.v()[35 * 32] = std::numeric_limits<float>::quiet_NaN();
  sequence.Append(scalar.ops());
  std::vector<AttentionRow> rows;
  for (int64_t p = 30; p < 40; ++p) rows.push_back(sequence.Row(p));
  rows.push_back(sequence.Row(40, 36));
  std::mt19937 random(10);
  TestDevice device(3);
  const std::vector<float> out =
      ByDevice(device, sequence, rows, RandomFloats(rows.size() * 32, random));
  for (size_t row = 0; row < rows.size(); ++row) {
    EXPECT_EQ(std::isnan(out[row * 32]), row >= 5 && row < 10) << row;
  }
}

TEST_F(CudaAttention, RefusesWhatNoKernelIsFor) {
  AttentionSequence sequence({kF16, kF16, 2, 1, 264, 1}, 1);
  TestDevice device(1);
  const AttentionRow row = sequence.Row(0);
  AttentionArgs args = sequence.Args(nullptr, {&row, 1});
  EXPECT_EQ(device.ops().Attention(args, nullptr, 0, nullptr, 0).code(),
            absl::StatusCode::kInvalidArgument);
  args.kv.head_dim = 64;
  args.num_heads = 3;
  args.kv.num_kv_heads = 2;
  EXPECT_EQ(device.ops().Attention(args, nullptr, 0, nullptr, 0).code(),
            absl::StatusCode::kInvalidArgument);
}

struct PlanCase {
  const char* name;
  int64_t heads, kv_heads, head_dim;
  std::vector<AttentionRow> rows;
  std::vector<int> tiles;  // rows of each
  int64_t split_chunks;
  int64_t num_rows;
};

TEST(AttentionPlan, SharesRowsAndSplitsWhatWouldLeaveMultiprocessorsIdle) {
  const int32_t a[64] = {}, b[64] = {};
  const PlanCase kCases[] = {
      {"one short row", 8, 8, 128, {{a, 5, 0}}, {1}, 0, 1},
      {"one long row", 8, 8, 128, {{a, 2000, 0}}, {1}, 4, 1},
      {"its window", 8, 8, 128, {{a, 2000, 1200}}, {1}, 2, 1},
      {"a prompt",
       8,
       2,
       128,
       {{a, 0, 0}, {a, 1, 0}, {a, 2, 0}, {a, 3, 0}, {a, 4, 0}},
       {4, 1},
       0,
       5},
      {"two sequences", 8, 8, 128, {{a, 0, 0}, {b, 1, 0}, {b, 2, 0}, {b, 4, 0}}, {1, 2, 1}, 0, 4},
      {"a window that goes back", 8, 8, 128, {{a, 8, 5}, {a, 9, 4}}, {1, 1}, 0, 2},
      {"wide heads", 16, 1, 256, {{a, 0, 0}, {a, 1, 0}}, {1, 1}, 0, 2},
      // 8 heads x 4 chunks x 130 floats = 16,640 bytes a row, of 40,000.
      {"more rows than the scratch holds",
       8,
       8,
       128,
       {{a, 2000, 0}, {b, 2000, 0}, {a, 1900, 0}},
       {1, 1},
       4,
       2},
      // 64 heads' of it are 133,120 bytes: a row is let through.
      {"a row that the scratch does not hold", 64, 8, 128, {{a, 2000, 0}, {a, 2001, 0}}, {1}, 4, 1},
  };
  for (const PlanCase& c : kCases) {
    const AttentionArgs args = {.kv = {kF16, kF16, c.kv_heads, c.head_dim},
                                .pages = nullptr,
                                .page_stride = 0,
                                .num_heads = c.heads,
                                .attention_scale = 1,
                                .rows = c.rows};
    const AttentionPlan plan =
        PlanAttention(args, {.multiprocessors = 100, .scratch_bytes = 40000});
    std::vector<int> tiles;
    for (const AttendTile& tile : plan.tiles) tiles.push_back(tile.num_rows);
    EXPECT_EQ(tiles, c.tiles) << c.name;
    EXPECT_EQ(plan.split_chunks, c.split_chunks) << c.name;
    EXPECT_EQ(plan.num_rows, c.num_rows) << c.name;
    EXPECT_LE(plan.max_queries, MaxQueries(c.head_dim)) << c.name;
  }
}

// Passes of chance: sequences of any length, some rows of each, windows; what is reserved suffices,
// and some need all.
TEST(AttentionPlan, TakesNoMoreThanIsReservedForAPass) {
  std::mt19937 generator(12);
  const auto random = [&]() -> int64_t { return generator(); };
  int all_scratch = 0, all_upload = 0;
  for (int turn = 0; turn < 2000; ++turn) {
    const int64_t kv_heads = int64_t{1} << random() % 4;
    const PassLimits pass = {.rows = 1 + random() % (turn % 2 == 0 ? 4 : 300),
                             .page_tables = 1 + random() % 6,
                             .context_tokens = 64 * (1 + random() % 60),
                             .num_heads = kv_heads * (1 + random() % 20),
                             .kv = {kF16, kQ8, kv_heads, turn % 3 == 0 ? 256 : 64}};
    const AttentionLimits limits = {.multiprocessors = static_cast<int>(1 + random() % 100),
                                    .scratch_bytes = 1000 << random() % 12};
    const std::vector<int32_t> table(pass.context_tokens / kKvPageTokens);
    std::vector<std::vector<int32_t>> tables(pass.page_tables, table);
    std::vector<AttentionRow> rows;
    for (int64_t sequence = 0; sequence < pass.page_tables; ++sequence) {
      const int64_t left = pass.rows - static_cast<int64_t>(rows.size());
      const int64_t count = std::min(sequence + 1 == pass.page_tables ? left : random() % 3, left);
      const int64_t end =
          random() % 2 == 0 ? pass.context_tokens : 1 + random() % pass.context_tokens;
      const int64_t window =
          random() % 2 == 0 ? pass.context_tokens : 1 + random() % pass.context_tokens;
      for (int64_t at = std::max<int64_t>(0, end - count); at < end; ++at) {
        rows.push_back({tables[sequence].data(), at, std::max<int64_t>(0, at - window)});
      }
    }
    AttentionArgs args = {.kv = pass.kv,
                          .pages = nullptr,
                          .page_stride = 0,
                          .num_heads = pass.num_heads,
                          .attention_scale = 1,
                          .rows = rows};
    while (!args.rows.empty()) {
      const AttentionPlan plan = PlanAttention(args, limits);
      ASSERT_GT(plan.num_rows, 0);
      ASSERT_EQ(plan.tiles.back().first_row + plan.tiles.back().num_rows, plan.num_rows);
      ASSERT_LE(plan.scratch_bytes, MostScratchBytes(pass, limits)) << turn;
      all_scratch += plan.scratch_bytes > 0 && plan.scratch_bytes == MostScratchBytes(pass, limits);
      const int64_t upload_bytes = LayOutUpload(args.rows, plan).bytes;
      ASSERT_LE(upload_bytes, UploadBufferBytes(pass)) << turn;
      all_upload += upload_bytes > UploadBufferBytes(pass) - 4096;
      args.rows.remove_prefix(plan.num_rows);
    }
  }
  EXPECT_GT(all_scratch, 20);
  EXPECT_GT(all_upload, 20);
}

}  // namespace
}  // namespace sluice::cuda
