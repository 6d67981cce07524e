#include "kernels/cuda/nvml.h"

#include <dlfcn.h>
#include <unistd.h>

#include "gtest/gtest.h"

namespace sluice::cuda {
namespace {

constexpr char kBusId[] = "0000:01:00.0";
constexpr unsigned long long kNotAvailable = ~0ull;

class FakeNvml {
 public:
  FakeNvml() : handle_(dlopen(SLUICE_FAKE_NVML, RTLD_NOW | RTLD_LOCAL)) {
    EXPECT_NE(handle_, nullptr) << dlerror();
    set_ = reinterpret_cast<int (*)(unsigned long long, unsigned, unsigned long long)>(
        dlsym(handle_, "FakeNvml"));
  }
  ~FakeNvml() {
    EXPECT_EQ(Say(0, 0, 0), 0) << "left open";
    dlclose(handle_);
  }
  int Say(unsigned long long used, unsigned pid, unsigned long long bytes) {
    return set_(used, pid, bytes);
  }

 private:
  void* const handle_;
  int (*set_)(unsigned long long, unsigned, unsigned long long) = nullptr;
};

TEST(Nvml, MeasuresWhatCameSinceTheMeterWasMade) {
  FakeNvml nvml;
  nvml.Say(1000, 0, 0);
  const auto meter = MemoryMeter::Create(kBusId, SLUICE_FAKE_NVML);
  ASSERT_NE(meter, nullptr);
  EXPECT_EQ(meter->TakenBytes(), 0);
  nvml.Say(5000, 0, 0);
  EXPECT_EQ(meter->TakenBytes(), 4000);
  nvml.Say(500, 0, 0);
  EXPECT_EQ(meter->TakenBytes(), 0) << "another process went";
}

TEST(Nvml, PrefersWhatTheDriverSaysOfThisProcess) {
  FakeNvml nvml;
  nvml.Say(1000, 0, 0);
  const auto meter = MemoryMeter::Create(kBusId, SLUICE_FAKE_NVML);
  ASSERT_NE(meter, nullptr);
  const auto own = static_cast<unsigned>(getpid());
  nvml.Say(9000, own, 3000);
  EXPECT_EQ(meter->TakenBytes(), 3000);
  nvml.Say(9000, own, kNotAvailable);
  EXPECT_EQ(meter->TakenBytes(), 8000);
  nvml.Say(9000, own + 1, 3000);
  EXPECT_EQ(meter->TakenBytes(), 8000);
}

TEST(Nvml, IsNotThereWithoutItsLibraryOrItsDevice) {
  FakeNvml nvml;
  EXPECT_EQ(MemoryMeter::Create(kBusId, "/nowhere/libnvidia-ml.so.1"), nullptr);
  EXPECT_EQ(MemoryMeter::Create("0000:02:00.0", SLUICE_FAKE_NVML), nullptr);
}

}  // namespace
}  // namespace sluice::cuda
