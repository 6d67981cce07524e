// A store of a tiny trained model, with a chat template.
#ifndef SLUICE_TESTS_RUNTIME_OPEN_STORY_STORE_H_
#define SLUICE_TESTS_RUNTIME_OPEN_STORY_STORE_H_

#include <filesystem>
#include <optional>
#include <string>

#include "runtime/open/open_options.h"
#include "tests/runtime/model_harness.h"
#include "tests/support/temp_dir.h"

namespace sluice {

class StoryStore {
 public:
  // Made once a process.
  static const std::string& Dir() {
    static const StoryStore store;
    return (*store.store_)->dir();
  }

 private:
  StoryStore() {
    const std::string model = dir_ / "stories";
    std::filesystem::copy(TestDataPath("models/TinyStories-656K"), model);
    std::filesystem::copy(TestDataPath("models/bard-chat-template.jinja"),
                          model + "/chat_template.jinja");
    store_.emplace(model, "", int64_t{128} << 10);
  }

  TempDir dir_;
  std::optional<TestStore> store_;
};

// Within a budget that all of the weights fit.
inline OpenOptions StoryOptions() {
  OpenOptions options;
  options.store = StoryStore::Dir();
  options.max_ram_bytes = int64_t{64} << 20;
  options.context_tokens = 64;
  options.max_sequences = 2;
  options.num_threads = 1;
  return options;
}

}  // namespace sluice

#endif  // SLUICE_TESTS_RUNTIME_OPEN_STORY_STORE_H_
