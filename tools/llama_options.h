// What llama.cpp's options are called here, or what to do in their place, for people and scripts
// that come from there.
#ifndef SLUICE_TOOLS_LLAMA_OPTIONS_H_
#define SLUICE_TOOLS_LLAMA_OPTIONS_H_

#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "tools/command.h"

namespace sluice {

enum class LlamaMeaning : uint8_t {
  kUnknown,    // llama.cpp has no such option, or it has nothing to do with this command
  kOption,     // `text` is the option's name here
  kModel,      // its value is the command's first argument
  kIgnored,    // has a value that nothing here needs; `text` says why
  kAlreadySo,  // what it asks for is so in any case; it has no value
  kAdvice,     // `text` says what to do in its place
};

struct LlamaOption {
  LlamaMeaning meaning = LlamaMeaning::kUnknown;
  absl::string_view text = {};
};

// What `name` ("-ngl", "--n-gpu-layers") means to `command`, which has no option of that name.
LlamaOption FindLlamaOption(const CommandSpec& command, absl::string_view name);

// llama.cpp's names, of several letters, of options that `command` has under other names.
std::vector<absl::string_view> LlamaNamesOf(const CommandSpec& command);

}  // namespace sluice

#endif  // SLUICE_TOOLS_LLAMA_OPTIONS_H_
