// Copies the keys and values of a sequence's first positions out of the cache and back, bit for
// bit.
#ifndef SLUICE_RUNTIME_KV_KV_ROWS_H_
#define SLUICE_RUNTIME_KV_KV_ROWS_H_

#include <cstddef>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/ops.h"
#include "runtime/kv/kv_cache.h"

namespace sluice {

// Bytes of the rows of `tokens` positions in all layers.
int64_t KvRowsBytes(const StateLayout& layout, int64_t tokens);

enum class KvAccess : uint8_t { kRead, kWrite };

// Calls `on_bytes` for the rows of positions 0 .. tokens - 1, for which `sequence` has pages, in
// one order that does not depend on where its pages are: [page of 64
// positions][layer][kv_head][K|V][position][head row]. The bytes are in host memory and may be
// read, and with kWrite written to. Ends with the first error of `on_bytes`.
absl::Status ForEachKvRows(const KvCache& cache, const KvSequence& sequence, int64_t tokens,
                           KvAccess access,
                           absl::FunctionRef<absl::Status(absl::Span<std::byte>)> on_bytes);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_KV_KV_ROWS_H_
