// Reads the document of tokenizer.json member by member.
#include "runtime/text/tokenizer/tokenizer_builder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/text/tokenizer/component.h"
#include "storage/file/json.h"

namespace sluice {
namespace {

using nlohmann::json;

absl::StatusOr<AddedToken> ReadAddedToken(const json& object) {
  SLUICE_RETURN_IF_ERROR(CheckKeys(
      object, {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"}));
  AddedToken token;
  SLUICE_ASSIGN_OR_RETURN(token.content, JsonString(object, "content"));
  SLUICE_ASSIGN_OR_RETURN(const int64_t id, JsonInt(object, "id"));
  if (id < 0 || id >= kMaxTokenId) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", absl::Utf8SafeCEscape(token.content.substr(0, 80)), "\" has id ", id,
                     "; ids are 0 to ", kMaxTokenId - 1));
  }
  token.id = static_cast<int32_t>(id);
  SLUICE_ASSIGN_OR_RETURN(token.special, BoolOr(object, "special", false));
  SLUICE_ASSIGN_OR_RETURN(token.single_word, BoolOr(object, "single_word", false));
  SLUICE_ASSIGN_OR_RETURN(token.lstrip, BoolOr(object, "lstrip", false));
  SLUICE_ASSIGN_OR_RETURN(token.rstrip, BoolOr(object, "rstrip", false));
  SLUICE_ASSIGN_OR_RETURN(token.normalized, BoolOr(object, "normalized", !token.special));
  return token;
}

absl::StatusOr<std::string> StringOrEmpty(const json& object, absl::string_view key) {
  if (JsonFind(object, key) == nullptr) return std::string();
  return JsonString(object, key);
}

// Reads "<s>" or {"content": "<s>", ...}, as in tokenizer_config.json; empty if there is none.
absl::StatusOr<std::string> NamedToken(const json& config, absl::string_view key) {
  const json* member = JsonFind(config, key);
  if (member != nullptr && member->is_object()) return JsonString(*member, "content");
  return StringOrEmpty(config, key);
}

}  // namespace

absl::StatusOr<BpeOptions> TokenizerBuilder::ReadModel(const json& document) const {
  const json* model = JsonFind(document, "model");
  if (model == nullptr) return absl::InvalidArgumentError("missing");
  SLUICE_ASSIGN_OR_RETURN(const std::string type, StringOrEmpty(*model, "type"));
  if (!type.empty() && type != "BPE") {
    return absl::InvalidArgumentError(
        absl::StrCat("the type \"", type.substr(0, 80), "\" is not supported, only BPE is"));
  }
  SLUICE_RETURN_IF_ERROR(CheckKeys(
      *model, {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
               "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"}));
  if (!model->contains("vocab") || !model->contains("merges") || parts_->vocabulary.size() == 0) {
    return absl::InvalidArgumentError("\"vocab\" or \"merges\" is missing or empty");
  }
  if (const json* dropout = JsonFind(*model, "dropout"); dropout != nullptr && *dropout != 0) {
    return absl::InvalidArgumentError("\"dropout\" other than 0 is not supported");
  }
  BpeOptions options;
  const json* unk_token = JsonFind(*model, "unk_token");
  options.has_unk_token = unk_token != nullptr;
  SLUICE_ASSIGN_OR_RETURN(options.unk_token, StringOrEmpty(*model, "unk_token"));
  SLUICE_ASSIGN_OR_RETURN(options.fuse_unk, BoolOr(*model, "fuse_unk", false));
  SLUICE_ASSIGN_OR_RETURN(options.byte_fallback, BoolOr(*model, "byte_fallback", false));
  SLUICE_ASSIGN_OR_RETURN(options.ignore_merges, BoolOr(*model, "ignore_merges", false));
  SLUICE_ASSIGN_OR_RETURN(options.continuing_subword_prefix,
                          StringOrEmpty(*model, "continuing_subword_prefix"));
  SLUICE_ASSIGN_OR_RETURN(options.end_of_word_suffix, StringOrEmpty(*model, "end_of_word_suffix"));
  return options;
}

absl::Status TokenizerBuilder::AddToken(const AddedToken& token) {
  const auto refuse = [&](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", absl::Utf8SafeCEscape(token.content.substr(0, 80)), "\" with id ",
                     token.id, ": ", why));
  };
  if (token.content.empty()) return refuse("it is empty");
  const int32_t model_id = parts_->vocabulary.Find(token.content);
  if (model_id >= 0 && model_id != token.id) {
    return refuse(absl::StrCat("the vocabulary gives it the id ", model_id));
  }
  if (model_id < 0 && parts_->vocabulary.Contains(token.id)) {
    return refuse("the id is another token's in the vocabulary");
  }
  if (!parts_->added_ids.try_emplace(token.content, token.id).second ||
      !parts_->added.try_emplace(token.id, token).second) {
    return refuse("this token or this id comes twice");
  }
  return absl::OkStatus();
}

