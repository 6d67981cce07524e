// Takes the vocabulary out while the file is parsed; the document that remains is small.
#include "runtime/text/tokenizer/tekken_file.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kernels/base/status_macros.h"
#include "runtime/text/tokenizer/byte_alphabet.h"
#include "runtime/text/tokenizer/component.h"
#include "storage/file/json.h"
#include "storage/file/lfs_pointer.h"

namespace sluice {
namespace {

using nlohmann::json;

constexpr int64_t kMaxTekkenBytes = int64_t{256} << 20;  // 150,000 tokens take 20 MB
constexpr int64_t kMaxSpecialTokens = 65536;
constexpr int64_t kBytes = 256;  // the first tokens
// Trying all splits of a longer token would be quadratic; the longest in use has 128 bytes.
constexpr size_t kMaxTokenBytes = 512;

// The special tokens of files that list none, which are older than version 8.
constexpr absl::string_view kFirstSpecialTokens[] = {"<unk>",
                                                     "<s>",
                                                     "</s>",
                                                     "[INST]",
                                                     "[/INST]",
                                                     "[AVAILABLE_TOOLS]",
                                                     "[/AVAILABLE_TOOLS]",
                                                     "[TOOL_RESULTS]",
                                                     "[/TOOL_RESULTS]",
                                                     "[TOOL_CALLS]",
                                                     "[IMG]",
                                                     "<pad>",
                                                     "[IMG_BREAK]",
                                                     "[IMG_END]",
                                                     "[PREFIX]",
                                                     "[MIDDLE]",
                                                     "[SUFFIX]",
                                                     "[SYSTEM_PROMPT]",
                                                     "[/SYSTEM_PROMPT]",
                                                     "[TOOL_CONTENT]"};
constexpr int64_t kLastVersionWithoutList = 7;

struct TekkenParts {
  std::vector<std::string> tokens;  // their bytes, by rank
  json document;                    // "config" and "special_tokens"
};

absl::Status AddToken(const json& entry, TekkenParts* parts) {
  const size_t index = parts->tokens.size();
  const auto add = [&]() -> absl::Status {
    SLUICE_ASSIGN_OR_RETURN(const int64_t rank, JsonInt(entry, "rank"));
    SLUICE_ASSIGN_OR_RETURN(const std::string base64, JsonString(entry, "token_bytes"));
    std::string bytes;
    if (!absl::Base64Unescape(base64, &bytes) || bytes.empty()) {
      return absl::InvalidArgumentError("\"token_bytes\" is not the base64 of bytes");
    }
    if (rank != static_cast<int64_t>(index)) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"rank\" is ", rank, "; tokens stand in order of rank"));
    }
    if (rank < kBytes && (bytes.size() != 1 || static_cast<uint8_t>(bytes[0]) != rank)) {
      return absl::InvalidArgumentError(
          "it is not the byte of this value, as the first 256 tokens are");
    }
    if (bytes.size() > kMaxTokenBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("it has ", bytes.size(), " bytes; at most ", kMaxTokenBytes));
    }
    if (rank >= kMaxTokenId) return absl::InvalidArgumentError("too many tokens");
    parts->tokens.push_back(std::move(bytes));
    return absl::OkStatus();
  };
  return Annotate(add(), absl::StrCat("\"vocab\": token ", index));
}

absl::StatusOr<TekkenParts> ParseParts(absl::string_view text) {
  TekkenParts parts;
  absl::Status status;
  std::string member;  // of the document, that is being parsed
  const auto keep = [&](int depth, json::parse_event_t event, json& value) {
    if (!status.ok()) return false;
    if (depth == 1 && event == json::parse_event_t::key) member = value.get<std::string>();
    if (depth > kMaxJsonDepth) status = absl::InvalidArgumentError("JSON nested too deep");
    if (depth == 0) return true;
    if (member == "vocab") {
      if (depth == 2 && event == json::parse_event_t::object_end) status = AddToken(value, &parts);
      return !(depth == 2 && event == json::parse_event_t::object_end);
    }
    return member == "config" || member == "special_tokens";
  };
  if (const size_t zero = text.find('\0'); zero != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("not valid JSON at byte ", zero + 1, ", which is zero"));
  }
  try {
    parts.document = json::parse(text.begin(), text.end(), keep);
  } catch (const json::parse_error& error) {
    return absl::InvalidArgumentError(absl::StrCat("not valid JSON at byte ", error.byte, " of ",
                                                   text.size(), "; download the file again"));
  } catch (const json::exception&) {
    return absl::InvalidArgumentError("it holds a number that is too large");
  }
  SLUICE_RETURN_IF_ERROR(status);
  if (!parts.document.is_object()) return absl::InvalidArgumentError("not an object");
  if (const json* vocab = JsonFind(parts.document, "vocab"); vocab != nullptr && !vocab->empty()) {
    return absl::InvalidArgumentError("\"vocab\" is not an array of objects");
  }
  return parts;
}

