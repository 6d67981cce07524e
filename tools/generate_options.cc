// Names and defaults are llama.cpp's.
#include "tools/generate_options.h"

#include <sys/random.h>

#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace sluice {

std::vector<OptionSpec> GenerateOptionSpecs() {
  return {
      {.name = "--predict",
       .alias = "-n",
       .value = "N",
       .help = "Tokens to generate (default -1: until an end token or the end of the context; -2: "
               "the same)."},
      {.name = "--temp", .value = "T", .help = "Temperature (default 0.8; 0: greedy)."},
      {.name = "--top-k",
       .value = "K",
       .help = "Sample from the K most likely tokens (default 40; 0: all)."},
      {.name = "--top-p",
       .value = "P",
       .help = "Sample from the likeliest tokens of this total (default 0.95)."},
      {.name = "--min-p",
       .value = "P",
       .help = "Drop tokens below P times the likeliest one (default 0.05)."},
      {.name = "--repeat-penalty",
       .value = "X",
       .help = "Penalty of repeated tokens (default 1: off)."},
      {.name = "--repeat-last-n",
       .value = "N",
       .help = "How far back repetition counts (default 64; -1: the whole context)."},
      {.name = "--seed",
       .alias = "-s",
       .value = "N",
       .help = "Seed of sampling (default: random, printed)."},
      {.name = "--stop",
       .value = "TEXT",
       .help = "Stop before this text; may be repeated.",
       .repeated = true},
      {.name = "--ignore-eos", .help = "Do not stop at an end token."},
      {.name = "--escape",
       .alias = "-e",
       .help = "In -p, --system and --stop, \\n, \\r, \\t, \\', \\\", \\\\ and \\x41 mean the "
               "same as in C."},
  };
}

std::string ProcessEscapes(absl::string_view text) {
  constexpr absl::string_view kLetters = "nrt'\"\\", kMeanings = "\n\r\t'\"\\";
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const absl::string_view rest = text.substr(i + 1);
    if (text[i] != '\\' || rest.empty()) {
      out.push_back(text[i]);
      continue;
    }
    const size_t letter = kLetters.find(rest[0]);
    if (letter != absl::string_view::npos) {
      out.push_back(kMeanings[letter]);
      ++i;
    } else if (rest[0] == 'x' && rest.size() >= 3 && absl::ascii_isxdigit(rest[1]) &&
               absl::ascii_isxdigit(rest[2])) {
      absl::StrAppend(&out, absl::HexStringToBytes(rest.substr(1, 2)));
      i += 3;
    } else {
      out.push_back('\\');
    }
  }
  return out;
}

Arguments WithEscapes(const Arguments& args) {
  if (!args.Has("--escape")) return args;
  Arguments changed = args;
  for (const char* const option : {"--prompt", "--system", "--stop"}) {
    changed = changed.Changed(option, &ProcessEscapes);
  }
  return changed;
}

absl::StatusOr<GenerateOptions> ParseGenerateOptions(const Arguments& args) {
  GenerateOptions options;
  SLUICE_ASSIGN_OR_RETURN(options.max_new_tokens, args.Int("--predict", -1, -2, int64_t{1} << 40));
  SamplerOptions& sampler = options.sampler;
  SLUICE_ASSIGN_OR_RETURN(sampler.temperature, args.Double("--temp", sampler.temperature));
  SLUICE_ASSIGN_OR_RETURN(sampler.top_k, args.Int("--top-k", sampler.top_k, -1, int64_t{1} << 40));
  SLUICE_ASSIGN_OR_RETURN(sampler.top_p, args.Double("--top-p", sampler.top_p));
  SLUICE_ASSIGN_OR_RETURN(sampler.min_p, args.Double("--min-p", sampler.min_p));
  SLUICE_ASSIGN_OR_RETURN(sampler.repeat_penalty,
                          args.Double("--repeat-penalty", sampler.repeat_penalty));
  SLUICE_ASSIGN_OR_RETURN(sampler.repeat_last_n,
                          args.Int("--repeat-last-n", sampler.repeat_last_n, -1, int64_t{1} << 40));
  if (sampler.repeat_last_n < 0) sampler.repeat_last_n = int64_t{1} << 40;
  SLUICE_ASSIGN_OR_RETURN(const int64_t seed, args.Int("--seed", -1, -1, INT64_MAX));
  sampler.seed = static_cast<uint64_t>(seed);
  if (seed < 0) {
    uint32_t random = 0;
    if (getrandom(&random, sizeof(random), 0) != sizeof(random)) random = 1;
    sampler.seed = random;
  }
  if (const absl::Status checked = CheckSamplerOptions(sampler); !checked.ok()) {
    return UsageError(checked.message());
  }
  options.stop = args.All("--stop");
  options.ignore_eos = args.Has("--ignore-eos");
  return options;
}

}  // namespace sluice
