// bench/device_kernels on the emulated machine: that it runs through and what it writes. Its rates
// mean nothing here.
#include <fstream>
#include <map>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/temp_dir.h"
#include "tests/tools/subprocess.h"

namespace sluice {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class DeviceKernels : public testing::Test {
 protected:
  DeviceKernels() { SluiceBinary() = SLUICE_DEVICE_KERNELS; }
  ~DeviceKernels() override { SluiceBinary() = SLUICE_BINARY_DIR "/sluice"; }

  const TempDir dir_;
};

TEST_F(DeviceKernels, HoldsEachRateAgainstItsLimit) {
  const Finished bench = RunSluice({"--shrink", "32", "--seconds", "0", "--json",
                                    dir_ / "rows.json", "--cublas", SLUICE_FAKE_CUBLAS});
  EXPECT_EQ(bench.exit_code, 1) << "an emulated machine meets no floor";
  EXPECT_THAT(bench.err, HasSubstr("cuBLAS of " SLUICE_FAKE_CUBLAS "/libcublas.so.13"));
  EXPECT_THAT(bench.out, HasSubstr("emulated device 0, compute capability 9.0\n"));
  EXPECT_THAT(bench.out, HasSubstr("| q4_k, 1 row | "));
  const json report = json::parse(std::ifstream(dir_ / "rows.json"));
  EXPECT_EQ(report["compute_capability"], 90);
  std::map<std::string, json> rows;
  for (const json& row : report["rows"]) {
    rows[row["name"]] = row;
    EXPECT_GT(row["measured"]["median"], 0) << row;
    EXPECT_EQ(row["met"].is_null(), row["floor"].is_null()) << row;
    EXPECT_FALSE(row["ratio"].is_null()) << row;
  }
  const std::map<std::string, double> floors = {{"q4_k, 1 row", 0.8},
                                                {"q8_0, 1 row", 0.8},
                                                {"bf16, 1 row", 0.8},
                                                {"copies to the device, slabs of 8 MiB", 0.95},
                                                {"q4_k, 512 rows, a layer", 0.4}};
  for (const auto& [name, floor] : floors) EXPECT_EQ(rows[name]["floor"], floor) << name;
  for (const char* name :
       {"q4_k, 1 row, by slabs of 8 MiB", "bf16 --fast-math, 1 row", "bf16, 512 rows, a layer",
        "bf16 --fast-math, 512 rows, a layer", "q4_k, 512 rows, down"}) {
    EXPECT_TRUE(rows.count(name) == 1 && rows[name]["floor"].is_null()) << name;
  }
}

TEST_F(DeviceKernels, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(RunSluice({"--shrink", "33"}).exit_code, 2);
  EXPECT_EQ(RunSluice({"--cublas"}).exit_code, 2);
  EXPECT_EQ(RunSluice({"--fast", "1"}).exit_code, 2);
}

}  // namespace
}  // namespace sluice
