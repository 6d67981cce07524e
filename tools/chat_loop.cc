// The loop and its commands.
#include "tools/chat_loop.h"

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "kernels/base/format_bytes.h"
#include "kernels/base/status_macros.h"
#include "tools/command.h"
#include "tools/draft_report.h"
#include "tools/interrupt.h"

namespace sluice {
namespace {

constexpr char kPrompt[] = "> ";
constexpr char kNextLinePrompt[] = ". ";

// "/word" or "/word argument": a path or a fraction is a message.
bool IsCommand(const std::string& line) {
  if (line.size() < 2 || line[0] != '/') return false;
  const absl::string_view word = absl::string_view(line).substr(1, line.find_first_of(" \t") - 1);
  return std::all_of(word.begin(), word.end(), [](char c) { return absl::ascii_isalpha(c); }) &&
         !word.empty();
}

// The template's errors and a message that is too long leave the session as it was; others are the
// disk's.
bool GoesOn(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsResourceExhausted(status) ||
         absl::IsFailedPrecondition(status);
}

}  // namespace

struct ChatLoop::Command {
  const char* name;
  const char* argument;  // for people; empty: it takes none
  const char* help;
  absl::Status (ChatLoop::*run)(const std::string& argument);
};

absl::Span<const ChatLoop::Command> ChatLoop::Commands() {
  static constexpr Command kCommands[] = {
      {"reset", "", "begin anew; the system message stays", &ChatLoop::Reset},
      {"system", "TEXT", "set another system message; without TEXT there is none",
       &ChatLoop::System},
      {"save", "FILE", "write the conversation with its keys and values", &ChatLoop::Save},
      {"load", "FILE", "go on with a conversation that was saved", &ChatLoop::Load},
      {"regen", "", "answer the last message again", &ChatLoop::Regenerate},
      {"stats", "", "tokens, context, speed and drafts", &ChatLoop::Stats},
      {"help", "", "show this", &ChatLoop::Help},
      {"exit", "", "leave, as Ctrl-D does", &ChatLoop::Exit},
  };
  return kCommands;
}

void ChatLoop::Say(absl::string_view text) const {
  const std::string line = absl::StrReplaceAll(text, {{"\r", " "}});
  std::fprintf(stderr, "%s\n", line.c_str());
}

LineState ChatLoop::ReadMessage(std::string* message) {
  message->clear();
  bool replaced_any = false;
  bool too_long = false;  // all lines together
  while (true) {
    std::string line;
    bool replaced = false;
    const LineState state =
        lines_.Read(message->empty() ? kPrompt : kNextLinePrompt, &line, &replaced);
    if (state == LineState::kInterrupted) *message += line;
    if (state == LineState::kEnd && !message->empty()) break;
    if (state != LineState::kLine) return state;
    replaced_any |= replaced;
    const bool continues = !line.empty() && line.back() == '\\';
    if (continues) line.back() = '\n';
    too_long |= message->size() + line.size() > kMaxLineBytes;
    if (!too_long) *message += line;
    if (!continues) break;
  }
  if (too_long) return LineState::kTooLong;
  if (replaced_any) Say("(bytes that are not UTF-8 became U+FFFD)");
  return LineState::kLine;
}

absl::Status ChatLoop::Answer(const std::string* message) {
  AnswerDisplay display(options_.thinking);
  const OnPiece show = [&](absl::string_view text, bool reasoning) {
    if (display.Shows(reasoning)) progress_.End();
    return display.Show(text, reasoning);
  };
  absl::StatusOr<TurnResult> turn =
      message != nullptr ? session_.Say(*message, show) : session_.Regenerate(show);
  progress_.End();
  if (!turn.ok()) {
    display.Break();
    broken_ = !GoesOn(turn.status());
    return turn.status();
  }
  last_ = *std::move(turn);
  display.End();
  if (last_.dropped_messages > 0) {
    Say(absl::StrCat("(the context of ", session_.context_tokens(), " tokens was full: the oldest ",
                     last_.dropped_messages, " messages were dropped)"));
  }
  if (last_.context_full) Say("(the context is full: the answer ends here)");
  if (last_.generated.finish_reason != FinishReason::kInterrupt) return absl::OkStatus();
  if (!options_.interactive || TerminationRequested()) return absl::CancelledError("interrupted");
  ClearInterrupt();
  Say(last_.generated.ids.empty() ? "(interrupted before an answer)" : "(interrupted)");
  return absl::OkStatus();
}

absl::Status ChatLoop::Help(const std::string&) {
  std::string text = "Commands:\n";
  for (const Command& command : Commands()) {
    absl::StrAppendFormat(&text, "  /%-12s %s\n", absl::StrCat(command.name, " ", command.argument),
                          command.help);
  }
  absl::StrAppend(&text,
                  "A line that ends with \\ continues in the next line. Ctrl-C stops an answer, or "
                  "clears the line; twice "
                  "leaves.");
  Say(text);
  return absl::OkStatus();
}

absl::Status ChatLoop::Reset(const std::string&) {
  session_.Reset();
  return absl::OkStatus();
}

absl::Status ChatLoop::System(const std::string& argument) {
  session_.SetSystem(argument);
  return absl::OkStatus();
}

absl::Status ChatLoop::Save(const std::string& argument) {
  SLUICE_RETURN_IF_ERROR(session_.Save(argument));
  Say(absl::StrCat("(saved ", session_.messages().size(), " messages and ",
                   session_.cached_tokens(), " tokens)"));
  return absl::OkStatus();
}

absl::Status ChatLoop::Load(const std::string& argument) {
  SLUICE_RETURN_IF_ERROR(session_.Load(argument));
  Say(absl::StrCat("(loaded ", session_.messages().size(), " messages and ",
                   session_.cached_tokens(), " tokens)"));
  return absl::OkStatus();
}

absl::Status ChatLoop::Regenerate(const std::string&) { return Answer(nullptr); }

absl::Status ChatLoop::Stats(const std::string&) {
  const GenerateResult& g = last_.generated;
  const auto ratio = [](double a, double b) { return b > 0 ? a / b : 0.0; };
  const int64_t computed = last_.prompt_tokens - g.reused_tokens;
  const MemoryPlan& plan = model_.plan();
  Say(absl::StrFormat(
      "context      %d of %d tokens computed, %d messages\n"
      "last prompt  %d tokens, %d of them reused, %.2f tokens/s\n"
      "last answer  %d tokens, %.2f tokens/s, %.4f GB read a token\n"
      "weights      %s resident, %s streamed each pass",
      session_.cached_tokens(), session_.context_tokens(), session_.messages().size(),
      last_.prompt_tokens, g.reused_tokens,
      ratio(static_cast<double>(computed), g.prompt_seconds - g.loading_seconds), g.ids.size(),
      ratio(static_cast<double>(g.generation_tokens), g.generation_seconds),
      ratio(g.generation_bytes_read / 1e9, static_cast<double>(g.generation_tokens)),
      FormatBytes(plan.weight_bytes - plan.residency.streamed_bytes),
      FormatBytes(plan.residency.streamed_bytes)));
  const std::string drafts =
      DescribeDrafts(options_.speculator, TokensPerPass(options_.speculator));
  if (!drafts.empty()) Say(absl::StripSuffix(drafts, "\n"));
  return absl::OkStatus();
}

absl::Status ChatLoop::Exit(const std::string&) {
  done_ = true;
  return absl::OkStatus();
}

absl::Status ChatLoop::RunCommand(const std::string& line) {
  const size_t space = std::min(line.find_first_of(" \t"), line.size());
  const std::string name = line.substr(1, space - 1);
  const std::string argument(absl::StripAsciiWhitespace(absl::string_view(line).substr(space)));
  for (const Command& command : Commands()) {
    if (name != command.name) continue;
    const bool takes = command.argument[0] != '\0';
    if (!takes && !argument.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("/", name, " takes no argument"));
    }
    if (takes && argument.empty() && name != "system") {
      return absl::InvalidArgumentError(absl::StrCat("/", name, " wants a ", command.argument));
    }
    return (this->*command.run)(argument);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "there is no /", name, "; /help lists commands, and a space in front makes it a message"));
}

