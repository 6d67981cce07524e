// Prompts and other texts that a command line hands in, read within the budget.
#ifndef SLUICE_TOOLS_PROMPT_TEXT_H_
#define SLUICE_TOOLS_PROMPT_TEXT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/base/memory_limits.h"
#include "runtime/open/session.h"
#include "tools/command.h"

namespace sluice {

// `-p TEXT | -f FILE | --prompt-ids 5,9,12`; exactly one must be given.
std::vector<OptionSpec> PromptOptionSpecs();
absl::Status CheckPromptOptions(const Arguments& args);  // before anything is opened
// At least as many rows as the prompt can have, at most kPrefillRows: a token is a byte or more.
int64_t MostPromptRows(const Arguments& args);

// The prompt's ids, at most as many as the context has. InvalidArgument: it has more.
// ResourceExhausted: the text and what is made of it on the way to the ids take more than the
// budget has for them; before that much is taken, and for a file or pipe of any size.
// FailedPrecondition: a text for a store without a tokenizer.
//
// Before the model is started all of the budget is for them; behind StartModelEarly it is what the
// KV cache and the activations take, which nothing touches before the first pass.
absl::StatusOr<std::vector<int32_t>> ReadPrompt(const Arguments& args, const Session& session,
                                                const OpenOptions& options);
// The same for the text of -p or -f that a chat template is put around.
absl::StatusOr<std::string> ReadPromptText(const Arguments& args, const Session& session,
                                           const OpenOptions& options);

// The budget's part for a prompt's text and its way to ids, and the error of one that takes more.
// `what` names it.
int64_t TextRoom(const Session& session, const OpenOptions& options);
absl::Status NoTextRoom(absl::string_view what, const Session& session, const OpenOptions& options);

// Ids of the text in `path`, without special tokens, however many: the context is no limit. The
// session's model has not been started.
absl::StatusOr<std::vector<int32_t>> ReadLongText(const std::string& path, const Session& session,
                                                  const OpenOptions& options);

// Reads a whole text file of at most 1 GiB for a command that has no --max-ram; "-" is standard
// input. ResourceExhausted, before it is read: what is made of it would take more memory than
// `budget` has.
absl::StatusOr<std::string> ReadTextFile(const std::string& path, const DefaultBudget& budget);
absl::Status NoFreeMemory(absl::string_view what, const DefaultBudget& budget);

}  // namespace sluice

#endif  // SLUICE_TOOLS_PROMPT_TEXT_H_
