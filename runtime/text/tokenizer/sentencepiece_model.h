// The model file of SentencePiece (tokenizer.model), as far as BPE needs it.
//
// The format is sentencepiece_model.proto of github.com/google/sentencepiece: a ModelProto.
// Training's own settings are ignored.
#ifndef SLUICE_RUNTIME_TEXT_TOKENIZER_SENTENCEPIECE_MODEL_H_
#define SLUICE_RUNTIME_TEXT_TOKENIZER_SENTENCEPIECE_MODEL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

// The numbers are the format's.
enum class PieceType : uint8_t {
  kNormal = 1,
  kUnknown = 2,      // stands for a character that has no piece
  kControl = 3,      // stands for no text
  kUserDefined = 4,  // one piece wherever its text stands
  kUnused = 5,       // merges on, but never comes out
  kByte = 6,         // <0xNN>
};

struct SentencePieceModel {
  struct Piece {
    std::string text;  // valid UTF-8, not empty
    float score = 0;   // finite
    PieceType type = PieceType::kNormal;
  };
  std::vector<Piece> pieces;                             // by id
  bool byte_fallback = false;                            // there is a piece for each byte
  std::string unk = "<unk>", bos = "<s>", eos = "</s>";  // pieces, where there are such ones

  // The normalizer's table and settings (sentencepiece_normalizer.h).
  std::string charsmap;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
};

// Parses a model file. InvalidArgument, without the file's name: the file is cut short or is no
// such file (a tiktoken vocabulary, which has the same name, is named), or it lacks what
// SentencePiece asks of a model. Unimplemented: names a model other than BPE, or a setting that no
// model in use has.
absl::StatusOr<SentencePieceModel> ParseSentencePieceModel(absl::string_view file);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_SENTENCEPIECE_MODEL_H_