absl::Status TokenizerBuilder::ReadAddedTokens(const json& document,
                                               std::vector<AddedToken>* tokens) {
  const json* array = JsonFind(document, "added_tokens");
  if (array == nullptr) return absl::OkStatus();
  if (!array->is_array()) return absl::InvalidArgumentError("not an array");
  for (const json& object : *array) {
    SLUICE_ASSIGN_OR_RETURN(AddedToken token, ReadAddedToken(object));
    SLUICE_RETURN_IF_ERROR(AddToken(token));
    tokens->push_back(std::move(token));
  }
  return absl::OkStatus();
}

absl::Status TokenizerBuilder::FillMatchers(const std::vector<AddedToken>& tokens) {
  SearchBudget budget(0);  // for all of them
  // If two become equal by normalizing, special tokens come first.
  for (const bool special : {true, false}) {
    for (const AddedToken& token : tokens) {
      if (token.special != special) continue;
      std::string text = token.content;
      if (token.normalized) {
        bool at_start = true;
        SLUICE_RETURN_IF_ERROR(parts_->normalizer.Apply(&text, &at_start, &budget));
      }
      AddedTokenMatcher& matcher =
          token.normalized ? parts_->normalized_matcher : parts_->raw_matcher;
      SLUICE_RETURN_IF_ERROR(
          Annotate(matcher.Add(text, token), absl::Utf8SafeCEscape(token.content.substr(0, 80))));
      parts_->added[token.id].shown = std::move(text);
    }
  }
  return absl::OkStatus();
}

