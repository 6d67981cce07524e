// libedit, fed with characters that were decoded here: it sees no byte that is not UTF-8, whatever
// the locale, and signals reach it at one place.
#include <histedit.h>
#include <langinfo.h>

#include <clocale>
#include <cstdio>
#include <cstring>
#include <cwchar>

#include "absl/strings/string_view.h"
#include "runtime/text/tokenizer/unicode.h"
#include "tools/byte_input.h"
#include "tools/interrupt.h"
#include "tools/line_source.h"

namespace sluice {
namespace {

constexpr int kHistoryLines = 1000;

struct EndEdit {
  void operator()(EditLine* edit) const { el_end(edit); }
};
struct EndHistory {
  void operator()(HistoryW* history) const { history_wend(history); }
};

class TerminalLines : public LineSource {
 public:
  bool Start() {
    // libedit shows what the locale can show. Answers are UTF-8 in any case, so the terminal is
    // taken to know it.
    if (setlocale(LC_CTYPE, "") == nullptr || std::strcmp(nl_langinfo(CODESET), "UTF-8") != 0) {
      setlocale(LC_CTYPE, "C.UTF-8");
    }
    edit_.reset(el_init("sluice", stdin, stdout, stderr));
    history_.reset(history_winit());
    if (edit_ == nullptr || history_ == nullptr) return false;
    HistEventW event;
    history_w(history_.get(), &event, H_SETSIZE, kHistoryLines);
    history_w(history_.get(), &event, H_SETUNIQUE, 1);
    el_wset(edit_.get(), EL_CLIENTDATA, this);
    el_wset(edit_.get(), EL_EDITOR, L"emacs");
    el_wset(edit_.get(), EL_SIGNAL, 0);
    el_wset(edit_.get(), EL_PROMPT, &Prompt);
    el_wset(edit_.get(), EL_HIST, history_w, history_.get());
    el_wset(edit_.get(), EL_GETCFN, &GetCharacter);
    el_source(edit_.get(), nullptr);  // the user's own key bindings
    return true;
  }

  LineState Read(absl::string_view prompt, std::string* line, bool* replaced) override {
    prompt_.assign(prompt.begin(), prompt.end());
    replaced_ = interrupted_ = false;
    int count = 0;
    // libedit alone would show the prompt first: what is typed right then would be echoed twice.
    el_wset(edit_.get(), EL_PREP_TERM, 1);
    const wchar_t* const typed = el_wgets(edit_.get(), &count);
    line->clear();
    if (interrupted_) {
      line->swap(interrupted_line_);
      return LineState::kInterrupted;
    }
    if (typed == nullptr || count <= 0) return LineState::kEnd;
    std::wstring text(typed, static_cast<size_t>(count));
    if (!text.empty() && text.back() == L'\n') text.pop_back();
    if (text.find_first_not_of(L" \t") != std::wstring::npos) {
      HistEventW event;
      history_w(history_.get(), &event, H_ENTER, text.c_str());
    }
    for (const wchar_t c : text) AppendUtf8(static_cast<uint32_t>(c), line);
    *replaced = replaced_;
    return LineState::kLine;
  }

 private:
  static TerminalLines* Of(EditLine* edit) {
    void* self = nullptr;
    el_wget(edit, EL_CLIENTDATA, &self);
    return static_cast<TerminalLines*>(self);
  }
  static wchar_t* Prompt(EditLine* edit) { return Of(edit)->prompt_.data(); }

  void FollowTerminal() {
    const bool continued = TakeContinue(), resized = TakeResize();
    if (continued) {  // the shell had the terminal, and libedit believes that its modes still hold
      el_wset(edit_.get(), EL_PREP_TERM, 0);
      el_wset(edit_.get(), EL_PREP_TERM, 1);
    }
    if (resized) el_resize(edit_.get());
    if (continued || resized) el_wset(edit_.get(), EL_REFRESH);
  }

  // As libedit wants it: 1 with a character, 0 at the end, -1 to give up.
  static int GetCharacter(EditLine* edit, wchar_t* out) {
    TerminalLines& self = *Of(edit);
    std::string bytes;
    while (true) {
      uint8_t byte = 0;
      const ByteInput::State state = self.input_.Next(&byte);
      if (state == ByteInput::State::kInterrupted) {
        self.interrupted_ = true;
        self.interrupted_line_.clear();
        const LineInfoW* const edited = el_wline(edit);
        for (const wchar_t* c = edited->buffer; c != edited->lastchar; ++c) {
          AppendUtf8(static_cast<uint32_t>(*c), &self.interrupted_line_);
        }
        return -1;
      }
      if (state == ByteInput::State::kEnd && bytes.empty()) return 0;
      if (state == ByteInput::State::kByte) bytes.push_back(static_cast<char>(byte));
      const Utf8Char c = DecodeUtf8(bytes, 0);
      if (c.state == Utf8State::kTruncated && state == ByteInput::State::kByte) continue;
      // What made the character malformed is the next one's first byte.
      if (static_cast<size_t>(c.size) < bytes.size()) self.input_.Unread();
      if (c.state != Utf8State::kValid) self.replaced_ = true;
      *out = static_cast<wchar_t>(c.code);
      return 1;
    }
  }

  std::unique_ptr<HistoryW, EndHistory> history_;
  std::unique_ptr<EditLine, EndEdit> edit_;
  std::wstring prompt_;
  bool replaced_ = false, interrupted_ = false;
  std::string interrupted_line_;  // what was typed before the signal
  ByteInput input_{[this] { FollowTerminal(); }};
};

}  // namespace

std::unique_ptr<LineSource> MakeTerminalLines() {
  auto lines = std::make_unique<TerminalLines>();
  if (!lines->Start()) return nullptr;
  return lines;
}

}  // namespace sluice
