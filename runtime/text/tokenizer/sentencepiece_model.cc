// Reads fields by their numbers in sentencepiece_model.proto; checks a model as SentencePiece does.
#include "runtime/text/tokenizer/sentencepiece_model.h"

#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "kernels/base/status_macros.h"
#include "runtime/text/tokenizer/component.h"
#include "runtime/text/tokenizer/protobuf_reader.h"
#include "runtime/text/tokenizer/unicode.h"
#include "runtime/text/tokenizer/vocabulary.h"

namespace sluice {
namespace {

constexpr uint64_t kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4;

// The advice for a file that is no model, or half of one.
constexpr absl::string_view kDownloadAgain = "; download the file again";

absl::Status NoModel(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "this is not a SentencePiece model, or only a part of one: ", why, kDownloadAgain));
}

// Lines of base64 and a rank, as in Llama 3's file of this name.
bool LooksLikeTiktoken(absl::string_view file) {
  const absl::string_view line = file.substr(0, std::min<size_t>(file.find('\n'), 200));
  const std::vector<absl::string_view> parts = absl::StrSplit(line, ' ');
  int64_t rank;
  std::string bytes;
  return parts.size() == 2 && absl::SimpleAtoi(parts[1], &rank) &&
         absl::Base64Unescape(parts[0], &bytes);
}

class ModelReader {
 public:
  absl::StatusOr<SentencePieceModel> Run(absl::string_view file) {
    ProtobufReader reader(file);
    while (reader.Next()) {
      switch (reader.field()) {
        case 1:
          SLUICE_RETURN_IF_ERROR(ReadPiece(reader));
          break;
        case 2:
          SLUICE_RETURN_IF_ERROR(ReadTrainer(reader));
          break;
        case 3:
          SLUICE_RETURN_IF_ERROR(ReadNormalizer(reader));
          break;
        case 5:
          SLUICE_RETURN_IF_ERROR(ReadDenormalizer(reader));
          break;
        default:
          break;
      }
    }
    SLUICE_RETURN_IF_ERROR(reader.status());
    if (model_.pieces.empty()) return absl::InvalidArgumentError("it has no pieces");
    return std::move(model_);
  }

  uint64_t type() const { return type_; }

 private:
  absl::Status ReadPiece(ProtobufReader& outer) {
    const absl::string_view message = outer.Bytes();
    ProtobufReader reader(message, outer.bytes_offset());
    SentencePieceModel::Piece piece;
    uint64_t type = 1;
    while (reader.Next()) {
      switch (reader.field()) {
        case 1:
          piece.text = std::string(reader.Bytes());
          break;
        case 2:
          piece.score = reader.Float();
          break;
        case 3:
          type = reader.Varint();
          break;
        default:
          break;
      }
    }
    SLUICE_RETURN_IF_ERROR(reader.status());
    if (type < 1 || type > 6) {
      return absl::InvalidArgumentError(absl::StrCat(
          "piece ", model_.pieces.size(), " is of the type ", type, "; types are 1 to 6"));
    }
    if (model_.pieces.size() >= static_cast<size_t>(kMaxTokenId)) {
      return absl::InvalidArgumentError(absl::StrCat("it has more than ", kMaxTokenId, " pieces"));
    }
    piece.type = static_cast<PieceType>(type);
    model_.pieces.push_back(std::move(piece));
    return absl::OkStatus();
  }

  absl::Status ReadTrainer(ProtobufReader& outer) {
    const absl::string_view message = outer.Bytes();
    ProtobufReader reader(message, outer.bytes_offset());
    bool as_suffix = false;
    while (reader.Next()) {
      switch (reader.field()) {
        case 3:
          type_ = reader.Varint();
          break;
        case 24:
          as_suffix = reader.Bool();
          break;
        case 35:
          model_.byte_fallback = reader.Bool();
          break;
        case 45:
          model_.unk = std::string(reader.Bytes());
          break;
        case 46:
          model_.bos = std::string(reader.Bytes());
          break;
        case 47:
          model_.eos = std::string(reader.Bytes());
          break;
        default:
          break;
      }
    }
    SLUICE_RETURN_IF_ERROR(reader.status());
    if (!as_suffix) return absl::OkStatus();
    return absl::UnimplementedError(
        "its treat_whitespace_as_suffix is true, which sluice does not support; convert the "
        "tokenizer "
        "to a tokenizer.json");
  }

