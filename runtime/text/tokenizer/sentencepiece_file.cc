// Turns the pieces into a vocabulary with ranked merges, and everything else into components.
#include "runtime/text/tokenizer/sentencepiece_file.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/text/tokenizer/component.h"
#include "runtime/text/tokenizer/sentencepiece_model.h"
#include "runtime/text/tokenizer/sentencepiece_normalizer.h"
#include "runtime/text/tokenizer/unicode.h"
#include "storage/file/json.h"
#include "storage/file/lfs_pointer.h"
#include "storage/source/piece_merges.h"

namespace sluice {
namespace {

using nlohmann::json;

constexpr int64_t kMaxModelBytes = int64_t{64} << 20;  // 256,000 pieces take 5 MB
constexpr int64_t kAllSpaces = int64_t{1} << 20;       // as many as a decoder strips

bool Merges(PieceType type) { return type == PieceType::kNormal || type == PieceType::kUnused; }

absl::Status AddVocabulary(const SentencePieceModel& model, TokenizerFile* file) {
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const SentencePieceModel::Piece& piece = model.pieces[id];
    if (Merges(piece.type) && piece.text.size() > kMaxMergedBytes) {
      return absl::InvalidArgumentError(absl::StrCat("piece ", id, " has ", piece.text.size(),
                                                     " bytes; at most ", kMaxMergedBytes));
    }
    SLUICE_RETURN_IF_ERROR(file->vocabulary.Add(piece.text, static_cast<int64_t>(id)));
  }
  return file->vocabulary.Finish();
}

// Pieces of one score are merged from left to right, whatever their parts are.
void AddMerges(const SentencePieceModel& model, TokenizerFile* file) {
  std::vector<std::string> pieces;
  std::vector<float> scores;
  for (const SentencePieceModel::Piece& piece : model.pieces) {
    pieces.push_back(piece.text);
    scores.push_back(piece.score);
  }
  const int64_t unknown_character = static_cast<int64_t>(pieces.size());
  const auto find = [&](absl::string_view text) -> int64_t {
    const int32_t id = file->vocabulary.Find(text);
    if (id >= 0) return Merges(model.pieces[id].type) ? id : -1;
    return Utf8Size(text[0]) == text.size() ? unknown_character : -1;
  };
  std::optional<float> last;
  for (const PieceMerge& merge : MergesByScore(pieces, scores, find)) {
    if (last == merge.score) {
      file->merges.AddTied(merge.left, merge.right);
    } else {
      file->merges.Add(merge.left, merge.right);
    }
    last = merge.score;
  }
}

json SpecialToken(size_t id, const std::string& text) {
  return {{"id", id}, {"content", text}, {"normalized", false}, {"special", true}};
}

json DecoderOf(const SentencePieceModel& model, bool prefix) {
  json decoders = json::array({{{"type", "Replace"},
                                {"pattern", {{"String", std::string(kPieceSpace)}}},
                                {"content", " "}}});
  if (model.byte_fallback) decoders.push_back({{"type", "ByteFallback"}});
  decoders.push_back({{"type", "Fuse"}});
  const int64_t spaces = model.remove_extra_whitespaces ? kAllSpaces : prefix ? 1 : 0;
  if (spaces > 0)
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", spaces}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", decoders}};
}

// LlamaTokenizer's defaults, if the config says nothing.
json DefaultsOf(const SentencePieceModel& model) {
  json defaults = json::object();
  for (const auto& [key, text] : {std::pair("bos_token", &model.bos), {"eos_token", &model.eos}}) {
    for (const SentencePieceModel::Piece& piece : model.pieces) {
      if (piece.type == PieceType::kControl && piece.text == *text) defaults[key] = piece.text;
    }
  }
  if (defaults.contains("bos_token")) defaults["add_bos_token"] = true;
  return defaults;
}

}  // namespace

absl::StatusOr<TokenizerFile> ParseSentencePieceFile(absl::string_view bytes, const json& config) {
  SLUICE_ASSIGN_OR_RETURN(SentencePieceModel model, ParseSentencePieceModel(bytes));
  TokenizerFile file;
  SLUICE_RETURN_IF_ERROR(AddVocabulary(model, &file));
  AddMerges(model, &file);
  SLUICE_ASSIGN_OR_RETURN(const bool legacy, BoolOr(config, "legacy", true));
  SLUICE_ASSIGN_OR_RETURN(const bool prefix,
                          BoolOr(config, "add_prefix_space", model.add_dummy_prefix));

  SentencePieceNormalizer::Options options;
  json added = json::array();
  std::string unknown;
  TokenizerFile::SentencePiece sentence_piece;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const SentencePieceModel::Piece& piece = model.pieces[id];
    switch (piece.type) {
      case PieceType::kUnknown:
        unknown = piece.text;
        [[fallthrough]];
      case PieceType::kControl:
        added.push_back(SpecialToken(id, piece.text));
        break;
      case PieceType::kUserDefined:
        options.symbols.push_back(piece.text);
        break;
      case PieceType::kUnused:
        sentence_piece.unused.insert(static_cast<int32_t>(id));
        break;
      case PieceType::kNormal:
      case PieceType::kByte:
        break;
    }
  }
  for (const std::string& symbol : options.symbols) {
    sentence_piece.symbols.push_back({.id = file.vocabulary.Find(symbol), .content = symbol});
  }
  file.document = {{"added_tokens", std::move(added)},
                   {"decoder", DecoderOf(model, prefix)},
                   {"model",
                    {{"type", "BPE"},
                     {"unk_token", unknown},
                     {"fuse_unk", true},
                     {"byte_fallback", model.byte_fallback},
                     {"vocab", nullptr},
                     {"merges", nullptr}}}};
  file.config_defaults = DefaultsOf(model);
  options.charsmap = std::move(model.charsmap);
  options.add_dummy_prefix = prefix;
  options.prefix_first_only = !legacy;
  options.remove_extra_whitespaces = model.remove_extra_whitespaces;
  options.escape_whitespaces = model.escape_whitespaces;
  SLUICE_ASSIGN_OR_RETURN(SentencePieceNormalizer normalizer,
                          SentencePieceNormalizer::Create(std::move(options)));
  sentence_piece.normalizer = Normalizer::FromSentencePiece(std::move(normalizer));
  file.sentence_piece = std::move(sentence_piece);
  return file;
}

absl::StatusOr<TokenizerFile> ReadSentencePieceFile(const std::string& path, const json& config) {
  SLUICE_ASSIGN_OR_RETURN(const std::string bytes, ReadWholeFile(path, kMaxModelBytes));
  SLUICE_RETURN_IF_ERROR(CheckNoLfsPointer(bytes, path));
  absl::StatusOr<TokenizerFile> file = ParseSentencePieceFile(bytes, config);
  if (!file.ok()) return Annotate(file.status(), path);
  return file;
}

}  // namespace sluice
