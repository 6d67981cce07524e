// Renders a conversation with and without what begins an answer, and compares.
#include "runtime/chat/turn_end.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "runtime/chat/conversation.h"

namespace sluice {
namespace {

constexpr char kAnswer[] = "Xylophone";  // no template holds it

std::vector<int32_t> IdsOf(const Tokenizer& tokenizer, absl::string_view text) {
  return tokenizer.Encode(text, {.add_special_tokens = false}).value_or(std::vector<int32_t>());
}

}  // namespace

std::optional<int32_t> FindTurnEnd(const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                                   const std::tm& now) {
  const Conversation conversation = TextConversation({{"user", "Hello"}, {"assistant", kAnswer}});
  const absl::StatusOr<std::string> ended = chat_template.Render(
      ConversationVariables(conversation, /*add_generation_prompt=*/false), now);
  if (!ended.ok()) return std::nullopt;
  const size_t answer = ended->rfind(kAnswer);
  if (answer == std::string::npos) return std::nullopt;
  const absl::string_view behind = absl::string_view(*ended).substr(answer + sizeof(kAnswer) - 1);

  std::vector<int32_t> next_turn;
  const absl::StatusOr<std::string> continued = chat_template.Render(
      ConversationVariables(conversation, /*add_generation_prompt=*/true), now);
  if (continued.ok() && absl::StartsWith(*continued, *ended)) {
    next_turn = IdsOf(tokenizer, absl::string_view(*continued).substr(ended->size()));
  }
  for (const int32_t id : IdsOf(tokenizer, behind)) {
    if (tokenizer.IsSpecial(id)) {
      const bool begins = std::find(next_turn.begin(), next_turn.end(), id) != next_turn.end();
      return begins ? std::nullopt : std::optional<int32_t>(id);
    }
    if (!absl::StripAsciiWhitespace(tokenizer.Decode({&id, 1}, /*skip_special=*/false)).empty())
      break;
  }
  return std::nullopt;
}

}  // namespace sluice