  absl::Status ReadNormalizer(ProtobufReader& outer) {
    const absl::string_view message = outer.Bytes();
    ProtobufReader reader(message, outer.bytes_offset());
    while (reader.Next()) {
      switch (reader.field()) {
        case 2:
          model_.charsmap = std::string(reader.Bytes());
          break;
        case 3:
          model_.add_dummy_prefix = reader.Bool();
          break;
        case 4:
          model_.remove_extra_whitespaces = reader.Bool();
          break;
        case 5:
          model_.escape_whitespaces = reader.Bool();
          break;
        default:
          break;
      }
    }
    return reader.status();
  }

  static absl::Status ReadDenormalizer(ProtobufReader& outer) {
    const absl::string_view message = outer.Bytes();
    ProtobufReader reader(message, outer.bytes_offset());
    while (reader.Next()) {
      if (reader.field() == 2 && !reader.Bytes().empty()) {
        return absl::UnimplementedError("it has a denormalizer, which sluice does not support");
      }
    }
    return reader.status();
  }

  SentencePieceModel model_;
  uint64_t type_ = kUnigram;  // the format's default
};

absl::Status CheckType(uint64_t type) {
  if (type == kBpe) return absl::OkStatus();
  const absl::string_view name = type == kUnigram ? "Unigram"
                                 : type == kWord  ? "WORD"
                                 : type == kChar  ? "CHAR"
                                                  : "unknown";
  return absl::UnimplementedError(absl::StrCat("it is a SentencePiece model of the type ", name,
                                               " (", type, "); of these, sluice has BPE only"));
}

// The checks that SentencePiece itself makes when it loads a model.
absl::Status CheckPieces(const SentencePieceModel& model) {
  std::optional<size_t> unknown;
  std::array<bool, 256> bytes = {};
  int64_t num_bytes = 0;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const SentencePieceModel::Piece& piece = model.pieces[id];
    const auto refuse = [&](absl::string_view why) {
      return absl::InvalidArgumentError(absl::StrCat(
          "piece ", id, " (\"", absl::Utf8SafeCEscape(piece.text.substr(0, 80)), "\") ", why));
    };
    if (piece.text.empty()) return refuse("is empty");
    std::string valid;
    AppendLossyUtf8(piece.text, &valid);
    if (valid != piece.text) return refuse("is not UTF-8");
    if (!std::isfinite(piece.score)) return refuse("has a score that is not finite");
    if (piece.type == PieceType::kUnknown) {
      if (unknown.has_value())
        return refuse(absl::StrCat("is the unknown piece, but piece ", *unknown, " is, too"));
      unknown = id;
    }
    if (piece.type != PieceType::kByte) continue;
    uint32_t byte = 0;
    if (!model.byte_fallback) return refuse("stands for a byte, but byte_fallback is false");
    if (piece.text.size() != 6 || !absl::SimpleHexAtoi(piece.text.substr(3, 2), &byte) ||
        piece.text != absl::StrFormat("<0x%02X>", byte)) {
      return refuse("stands for a byte, but is not of the form <0xNN>");
    }
    num_bytes += !bytes[byte];
    bytes[byte] = true;
  }
  if (!unknown.has_value()) return absl::InvalidArgumentError("it has no unknown piece");
  if (model.byte_fallback && num_bytes != 256) {
    return absl::InvalidArgumentError(absl::StrCat(
        "its byte_fallback is true, but it has pieces for ", num_bytes, " of 256 bytes"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SentencePieceModel> ParseSentencePieceModel(absl::string_view file) {
  if (file.empty()) return NoModel("the file is empty");
  if (LooksLikeTiktoken(file)) {
    return absl::UnimplementedError(
        "this is a tiktoken vocabulary, which lacks the special tokens and the pattern; put the "
        "model's "
        "tokenizer.json beside it");
  }
  ModelReader reader;
  absl::StatusOr<SentencePieceModel> model = reader.Run(file);
  if (absl::IsInvalidArgument(model.status())) return NoModel(model.status().message());
  SLUICE_RETURN_IF_ERROR(model.status());
  SLUICE_RETURN_IF_ERROR(CheckType(reader.type()));
  SLUICE_RETURN_IF_ERROR(CheckPieces(*model));
  return model;
}

}  // namespace sluice
