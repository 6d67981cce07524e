// sluice chat: a conversation with a store, in a terminal or through a pipe.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/chat/chat_session.h"
#include "runtime/open/session.h"
#include "tools/chat_loop.h"
#include "tools/chat_options.h"
#include "tools/commands.h"
#include "tools/generate_options.h"
#include "tools/grammar_options.h"
#include "tools/interrupt.h"
#include "tools/line_source.h"
#include "tools/model_progress.h"
#include "tools/prompt_text.h"
#include "tools/session_options.h"

namespace sluice {
namespace {

bool TerminalCanDim() {
  const char* const term = std::getenv("TERM");
  const char* const no_color = std::getenv("NO_COLOR");
  return term != nullptr && std::strcmp(term, "dumb") != 0 &&
         (no_color == nullptr || *no_color == '\0');
}

absl::Status Chat(const Arguments& given) {
  const Arguments args = WithEscapes(given);
  SLUICE_ASSIGN_OR_RETURN(OpenOptions options, ParseSessionOptions(args));
  SLUICE_ASSIGN_OR_RETURN(GenerateOptions generate, ParseGenerateOptions(args));
  SLUICE_ASSIGN_OR_RETURN(options.speculate, ParseSpeculateOptions(args));
  SLUICE_ASSIGN_OR_RETURN(const std::optional<GrammarText> grammar,
                          ReadGrammarOption(args, &options));
  ChatLoopOptions loop;
  generate.interrupt = InstallInterruptHandler();
  loop.interactive = isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0;
  loop.thinking = args.Has("--hide-thinking")            ? ThinkingStyle::kHidden
                  : loop.interactive && TerminalCanDim() ? ThinkingStyle::kDimmed
                                                         : ThinkingStyle::kTags;

  options.reads_prompts = true;
  SLUICE_ASSIGN_OR_RETURN(Session session, OpenStoreAlone(options));
  SLUICE_RETURN_IF_ERROR(StartModelEarly(session, options, kPrefillRows));
  SLUICE_RETURN_IF_ERROR(LoadTokenizer(session, options));
  SLUICE_ASSIGN_OR_RETURN(const ChatFront front, LoadChatFront(args, session));
  if (session.model == nullptr) {
    SLUICE_RETURN_IF_ERROR(
        StartModel(session, options, kPrefillRows, /*logits_of_all_rows=*/false));
  }
  SLUICE_ASSIGN_OR_RETURN(generate.constraint, MakeConstraint(grammar, session, front.turn_ends()));
  generate.speculator = session.speculator.get();
  loop.speculator = session.speculator.get();
  ModelProgress progress(session.model.get(), "prompt");
  generate.on_prompt = [&progress](int64_t rows) { progress.BeginRows(rows); };
  ChatSession chat(session.model.get(), session.tokenizer.get(), &front, StoreHash(*session.store),
                   LocalTime(std::time(nullptr)), std::move(generate));
  chat.LimitPrompts(PromptWorkBytes(options.max_ram_bytes));
  chat.SetSystem(args.Get("--system").value_or(""));
  std::unique_ptr<LineSource> lines = loop.interactive ? MakeTerminalLines() : MakePlainLines();
  if (lines == nullptr) {
    return absl::UnavailableError(
        "libedit cannot work with this terminal; use a pipe, or set TERM");
  }
  if (loop.interactive) {
    std::fprintf(stderr, "%s, a context of %d tokens; /help lists commands, Ctrl-D leaves\n",
                 options.store.c_str(), static_cast<int>(chat.context_tokens()));
  }
  return ChatLoop(&chat, session.model.get(), lines.get(), &progress, loop).Run();
}

}  // namespace

CommandSpec ChatCommand() {
  CommandSpec command;
  command.name = "chat";
  command.summary = "Talk to a model, turn by turn";
  command.positionals = {"STORE"};
  command.description =
      "Reads messages, one a line, and answers them with the chat template of STORE around them. "
      "A line that ends with \\ continues in the next line. Keys and values of earlier turns "
      "stay in the cache, so that a turn computes only its new tokens. /help lists commands: "
      "/reset /system /save /load /regen /stats /exit.\n\n"
      "If the context is full, the oldest turns after the system message are dropped, and a note "
      "says so. Thoughts of the model, between <think> tags, are shown dimmed.\n\n"
      "Ctrl-C stops the answer, Ctrl-D leaves. Without a terminal, answers alone go to standard "
      "output, and the first "
      "error or interrupt ends the program. docs/chat.md says more.";
  command.options = {
      {.name = "--system", .value = "TEXT", .help = "The system message."},
      {.name = "--hide-thinking", .help = "Show only the answers of models that think first."},
  };
  for (const OptionSpec& option : TemplateOptionSpecs()) command.options.push_back(option);
  for (const OptionSpec& option : GenerateOptionSpecs()) command.options.push_back(option);
  for (const OptionSpec& option : SpeculateOptionSpecs(/*with_head=*/true)) {
    command.options.push_back(option);
  }
  for (const OptionSpec& option : GrammarOptionSpecs()) command.options.push_back(option);
  for (const OptionSpec& option : SessionOptionSpecs()) command.options.push_back(option);
  command.examples = {"sluice chat qwen3.store --max-ram 6GiB --system \"Be brief.\"",
                      "echo \"Why is the sky blue?\" | sluice chat qwen3.store --hide-thinking"};
  command.run = &Chat;
  return command;
}

}  // namespace sluice
