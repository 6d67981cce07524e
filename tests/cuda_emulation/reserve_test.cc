// What is reserved before the first pass is all that passes need.
#include <cstdint>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/cuda_ops.h"
#include "tests/cuda_emulation/machine.h"

namespace sluice::cuda {
namespace {

using cuda_emulation::DeviceBytes;
using cuda_emulation::FailCall;

// A pass of two sequences: one row of one, 99 of the other, at the end of their contexts. Nothing
// looks at what comes out.
absl::Status RunPass(Ops& ops, const PassLimits& pass, DeviceBuffer& memory) {
  std::vector<std::vector<int32_t>> tables(2);
  for (std::vector<int32_t>& table : tables) table.resize(pass.context_tokens / kKvPageTokens, 0);
  std::vector<AttentionRow> rows = {{tables[0].data(), pass.context_tokens - 1, 0}};
  std::vector<int64_t> positions = {pass.context_tokens - 1};
  while (static_cast<int64_t>(rows.size()) < pass.rows) {
    positions.push_back(pass.context_tokens - pass.rows + static_cast<int64_t>(rows.size()));
    rows.push_back({tables[1].data(), positions.back(), 0});
  }
  const int64_t width = pass.num_heads * pass.kv.head_dim;
  auto* const x = reinterpret_cast<float*>(memory.data());
  const AttentionArgs few = {.kv = pass.kv,
                             .pages = memory.data(),
                             .page_stride = KvPageBytes(pass.kv),
                             .num_heads = pass.num_heads,
                             .attention_scale = 1,
                             .rows = absl::MakeConstSpan(rows).first(1)};
  AttentionArgs all = few;
  all.rows = rows;
  absl::Status status =
      ops.Rope(x, width, pass.rows, pass.num_heads, pass.kv.head_dim, x, positions, nullptr, 0);
  if (status.ok()) status = ops.AppendKv(all, x, x, width);
  for (int call = 0; status.ok() && call < kUploadBuffers; ++call) {
    // Split in chunks, and not
    status = ops.Attention(call % 2 == 0 ? few : all, x, width, x, width);
  }
  return status;
}

TEST(CudaOpsReserve, LeavesNothingToAllocateInAPass) {
  const PassLimits pass = {.rows = 100,
                           .page_tables = 2,
                           .context_tokens = 1088,
                           .num_heads = 2,
                           .kv = {KvType::kF32, KvType::kF32, 2, 16}};
  for (const bool reserved : {false, true}) {
    cuda_emulation::Reset({.seed = 5});
    {
      CudaAllocator allocator;
      const auto device = Device::Open(0);
      const auto stream = Stream::Create();
      ASSERT_TRUE(device.ok() && stream.ok());
      auto memory = DeviceBuffer::Create(&allocator, 1 << 20, "a test");
      const auto ops = MakeCudaOps(*device, &*stream, &allocator);
      ASSERT_TRUE(memory.ok() && ops.ok());
      if (reserved) {
        const absl::Status status = (*ops)->Reserve(pass);
        ASSERT_TRUE(status.ok()) << status;
      }
      const size_t before = DeviceBytes();
      FailCall("cudaMalloc", 1, cudaErrorMemoryAllocation);
      FailCall("cudaMallocHost", 1, cudaErrorMemoryAllocation);
      absl::Status status = RunPass(**ops, pass, *memory);
      if (status.ok()) status = stream->Synchronize();
      EXPECT_EQ(status.ok(), reserved) << status;
      if (reserved) {
        EXPECT_EQ(DeviceBytes(), before);
      }
    }
    EXPECT_EQ(cuda_emulation::Faults(), "");
    EXPECT_EQ(cuda_emulation::LiveObjects(), 0);
  }
  cuda_emulation::Reset({});
}

TEST(CudaOpsReserve, RefusesShapesThatAttentionDoesNotHave) {
  cuda_emulation::Reset({});
  CudaAllocator allocator;
  const auto device = Device::Open(0);
  const auto stream = Stream::Create();
  const auto ops = MakeCudaOps(*device, &*stream, &allocator);
  ASSERT_TRUE(ops.ok()) << ops.status();
  using Heads = std::tuple<int64_t, int64_t, int64_t>;
  for (const auto& [heads, kv_heads, head_dim] : {Heads(2, 4, 64), Heads(4, 4, 320)}) {
    EXPECT_EQ(
        (*ops)->Reserve({1, 1, 64, heads, {KvType::kF16, KvType::kF16, kv_heads, head_dim}}).code(),
        absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace sluice::cuda
