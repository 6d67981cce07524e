// The limits of a template. Templates come with models and are not trusted.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_LIMITS_H_
#define SLUICE_RUNTIME_TEXT_JINJA_LIMITS_H_

#include <cstdint>

namespace sluice::jinja {

// Reaching a limit ends parsing or rendering with ResourceExhausted, which names the limit. The
// largest real template is 30 KB and takes some thousand steps a message.
struct Limits {
  int64_t source_bytes = int64_t{1} << 20;   // of the template's text
  int64_t steps = 20'000'000;                // nodes evaluated, items and 64 bytes of text handled
  int64_t output_bytes = int64_t{64} << 20;  // printed, inside macros and set blocks too
  int64_t value_bytes = int64_t{256} << 20;  // of values that are alive at one time
  int depth = 400;  // levels of blocks and brackets, of calls, and of values in values
};

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_LIMITS_H_
