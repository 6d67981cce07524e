// From options to a chat front.
#include "tools/chat_options.h"

#include "absl/strings/str_cat.h"

namespace sluice {

std::vector<OptionSpec> TemplateOptionSpecs() {
  return {
      {.name = "--template",
       .value = "FILE|NAME",
       .help = "A chat template instead of the store's own: a file, or a known one such as chatml, "
               "llama3 or "
               "mistral-v3 (docs/chat-templates.md)."},
      {.name = "--no-parse-special",
       .help = "Control tokens in messages, such as <|im_end|>, are plain text (default: tokens)."},
  };
}

std::vector<OptionSpec> ChatOptionSpecs() {
  std::vector<OptionSpec> specs = {
      {.name = "--chat",
       .help = "The prompt is a user's message; the store's chat template is put around it."},
      {.name = "--no-chat",
       .help =
           "The prompt is taken as it is, and no line says that the store has a chat template."},
      {.name = "--system", .value = "TEXT", .help = "With --chat: the system message."},
  };
  for (OptionSpec& spec : TemplateOptionSpecs()) {
    spec.help = absl::StrCat("With --chat: ", spec.help);
    specs.push_back(spec);
  }
  return specs;
}

absl::StatusOr<ChatFront> LoadChatFront(const Arguments& args, const Session& session) {
  ChatFrontOptions options;
  options.template_file = args.Get("--template").value_or("");
  options.parse_special = !args.Has("--no-parse-special");
  absl::StatusOr<ChatFront> front =
      ChatFront::Load(session.store->TokenizerDir(), options, session.tokenizer.get());
  if (absl::IsNotFound(front.status()) && options.template_file.empty()) {
    return absl::NotFoundError(
        absl::StrCat(session.store->dir(),
                     " has no chat template; give one with --template FILE, or name the one "
                     "that the model was trained with, such as --template chatml"));
  }
  return front;
}

}  // namespace sluice
