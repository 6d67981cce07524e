// Finding a tokenizer's files in a folder; what vocab.json with merges.txt leaves unsaid.
#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kernels/status_macros.h"
#include "runtime/tokenizer/component.h"
#include "runtime/tokenizer/tokenizer.h"
#include "runtime/tokenizer/tokenizer_builder.h"
#include "storage/json.h"

namespace sluice {
namespace {

using nlohmann::json;

// The words of Qwen2 and later: contractions in any case, single digits, line breaks kept with
// what they end.
constexpr char kQwen2Pattern[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr char kEndOfText[] = "<|endoftext|>";  // the special token of both classes

// The config, or {} where there is none.
absl::StatusOr<json> ReadConfig(const std::string& path) {
  absl::StatusOr<json> config = ReadJsonFile(path, int64_t{64} << 20);
  if (absl::IsNotFound(config.status())) return json::object();
  if (config.ok() && !config->is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not an object"));
  }
  return config;
}

// added_tokens_decoder ({"151643": {"content": ...}}) in the form of "added_tokens".
absl::StatusOr<json> AddedTokens(const json& config) {
  json tokens = json::array();
  const json* by_id = JsonFind(config, "added_tokens_decoder");
  if (by_id == nullptr) return tokens;
  if (!by_id->is_object()) {
    return absl::InvalidArgumentError("\"added_tokens_decoder\" is not an object");
  }
  for (auto it = by_id->begin(); it != by_id->end(); ++it) {
    int64_t id = 0;
    if (!absl::SimpleAtoi(it.key(), &id) || !it->is_object()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "\"added_tokens_decoder\": \"", it.key().substr(0, 80), "\" is not an id with a token"));
    }
    json token = *it;
    token["id"] = id;
    token.erase("__type");
    tokens.push_back(std::move(token));
  }
  return tokens;
}

// That both are there. NotFound: neither is. FailedPrecondition: half of a tokenizer.
absl::Status CheckVocabAndMerges(const std::string& dir, const std::string& vocab_path,
                                 const std::string& merges_path) {
  std::error_code error;
  const bool has_vocab = std::filesystem::exists(vocab_path, error);
  const bool has_merges = std::filesystem::exists(merges_path, error);
  if (has_vocab && has_merges) return absl::OkStatus();
  if (!has_vocab && !has_merges) {
    return absl::NotFoundError(absl::StrCat(
        dir, ": no tokenizer there, neither tokenizer.json nor vocab.json with merges.txt"));
  }
  return absl::FailedPreconditionError(
      absl::StrCat(has_vocab ? merges_path : vocab_path, ": not there, but ",
                   has_vocab ? "vocab.json" : "merges.txt", " is; a tokenizer needs both"));
}

}  // namespace

absl::StatusOr<json> DocumentFromConfig(const json& config, const Vocabulary& vocabulary) {
  std::string name = "GPT2Tokenizer";
  if (JsonFind(config, "tokenizer_class") != nullptr) {
    SLUICE_ASSIGN_OR_RETURN(name, JsonString(config, "tokenizer_class"));
  }
  absl::string_view plain = name;
  if (absl::EndsWith(plain, "Fast")) plain.remove_suffix(4);
  if (plain != "GPT2Tokenizer" && plain != "CodeGenTokenizer" && plain != "Qwen2Tokenizer") {
    return absl::InvalidArgumentError(
        absl::StrCat("the tokenizer_class \"", name.substr(0, 80),
                     "\" is not supported without a tokenizer.json; convert it to one"));
  }
  SLUICE_ASSIGN_OR_RETURN(const bool prefix, BoolOr(config, "add_prefix_space", false));
  json document = json::object();
  json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", prefix}};
  if (plain == "Qwen2Tokenizer") {
    byte_level["use_regex"] = false;
    const json split = {
        {"type", "Split"}, {"pattern", {{"Regex", kQwen2Pattern}}}, {"behavior", "Isolated"}};
    document["normalizer"] = {{"type", "NFC"}};
    document["pre_tokenizer"] = {{"type", "Sequence"},
                                 {"pretokenizers", json::array({split, byte_level})}};
  } else {
    document["pre_tokenizer"] = byte_level;
  }
  document["decoder"] = {{"type", "ByteLevel"}};
  document["model"] = {{"type", "BPE"}, {"vocab", nullptr}, {"merges", nullptr}};
  SLUICE_ASSIGN_OR_RETURN(json tokens, AddedTokens(config));
  const int32_t end_of_text = vocabulary.Find(kEndOfText);
  const bool listed = std::any_of(tokens.begin(), tokens.end(), [](const json& token) {
    const json* content = JsonFind(token, "content");
    return content != nullptr && *content == kEndOfText;
  });
  if (end_of_text >= 0 && !listed) {
    tokens.push_back(
        {{"id", end_of_text}, {"content", kEndOfText}, {"normalized", false}, {"special", true}});
  }
  document["added_tokens"] = std::move(tokens);
  return document;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(const std::string& dir) {
  const std::string path = absl::StrCat(dir, "/tokenizer.json");
  const std::string vocab_path = absl::StrCat(dir, "/vocab.json");
  const std::string merges_path = absl::StrCat(dir, "/merges.txt");
  const std::string config_path = absl::StrCat(dir, "/tokenizer_config.json");
  SLUICE_ASSIGN_OR_RETURN(const json config, ReadConfig(config_path));
  std::string named = path;
  absl::StatusOr<TokenizerFile> file = ReadTokenizerJson(path);
  if (absl::IsNotFound(file.status())) {
    SLUICE_RETURN_IF_ERROR(CheckVocabAndMerges(dir, vocab_path, merges_path));
    named = vocab_path;
    file = ReadVocabAndMerges(vocab_path, merges_path);
    if (file.ok()) {
      absl::StatusOr<json> document = DocumentFromConfig(config, file->vocabulary);
      if (!document.ok()) return Annotate(document.status(), config_path);
      file->document = *std::move(document);
    }
  }
  SLUICE_RETURN_IF_ERROR(file.status());
  TokenizerBuilder builder;
  SLUICE_RETURN_IF_ERROR(Annotate(builder.BuildParts(*std::move(file)), named));
  SLUICE_RETURN_IF_ERROR(Annotate(builder.AddConfig(config), config_path));
  return builder.Take();
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::FromJson(absl::string_view text,
                                                               absl::string_view what) {
  SLUICE_ASSIGN_OR_RETURN(TokenizerFile file, ParseTokenizerJson(text, what));
  TokenizerBuilder builder;
  SLUICE_RETURN_IF_ERROR(Annotate(builder.BuildParts(std::move(file)), what));
  return builder.Take();
}

}  // namespace sluice
