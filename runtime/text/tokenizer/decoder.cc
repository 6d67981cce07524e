// The stages of decoding. A token travels in pieces, the last of which is marked.
#include "runtime/text/tokenizer/decoder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "runtime/text/tokenizer/byte_alphabet.h"
#include "runtime/text/tokenizer/unicode.h"

namespace sluice {

struct DecoderPipeline::Piece {
  std::string text;  // whole characters
  bool ends_token;
};

// Takes the pieces of one token after the other and appends pieces to `out`.
class DecoderPipeline::Stage {
 public:
  using Piece = DecoderPipeline::Piece;
  virtual ~Stage() = default;
  virtual void Push(Piece piece, std::vector<Piece>* out) = 0;
  virtual void Finish(std::vector<Piece>* /*out*/) {}
};

namespace {

using Stage = DecoderPipeline::Stage;

constexpr char kReplacementCharacter[] = "\xEF\xBF\xBD";

// The base of stages that need whole tokens.
class WholeTokenStage : public Stage {
 public:
  void Push(Piece piece, std::vector<Piece>* out) final {
    if (!piece.ends_token) {
      held_ += piece.text;
      return;
    }
    if (held_.empty()) {
      Token(std::move(piece.text), out);
    } else {
      held_ += piece.text;
      Token(std::exchange(held_, {}), out);
    }
  }

 private:
  virtual void Token(std::string token, std::vector<Piece>* out) = 0;

  std::string held_;
};

class Join : public Stage {
 public:
  void Push(Piece piece, std::vector<Piece>* out) override {
    if (between_) out->push_back({" ", false});
    between_ = piece.ends_token;
    piece.ends_token = false;
    out->push_back(std::move(piece));
  }

 private:
  bool between_ = false;  // a token has ended and a next one may come
};

class ByteLevel : public WholeTokenStage {
 public:
  void Finish(std::vector<Piece>* out) override {
    std::string text;
    AppendLossyUtf8(bytes_, &text);
    bytes_.clear();
    out->push_back({std::move(text), true});
  }

 private:
  void Token(std::string token, std::vector<Piece>* out) override {
    AppendCharacterBytes(token, &bytes_);
    const size_t whole = bytes_.size() - IncompleteTail(bytes_);
    std::string text;
    AppendLossyUtf8(absl::string_view(bytes_).substr(0, whole), &text);
    bytes_.erase(0, whole);
    if (!text.empty()) out->push_back({std::move(text), false});
  }

  std::string bytes_;  // the start of a character
};

class ByteFallback : public WholeTokenStage {
 public:
  void Finish(std::vector<Piece>* out) override { Release(out); }

 private:
  static int HexDigit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
  }

  void Token(std::string token, std::vector<Piece>* out) override {
    if (token.size() == 6 && absl::StartsWith(token, "<0x") && token[5] == '>') {
      // The reference reads "+F" as a number, too.
      const int high = token[3] == '+' ? 0 : HexDigit(token[3]), low = HexDigit(token[4]);
      if (high >= 0 && low >= 0) {
        bytes_.push_back(static_cast<char>(high * 16 + low));
        return;
      }
    }
    Release(out);
    out->push_back({std::move(token), true});
  }

  // A run that is not UTF-8 as a whole becomes one U+FFFD a byte, as in the reference.
  void Release(std::vector<Piece>* out) {
    if (bytes_.empty()) return;
    bool valid = true;
    for (size_t at = 0; at < bytes_.size() && valid;) {
      const Utf8Char c = DecodeUtf8(bytes_, at);
      valid = c.state == Utf8State::kValid;
      at += c.size;
    }
    if (valid) {
      out->push_back({bytes_, true});
    } else {
      for (size_t i = 0; i < bytes_.size(); ++i) out->push_back({kReplacementCharacter, true});
    }
    bytes_.clear();
  }

  std::string bytes_;
};

class Fuse : public Stage {
 public:
  void Push(Piece piece, std::vector<Piece>* out) override {
    piece.ends_token = false;
    out->push_back(std::move(piece));
  }
  void Finish(std::vector<Piece>* out) override { out->push_back({"", true}); }
};

class Replace : public Stage {
 public:
  explicit Replace(const DecoderStep& step) : content_(step.content), with_(step.with) {}

  void Push(Piece piece, std::vector<Piece>* out) override {
    held_ += piece.text;
    std::string text;
    size_t at = 0;
    for (size_t match; (match = held_.find(content_, at)) != std::string::npos;) {
      text.append(held_, at, match - at);
      text += with_;
      at = match + content_.size();
    }
    size_t keep = held_.size();
    if (!piece.ends_token) {  // a match may have begun in the last bytes
      keep = std::max(at, held_.size() - std::min(held_.size(), content_.size() - 1));
      while (keep > at && keep < held_.size() && IsUtf8Continuation(held_[keep])) --keep;
    }
    text.append(held_, at, keep - at);
    held_.erase(0, keep);
    out->push_back({std::move(text), piece.ends_token});
  }

