// The options of commands that chat, and the front that they ask for.
#ifndef SLUICE_TOOLS_CHAT_OPTIONS_H_
#define SLUICE_TOOLS_CHAT_OPTIONS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "runtime/chat/chat_front.h"
#include "runtime/open/session.h"
#include "tools/command.h"

namespace sluice {

// --template and --no-parse-special.
std::vector<OptionSpec> TemplateOptionSpecs();
// --chat, --system and those above, for commands that chat only if told to.
std::vector<OptionSpec> ChatOptionSpecs();

// The front of the session's store, whose tokenizer is loaded. NotFound says to give --template.
absl::StatusOr<ChatFront> LoadChatFront(const Arguments& args, const Session& session);

}  // namespace sluice

#endif  // SLUICE_TOOLS_CHAT_OPTIONS_H_
