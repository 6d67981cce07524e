// Slabs that the CPU computes beside a late device: the logits are those of the host, whoever
// computes what.
#include "runtime/pass/host_products.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/encodings/tile.h"
#include "tests/runtime/late_model.h"
#include "tests/runtime/model_harness.h"
#include "tests/support/synthetic_checkpoint.h"

namespace sluice {
namespace {

constexpr int64_t kAllInRam = int64_t{64} << 20;

// The logits of `tokens` in passes of these sizes, in turn.
absl::StatusOr<std::vector<float>> LogitsInPasses(Model& model, const std::vector<int32_t>& tokens,
                                                  const std::vector<size_t>& sizes,
                                                  const std::atomic<bool>* stop = nullptr) {
  KvSequence sequence;
  EXPECT_TRUE(model.kv_cache().Reserve(sequence, static_cast<int64_t>(tokens.size())).ok());
  std::vector<float> all;
  for (size_t done = 0, pass = 0; done < tokens.size(); ++pass) {
    std::vector<PassRow> rows;
    for (size_t i = 0; i < sizes[pass % sizes.size()] && done < tokens.size(); ++i, ++done) {
      rows.push_back({&sequence, static_cast<int64_t>(done), tokens[done], true});
    }
    const auto logits = model.RunPass(rows, stop);
    if (!logits.ok()) {
      model.kv_cache().Release(sequence);
      return logits.status();
    }
    all.insert(all.end(), logits->begin(), logits->end());
  }
  model.kv_cache().Release(sequence);
  return all;
}

std::vector<float> OnTheHost(const LayerStore& store, const std::vector<int32_t>& tokens) {
  RunConfig config;
  config.context = 128;
  return TestModel(store, config).Logits(tokens);
}

struct ProductCase {
  const char* model;
  const char* recipe;
};
class DeviceHostShare : public testing::TestWithParam<ProductCase> {};

TEST_P(DeviceHostShare, GivesTheHostsBitsWhoeverComputes) {
  const TestStore store(GetParam().model, GetParam().recipe, 16 << 10);
  const std::vector<int32_t> tokens = SomeTokens(store->hyper_parameters().vocab_size);
  const std::vector<float> expected = OnTheHost(*store, tokens);
  // One row, several, as many as are shared, more than that; the first pass reads and copies
  // everything.
  const std::vector<std::vector<size_t>> kPasses = {{1}, {1, 3, 1, 18}, {2, 16}};
  uint32_t seed = 0;
  for (const double fraction : {0.3, 0.5, 1.0}) {
    for (const int64_t more_vram : {0, 40 << 10}) {
      for (const std::vector<size_t>& passes : kPasses) {
        SCOPED_TRACE(testing::Message()
                     << fraction << ", vram +" << more_vram << ", passes of " << passes.back());
        LateModel late(*store, ++seed, more_vram, kAllInRam, 18, 0, {}, {.host_share = fraction});
        ASSERT_GT(late.plan.host_share.num_slabs, 0);
        const auto logits = LogitsInPasses(*late.model, tokens, passes);
        ASSERT_TRUE(logits.ok()) << logits.status();
        EXPECT_EQ(*logits, expected);
        EXPECT_GT(late.model->host_product_counters().slabs, 0);
        EXPECT_LE(late.device.allocated(), late.plan.nearest().total_bytes());
      }
    }
  }
}

// Some slabs of the host's, streamed from disk and kept on the device at once, and none for the
// CPU.
TEST_P(DeviceHostShare, GivesTheHostsBitsWithLittleHostMemory) {
  const TestStore store(GetParam().model, GetParam().recipe, 16 << 10);
  const std::vector<int32_t> tokens = SomeTokens(store->hyper_parameters().vocab_size, 9);
  const std::vector<float> expected = OnTheHost(*store, tokens);
  for (const double fraction : {0.0, 0.7, 1.0}) {
    LateModel late(*store, 77, 60 << 10, 150 << 10, 4, 0, {}, {.host_share = fraction});
    const auto logits = LogitsInPasses(*late.model, tokens, {1, 4, 1});
    ASSERT_TRUE(logits.ok()) << logits.status();
    EXPECT_EQ(*logits, expected) << fraction;
    EXPECT_EQ(late.model->host_product_counters().slabs > 0, fraction > 0);
  }
}

// A sliding window, biases, norms of heads; float and quantized weights, with activations in two
// formats.
INSTANTIATE_TEST_SUITE_P(
    All, DeviceHostShare,
    testing::Values(ProductCase{"mistral-window-f16", ""}, ProductCase{"qwen2-bias-bf16", ""},
                    ProductCase{"qwen2-bias-bf16", "q8_0"},
                    ProductCase{"qwen3-qknorm-bf16", "q4_0"}, ProductCase{"bard-6.7M", "q4_k_m"}),
    [](const testing::TestParamInfo<ProductCase>& info) {
      std::string name = std::string(info.param.model) + "_" + info.param.recipe;
      for (char& c : name) c = c == '-' || c == '.' ? '_' : c;
      return name;
    });

// Up's product on the device reads what gate's gave, which may be the CPU's.
TEST(DeviceHostShareOfGateAndUp, GiveTheHostsBitsInSlabsOfTheirOwn) {
  const TempDir dir;
  WriteSyntheticCheckpoint(dir / "model", {.hidden_size = 64,
                                           .intermediate_size = 160,
                                           .num_hidden_layers = 3,
                                           .num_attention_heads = 4,
                                           .num_key_value_heads = 2,
                                           .vocab_size = 256,
                                           .f16_up = true});
  const TestStore store(dir / "model", "", 4 << 10);
  const std::vector<int32_t> tokens = SomeTokens(256, 9);
  const std::vector<float> expected = OnTheHost(*store, tokens);
  int split = 0;  // gate by the CPU, up not
  for (const double fraction : {0.3, 0.4, 0.5, 0.6, 1.0}) {
    for (uint32_t seed = 0; seed < 4; ++seed) {
      LateModel late(*store, seed, 0, kAllInRam, 3, 0, {}, {.host_share = fraction});
      for (size_t i = 1; i < store->manifest().slabs.size(); ++i) {
        const ManifestSlab& slab = store->manifest().slabs[i];
        ASSERT_EQ(slab.tensors.size(), 1);
        const bool up = store->manifest().tensors[slab.tensors[0]].role == TensorRole::kUp;
        split += up && late.plan.ComputedByHost(i - 1) && !late.plan.ComputedByHost(i);
      }
      const auto logits = LogitsInPasses(*late.model, tokens, {1, 3});
      ASSERT_TRUE(logits.ok()) << logits.status();
      EXPECT_EQ(*logits, expected) << fraction;
    }
  }
  EXPECT_GT(split, 0);
}

// What is started is of use only until the pass is given up; the next one begins anew.
TEST(DeviceHostShareEnds, AfterAPassThatWasCancelledTheBitsAreTheSame) {
  const TestStore store("qwen2-bias-bf16", "q8_0", 2 << 10);  // more slabs than are on their way
  const std::vector<int32_t> tokens = SomeTokens(store->hyper_parameters().vocab_size);
  const std::vector<float> expected = OnTheHost(*store, tokens);
  const std::atomic<bool> stop = true;
  for (uint32_t seed = 0; seed < 6; ++seed) {
    LateModel late(*store, seed, 0, kAllInRam, 4, 0, {}, {.host_share = 1.0});
    for (int i = 0; i < 3; ++i) {
      const auto logits = LogitsInPasses(*late.model, tokens, {3, 1});
      ASSERT_TRUE(logits.ok()) << logits.status();
      EXPECT_EQ(*logits, expected);
      EXPECT_TRUE(absl::IsCancelled(LogitsInPasses(*late.model, tokens, {2}, &stop).status()));
    }
  }
}

TEST(DeviceHostShareEnds, ALostDeviceIsAnErrorAndNothingHangs) {
  const TestStore store("qwen2-bias-bf16", "q8_0", 16 << 10);
  const std::vector<int32_t> tokens = SomeTokens(store->hyper_parameters().vocab_size, 6);
  const std::vector<float> expected = OnTheHost(*store, tokens);
  int failed = 0;
  for (int64_t copy = 0; copy < 400; copy += 1 + copy / 6) {
    LateModel late(*store, static_cast<uint32_t>(copy), 0, kAllInRam, 4, 0, {},
                   {.host_share = 1.0});
    ASSERT_TRUE(LogitsInPasses(*late.model, tokens, {1}).ok());
    late.device.FailCopy(copy);
    for (int i = 0; i < 3; ++i) {
      const auto logits = LogitsInPasses(*late.model, tokens, {1});
      const absl::Status& status = logits.status();
      if (status.ok()) {
        EXPECT_EQ(*logits, expected) << "the walk goes on where it was left, copy " << copy;
        continue;
      }
      EXPECT_TRUE(absl::IsUnavailable(status)) << status;
      EXPECT_THAT(status.message(), testing::HasSubstr("the device is lost"));
      ++failed;
    }
  }
  EXPECT_GT(failed, 20);
}

TEST(DeviceHostShareEnds, SaysWhichMemoryIsMissing) {
  ThreadPool pool(1);
  const std::unique_ptr<Ops> host_ops = *MakeCpuOps(Isa::kScalar, &pool);
  HostProductSizes sizes;
  sizes.activation_bytes[0] = 4096;
  sizes.product_bytes = 8192;
  for (const LateDevice::Faults& faults :
       {LateDevice::Faults{.memory_bytes = 8191},
        LateDevice::Faults{.pinnable_bytes = ComputePlace::kStagingBytes + 8192}}) {
    LateDevice device(1, faults);
    const std::unique_ptr<Stream> stream = *device.NewStream();
    LateOps ops(&device, stream.get());
    const std::unique_ptr<ComputePlace> place =
        *MakeDevicePlace(&device, stream.get(), &ops, host_ops.get());
    EXPECT_TRUE(absl::IsResourceExhausted(HostProducts::Create(sizes, place.get()).status()));
  }
  LateDevice device(1);
  const std::unique_ptr<Stream> stream = *device.NewStream();
  LateOps ops(&device, stream.get());
  const std::unique_ptr<ComputePlace> without = *MakeDevicePlace(&device, stream.get(), &ops);
  EXPECT_TRUE(absl::IsInternal(HostProducts::Create(sizes, without.get()).status()));
}

// Products of a few tiles by themselves: 40 rows of f32 weights, in two slabs that read the same.
class DeviceHostProducts : public testing::Test {
 protected:
  static constexpr int64_t kK = 64, kRows = 40, kTokens = 3;