absl::Status TokenizerBuilder::CheckSpecialIds() const {
  for (const std::vector<int32_t>* ids : {&parts_->around.before, &parts_->around.after}) {
    for (const int32_t id : *ids) {
      if (!parts_->vocabulary.Contains(id) && !parts_->added.contains(id)) {
        return absl::InvalidArgumentError(absl::StrCat("the id ", id, " has no token"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status TokenizerBuilder::BuildParts(TokenizerFile file) {
  const json document = std::move(file.document);
  SLUICE_RETURN_IF_ERROR(
      CheckKeys(document, {"version", "truncation", "padding", "added_tokens", "normalizer",
                           "pre_tokenizer", "post_processor", "decoder", "model"}));
  SLUICE_ASSIGN_OR_RETURN(const std::string version, StringOrEmpty(document, "version"));
  if (!version.empty() && version != "1.0") {
    return absl::InvalidArgumentError(
        absl::StrCat("the version \"", version.substr(0, 80), "\" is not known, 1.0 is"));
  }
  parts_->vocabulary = std::move(file.vocabulary);
  absl::StatusOr<BpeOptions> options = ReadModel(document);
  if (!options.ok()) return Annotate(options.status(), "model");
  if (const json* component = JsonFind(document, "normalizer")) {
    absl::StatusOr<Normalizer> normalizer = Normalizer::FromJson(*component);
    if (!normalizer.ok()) return Annotate(normalizer.status(), "normalizer");
    parts_->normalizer = *std::move(normalizer);
  }
  if (file.sentence_piece.has_value()) {
    parts_->normalizer = std::move(file.sentence_piece->normalizer);
    options->merges_unknown_characters = true;
    options->unused = std::move(file.sentence_piece->unused);
  }
  if (const json* component = JsonFind(document, "pre_tokenizer")) {
    absl::StatusOr<PreTokenizer> pre_tokenizer = PreTokenizer::FromJson(*component);
    if (!pre_tokenizer.ok()) return Annotate(pre_tokenizer.status(), "pre_tokenizer");
    parts_->pre_tokenizer = *std::move(pre_tokenizer);
  }
  const json* decoder = JsonFind(document, "decoder");
  absl::StatusOr<std::vector<DecoderStep>> steps =
      ReadDecoder(decoder == nullptr ? json(nullptr) : *decoder);
  if (!steps.ok()) return Annotate(steps.status(), "decoder");
  parts_->decoder = *std::move(steps);
  std::vector<AddedToken> tokens;
  SLUICE_RETURN_IF_ERROR(Annotate(ReadAddedTokens(document, &tokens), "added_tokens"));
  SLUICE_RETURN_IF_ERROR(Annotate(FillMatchers(tokens), "added_tokens"));
  if (file.sentence_piece.has_value()) {
    for (const AddedToken& symbol : file.sentence_piece->symbols) {
      if (parts_->added.contains(symbol.id))
        continue;  // with the flags that the file gives this token
      SLUICE_RETURN_IF_ERROR(
          Annotate(parts_->normalized_matcher.Add(symbol.content, symbol), symbol.content));
    }
  }
  if (const json* component = JsonFind(document, "post_processor")) {
    absl::StatusOr<SpecialTokens> around = ReadPostProcessor(*component);
    if (!around.ok()) return Annotate(around.status(), "post_processor");
    parts_->around = *std::move(around);
    SLUICE_RETURN_IF_ERROR(Annotate(CheckSpecialIds(), "post_processor"));
  }
  parts_->vocab_size = parts_->vocabulary.id_end();
  for (const AddedToken& token : tokens) {
    parts_->vocab_size = std::max(parts_->vocab_size, token.id + 1);
    if (token.special) options->never_whole.insert(token.id);
  }
  absl::StatusOr<Bpe> bpe = Bpe::Create(&parts_->vocabulary, *std::move(options), file.merges);
  if (!bpe.ok()) return Annotate(bpe.status(), "model");
  parts_->bpe = *std::move(bpe);
  if (parts_->pre_tokenizer.KeepsAll() &&
      parts_->bpe->CoversBytes(parts_->pre_tokenizer.WritesBytes())) {
    parts_->token_bytes = parts_->vocabulary.longest();
    size_t longest = parts_->token_bytes;
    bool strips = false;
    for (const AddedToken& token : tokens) {
      longest = std::max(longest, token.content.size());
      strips |= token.lstrip || token.rstrip;
    }
    parts_->raw_token_bytes = strips ? 0 : parts_->normalizer.MostPerByte() * longest;
  }
  return absl::OkStatus();
}

absl::Status TokenizerBuilder::AddConfig(const json& config) {
  if (!parts_->around.before.empty() || !parts_->around.after.empty()) return absl::OkStatus();
  const struct {
    const char* switch_key;
    const char* token_key;
    std::vector<int32_t>* ids;
  } kSides[] = {{"add_bos_token", "bos_token", &parts_->around.before},
                {"add_eos_token", "eos_token", &parts_->around.after}};
  for (const auto& side : kSides) {
    SLUICE_ASSIGN_OR_RETURN(const bool wanted, BoolOr(config, side.switch_key, false));
    if (!wanted) continue;
    SLUICE_ASSIGN_OR_RETURN(const std::string token, NamedToken(config, side.token_key));
    const auto added = parts_->added_ids.find(token);
    const int32_t id =
        added != parts_->added_ids.end() ? added->second : parts_->vocabulary.Find(token);
    if (id < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(side.switch_key, " is true, but ", side.token_key, " (\"",
                       absl::Utf8SafeCEscape(token.substr(0, 80)), "\") is not a token"));
    }
    side.ids->push_back(id);
  }
  return absl::OkStatus();
}

std::unique_ptr<Tokenizer> TokenizerBuilder::Take(absl::string_view source) {
  parts_->source = std::string(source);
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::move(parts_)));
}

}  // namespace sluice
