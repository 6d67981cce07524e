// A text is refused while it is read where it cannot be one of the context's tokens, or has no room
// in the budget.
#include "tools/prompt_text.h"

#include <malloc.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kernels/base/format_bytes.h"
#include "kernels/base/status_macros.h"
#include "runtime/text/tokenizer/tokenizer.h"

namespace sluice {
namespace {

constexpr int64_t kMostFileBytes = int64_t{1} << 30;
// What is there even where a plan for the smallest budget has less: some pages of text.
constexpr int64_t kLeastTextRoom = int64_t{1} << 20;
// The text while it is read, with room that it grows into, and the least that its way to ids takes,
// a byte of it.
constexpr int64_t kTextBytes = 9;
// The same where a chat template is put around it: messages, the template's values, and the text
// that it writes.
constexpr int64_t kChatTextBytes = 24;

// Reads up to `most` bytes and one more: a text of more is cut there.
absl::StatusOr<std::string> ReadBeginning(const std::string& path, int64_t most) {
  std::unique_ptr<FILE, int (*)(FILE*)> owned(nullptr, &std::fclose);
  FILE* file = stdin;
  if (path != "-") {
    owned.reset(std::fopen(path.c_str(), "rbe"));
    file = owned.get();
    if (file == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  }
  std::string text;
  char chunk[1 << 16];
  while (static_cast<int64_t>(text.size()) <= most) {
    const int64_t wanted =
        std::min<int64_t>(sizeof(chunk), most + 1 - static_cast<int64_t>(text.size()));
    const size_t n = std::fread(chunk, 1, static_cast<size_t>(wanted), file);
    if (n == 0) break;
    text.append(chunk, n);
  }
  if (std::ferror(file)) return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", path));
  return text;
}

// The text of a file, of at most `context` tokens where that is given, and `bytes_each` for each of
// its bytes.
absl::StatusOr<std::string> ReadWithin(const std::string& path, std::optional<int64_t> context,
                                       int64_t bytes_each, const Session& session,
                                       const OpenOptions& options) {
  const std::string name = path == "-" ? "standard input" : path;
  int64_t most = std::min(TextRoom(session, options) / bytes_each, kMostFileBytes);
  bool by_context = false;
  if (context.has_value() && session.tokenizer != nullptr) {
    const int64_t most_of_context = session.tokenizer->MostTextBytes(*context);
    by_context = most_of_context < most;
    most = std::min(most, most_of_context);
  }
  SLUICE_ASSIGN_OR_RETURN(std::string text, ReadBeginning(path, most));
  if (static_cast<int64_t>(text.size()) <= most) return text;
  if (by_context) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " has more than ", most, " bytes, too many for the ", *context,
                     " tokens of the context; shorten it or give a larger -c"));
  }
  return NoTextRoom(absl::StrCat(name, ", of more than ", most, " bytes,"), session, options);
}

// `what` names the text.
absl::StatusOr<std::vector<int32_t>> EncodeWithin(absl::string_view what, std::string text,
                                                  EncodeOptions encode, const Session& session,
                                                  const OpenOptions& options) {
  encode.max_bytes = TextRoom(session, options) - static_cast<int64_t>(text.capacity());
  absl::StatusOr<std::vector<int32_t>> ids = session.tokenizer->Encode(text, encode);
  if (!absl::IsOutOfRange(ids.status())) return ids;
  return NoTextRoom(absl::StrCat(what, ", of ", text.size(), " bytes,"), session, options);
}

absl::Status CheckHasTokenizer(const Session& session) {
  if (session.tokenizer != nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "this model has no tokenizer (tokenizer.json, tokenizer.model, tekken.json or vocab.json "
      "with merges.txt); "
      "give the prompt as --prompt-ids 5,9,12");
}

absl::StatusOr<std::vector<int32_t>> ParsePromptIds(absl::string_view text) {
  std::vector<int32_t> tokens;
  for (const absl::string_view word : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    int32_t id;
    if (!absl::SimpleAtoi(word, &id) || id < 0) {
      return UsageError(absl::StrCat("--prompt-ids wants ids such as 5,9,12, not \"", word, "\""));
    }
    tokens.push_back(id);
  }
  return tokens;
}

}  // namespace

int64_t TextRoom(const Session& session, const OpenOptions& options) {
  const int64_t tokenizer = session.tokenizer == nullptr ? 0 : session.tokenizer->MemoryBytes();
  const int64_t all =
      session.model != nullptr ? session.model->plan().host().fixed_bytes : options.max_ram_bytes;
  return std::max(all - tokenizer, kLeastTextRoom);
}

absl::Status NoTextRoom(absl::string_view what, const Session& session,
                        const OpenOptions& options) {
  return absl::ResourceExhaustedError(
      absl::StrCat(what, " takes more memory on its way to token ids than the ",
                   FormatBytes(TextRoom(session, options)), " that ",
                   options.max_ram_source.empty() ? "--max-ram" : "the budget",
                   " has for it; give a larger --max-ram or a shorter text"));
}

