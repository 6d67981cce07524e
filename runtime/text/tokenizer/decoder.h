// Decoders of tokenizer.json: from tokens to text, one token at a time.
//
// The library that wrote the file passes the whole list of tokens through one decoder after the
// other. Here each decoder is a stage that takes tokens as they come, and holds back only what
// later tokens may still change. So streaming and decoding at once are the same code and give the
// same text.
#ifndef SLUICE_RUNTIME_TEXT_TOKENIZER_DECODER_H_
#define SLUICE_RUNTIME_TEXT_TOKENIZER_DECODER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace sluice {

// The work of one stage. A Sequence is a list of steps.
struct DecoderStep {
  enum class Kind : uint8_t {
    kJoin,          // tokens with a space between them: used if there is no decoder
    kByteLevel,     // characters of the byte alphabet become bytes
    kByteFallback,  // runs of <0xNN> become bytes
    kFuse,          // all tokens become one
    kReplace,       // in each token `content` becomes `with`
    kStrip,         // removes `content` up to `start` and `stop` times from the ends of each token
    kMetaspace,     // `content` becomes a space; in the first token nothing if `strips_first`
    kSuffix,        // BPEDecoder: `content` becomes a space, and nothing in the last token
  };
  Kind kind = Kind::kJoin;
  std::string content, with;
  int64_t start = 0, stop = 0;
  bool strips_first = false;
};

// Reads the member "decoder" of tokenizer.json (null: kJoin). Known types: ByteLevel, ByteFallback,
// Fuse, Strip, Replace (of a string), Metaspace, BPEDecoder, Sequence. InvalidArgument: another
// type (by name), an unknown key, a wrong value.
absl::StatusOr<std::vector<DecoderStep>> ReadDecoder(const nlohmann::json& component);

// Decodes one text. Not thread-safe. The text that it appends is valid UTF-8 and final.
class DecoderPipeline {
 public:
  class Stage;

  explicit DecoderPipeline(const std::vector<DecoderStep>& steps);
  DecoderPipeline(DecoderPipeline&&) noexcept;
  DecoderPipeline& operator=(DecoderPipeline&&) noexcept;
  ~DecoderPipeline();

  // Takes the next token (valid UTF-8) and appends the text that is now certain.
  void Push(absl::string_view token, std::string* text);
  // Appends the rest. Nothing may be pushed afterwards.
  void Finish(std::string* text);

 private:
  struct Piece;
  void Run(size_t stage, Piece piece, std::string* text);

  std::vector<std::unique_ptr<Stage>> stages_;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_DECODER_H_
