// Turns a conversation into the token ids of its prompt, for every way to chat with a store.
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
  // Used in place of the folder's own template, as OpenTemplate takes it
  std::string template_file = {};
  // Control tokens in messages are tokens, as with Hugging Face; otherwise plain text
  // (plain_text.h).
  bool parse_special = true;
};

struct ChatPrompt {
  std::vector<int32_t> ids;
  bool opens_reasoning = false;  // the answer begins inside of <think>
};

// Never changes; any thread may use it.
class ChatFront {
 public:
  // Loads the template and the special tokens of `folder` (a store's tokenizer/). `tokenizer` must
  // outlive this object. NotFound: there is no template. Other errors are those of FindTemplate and
  // ChatTemplate::Parse.
  static absl::StatusOr<ChatFront> Load(const std::string& folder, const ChatFrontOptions& options,
                                        const Tokenizer* tokenizer);

  // Returns the prompt that makes the assistant answer `conversation`. The template places bos and
  // eos, and none is added; only around the text of a template that is known by name does the
  // tokenizer add its own. strftime_now sees `now`. Of a prompt of more than `max_ids` tokens a
  // beginning comes back that is longer than that, too. Errors are the template's (InvalidArgument,
  // ResourceExhausted) and the tokenizer's. ResourceExhausted, OutOfRange: the template, or the
  // prompt that it writes, takes more than `max_bytes` on the way to ids.
  absl::StatusOr<ChatPrompt> Encode(const Conversation& conversation, const std::tm& now,
                                    int64_t max_ids = std::numeric_limits<int64_t>::max(),
                                    int64_t max_bytes = std::numeric_limits<int64_t>::max()) const;

  // The tokens that end an answer, beside the model's own eos tokens (turn_end.h).
  const std::vector<int32_t>& turn_ends() const { return turn_ends_; }
  // The hash of the template's text.
  uint64_t template_hash() const { return template_.hash(); }
  const std::string& template_name() const { return template_.name(); }

 private:
  ChatFront(ChatTemplate chat_template, const Tokenizer* tokenizer)
      : template_(std::move(chat_template)), tokenizer_(tokenizer) {}

  ChatTemplate template_;
  // The folder's template for conversations with tools, if it has another one for those.
  std::optional<ChatTemplate> with_tools_;
  const Tokenizer* tokenizer_;
  bool add_special_tokens_ = false;
  std::optional<PlainTextMarker> marker_;  // set if messages are plain text
  std::vector<int32_t> turn_ends_;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_CHAT_CHAT_FRONT_H_
