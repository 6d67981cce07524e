// Pre-tokenizers as steps over ranges of one text; steps that change characters write a new text.
#include "runtime/text/tokenizer/pre_tokenizer.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/text/tokenizer/byte_alphabet.h"
#include "runtime/text/tokenizer/unicode.h"
#include "storage/file/json.h"

namespace sluice {
namespace {

// The pattern of ByteLevel with use_regex: GPT-2's words.
constexpr char kGpt2Pattern[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

bool IsPunctuationOrAsciiSymbol(uint32_t code) {
  return code < 0x80 ? absl::ascii_ispunct(static_cast<unsigned char>(code)) : IsPunctuation(code);
}

// Each character for which `is_match(code)` holds is a match.
template <typename IsMatch>
absl::Status FindCharacters(absl::string_view text, IsMatch is_match, const SearchBudget& budget,
                            std::vector<TextRange>* matches) {
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = DecodeUtf8(text, at);
    if (is_match(c.code)) {
      matches->push_back({at, at + c.size});
      SLUICE_RETURN_IF_ERROR(budget.CheckMemory(matches->size(), kBytesPerMatch));
    }
    at += c.size;
  }
  return absl::OkStatus();
}

// Finds runs of characters of one class; class 0 is no match.
template <typename Class>
absl::Status FindRuns(absl::string_view text, Class classify, const SearchBudget& budget,
                      std::vector<TextRange>* matches) {
  int previous = 0;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = DecodeUtf8(text, at);
    const int current = classify(c.code);
    if (current != 0 && current == previous) {
      matches->back().end = at + c.size;
    } else if (current != 0) {
      matches->push_back({at, at + c.size});
      SLUICE_RETURN_IF_ERROR(budget.CheckMemory(matches->size(), kBytesPerMatch));
    }
    previous = current;
    at += c.size;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PreTokenizer> PreTokenizer::FromJson(const nlohmann::json& component) {
  PreTokenizer pre_tokenizer;
  SLUICE_RETURN_IF_ERROR(pre_tokenizer.AddSteps(component));
  return pre_tokenizer;
}

absl::Status PreTokenizer::AddSteps(const nlohmann::json& component) {
  SLUICE_ASSIGN_OR_RETURN(const std::string type, ComponentType(component));
  if (type == "ByteLevel") return Annotate(AddByteLevel(component), type);
  if (type == "Split") return Annotate(AddSplit(component), type);
  if (type == "Metaspace") return Annotate(AddMetaspace(component), type);
  if (type == "Sequence") {
    SLUICE_RETURN_IF_ERROR(Annotate(CheckKeys(component, {"type", "pretokenizers"}), type));
    const nlohmann::json* members = JsonFind(component, "pretokenizers");
    if (members == nullptr || !members->is_array()) {
      return absl::InvalidArgumentError("Sequence: \"pretokenizers\" is not an array");
    }
    for (const nlohmann::json& member : *members) SLUICE_RETURN_IF_ERROR(AddSteps(member));
    return absl::OkStatus();
  }
  if (type == "Digits") {
    SLUICE_RETURN_IF_ERROR(Annotate(CheckKeys(component, {"type", "individual_digits"}), type));
    SLUICE_ASSIGN_OR_RETURN(const bool individual, BoolOr(component, "individual_digits", false));
    steps_.push_back(
        {.kind = Kind::kNumeric,
         .behavior = individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous});
  } else if (type == "Punctuation") {
    SLUICE_RETURN_IF_ERROR(Annotate(CheckKeys(component, {"type", "behavior"}), type));
    Step step{.kind = Kind::kPunctuation};
    if (JsonFind(component, "behavior") != nullptr) {
      SLUICE_ASSIGN_OR_RETURN(const std::string name, JsonString(component, "behavior"));
      SLUICE_ASSIGN_OR_RETURN(step.behavior, ParseSplitBehavior(name));
    }
    steps_.push_back(std::move(step));
  } else if (type == "CharDelimiterSplit") {
    SLUICE_RETURN_IF_ERROR(Annotate(CheckKeys(component, {"type", "delimiter"}), type));
    Step step{.kind = Kind::kDelimiter, .behavior = SplitBehavior::kRemoved};
    SLUICE_ASSIGN_OR_RETURN(step.character, CharacterMember(component, "delimiter"));
    steps_.push_back(std::move(step));
  } else if (type == "Whitespace" || type == "WhitespaceSplit" || type == "BertPreTokenizer") {
    SLUICE_RETURN_IF_ERROR(Annotate(CheckKeys(component, {"type"}), type));
    if (type == "Whitespace") {
      steps_.push_back(
          {.kind = Kind::kWordsAndSymbols, .behavior = SplitBehavior::kRemoved, .invert = true});
    } else {
      steps_.push_back({.kind = Kind::kWhiteSpace, .behavior = SplitBehavior::kRemoved});
      if (type == "BertPreTokenizer") steps_.push_back({.kind = Kind::kPunctuation});
    }
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("the type \"", type.substr(0, 80), "\" is not supported"));
  }
  return absl::OkStatus();
}

absl::Status PreTokenizer::AddByteLevel(const nlohmann::json& component) {
  SLUICE_RETURN_IF_ERROR(
      CheckKeys(component, {"type", "add_prefix_space", "trim_offsets", "use_regex"}));
  SLUICE_ASSIGN_OR_RETURN(const bool prefix, JsonBool(component, "add_prefix_space"));
  SLUICE_ASSIGN_OR_RETURN(const bool use_regex, BoolOr(component, "use_regex", true));
  if (prefix) steps_.push_back({.kind = Kind::kPrefix, .character = ' '});
  if (use_regex) {
    SLUICE_ASSIGN_OR_RETURN(Pattern pattern,
                            Pattern::FromJson({{"pattern", {{"Regex", kGpt2Pattern}}}}));
    steps_.push_back({.kind = Kind::kPattern, .pattern = std::move(pattern)});
  }
  steps_.push_back({.kind = Kind::kBytes});
  return absl::OkStatus();
}

absl::Status PreTokenizer::AddSplit(const nlohmann::json& component) {
  SLUICE_RETURN_IF_ERROR(CheckKeys(component, {"type", "pattern", "behavior", "invert"}));
  Step step{.kind = Kind::kPattern};
  SLUICE_ASSIGN_OR_RETURN(const std::string behavior, JsonString(component, "behavior"));
  SLUICE_ASSIGN_OR_RETURN(step.behavior, ParseSplitBehavior(behavior));
  SLUICE_ASSIGN_OR_RETURN(step.invert, BoolOr(component, "invert", false));
  SLUICE_ASSIGN_OR_RETURN(step.pattern, Pattern::FromJson(component));
  steps_.push_back(std::move(step));
  return absl::OkStatus();
}

absl::Status PreTokenizer::AddMetaspace(const nlohmann::json& component) {
  SLUICE_RETURN_IF_ERROR(CheckKeys(component, {"type", "replacement", "prepend_scheme", "split",
                                               "add_prefix_space", "str_rep"}));
  SLUICE_ASSIGN_OR_RETURN(const uint32_t character, CharacterMember(component, "replacement"));
  std::string scheme = "always";
  const bool given = JsonFind(component, "prepend_scheme") != nullptr;
  if (given) {
    SLUICE_ASSIGN_OR_RETURN(scheme, JsonString(component, "prepend_scheme"));
  }
  // Files from before prepend_scheme have add_prefix_space.
  SLUICE_ASSIGN_OR_RETURN(const bool prefix, BoolOr(component, "add_prefix_space", true));
  if (!prefix && given && scheme != "never") {
    return absl::InvalidArgumentError("add_prefix_space is false, prepend_scheme is not \"never\"");
  }
  if (!prefix) scheme = "never";
  SLUICE_ASSIGN_OR_RETURN(const bool split, BoolOr(component, "split", true));
  steps_.push_back({.kind = Kind::kSpaces, .character = character});
  if (scheme == "always") {
    steps_.push_back({.kind = Kind::kPrefix, .character = character});
  } else if (scheme == "first") {
    steps_.push_back({.kind = Kind::kPrefixFirst, .character = character});
  } else if (scheme != "never") {
    return absl::InvalidArgumentError(
        absl::StrCat("the prepend_scheme \"", scheme.substr(0, 80), "\" is not known"));
  }
  if (split) {
    steps_.push_back({.kind = Kind::kDelimiter,
                      .behavior = SplitBehavior::kMergedWithNext,
                      .character = character});
  }
  return absl::OkStatus();
}

absl::Status PreTokenizer::FindMatches(const Step& step, absl::string_view word,
                                       SearchBudget* budget, std::vector<TextRange>* matches) {
  switch (step.kind) {
    case Kind::kPattern:
      return step.pattern.FindAll(word, budget, matches);
    case Kind::kNumeric:
      return FindCharacters(word, &IsNumeric, *budget, matches);
    case Kind::kPunctuation:
      return FindCharacters(word, &IsPunctuationOrAsciiSymbol, *budget, matches);
    case Kind::kWhiteSpace:
      return FindCharacters(word, &IsWhiteSpace, *budget, matches);
    case Kind::kDelimiter:
      return FindCharacters(
          word, [&](uint32_t code) { return code == step.character; }, *budget, matches);
    case Kind::kWordsAndSymbols:
      return FindRuns(
          word, [](uint32_t code) { return IsWord(code)         ? 1
                                           : IsWhiteSpace(code) ? 0
                                                                : 2; },
          *budget, matches);
    default:
      return absl::InternalError("a rewriting step cannot cut");
  }
}

absl::Status PreTokenizer::Cut(const Step& step, SearchBudget* budget, Words* words) {
  std::vector<Words::Word> cut;
  std::vector<TextRange> matches, pieces;
  for (size_t i = 0; i < words->words.size(); ++i) {
    const Words::Word& word = words->words[i];
    matches.clear();
    pieces.clear();
    SLUICE_RETURN_IF_ERROR(FindMatches(step, (*words)[i], budget, &matches));
    SplitAt(matches, word.end - word.begin, step.behavior, step.invert, &pieces);
    for (const TextRange& piece : pieces) {
      cut.push_back(
          {word.begin + piece.begin, word.begin + piece.end, word.at_start && piece.begin == 0});
    }
    SLUICE_RETURN_IF_ERROR(budget->CheckMemory(cut.size() + matches.size(), kBytesPerMatch));
  }
  words->words = std::move(cut);
  return absl::OkStatus();
}

absl::Status PreTokenizer::Rewrite(const Step& step, size_t limit, Words* words) {
  std::string character;
  AppendUtf8(step.character, &character);
  std::string text;
  text.reserve(words->text.size());
  for (size_t i = 0; i < words->words.size(); ++i) {
    Words::Word& word = words->words[i];
    const absl::string_view old = (*words)[i];
    const size_t begin = text.size();
    if (step.kind == Kind::kBytes) {
      AppendByteCharacters(old, &text);
    } else if (step.kind == Kind::kSpaces) {
      for (const char c : old) {
        if (c == ' ') {
          text += character;
        } else {
          text.push_back(c);
        }
      }
    } else {
      const bool wanted = step.kind == Kind::kPrefix || word.at_start;
      if (wanted && !absl::StartsWith(old, character)) text += character;
      text.append(old.data(), old.size());
    }
    word.begin = begin;
    word.end = text.size();
    if (text.size() > limit) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the pre-tokenizer makes more than ", limit, " bytes of this text"));
    }
  }
  words->text = std::move(text);
  return absl::OkStatus();
}

absl::StatusOr<Words> PreTokenizer::Apply(std::string text, bool at_start,
                                          SearchBudget* budget) const {
  Words words;
  words.text = std::move(text);
  if (words.text.empty()) return words;
  words.words.push_back({0, words.text.size(), at_start});
  const size_t limit = MostBytesOf(words.text.size());
  for (const Step& step : steps_) {
    const bool rewrites = step.kind >= Kind::kBytes;
    SLUICE_RETURN_IF_ERROR(rewrites ? Rewrite(step, limit, &words) : Cut(step, budget, &words));
  }
  return words;
}

bool PreTokenizer::KeepsAll() const {
  return std::none_of(steps_.begin(), steps_.end(),
                      [](const Step& step) { return step.behavior == SplitBehavior::kRemoved; });
}

bool PreTokenizer::WritesBytes() const {
  return std::any_of(steps_.begin(), steps_.end(),
                     [](const Step& step) { return step.kind == Kind::kBytes; });
}

int64_t PreTokenizer::MemoryBytes() const {
  int64_t bytes = static_cast<int64_t>(steps_.capacity() * sizeof(Step));
  for (const Step& step : steps_) bytes += step.pattern.MemoryBytes();
  return bytes;
}

}  // namespace sluice
