// The commands' fixture: a small store, and what an error is to look like.
#ifndef SLUICE_TESTS_TOOLS_CLI_TESTING_H_
#define SLUICE_TESTS_TOOLS_CLI_TESTING_H_

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/subprocess.h"

namespace sluice {

class Cli : public testing::Test {
 protected:
  static std::string Data(const std::string& name) {
    return SLUICE_SOURCE_DIR "/tests/data/" + name;
  }

  // Expects one line of error (progress may precede it), nothing on stdout, exit code 1, and the
  // words that a user needs.
  static void ExpectRefused(const std::vector<std::string>& args, const std::string& words) {
    const Finished run = RunSluice(args);
    EXPECT_EQ(run.exit_code, 1) << run.err << run.out;
    const size_t error = run.err.find("sluice " + args[0] + ": ");
    ASSERT_NE(error, std::string::npos) << run.err;
    EXPECT_EQ(run.err.find('\n', error), run.err.size() - 1) << run.err;
    EXPECT_THAT(run.err.substr(error), testing::HasSubstr(words));
    EXPECT_EQ(run.out, "");
  }

  // A store of TinyStories-656K in many slabs.
  std::string MakeStore(const std::string& name = "store") {
    const std::string store = dir_ / name;
    const Finished run =
        RunSluice({"shard", Data("models/TinyStories-656K"), store, "--slab-size", "64KiB"});
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return store;
  }
  TempDir dir_;
};

}  // namespace sluice

#endif  // SLUICE_TESTS_TOOLS_CLI_TESTING_H_
