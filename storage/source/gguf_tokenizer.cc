// Writes tokenizer.json and its companions from a vocabulary.
#include "storage/source/gguf_tokenizer.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kernels/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "storage/source/gguf_config.h"
#include "storage/source/gguf_pre_tokenizer.h"
#include "storage/source/gguf_vocabulary.h"
#include "storage/source/safetensors.h"

namespace sluice {
namespace {

using nlohmann::json;

// U+2581, which stands for a space in SentencePiece's tokens
constexpr char kSpace[] = "\xE2\x96\x81";
constexpr absl::string_view kTemplateKey = "tokenizer.chat_template";

// The special tokens that a file may name.
struct SpecialIds {
  std::optional<int64_t> bos, eos, unk, pad;
};

class TokenizerWriter {
 public:
  TokenizerWriter(const GgufFile& gguf, GgufVocabulary vocabulary)
      : gguf_(gguf), vocabulary_(std::move(vocabulary)) {}

  absl::StatusOr<std::vector<GgufTokenizerFile>> Run(absl::string_view model) {
    SLUICE_RETURN_IF_ERROR(ReadIds(model == "llama"));
    std::vector<GgufTokenizerFile> files(1);
    SLUICE_ASSIGN_OR_RETURN(files[0].text, model == "llama" ? SentencePiece() : ByteLevel());
    files[0].name = "tokenizer.json";
    json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                   {"add_bos_token", add_bos_},
                   {"add_eos_token", add_eos_}};
    for (const auto& [key, id] : {std::pair("bos_token", ids_.bos),
                                  {"eos_token", ids_.eos},
                                  {"unk_token", ids_.unk},
                                  {"pad_token", ids_.pad}}) {
      // A special token that has a name is a control token. Some files give an ordinary token ("!")
      // as padding.
      const bool ends = id == ids_.bos || id == ids_.eos;
      if (id.has_value() && (ends || IsAdded(*id))) config[key] = vocabulary_.token(*id);
    }
    SLUICE_RETURN_IF_ERROR(AddTemplates(&files, &config));
    json generation = {{"bos_token_id", ids_.bos.has_value() ? json(*ids_.bos) : json(nullptr)}};
    SLUICE_ASSIGN_OR_RETURN(generation["eos_token_id"], GgufEosTokenIds(gguf_));
    SLUICE_ASSIGN_OR_RETURN(const std::string config_text, Text(config, "tokenizer_config.json"));
    files.push_back({"tokenizer_config.json", config_text});
    files.push_back({"generation_config.json", generation.dump(2) + "\n"});
    return files;
  }

 private:
  absl::Status Invalid(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat(gguf_.path(), ": ", what));
  }

  // The library throws if a string is not UTF-8.
  absl::StatusOr<std::string> Text(const json& value, absl::string_view what) const {
    try {
      return value.dump(value.is_object() ? 2 : -1);
    } catch (const json::exception&) {
      return Invalid(absl::StrCat(what, " would hold text that is not UTF-8"));
    }
  }

