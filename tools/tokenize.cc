// sluice tokenize: text to token ids and back.
#include <cstdio>
#include <iostream>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "kernels/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "runtime/chat/model_files.h"
#include "runtime/open/session.h"
#include "runtime/text/tokenizer/tokenizer.h"
#include "storage/file/json.h"
#include "storage/store/store_paths.h"
#include "tools/commands.h"
#include "tools/prompt_text.h"
#include "tools/session_options.h"

namespace sluice {
namespace {

using nlohmann::json;

std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

// The text of `ids`. InvalidArgument names the first id that has no token.
absl::StatusOr<std::string> DecodeIds(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  for (const int32_t id : ids) {
    if (tokenizer.Contains(id)) continue;
    const bool hole = id >= 0 && id < tokenizer.vocab_size();
    return absl::InvalidArgumentError(absl::StrCat("token ", id,
                                                   hole ? " is not a token of" : " is outside",
                                                   " the vocabulary of ", tokenizer.vocab_size()));
  }
  return tokenizer.Decode(ids, /*skip_special=*/false);
}

absl::Status NoTokenId(absl::string_view text, const Tokenizer& tokenizer) {
  return absl::InvalidArgumentError(absl::StrCat("not a token id: \"", text.substr(0, 40),
                                                 "\"; the vocabulary of ", tokenizer.vocab_size(),
                                                 " has ids from 0"));
}

absl::StatusOr<std::vector<int32_t>> IdsFromJson(const json& value, const Tokenizer& tokenizer) {
  std::vector<int32_t> ids;
  if (!value.is_array()) return absl::InvalidArgumentError("not a JSON array of ids");
  for (const json& id : value) {
    if (!id.is_number_integer() || id < 0 || id > INT32_MAX) {
      return NoTokenId(Dump(id), tokenizer);
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

// Each line of `text`: a JSON string to ids, or with `decode` ids to a JSON string.
absl::Status TokenizeLines(const Tokenizer& tokenizer, const std::string& text,
                           const EncodeOptions& encode, bool decode, const DefaultBudget& budget) {
  std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
  if (!lines.empty() && lines.back().empty()) lines.pop_back();
  for (size_t i = 0; i < lines.size(); ++i) {
    if (JsonTreeBytes(lines[i]) > budget.bytes)
      return NoFreeMemory(absl::StrCat("line ", i + 1), budget);
    SLUICE_ASSIGN_OR_RETURN(const json value, ParseJson(lines[i], absl::StrCat("line ", i + 1)));
    if (decode) {
      const absl::StatusOr<std::vector<int32_t>> ids = IdsFromJson(value, tokenizer);
      const absl::StatusOr<std::string> decoded =
          ids.ok() ? DecodeIds(tokenizer, *ids) : ids.status();
      if (!decoded.ok()) {
        return absl::InvalidArgumentError(
            absl::StrCat("line ", i + 1, ": ", decoded.status().message()));
      }
      std::printf("%s\n", Dump(*decoded).c_str());
      continue;
    }
    if (!value.is_string()) {
      return absl::InvalidArgumentError(absl::StrCat("line ", i + 1, ": not a JSON string"));
    }
    const absl::StatusOr<std::vector<int32_t>> ids =
        tokenizer.Encode(value.get_ref<const std::string&>(), encode);
    if (absl::IsOutOfRange(ids.status())) return NoFreeMemory(absl::StrCat("line ", i + 1), budget);
    SLUICE_RETURN_IF_ERROR(ids.status());
    std::printf("%s\n", Dump(*ids).c_str());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int32_t>> ParseIds(absl::string_view text, const Tokenizer& tokenizer) {
  std::vector<int32_t> ids;
  for (const absl::string_view word :
       absl::StrSplit(text, absl::ByAnyChar(", \t\r\n[]"), absl::SkipEmpty())) {
    int32_t id;
    if (!absl::SimpleAtoi(word, &id) || id < 0) {
      return NoTokenId(word, tokenizer);
    }
    ids.push_back(id);
  }
  return ids;
}

absl::Status Tokenize(const Arguments& args) {
  const bool decode = args.Has("--decode");
  const DefaultBudget budget = DefaultBudgetOf(ReadMemoryLimits());
  EncodeOptions encode = {.add_special_tokens = !args.Has("--no-special")};
  if (args.Has("--prompt") && args.Has("--file"))
    return UsageError("give -p TEXT or -f FILE, not both");
  SLUICE_ASSIGN_OR_RETURN(const ModelFiles files, ModelFiles::Open(args.positionals()[0]));
  const absl::StatusOr<Manifest> manifest = ReadManifest(args.positionals()[0]);
  absl::StatusOr<std::unique_ptr<Tokenizer>> loaded = files.LoadTokenizer();
  if (!loaded.ok()) {
    return manifest.ok() ? WithTokenizerChanges(loaded.status(), files.path(), *manifest)
                         : loaded.status();
  }
  if (manifest.ok()) WarnOfTokenizerChanges(files.path(), *manifest);
  const std::unique_ptr<Tokenizer> tokenizer = *std::move(loaded);
  std::string text = args.Get("--prompt").value_or("");
  if (!args.Has("--prompt")) {
    SLUICE_ASSIGN_OR_RETURN(text, ReadTextFile(args.Get("--file").value_or("-"), budget));
  }
  encode.max_bytes = budget.bytes - static_cast<int64_t>(text.capacity());
  if (args.Has("--jsonl")) return TokenizeLines(*tokenizer, text, encode, decode, budget);
  if (decode) {
    SLUICE_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, ParseIds(text, *tokenizer));
    SLUICE_ASSIGN_OR_RETURN(const std::string decoded, DecodeIds(*tokenizer, ids));
    std::printf("%s\n", args.Has("--json") ? Dump(decoded).c_str() : decoded.c_str());
    return absl::OkStatus();
  }
  const absl::StatusOr<std::vector<int32_t>> ids = tokenizer->Encode(text, encode);
  if (absl::IsOutOfRange(ids.status())) return NoFreeMemory("the text", budget);
  SLUICE_RETURN_IF_ERROR(ids.status());
  if (args.Has("--json")) {
    std::printf("%s\n", Dump(*ids).c_str());
    return absl::OkStatus();
  }
  for (const int32_t id : *ids) {
    std::printf("%8d  %s\n", id,
                Dump(tokenizer->Decode(absl::MakeConstSpan(&id, 1), false)).c_str());
  }
  return absl::OkStatus();
}

}  // namespace

CommandSpec TokenizeCommand() {
  CommandSpec command;
  command.name = "tokenize";
  command.summary = "Turn text into token ids, or ids into text";
  command.positionals = {"STORE|MODEL_DIR|MODEL.gguf"};
  command.description =
      "Tokenizes -p TEXT, -f FILE or standard input. With --jsonl each input line is a JSON string "
      "and each "
      "output line a JSON array of ids; --decode goes the other way, special tokens kept.";
  command.options = {
      {.name = "--prompt",
       .alias = "-p",
       .value = "TEXT",
       .help = "The text (or ids, with --decode)."},
      {.name = "--file",
       .alias = "-f",
       .value = "FILE",
       .help = "A file with the text; - is "
               "standard input."},
      {.name = "--jsonl", .help = "Lines of JSON in, lines of JSON out."},
      {.name = "--no-special", .help = "Add no bos or eos."},
      {.name = "--decode", .help = "Ids to text."},
      {.name = "--json", .help = "Print one JSON array of ids, or one JSON string."},
  };
  command.examples = {"sluice tokenize bard.store -p \"To be\" --json",
                      "sluice tokenize bard.store --decode -p 1001,276"};
  command.run = &Tokenize;
  return command;
}

}  // namespace sluice
