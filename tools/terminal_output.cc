// Writes to the standard streams.
#include "tools/terminal_output.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace sluice {

absl::Status WriteOut(absl::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) {
    return absl::OkStatus();
  }
  return absl::DataLossError(
      absl::StrCat("cannot write to standard output: ", std::strerror(errno)));
}

void PrintNote(absl::string_view note) {
  std::fprintf(stderr, "sluice: %s\n",
               absl::StrReplaceAll(note, {{"\n", " "}, {"\r", " "}}).c_str());
}

}  // namespace sluice
