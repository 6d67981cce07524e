// The limits of a grammar. Grammars and schemas come with requests and are not trusted.
#ifndef SLUICE_RUNTIME_TEXT_GRAMMAR_LIMITS_H_
#define SLUICE_RUNTIME_TEXT_GRAMMAR_LIMITS_H_

#include <cstdint>

namespace sluice::grammar {

// Reaching a limit ends parsing, compiling or masking with ResourceExhausted, which names the
// limit.
struct Limits {
  int64_t source_bytes = int64_t{1} << 20;  // of the text
  int64_t expressions = int64_t{1} << 18;   // of a grammar
  // Of the grammar's automaton, in which repetitions are written out
  int64_t states = int64_t{1} << 19;
  int64_t repetitions = 100'000;  // {m,n}, minLength, maxItems and the like
  int64_t tokens = 256;           // different tokens that a grammar names
  int depth = 100;                // of groups in groups and of schemas in schemas
  int64_t edges = 20'000'000;     // followed for one mask
  int64_t threads = 4096;         // ways to read the text so far, at one time
  // Of answers that are kept; beyond it they are found afresh
  int64_t cache_bytes = int64_t{16} << 20;
  int64_t memory_bytes = int64_t{256} << 20;  // the same, while one mask is made
};

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_TEXT_GRAMMAR_LIMITS_H_