 private:
  const std::string content_, with_;
  std::string held_;
};

class Strip : public Stage {
 public:
  explicit Strip(const DecoderStep& step)
      : content_(step.content), start_(step.start), stop_(step.stop) {}

  void Push(Piece piece, std::vector<Piece>* out) override {
    held_ += piece.text;
    size_t begin = 0;
    while (left_ < start_ && absl::StartsWith(absl::string_view(held_).substr(begin), content_)) {
      begin += content_.size();
      ++left_;
    }
    if (begin < held_.size()) left_ = start_;  // the token's text has begun
    // Up to stop_ characters go at the end: any of the last ones so far may be among them.
    size_t end = held_.size();
    for (int64_t i = 0; i < stop_ && EndsWithContent(begin, end); ++i) end -= content_.size();
    std::string text = held_.substr(begin, end - begin);
    if (piece.ends_token) {
      held_.clear();
      left_ = 0;
    } else {
      held_.erase(0, end);
    }
    out->push_back({std::move(text), piece.ends_token});
  }

 private:
  bool EndsWithContent(size_t begin, size_t end) const {
    return end - begin >= content_.size() &&
           held_.compare(end - content_.size(), content_.size(), content_) == 0;
  }

  const std::string content_;
  const int64_t start_, stop_;
  int64_t left_ = 0;  // how many are off the start of this token; start_: no more will go
  std::string held_;
};

class Metaspace : public Stage {
 public:
  explicit Metaspace(const DecoderStep& step) : content_(step.content), first_(step.strips_first) {}

  void Push(Piece piece, std::vector<Piece>* out) override {
    piece.text = absl::StrReplaceAll(piece.text, {{content_, first_ ? "" : " "}});
    if (piece.ends_token) first_ = false;
    out->push_back(std::move(piece));
  }

 private:
  const std::string content_;
  bool first_;  // in the first token
};

class Suffix : public WholeTokenStage {
 public:
  explicit Suffix(const DecoderStep& step) : content_(step.content) {}

  void Finish(std::vector<Piece>* out) override {
    if (has_last_) out->push_back({absl::StrReplaceAll(last_, {{content_, ""}}), true});
  }

 private:
  void Token(std::string token, std::vector<Piece>* out) override {
    if (has_last_) out->push_back({absl::StrReplaceAll(last_, {{content_, " "}}), true});
    last_ = std::move(token);
    has_last_ = true;
  }

  const std::string content_;
  std::string last_;
  bool has_last_ = false;
};

std::unique_ptr<Stage> MakeStage(const DecoderStep& step) {
  switch (step.kind) {
    case DecoderStep::Kind::kJoin:
      return std::make_unique<Join>();
    case DecoderStep::Kind::kByteLevel:
      return std::make_unique<ByteLevel>();
    case DecoderStep::Kind::kByteFallback:
      return std::make_unique<ByteFallback>();
    case DecoderStep::Kind::kFuse:
      return std::make_unique<Fuse>();
    case DecoderStep::Kind::kReplace:
      return std::make_unique<Replace>(step);
    case DecoderStep::Kind::kStrip:
      return std::make_unique<Strip>(step);
    case DecoderStep::Kind::kMetaspace:
      return std::make_unique<Metaspace>(step);
    case DecoderStep::Kind::kSuffix:
      return std::make_unique<Suffix>(step);
  }
  return nullptr;
}

}  // namespace

DecoderPipeline::DecoderPipeline(const std::vector<DecoderStep>& steps) {
  for (const DecoderStep& step : steps) stages_.push_back(MakeStage(step));
}
DecoderPipeline::DecoderPipeline(DecoderPipeline&&) noexcept = default;
DecoderPipeline& DecoderPipeline::operator=(DecoderPipeline&&) noexcept = default;
DecoderPipeline::~DecoderPipeline() = default;

void DecoderPipeline::Run(size_t stage, Piece piece, std::string* text) {
  if (stage == stages_.size()) {
    *text += piece.text;
    return;
  }
  std::vector<Piece> out;
  stages_[stage]->Push(std::move(piece), &out);
  for (Piece& next : out) Run(stage + 1, std::move(next), text);
}

void DecoderPipeline::Push(absl::string_view token, std::string* text) {
  Run(0, {std::string(token), true}, text);
}

void DecoderPipeline::Finish(std::string* text) {
  for (size_t stage = 0; stage < stages_.size(); ++stage) {
    std::vector<Piece> out;
    stages_[stage]->Finish(&out);
    for (Piece& piece : out) Run(stage + 1, std::move(piece), text);
  }
}

}  // namespace sluice