  absl::Status ReadIds(bool sentence_piece) {
    for (const auto& [key, id] : {std::pair("bos", &ids_.bos),
                                  {"eos", &ids_.eos},
                                  {"unknown", &ids_.unk},
                                  {"padding", &ids_.pad}}) {
      SLUICE_ASSIGN_OR_RETURN(
          *id, GgufTokenId(gguf_, absl::StrCat("tokenizer.ggml.", key, "_token_id")));
    }
    add_bos_ = sentence_piece;
    if (!sentence_piece) {
      SLUICE_ASSIGN_OR_RETURN(const auto name, gguf_.String("tokenizer.ggml.pre"));
      absl::StatusOr<GgufPreTokenizer> found = FindGgufPreTokenizer(name.value_or("default"));
      if (!found.ok()) {
        return absl::Status(found.status().code(),
                            absl::StrCat(gguf_.path(), ": ", found.status().message()));
      }
      pre_tokenizer_ = *std::move(found);
      add_bos_ = pre_tokenizer_.add_bos;
    }
    SLUICE_ASSIGN_OR_RETURN(const auto add_bos, gguf_.Bool("tokenizer.ggml.add_bos_token"));
    SLUICE_ASSIGN_OR_RETURN(const auto add_eos, gguf_.Bool("tokenizer.ggml.add_eos_token"));
    add_bos_ = add_bos.value_or(add_bos_) && ids_.bos.has_value();
    add_eos_ = add_eos.value_or(false) && ids_.eos.has_value();
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> SentencePiece() {
    SLUICE_ASSIGN_OR_RETURN(const auto key, gguf_.Bool("tokenizer.ggml.add_space_prefix"));
    const bool prefix = key.value_or(true);
    SLUICE_ASSIGN_OR_RETURN(const GgufVocabulary::Merges merges, vocabulary_.MergesByScore(gguf_));
    const json replace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpace}};
    json normalizers = json::array();
    if (prefix) normalizers.push_back({{"type", "Prepend"}, {"prepend", kSpace}});
    normalizers.push_back(replace);
    json decoders =
        json::array({{{"type", "Replace"}, {"pattern", {{"String", kSpace}}}, {"content", " "}},
                     {{"type", "ByteFallback"}},
                     {{"type", "Fuse"}}});
    if (prefix)
      decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
    json model = {{"type", "BPE"}, {"byte_fallback", true}, {"fuse_unk", true}};
    if (ids_.unk.has_value()) model["unk_token"] = vocabulary_.token(*ids_.unk);
    return TokenizerJson({{"normalizer", {{"type", "Sequence"}, {"normalizers", normalizers}}},
                          {"pre_tokenizer", nullptr},
                          {"decoder", {{"type", "Sequence"}, {"decoders", decoders}}}},
                         model, merges);
  }

  absl::StatusOr<std::string> ByteLevel() {
    SLUICE_ASSIGN_OR_RETURN(const GgufVocabulary::Merges merges, vocabulary_.ReadMerges(gguf_));
    json steps = json::array();
    for (const std::string& pattern : pre_tokenizer_.patterns) {
      steps.push_back({{"type", "Split"},
                       {"pattern", {{"Regex", pattern}}},
                       {"behavior", "Isolated"},
                       {"invert", false}});
    }
    SLUICE_ASSIGN_OR_RETURN(const auto prefix, gguf_.Bool("tokenizer.ggml.add_space_prefix"));
    if (prefix.value_or(false)) {
      return absl::UnimplementedError(
          absl::StrCat(gguf_.path(),
                       ": \"tokenizer.ggml.add_space_prefix\" with a byte-level vocabulary, which "
                       "sluice does not do"));
    }
    json byte_level = {{"type", "ByteLevel"},
                       {"add_prefix_space", false},
                       {"trim_offsets", true},
                       {"use_regex", false}};
    steps.push_back(byte_level);
    return TokenizerJson(
        {{"normalizer", pre_tokenizer_.nfc ? json{{"type", "NFC"}} : json(nullptr)},
         {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", steps}}},
         {"decoder", byte_level}},
        {{"type", "BPE"}, {"ignore_merges", pre_tokenizer_.ignore_merges}}, merges);
  }

  bool IsSpecial(int64_t id) const {
    const GgufTokenType type = vocabulary_.type(id);
    return type == GgufTokenType::kControl || type == GgufTokenType::kUnknown;
  }
  bool IsAdded(int64_t id) const {
    return IsSpecial(id) || vocabulary_.type(id) == GgufTokenType::kUserDefined;
  }

  // Control tokens are special; user-defined ones are text that is always one token.
  json AddedTokens() const {
    json tokens = json::array();
    for (int64_t id = 0; id < vocabulary_.size(); ++id) {
      if (!IsAdded(id)) continue;
      if (vocabulary_.Find(vocabulary_.token(id)) != id) continue;
      tokens.push_back({{"id", id},
                        {"content", vocabulary_.token(id)},
                        {"single_word", false},
                        {"lstrip", false},
                        {"rstrip", false},
                        {"normalized", false},
                        {"special", IsSpecial(id)}});
    }
    return tokens;
  }

  // Puts bos and eos around a text, if the file asks for them.
  json PostProcessor() const {
    if (!add_bos_ && !add_eos_) return nullptr;
    json single = json::array(), special = json::object();
    const auto add = [&](int64_t id) {
      const std::string& token = vocabulary_.token(id);
      single.push_back({{"SpecialToken", {{"id", token}, {"type_id", 0}}}});
      special[token] = {{"id", token}, {"ids", {id}}, {"tokens", {token}}};
    };
    if (add_bos_) add(*ids_.bos);
    single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
    if (add_eos_) add(*ids_.eos);
    return {{"type", "TemplateProcessing"},
            {"single", single},
            {"pair", json::array()},
            {"special_tokens", special}};
  }

  // The vocabulary and the merges are most of the text; they are written without a document in
  // between.
  absl::StatusOr<std::string> TokenizerJson(json document, const json& model,
                                            const GgufVocabulary::Merges& merges) const {
    document["version"] = "1.0";
    document["truncation"] = document["padding"] = nullptr;
    document["added_tokens"] = AddedTokens();
    document["post_processor"] = PostProcessor();
    SLUICE_ASSIGN_OR_RETURN(std::string text, Text(document, "tokenizer.json"));
    SLUICE_ASSIGN_OR_RETURN(std::string model_text, Text(model, "tokenizer.json"));
    const auto open_end = [](std::string* object) {  // takes "\n}" away: more members follow
      object->resize(object->size() - 2);
      object->append(",\n");
    };
    open_end(&text);
    open_end(&model_text);
    text.append("\"model\": ").append(model_text).append("\"vocab\": {\n");
    bool first = true;
    for (int64_t id = 0; id < vocabulary_.size(); ++id) {
      const std::string& token = vocabulary_.token(id);
      if (vocabulary_.Find(token) != id) continue;
      const absl::StatusOr<std::string> quoted = Text(token, "tokenizer.json");
      if (!quoted.ok())
        return Invalid(absl::StrCat("token ", id, " (\"", ShownName(token), "\") is not UTF-8"));
      absl::StrAppend(&text, first ? "" : ",\n", *quoted, ": ", id);
      first = false;
    }
    text.append("},\n\"merges\": [\n");
    first = true;
    for (const auto& [left, right] : merges) {
      absl::StrAppend(&text, first ? "" : ",\n",
                      json::array({std::string(left), std::string(right)}).dump());
      first = false;
    }
    text.append("]}}\n");
    return text;
  }

  // A single template is a file of its own; several stand in tokenizer_config.json, as in
  // transformers.
  absl::Status AddTemplates(std::vector<GgufTokenizerFile>* files, json* config) const {
    json named = json::array();
    for (const absl::string_view key : gguf_.Keys(kTemplateKey)) {
      absl::string_view name = key;
      absl::ConsumePrefix(&name, kTemplateKey);
      if (!name.empty() && !absl::ConsumePrefix(&name, "."))
        continue;  // tokenizer.chat_templates: the names
      SLUICE_ASSIGN_OR_RETURN(const auto text, gguf_.String(key));
      named.push_back({{"name", name.empty() ? "default" : std::string(name)},
                       {"template", std::string(*text)}});
    }
    if (named.size() > 1) {
      (*config)["chat_template"] = named;
    } else if (named.size() == 1) {
      files->push_back({"chat_template.jinja", named[0]["template"].get<std::string>()});
    }
    return absl::OkStatus();
  }

  const GgufFile& gguf_;
  const GgufVocabulary vocabulary_;
  SpecialIds ids_;
  GgufPreTokenizer pre_tokenizer_;  // of byte-level BPE
  bool add_bos_ = false;
  bool add_eos_ = false;
};

}  // namespace

absl::StatusOr<std::vector<GgufTokenizerFile>> GgufTokenizerFiles(const GgufFile& gguf) {
  SLUICE_ASSIGN_OR_RETURN(const auto model, gguf.String("tokenizer.ggml.model"));
  if (!model.has_value() || *model == "none" || *model == "no_vocab")
    return std::vector<GgufTokenizerFile>();
  if (*model != "gpt2" && *model != "llama") {
    return absl::UnimplementedError(
        absl::StrCat(gguf.path(), ": the tokenizer \"", ShownName(*model),
                     *model == "bert" ? "\" (WordPiece)"
                     : *model == "t5" ? "\" (unigram)"
                                      : "\"",
                     ", which sluice does not support; it supports gpt2 "
                     "(byte-level BPE) and llama (SentencePiece BPE)"));
  }
  SLUICE_ASSIGN_OR_RETURN(GgufVocabulary vocabulary, GgufVocabulary::Read(gguf));
  return TokenizerWriter(gguf, std::move(vocabulary)).Run(*model);
}

}  // namespace sluice