  void Open(uint32_t seed) {
    products_.reset();
    place_.reset();
    ops_.reset();
    stream_.reset();
    device_ = std::make_unique<LateDevice>(seed);
    stream_ = *device_->NewStream();
    ops_ = std::make_unique<LateOps>(device_.get(), stream_.get());
    place_ = *MakeDevicePlace(device_.get(), stream_.get(), ops_.get(), host_ops_.get());
    HostProductSizes sizes;
    sizes.activation_bytes[static_cast<int>(ActivationFormat::kF32)] = 4096;
    sizes.product_bytes = 4096;
    products_ = *HostProducts::Create(sizes, place_.get());
  }

  std::vector<HostProducts::Product> Started(float* out) const {
    const int64_t tile_bytes = TileBytes(Encoding::kF32, kK);
    std::vector<HostProducts::Product> started;
    for (int64_t tile = 0; tile < 3; tile += 2) {
      MatMulArgs args = {
          .encoding = Encoding::kF32,
          .tiles = reinterpret_cast<const std::byte*>(weights_.data()) + tile * tile_bytes,
          .num_tiles = std::min<int64_t>(2, 3 - tile),
          .k = kK,
          .first_row = tile * kTileRows,
          .matrix_rows = kRows,
          .num_tokens = kTokens,
          .epilogue = Epilogue::kAdd,
          .out = out,
          .out_stride = kRows};
      started.push_back({static_cast<int>(tile), args});
    }
    return started;
  }

