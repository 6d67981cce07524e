// How much memory requests may take from when they are queued until their answers are taken.
#ifndef SLUICE_RUNTIME_OPEN_REQUEST_ROOM_H_
#define SLUICE_RUNTIME_OPEN_REQUEST_ROOM_H_

#include <cstdint>

#include "runtime/openai/prepared_request.h"

namespace sluice {

// Bytes for the requests of an engine that generates `max_sequences` sequences at once: as many
// again can wait, and sixteen at least.
int64_t RoomForRequests(int64_t max_sequences, int64_t context_tokens);

// The most bytes that the request takes: ids, answers, texts and log probabilities.
int64_t RequestBytes(const PreparedRequest& prepared, int64_t context_tokens);

// How many different grammars requests may have at once.
inline int64_t GrammarsAtOnce(int64_t max_sequences) { return 2 * max_sequences; }

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPEN_REQUEST_ROOM_H_
