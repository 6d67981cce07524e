// Reading the tokenizers and vectors of tests/data and of shared/.
#ifndef SLUICE_TESTS_RUNTIME_TOKENIZER_TEST_FILES_H_
#define SLUICE_TESTS_RUNTIME_TOKENIZER_TEST_FILES_H_

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "runtime/text/tokenizer/tokenizer.h"
#include "tests/support/data_file.h"

namespace sluice {

nlohmann::json ReadDataJson(const std::string& path);

// An empty folder of this name under the test's temporary directory.
std::string MakeTestFolder(const std::string& name);
void WriteTestFile(const std::string& path, absl::string_view text);

// The tokenizer.json at `path` below tests/data; nullptr and a test failure where it does not load.
std::unique_ptr<Tokenizer> LoadData(const std::string& path);

}  // namespace sluice

#endif  // SLUICE_TESTS_RUNTIME_TOKENIZER_TEST_FILES_H_