  ThreadPool pool_{1};
  const std::unique_ptr<Ops> host_ops_ = *MakeCpuOps(Isa::kScalar, &pool_);
  const std::vector<float> weights_ = std::vector<float>(3 * kTileRows * kK, 0.5f);
  std::unique_ptr<LateDevice> device_;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<LateOps> ops_;
  std::unique_ptr<ComputePlace> place_;
  std::unique_ptr<HostProducts> products_;
};

// Each round's activations are prepared on the device in the place of those before, and the
// products add up there.
TEST_F(DeviceHostProducts, RoundAfterRoundTakesWhatThePlaceHasPrepared) {
  for (uint32_t seed = 0; seed < 10; ++seed) {
    Open(seed);
    const DeviceRange x = *place_->Allocate(kTokens * kK * 4),
                      out = *place_->Allocate(kTokens * kRows * 4);
    std::vector<float> values(kTokens * kRows, 0.0f);
    const auto bytes = [](std::vector<float>& v) {
      return absl::MakeSpan(reinterpret_cast<std::byte*>(v.data()), v.size() * 4);
    };
    ASSERT_TRUE(place_->Upload(out.data(), bytes(values)).ok());
    float sum = 0;
    for (int round = 1; round <= 8; ++round) {
      std::vector<float> input(kTokens * kK, static_cast<float>(round));
      ASSERT_TRUE(place_->Upload(x.data(), bytes(input)).ok());
      HostProducts::Activations activations;
      activations[static_cast<int>(ActivationFormat::kF32)] = {x.data(),
                                                               static_cast<size_t>(x.size())};
      ASSERT_TRUE(
          products_->Start(activations, Started(reinterpret_cast<float*>(out.data()))).ok());
      if (round % 3 == 0) {
        products_->Drop();
        continue;
      }
      ASSERT_TRUE(products_->Collect().ok());
      ASSERT_TRUE(products_->Collect().ok()) << "nothing is left";
      sum += 0.5f * kK * static_cast<float>(round);
    }
    ASSERT_TRUE(place_->Download(bytes(values), out.data()).ok());
    EXPECT_EQ(values, std::vector<float>(values.size(), sum)) << seed;
    EXPECT_GE(products_->counters().slabs, 12);
    products_.reset();
  }
}

TEST_F(DeviceHostProducts, RefusesMoreThanThereIsRoomFor) {
  Open(1);
  std::vector<HostProducts::Product> started = Started(nullptr);
  started[0].args.num_tokens = 1000;
  EXPECT_TRUE(absl::IsInternal(products_->Start({}, started)));
  const std::vector<std::byte> x(8192);
  HostProducts::Activations activations;
  activations[0] = x;
  EXPECT_TRUE(absl::IsInternal(products_->Start(activations, Started(nullptr))));
}

TEST_F(DeviceHostProducts, MayBeClosedAnywhere) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    Open(seed);
    const DeviceRange x = *place_->Allocate(kTokens * kK * 4),
                      out = *place_->Allocate(kTokens * kRows * 4);
    HostProducts::Activations activations;
    activations[static_cast<int>(ActivationFormat::kF32)] = {x.data(),
                                                             static_cast<size_t>(x.size())};
    ASSERT_TRUE(products_->Start(activations, Started(reinterpret_cast<float*>(out.data()))).ok());
    if (seed % 2 == 0) {
      ASSERT_TRUE(products_->Collect().ok());
    }
    products_.reset();
  }
}

}  // namespace
}  // namespace sluice