absl::Status ChatLoop::Run() {
  bool leaving = false;  // Ctrl-C came last
  while (!done_) {
    std::string message;
    const LineState state = ReadMessage(&message);
    if (state == LineState::kEnd) {
      if (options_.interactive) std::printf("\n");
      return absl::OkStatus();
    }
    if (state == LineState::kInterrupted) {
      const bool leaves = leaving && message.empty();
      if (!options_.interactive || TerminationRequested() || leaves)
        return absl::CancelledError("interrupted");
      ClearInterrupt();
      std::printf("\n");
      std::fflush(stdout);
      Say("(Ctrl-C once more leaves, as Ctrl-D and /exit do)");
      leaving = true;
      continue;
    }
    leaving = false;
    if (state == LineState::kLine && absl::StripAsciiWhitespace(message).empty()) continue;
    const absl::Status status = state == LineState::kTooLong
                                    ? absl::InvalidArgumentError(absl::StrCat(
                                          "a message of more than ", kMaxLineBytes, " bytes"))
                                : IsCommand(message) ? RunCommand(message)
                                                     : Answer(&message);
    if (status.ok()) continue;
    if (!options_.interactive || broken_ || absl::IsCancelled(status)) return status;
    Say(absl::StrCat("error: ", absl::StrReplaceAll(status.message(), {{"\n", " "}})));
  }
  return absl::OkStatus();
}

}  // namespace sluice
