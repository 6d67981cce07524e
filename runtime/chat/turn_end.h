// Finds the token that ends an assistant's turn: the one that the template itself puts there.
#ifndef SLUICE_RUNTIME_CHAT_TURN_END_H_
#define SLUICE_RUNTIME_CHAT_TURN_END_H_

#include <optional>

#include "runtime/chat/chat_template.h"
#include "runtime/text/tokenizer/tokenizer.h"

namespace sluice {

// Returns the first control token behind an assistant's message at the end of a conversation, with
// nothing but white space between (<|eot_id|>, <|im_end|>, <end_of_turn>, ...), unless it is part
// of the beginning of the next turn. Returns none if the template puts no such token there, or
// refuses the conversation.
std::optional<int32_t> FindTurnEnd(const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                                   const std::tm& now);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_CHAT_TURN_END_H_
