// A conversation on disk: its messages, and what the KV cache has of it, so that going on needs no
// prefill.
//
// The file, integers little-endian:
//   8 bytes   "SLUICECH"
//   u32       format version, 1
//   u32       bytes of the header
//   header    JSON: store, template (XXH3-64 in hexadecimal), cache_type_k, cache_type_v,
//   arithmetic (absent:
//             exact), layers, kv_heads, head_dim, tokens, messages [{role, content, reasoning}]
//   i32       each token whose keys and values follow
//   rows      keys and values, as runtime/kv/kv_rows.h orders them
//   u64       XXH3-64 of all before
#ifndef SLUICE_RUNTIME_CHAT_SESSION_FILE_H_
#define SLUICE_RUNTIME_CHAT_SESSION_FILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/chat/conversation.h"
#include "runtime/engine/cached_tokens.h"
#include "runtime/kv/kv_cache.h"

namespace sluice {

// A session can go on only with the same values of these.
struct SessionIdentity {
  // The hash of the manifest, which has the checksums of all weights and tokenizer files.
  uint64_t store_hash = 0;
  uint64_t template_hash = 0;
  int64_t vocab_size = 0;
  std::string arithmetic = "exact";  // that the keys and values came from: ArithmeticOf
};

// Replaces `path` through a temporary file beside it, which is renamed: after an error, or a kill
// at any point, the file is as before. Errors of durable_file.h name the file.
absl::Status SaveSession(const std::string& path, const SessionIdentity& identity,
                         const std::vector<ChatMessage>& messages, const KvCache& cache,
                         const CachedTokens& cached);

// Reads the keys and values into pages of `cached`, and returns the messages. The file may hold
// anything. After an error `cached` may have lost its tokens, which are then computed again.
// ResourceExhausted: its messages could take more than `max_bytes` of memory while they are read;
// none was taken. FailedPrecondition: names what differs: store, template, KV types, arithmetic, a
// larger context. DataLoss: damaged, cut, or longer than it says. InvalidArgument: no session.
absl::StatusOr<std::vector<ChatMessage>> LoadSession(const std::string& path,
                                                     const SessionIdentity& identity,
                                                     int64_t context_tokens, int64_t max_bytes,
                                                     KvCache& cache, CachedTokens* cached);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_CHAT_SESSION_FILE_H_