std::vector<OptionSpec> PromptOptionSpecs() {
  return {
      {.name = "--prompt", .alias = "-p", .value = "TEXT", .help = "The text."},
      {.name = "--file",
       .alias = "-f",
       .value = "FILE",
       .help = "A file with the text; - is standard input."},
      {.name = "--prompt-ids",
       .value = "IDS",
       .help = "Token ids instead of text, such as 5,9,12."},
  };
}

absl::Status CheckPromptOptions(const Arguments& args) {
  if (args.Has("--prompt") + args.Has("--file") + args.Has("--prompt-ids") == 1)
    return absl::OkStatus();
  return UsageError("give one of -p TEXT, -f FILE and --prompt-ids IDS");
}

int64_t MostPromptRows(const Arguments& args) {
  int64_t most = kPrefillRows;
  if (const auto text = args.Get("--prompt"); text.has_value()) {
    // Bos, and a space that some tokenizers put first
    most = static_cast<int64_t>(text->size()) + 2;
  } else if (const auto ids = args.Get("--prompt-ids"); ids.has_value()) {
    most = std::count(ids->begin(), ids->end(), ',') + 1;
  } else if (const auto file = args.Get("--file"); file.has_value() && *file != "-") {
    std::error_code error;
    const uintmax_t size = std::filesystem::file_size(*file, error);
    if (!error) most = static_cast<int64_t>(std::min<uintmax_t>(size, kPrefillRows)) + 2;
  }
  return std::min(most, kPrefillRows);
}

absl::StatusOr<std::string> ReadPromptText(const Arguments& args, const Session& session,
                                           const OpenOptions& options) {
  const std::optional<std::string> file = args.Get("--file");
  if (!file.has_value()) return args.Get("--prompt").value_or("");
  SLUICE_ASSIGN_OR_RETURN(const int64_t context, ContextOf(session, options));
  return ReadWithin(*file, context, kChatTextBytes, session, options);
}

absl::StatusOr<std::vector<int32_t>> ReadPrompt(const Arguments& args, const Session& session,
                                                const OpenOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(const int64_t context, ContextOf(session, options));
  std::vector<int32_t> ids;
  if (const std::optional<std::string> given = args.Get("--prompt-ids"); given.has_value()) {
    SLUICE_ASSIGN_OR_RETURN(ids, ParsePromptIds(*given));
  } else {
    SLUICE_RETURN_IF_ERROR(CheckHasTokenizer(session));
    const std::optional<std::string> file = args.Get("--file");
    std::string text = args.Get("--prompt").value_or("");
    if (file.has_value()) {
      SLUICE_ASSIGN_OR_RETURN(text, ReadWithin(*file, context, kTextBytes, session, options));
    }
    SLUICE_ASSIGN_OR_RETURN(ids, EncodeWithin(file.value_or("the prompt"), std::move(text),
                                              {.max_ids = context}, session, options));
    malloc_trim(0);  // what the text took is the model's now
  }
  const int64_t num_ids = static_cast<int64_t>(ids.size());
  if (num_ids > context) {
    return absl::InvalidArgumentError(
        absl::StrCat("the prompt has ", args.Has("--prompt-ids") ? "" : "more than ",
                     args.Has("--prompt-ids") ? num_ids : context, " tokens, the context only ",
                     context, "; shorten it or give a larger -c"));
  }
  return ids;
}

absl::StatusOr<std::vector<int32_t>> ReadLongText(const std::string& path, const Session& session,
                                                  const OpenOptions& options) {
  SLUICE_ASSIGN_OR_RETURN(std::string text,
                          ReadWithin(path, std::nullopt, kTextBytes, session, options));
  SLUICE_ASSIGN_OR_RETURN(std::vector<int32_t> ids,
                          EncodeWithin(path == "-" ? "standard input" : path, std::move(text),
                                       {.add_special_tokens = false}, session, options));
  ids.shrink_to_fit();
  malloc_trim(0);
  return ids;
}

absl::StatusOr<std::string> ReadTextFile(const std::string& path, const DefaultBudget& budget) {
  const int64_t most = std::min(budget.bytes / kTextBytes, kMostFileBytes);
  SLUICE_ASSIGN_OR_RETURN(std::string text, ReadBeginning(path, most));
  if (static_cast<int64_t>(text.size()) <= most) return text;
  const std::string name = path == "-" ? "standard input" : path;
  if (most == kMostFileBytes)
    return absl::InvalidArgumentError(absl::StrCat(name, " is larger than 1 GiB"));
  return NoFreeMemory(absl::StrCat(name, ", of more than ", most, " bytes,"), budget);
}

absl::Status NoFreeMemory(absl::string_view what, const DefaultBudget& budget) {
  return absl::ResourceExhaustedError(absl::StrCat(what, " takes more memory than the ",
                                                   FormatBytes(budget.bytes), " that it may have (",
                                                   budget.source, "); give a shorter text"));
}

}  // namespace sluice
