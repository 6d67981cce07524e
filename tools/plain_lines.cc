// Lines from a pipe or a file.
#include "runtime/text/tokenizer/unicode.h"
#include "tools/byte_input.h"
#include "tools/line_source.h"

namespace sluice {
namespace {

class PlainLines : public LineSource {
 public:
  LineState Read(absl::string_view, std::string* line, bool* replaced) override {
    std::string raw;
    uint8_t byte = 0;
    ByteInput::State state;
    while ((state = input_.Next(&byte)) == ByteInput::State::kByte && byte != '\n') {
      if (raw.size() <= kMaxLineBytes) raw.push_back(static_cast<char>(byte));
    }
    if (state == ByteInput::State::kInterrupted) return LineState::kInterrupted;
    if (state == ByteInput::State::kEnd && raw.empty()) return LineState::kEnd;
    if (raw.size() > kMaxLineBytes) return LineState::kTooLong;
    if (!raw.empty() && raw.back() == '\r') raw.pop_back();
    line->clear();
    AppendLossyUtf8(raw, line);
    *replaced = *line != raw;
    return LineState::kLine;
  }

 private:
  ByteInput input_;
};

}  // namespace

std::unique_ptr<LineSource> MakePlainLines() { return std::make_unique<PlainLines>(); }

}  // namespace sluice