// Reads {rank, token_str, is_control} of each, in the form of "added_tokens".
absl::StatusOr<json> ReadSpecialTokens(const json& document, const json& config, int64_t count) {
  std::vector<json> tokens(count);
  const auto set = [&](int64_t rank, const std::string& text, bool control) -> absl::Status {
    if (rank < 0 || rank >= count) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"rank\" is ", rank, "; there are ", count, " special tokens"));
    }
    if (!tokens[rank].is_null())
      return absl::InvalidArgumentError(absl::StrCat("the rank ", rank, " comes twice"));
    tokens[rank] = {{"id", rank}, {"content", text}, {"normalized", false}, {"special", control}};
    return absl::OkStatus();
  };
  const json* list = JsonFind(document, "special_tokens");
  if (list == nullptr) {
    SLUICE_ASSIGN_OR_RETURN(const std::string version, JsonString(config, "version"));
    absl::string_view number = version;
    absl::ConsumePrefix(&number, "v");
    int64_t value = 0;
    if (!absl::SimpleAtoi(number, &value) || value > kLastVersionWithoutList) {
      return absl::InvalidArgumentError(
          absl::StrCat("it is missing, which only files up to version v", kLastVersionWithoutList,
                       " may do; this one is of version ", version.substr(0, 20)));
    }
    const int64_t named = std::min<int64_t>(count, std::size(kFirstSpecialTokens));
    for (int64_t rank = 0; rank < named; ++rank) {
      SLUICE_RETURN_IF_ERROR(set(rank, std::string(kFirstSpecialTokens[rank]), true));
    }
  } else if (!list->is_array()) {
    return absl::InvalidArgumentError("not an array");
  } else {
    for (const json& entry : *list) {
      SLUICE_ASSIGN_OR_RETURN(const int64_t rank, JsonInt(entry, "rank"));
      SLUICE_ASSIGN_OR_RETURN(const std::string text, JsonString(entry, "token_str"));
      SLUICE_ASSIGN_OR_RETURN(const bool control, BoolOr(entry, "is_control", true));
      SLUICE_RETURN_IF_ERROR(set(rank, text, control));
    }
  }
  json all = json::array();
  for (int64_t rank = 0; rank < count; ++rank) {
    if (tokens[rank].is_null())
      SLUICE_RETURN_IF_ERROR(set(rank, absl::StrCat("<SPECIAL_", rank, ">"), true));
    all.push_back(std::move(tokens[rank]));
  }
  return all;
}

// Every way to put a token together from two others has the token's rank.
absl::Status AddTokens(const std::vector<std::string>& tokens, int64_t first_id,
                       TokenizerFile* file) {
  absl::flat_hash_map<absl::string_view, std::string> characters;  // of the byte alphabet, by bytes
  for (size_t rank = 0; rank < tokens.size(); ++rank) {
    std::string text;
    AppendByteCharacters(tokens[rank], &text);
    SLUICE_RETURN_IF_ERROR(file->vocabulary.Add(text, first_id + static_cast<int64_t>(rank)));
    characters.emplace(tokens[rank], std::move(text));
  }
  for (const absl::string_view token : tokens) {
    bool tied = false;
    for (size_t at = 1; at < token.size(); ++at) {
      const auto left = characters.find(token.substr(0, at));
      if (left == characters.end()) continue;
      const auto right = characters.find(token.substr(at));
      if (right == characters.end()) continue;
      if (tied) {
        file->merges.AddTied(left->second, right->second);
      } else {
        file->merges.Add(left->second, right->second);
      }
      tied = true;
    }
  }
  return file->vocabulary.Finish();
}

}  // namespace

absl::StatusOr<TokenizerFile> ParseTekkenFile(absl::string_view text) {
  SLUICE_ASSIGN_OR_RETURN(TekkenParts parts, ParseParts(text));
  const json* config = JsonFind(parts.document, "config");
  if (config == nullptr) return absl::InvalidArgumentError("\"config\" is missing");
  const auto in_config = [&](absl::string_view key) -> absl::StatusOr<int64_t> {
    absl::StatusOr<int64_t> value = JsonInt(*config, key);
    if (!value.ok()) return Annotate(value.status(), "\"config\"");
    return value;
  };
  SLUICE_ASSIGN_OR_RETURN(const int64_t size, in_config("default_vocab_size"));
  SLUICE_ASSIGN_OR_RETURN(const int64_t special, in_config("default_num_special_tokens"));
  const absl::StatusOr<std::string> pattern = JsonString(*config, "pattern");
  if (!pattern.ok()) return Annotate(pattern.status(), "\"config\"");
  if (special < 0 || special > kMaxSpecialTokens || size < special + kBytes || size > kMaxTokenId) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"config\": ", size, " tokens, of which ", special, " are special"));
  }
  // A file may hold more tokens than the model has.
  if (static_cast<int64_t>(parts.tokens.size()) < size - special) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"vocab\" has ", parts.tokens.size(), " tokens; \"config\" asks for ", size - special));
  }
  parts.tokens.resize(size - special);

  TokenizerFile file;
  absl::StatusOr<json> added = ReadSpecialTokens(parts.document, *config, special);
  if (!added.ok()) return Annotate(added.status(), "\"special_tokens\"");
  for (const auto& [key, content] : {std::pair("bos_token", "<s>"), {"eos_token", "</s>"}}) {
    for (const json& token : *added) {
      if (token["content"] == content) file.config_defaults[key] = content;
    }
  }
  if (file.config_defaults.contains("bos_token")) file.config_defaults["add_bos_token"] = true;
  const json split = {
      {"type", "Split"}, {"pattern", {{"Regex", *pattern}}}, {"behavior", "Isolated"}};
  const json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  file.document = {
      {"added_tokens", *std::move(added)},
      {"pre_tokenizer",
       {{"type", "Sequence"}, {"pretokenizers", json::array({split, byte_level})}}},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model",
       {{"type", "BPE"}, {"ignore_merges", true}, {"vocab", nullptr}, {"merges", nullptr}}}};
  SLUICE_RETURN_IF_ERROR(Annotate(AddTokens(parts.tokens, special, &file), "\"vocab\""));
  return file;
}

absl::StatusOr<TokenizerFile> ReadTekkenFile(const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path, kMaxTekkenBytes));
  SLUICE_RETURN_IF_ERROR(CheckNoLfsPointer(text, path));
  absl::StatusOr<TokenizerFile> file = ParseTekkenFile(text);
  if (!file.ok()) return Annotate(file.status(), path);
  return file;
}

}  // namespace sluice
