// Text to token ids and back, as the tokenizer files of Hugging Face describe it.
#ifndef SLUICE_RUNTIME_TEXT_TOKENIZER_TOKENIZER_H_
#define SLUICE_RUNTIME_TEXT_TOKENIZER_TOKENIZER_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/text/tokenizer/decoder.h"

namespace sluice {

struct TokenFiles;

struct EncodeOptions {
  // Put what the post-processor puts around a text (bos, eos) around this one.
  bool add_special_tokens = true;
  // The text of a control token (an added token marked special) is that token. Otherwise it is
  // plain text, as what a user typed should be.
  bool parse_special = true;
  // kPlainMark is left out of the text, after control tokens were looked for: a control token's
  // text that has one inside is plain text. So one text may hold control tokens and what only looks
  // like them.
  bool drop_plain_marks = false;
  // A text of more ids than this gives more than this, but not all: the rest is left out, so that
  // one that is much too long for its purpose takes little time and memory.
  int64_t max_ids = std::numeric_limits<int64_t>::max();
  // Memory that the ids and what is made of the text on the way to them may take. The text is not
  // counted.
  int64_t max_bytes = std::numeric_limits<int64_t>::max();
};

// U+FDD0, which Unicode leaves to programs: no text that is meant to be exchanged holds it.
inline constexpr absl::string_view kPlainMark = "\xEF\xB7\x90";

// Immutable after load; any number of threads may use it.
class Tokenizer {
 public:
  // Reads tokenizer.json in `dir`, else tokenizer.model (SentencePiece's BPE), else vocab.json with
  // merges.txt (GPT-2 and Qwen2 classes, which take these even where there is a tokenizer.model),
  // else tekken.json (Mistral's), and adds the tokens that other files name (token_files.h). Where
  // the files put no special tokens around a text, add_bos_token and add_eos_token of
  // tokenizer_config.json are honoured; without the key, bos is added by tokenizer.model and
  // tekken.json. Truncation and padding in tokenizer.json are ignored, as transformers does.
  // NotFound: no tokenizer there. FailedPrecondition: half of vocab.json with merges.txt.
  // InvalidArgument, with file and reason: a Git LFS pointer, a malformed file, or anything in it
  // that is not known: a component, an option, a regex construct. InvalidArgument or Unimplemented:
  // a model other than BPE.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const std::string& dir);

  // The same from the text of a tokenizer.json; `what` names it in errors. The tokens of `files`
  // are added.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> FromJson(absl::string_view text,
                                                             absl::string_view what);
  static absl::StatusOr<std::unique_ptr<Tokenizer>> FromJson(absl::string_view text,
                                                             absl::string_view what,
                                                             const TokenFiles& files);
  ~Tokenizer();

  // The ids of `text`. Malformed UTF-8 in it counts as U+FFFD, one for each longest malformed
  // prefix of a character (what Python's errors="replace" gives). A character that has no token and
  // no fallback in a vocabulary without unk_token is left out, as the reference does.
  // ResourceExhausted: a regex or a normalizer of the file exceeds its limits on this text.
  // OutOfRange: max_bytes are too few.
  absl::StatusOr<std::vector<int32_t>> Encode(absl::string_view text,
                                              EncodeOptions options = {}) const;

  // The text of `ids`, always valid UTF-8; bytes that form no character become U+FFFD. Ids without
  // a token are left out, and with `skip_special` special tokens are, too.
  std::string Decode(absl::Span<const int32_t> ids, bool skip_special) const;

  // A text of more bytes than this is never one of so few ids, or is hardly so, where tokens may
  // take white space or other characters along without end: then it is 4096 bytes an id.
  int64_t MostTextBytes(int64_t ids) const;

  // The largest id + 1. Not every id below must have a token.
  int32_t vocab_size() const;
  // Whether a token has this id.
  bool Contains(int32_t id) const;
  // Whether `id` is a control token. False for ids without a token.
  bool IsSpecial(int32_t id) const;
  // The id of exactly this token, in the file's own spelling ("Ġthe", "<0x0A>", "<|eot_id|>").
  std::optional<int32_t> TokenId(absl::string_view token) const;
  // That spelling, empty for ids without a token. The view lives as long as the tokenizer.
  absl::string_view Token(int32_t id) const;

  // By id, the bytes that each token adds to a text that has begun; empty for ids without a token
  // and for control tokens. FailedPrecondition: the decoder is of a kind that writes a token
  // according to its neighbours.
  absl::StatusOr<std::vector<std::string>> TokenBytes() const;

  // The bytes that one token adds to a text that has begun, which may be part of a character; the
  // text of a control token. Where the decoder writes a token according to its neighbours: what
  // Decode() gives for the token alone.
  std::string TokenBytes(int32_t id) const;

  // Heap that the tokenizer holds, about.
  int64_t MemoryBytes() const;

 private:
  friend class StreamDecoder;
  friend class TokenizerBuilder;
  struct Parts;
  explicit Tokenizer(std::unique_ptr<const Parts> parts);

  DecoderPipeline NewPipeline() const;
  // Appends what `id` makes certain.
  void Feed(int32_t id, bool skip_special, DecoderPipeline* pipeline, std::string* text) const;

  std::unique_ptr<const Parts> parts_;
};

// Decodes ids one at a time, as they are generated. Not thread-safe. The tokenizer must outlive it.
class StreamDecoder {
 public:
  // The text will continue that of `prompt`: whether a leading space is shown, and to which
  // character a first byte belongs, depends on it. An empty prompt means that the text stands
  // alone.
  StreamDecoder(const Tokenizer* tokenizer, bool skip_special,
                absl::Span<const int32_t> prompt = {});

  // Takes the next id and returns the text that is now certain: whole characters that no later
  // token changes. All that Push() and Flush() return, put together, is what Decode() gives for the
  // prompt and all ids, less the text that was certain after the prompt.
  std::string Push(int32_t id);

  // Returns what is still held back (a started character becomes U+FFFD). The decoder is then as if
  // new, without a prompt.
  std::string Flush();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  DecoderPipeline pipeline_;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_TOKENIZER_H_
