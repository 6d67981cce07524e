// From a conversation to the token ids of its prompt: what every way to chat with a store shares.
#ifndef SLUICE_RUNTIME_CHAT_CHAT_FRONT_H_
#define SLUICE_RUNTIME_CHAT_CHAT_FRONT_H_

#include <cstdint>
#include <ctime>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/chat/chat_template.h"
#include "runtime/chat/conversation.h"
#include "runtime/chat/plain_text.h"
#include "runtime/text/tokenizer/tokenizer.h"

namespace sluice {

struct ChatFrontOptions {
  std::string template_file = {};  // instead of the folder's own template: as OpenTemplate takes it
  // Control tokens in messages are tokens, as with Hugging Face; else plain text (plain_text.h).
  bool parse_special = true;
};

struct ChatPrompt {
  std::vector<int32_t> ids;
  bool opens_reasoning = false;  // the answer begins inside of <think>
};

// Never changes; any thread may use it.
class ChatFront {
 public:
  // The template and the special tokens of `folder` (a store's tokenizer/). `tokenizer` must
  // outlive this. NotFound: there is no template. Else errors of FindTemplate and
  // ChatTemplate::Parse.
  static absl::StatusOr<ChatFront> Load(const std::string& folder, const ChatFrontOptions& options,
                                        const Tokenizer* tokenizer);

  // The prompt that has the assistant answer `conversation`. The template says where bos and eos
  // are, and none is added; to the text of one that is known by name the tokenizer's own are. `now`
  // is what strftime_now sees. Errors are the template's (InvalidArgument, ResourceExhausted) and
  // the tokenizer's. Of a prompt of more than `max_ids` tokens only the beginning comes back, which
  // has more than those, too. ResourceExhausted, OutOfRange: the template or the prompt that it
  // writes takes more than `max_bytes` on the way to ids.
  absl::StatusOr<ChatPrompt> Encode(const Conversation& conversation, const std::tm& now,
                                    int64_t max_ids = std::numeric_limits<int64_t>::max(),
                                    int64_t max_bytes = std::numeric_limits<int64_t>::max()) const;

  // Tokens that end an answer beside the model's own eos tokens (turn_end.h).
  const std::vector<int32_t>& turn_ends() const { return turn_ends_; }
  // Of the template's text.
  uint64_t template_hash() const { return template_.hash(); }
  const std::string& template_name() const { return template_.name(); }

 private:
  ChatFront(ChatTemplate chat_template, const Tokenizer* tokenizer)
      : template_(std::move(chat_template)), tokenizer_(tokenizer) {}

  ChatTemplate template_;
  // Where the folder has another one for conversations with tools
  std::optional<ChatTemplate> with_tools_;
  const Tokenizer* tokenizer_;
  bool add_special_tokens_ = false;
  std::optional<PlainTextMarker> marker_;  // where messages are plain text
  std::vector<int32_t> turn_ends_;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_CHAT_CHAT_FRONT_H_
