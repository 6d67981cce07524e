// Fuzzes chat templates: parsing, and rendering a small conversation within small limits.
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/text/jinja/json.h"
#include "runtime/text/jinja/template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using sluice::jinja::Template;
  static const sluice::jinja::Value* const context =
      new sluice::jinja::Value(sluice::jinja::ValueFromJson(R"({
        "messages": [{"role": "system", "content": "Be \u00e9."},
                     {"role": "user", "content": [{"type": "text", "text": "Hi\n"}]},
                     {"role": "assistant", "tool_calls": [{"name": "f", "arguments": {"a": 1.5}}]}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "n": 3, "f": -0.5, "t": true, "none": null, "bos_token": "<s>"})",
                                                            "context")
                                   .value());
  if (size > (1 << 14)) return 0;
  const sluice::jinja::Limits limits = {
      .steps = 50'000, .output_bytes = 1 << 18, .value_bytes = 1 << 20, .depth = 100};
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parsed = Template::Parse(text, limits);
  if (!parsed.ok()) return 0;
  std::tm clock = {};
  clock.tm_year = 126;
  clock.tm_mday = 1;
  (void)parsed->Render(*context, clock);
  return 0;
}
