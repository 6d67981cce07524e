// Finds a tokenizer's files in a folder; adds what vocab.json with merges.txt leaves unsaid.
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kernels/base/status_macros.h"
#include "runtime/text/tokenizer/component.h"
#include "runtime/text/tokenizer/sentencepiece_file.h"
#include "runtime/text/tokenizer/tekken_file.h"
#include "runtime/text/tokenizer/token_files.h"
#include "runtime/text/tokenizer/tokenizer.h"
#include "runtime/text/tokenizer/tokenizer_builder.h"
#include "storage/file/json.h"
#include "storage/file/lfs_pointer.h"

namespace sluice {
namespace {

using nlohmann::json;

// The words of Qwen2 and later: contractions in any case, single digits, line breaks kept with
// what they end.
constexpr char kQwen2Pattern[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Classes whose files are vocab.json and merges.txt.
constexpr absl::string_view kVocabAndMergesClasses[] = {"GPT2Tokenizer", "CodeGenTokenizer",
                                                        "Qwen2Tokenizer"};

// Returns the class of which `name` may be the fast variant.
absl::string_view PlainClass(absl::string_view name) {
  absl::ConsumeSuffix(&name, "Fast");
  return name;
}

bool IsVocabAndMergesClass(const json& config) {
  const json* name = JsonFind(config, "tokenizer_class");
  return name != nullptr && name->is_string() &&
         absl::c_linear_search(kVocabAndMergesClasses,
                               PlainClass(name->get_ref<const std::string&>()));
}

constexpr char kEndOfText[] = "<|endoftext|>";  // the special token of both classes

// Reads what the files beside tokenizer.json in `dir` say about added tokens.
absl::StatusOr<TokenFiles> ReadTokenFilesIn(const std::string& dir) {
  return ReadTokenFiles([&](const std::string& file)
                            -> absl::StatusOr<std::pair<std::string, std::optional<std::string>>> {
    const std::string path = absl::StrCat(dir, "/", file);
    absl::StatusOr<std::string> text = ReadWholeFile(path, int64_t{64} << 20);
    if (absl::IsNotFound(text.status())) return std::pair(path, std::nullopt);
    SLUICE_RETURN_IF_ERROR(text.status());
    SLUICE_RETURN_IF_ERROR(CheckNoLfsPointer(*text, path));
    return std::pair(path, *std::move(text));
  });
}

// Files of tokenizers that other programs read and sluice does not; they are named if there is
// nothing else.
constexpr absl::string_view kForeignNames[] = {"spiece.model", "sentencepiece.bpe.model",
                                               "spm.model", "tokenizer.bin", "vocab.txt"};
constexpr absl::string_view kForeignEndings[] = {".tiktoken", ".spm", ".vocab"};

// Returns the first file in `dir` that may hold a tokenizer in a form that sluice does not read, or
// "".
std::string ForeignTokenizer(const std::string& dir) {
  std::vector<std::string> found;
  std::error_code error;
  for (std::filesystem::directory_iterator it(dir, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (absl::c_linear_search(kForeignNames, name) || absl::StartsWith(name, "tokenizer.model.") ||
        absl::c_any_of(kForeignEndings,
                       [&](absl::string_view ending) { return absl::EndsWith(name, ending); })) {
      found.push_back(name);
    }
  }
  return found.empty() ? "" : *std::min_element(found.begin(), found.end());
}

// NotFound: no tokenizer in `dir`. FailedPrecondition: half of one.
absl::Status NoTokenizer(const std::string& dir, bool has_vocab, bool has_merges) {
  if (has_vocab != has_merges) {
    return absl::FailedPreconditionError(
        absl::StrCat(dir, "/", has_vocab ? "merges.txt" : "vocab.json", ": not there, but ",
                     has_vocab ? "vocab.json" : "merges.txt", " is; a tokenizer needs both"));
  }
  const std::string foreign = ForeignTokenizer(dir);
  return absl::NotFoundError(absl::StrCat(
      dir,
      ": no tokenizer there: neither tokenizer.json, tokenizer.model, tekken.json, nor vocab.json "
      "with merges.txt",
      foreign.empty()
          ? ""
          : absl::StrCat("; sluice does not read ", foreign, ", convert it to a tokenizer.json")));
}

bool Exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

// The tokenizer that was found, and the file that errors about its content name.
struct FoundTokenizer {
  std::string path;
  TokenizerFile file;
};

// Reads the first form that is there, in transformers' order. The class of the tokenizer chooses
// between tokenizer.model and vocab.json with merges.txt.
absl::StatusOr<FoundTokenizer> ReadFirstForm(const std::string& dir, const json& config,
                                             const std::string& config_path) {
  FoundTokenizer found{absl::StrCat(dir, "/tokenizer.json"), {}};
  absl::StatusOr<TokenizerFile> file = ReadTokenizerJson(found.path);
  if (absl::IsNotFound(file.status())) {
    const std::string vocab = absl::StrCat(dir, "/vocab.json"),
                      merges = absl::StrCat(dir, "/merges.txt");
    const std::string model = absl::StrCat(dir, "/tokenizer.model"),
                      tekken = absl::StrCat(dir, "/tekken.json");
    const bool has_vocab = Exists(vocab), has_merges = Exists(merges);
    const bool byte_level = has_vocab && has_merges && IsVocabAndMergesClass(config);
    if (Exists(model) && !byte_level) {
      found.path = model;
      file = ReadSentencePieceFile(model, config);
    } else if (has_vocab && has_merges) {
      found.path = vocab;
      file = ReadVocabAndMerges(vocab, merges);
      if (file.ok()) {
        absl::StatusOr<json> document = DocumentFromConfig(config, file->vocabulary);
        if (!document.ok()) return Annotate(document.status(), config_path);
        file->document = *std::move(document);
      }
    } else if (Exists(tekken)) {
      found.path = tekken;
      file = ReadTekkenFile(tekken);
    } else {
      return NoTokenizer(dir, has_vocab, has_merges);
    }
  }
  SLUICE_RETURN_IF_ERROR(file.status());
  found.file = *std::move(file);
  return found;
}

// Gives `config` the members that it lacks. If the config says that there is no such token, none is
// added.
void AddDefaults(const json& defaults, json* config) {
  for (const auto& [key, value] : defaults.items()) {
    if (key == "add_bos_token" && config->contains("bos_token") && (*config)["bos_token"].is_null())
      continue;
    if (!config->contains(key)) (*config)[key] = value;
  }
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
  const absl::string_view plain = PlainClass(name);
  if (!absl::c_linear_search(kVocabAndMergesClasses, plain)) {
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
  const std::string config_path = absl::StrCat(dir, "/tokenizer_config.json");
  SLUICE_ASSIGN_OR_RETURN(const TokenFiles token_files, ReadTokenFilesIn(dir));
  json config(token_files.config.content);
  SLUICE_ASSIGN_OR_RETURN(FoundTokenizer found, ReadFirstForm(dir, config, config_path));
  AddDefaults(found.file.config_defaults, &config);
  SLUICE_RETURN_IF_ERROR(AddTokensOfFiles(token_files, &found.file));
  TokenizerBuilder builder;
  SLUICE_RETURN_IF_ERROR(Annotate(builder.BuildParts(std::move(found.file)), found.path));
  SLUICE_RETURN_IF_ERROR(Annotate(builder.AddConfig(config), config_path));
  return builder.Take(found.path);
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
