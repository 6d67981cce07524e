// Keys and values that one sequence leaves for the next.
#ifndef SLUICE_RUNTIME_ENGINE_CACHED_TOKENS_H_
#define SLUICE_RUNTIME_ENGINE_CACHED_TOKENS_H_

#include <cstdint>
#include <vector>

#include "runtime/kv/kv_cache.h"

namespace sluice {

// The owner gives the pages back (KvCache::Release).
struct CachedTokens {
  KvSequence pages;
  std::vector<int32_t> tokens;  // the pages hold the keys and values of just these
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_ENGINE_CACHED_TOKENS_H_
