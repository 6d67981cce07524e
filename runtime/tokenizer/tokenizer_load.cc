// Finding a tokenizer's files in a folder; what vocab.json with merges.txt leaves unsaid.
#include <filesystem>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/status_macros.h"
#include "runtime/tokenizer/component.h"
#include "runtime/tokenizer/token_files.h"
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

// What the files beside tokenizer.json in `dir` say of added tokens.
absl::StatusOr<TokenFiles> ReadTokenFilesIn(const std::string& dir) {
  return ReadTokenFiles(
      [&](const std::string& file) -> absl::StatusOr<std::pair<std::string, std::optional<std::string>>> {
        const std::string path = absl::StrCat(dir, "/", file);
        absl::StatusOr<std::string> text = ReadWholeFile(path, int64_t{64} << 20);
        if (absl::IsNotFound(text.status())) return std::pair(path, std::nullopt);
        SLUICE_RETURN_IF_ERROR(text.status());
        return std::pair(path, *std::move(text));
      });
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

absl::Status AddTokensOfFiles(const TokenFiles& files, TokenizerFile* file) {
  if (!file->document.is_object()) return absl::OkStatus();  // the builder reports it
  json& tokens = file->document["added_tokens"];
  SLUICE_ASSIGN_OR_RETURN(tokens, MergeAddedTokens(files, file->vocabulary, std::move(tokens)));
  return absl::OkStatus();
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
  document["added_tokens"] = json::array();
  if (const int32_t id = vocabulary.Find(kEndOfText); id >= 0) {
    document["added_tokens"].push_back(
        {{"id", id}, {"content", kEndOfText}, {"normalized", false}, {"special", true}});
  }
  return document;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(const std::string& dir) {
  const std::string path = absl::StrCat(dir, "/tokenizer.json");
  const std::string vocab_path = absl::StrCat(dir, "/vocab.json");
  const std::string merges_path = absl::StrCat(dir, "/merges.txt");
  const std::string config_path = absl::StrCat(dir, "/tokenizer_config.json");
  SLUICE_ASSIGN_OR_RETURN(const TokenFiles token_files, ReadTokenFilesIn(dir));
  const json config(token_files.config.content);
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
  SLUICE_RETURN_IF_ERROR(AddTokensOfFiles(token_files, &*file));
  TokenizerBuilder builder;
  SLUICE_RETURN_IF_ERROR(Annotate(builder.BuildParts(*std::move(file)), named));
  SLUICE_RETURN_IF_ERROR(Annotate(builder.AddConfig(config), config_path));
  return builder.Take(named);
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::FromJson(absl::string_view text,
                                                               absl::string_view what) {
  return FromJson(text, what, TokenFiles());
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::FromJson(absl::string_view text,
                                                               absl::string_view what,
                                                               const TokenFiles& files) {
  SLUICE_ASSIGN_OR_RETURN(TokenizerFile file, ParseTokenizerJson(text, what));
  SLUICE_RETURN_IF_ERROR(AddTokensOfFiles(files, &file));
  TokenizerBuilder builder;
  SLUICE_RETURN_IF_ERROR(Annotate(builder.BuildParts(std::move(file)), what));
  return builder.Take(what);
}

}  // namespace sluice
