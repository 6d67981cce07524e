// Turns text into token ids and back, as Hugging Face's tokenizer files describe it.
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
  // Adds the tokens that the post-processor puts around a text (bos, eos).
  bool add_special_tokens = true;
  // The text of a control token (an added token marked special) becomes that token. Otherwise it is
  // plain text, as text that a user typed should be.
  bool parse_special = true;
  // kPlainMark is removed from the text after control tokens were looked for: a control token's
  // text with a mark inside is plain text. So one text may hold control tokens as well as plain
  // text that looks like them.
  bool drop_plain_marks = false;
  // If a text has more ids than this, more than this come back, but not all: so a text that is much
  // too long for its purpose takes little time and memory.
  int64_t max_ids = std::numeric_limits<int64_t>::max();
  // Limits the memory that the ids, and all that is made of the text on the way to them, may take.
  // The text is not counted.
  int64_t max_bytes = std::numeric_limits<int64_t>::max();
};

// U+FDD0, which Unicode leaves to programs: no text that is meant to be exchanged holds it.
inline constexpr absl::string_view kPlainMark = "\xEF\xB7\x90";

// Immutable after load; any number of threads may use it.
class Tokenizer {
 public:
  // Reads tokenizer.json in `dir`, else tokenizer.model (SentencePiece's BPE), else vocab.json with
  // merges.txt (the GPT-2 and Qwen2 classes take these even if there is a tokenizer.model), else
  // tekken.json (Mistral's), and adds the tokens that other files name (token_files.h). If the
  // files put no special tokens around a text, add_bos_token and add_eos_token of
  // tokenizer_config.json count; without those keys, tokenizer.model and tekken.json add bos.
  // Truncation and padding in tokenizer.json are ignored, as in transformers. NotFound: there is no
  // tokenizer. FailedPrecondition: only one of vocab.json and merges.txt is there. InvalidArgument,
  // with file and reason: a Git LFS pointer, a malformed file, or an unknown component, option or
  // regex construct. InvalidArgument or Unimplemented: a model other than BPE.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const std::string& dir);

  // Parses the text of a tokenizer.json; `what` names it in errors. The tokens of `files` are
  // added.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> FromJson(absl::string_view text,
                                                             absl::string_view what);
  static absl::StatusOr<std::unique_ptr<Tokenizer>> FromJson(absl::string_view text,
                                                             absl::string_view what,
                                                             const TokenFiles& files);
  ~Tokenizer();

  // Returns the ids of `text`. Malformed UTF-8 counts as U+FFFD, one for each longest malformed
  // prefix of a character (as Python's errors="replace"). In a vocabulary without unk_token, a
  // character that has no token and no fallback is left out, as in the reference.
  // ResourceExhausted: a regex or a normalizer of the file exceeds its limits on this text.
  // OutOfRange: max_bytes are too few.
  absl::StatusOr<std::vector<int32_t>> Encode(absl::string_view text,
                                              EncodeOptions options = {}) const;

  // Returns the text of `ids`, always valid UTF-8; bytes that form no character become U+FFFD. Ids
  // without a token are left out, and so are special tokens with `skip_special`.
  std::string Decode(absl::Span<const int32_t> ids, bool skip_special) const;

  // Returns a number of bytes: a longer text has more than `ids` ids. (Tokens that may take along
  // white space or other characters without end have no such bound; then it is 4096 bytes an id,
  // which hardly any text exceeds.)
  int64_t MostTextBytes(int64_t ids) const;

  // Returns the largest id + 1. Not every id below it has a token.
  int32_t vocab_size() const;
  // Returns whether a token has this id.
  bool Contains(int32_t id) const;
  // Returns whether `id` is a control token; false for ids without a token.
  bool IsSpecial(int32_t id) const;
  // Returns the id of exactly this token, in the file's own spelling ("Ġthe", "<0x0A>",
  // "<|eot_id|>").
  std::optional<int32_t> TokenId(absl::string_view token) const;
  // Returns that spelling; empty for ids without a token. The view lives as long as the tokenizer.
  absl::string_view Token(int32_t id) const;

  // Returns, by id, the bytes that each token adds to a text that has begun; empty for ids without
  // a token and for control tokens. FailedPrecondition: the decoder writes a token according to its
  // neighbours.
  absl::StatusOr<std::vector<std::string>> TokenBytes() const;

  // Returns the bytes that one token adds to a text that has begun, which may be part of a
  // character; for a control token its text. If the decoder writes a token according to its
  // neighbours, it is the result of Decode() for the token alone.
  std::string TokenBytes(int32_t id) const;

  // Returns about how much heap memory the tokenizer holds.
  int64_t MemoryBytes() const;

 private:
  friend class StreamDecoder;
  friend class TokenizerBuilder;
  struct Parts;
  explicit Tokenizer(std::unique_ptr<const Parts> parts);

  DecoderPipeline NewPipeline() const;
  // Appends the text that `id` makes certain.
  void Feed(int32_t id, bool skip_special, DecoderPipeline* pipeline, std::string* text) const;

  std::unique_ptr<const Parts> parts_;
};

// Decodes ids one at a time, as they are generated. Not thread-safe. The tokenizer must outlive it.
class StreamDecoder {
 public:
  // The text will continue the text of `prompt`, which decides whether a leading space is shown,
  // and to which character a first byte belongs. With an empty prompt the text stands alone.
  StreamDecoder(const Tokenizer* tokenizer, bool skip_special,
                absl::Span<const int32_t> prompt = {});

  // Takes the next id and returns the text that is now certain: whole characters that no later
  // token changes. The results of Push() and Flush(), put together, are Decode() of the prompt and
  // all ids, less the text that was certain after the prompt.
  std::string Push(int32_t id);

  // Returns the text that is still held back (a started character becomes U+FFFD). The decoder is
  // then as new, without a prompt.
  std::string Flush();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  DecoderPipeline pipeline_;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_TOKENIZER_H_
