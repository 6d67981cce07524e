// Names and defaults are llama.cpp's.
#include "tools/generate_options.h"

#include <sys/random.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
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
      {.name = "--typical",
       .value = "P",
       .help = "Sample from the tokens of this total whose probability is the most typical one "
               "(default 1: off)."},
      {.name = "--repeat-penalty",
       .value = "X",
       .help = "Penalty of repeated tokens (default 1: off)."},
      {.name = "--presence-penalty",
       .value = "X",
       .help = "Off the logit of a token that came before (default 0)."},
      {.name = "--frequency-penalty",
       .value = "X",
       .help = "The same, for each time that it came (default 0)."},
      {.name = "--repeat-last-n",
       .value = "N",
       .help = "How far back the three penalties look (default 64; -1: the whole context)."},
      {.name = "--logit-bias",
       .alias = "-l",
       .value = "ID+X|ID-X",
       .help = "Add to the logit of a token, such as 15043+1 or 15043-inf; may be repeated.",
       .repeated = true},
      {.name = "--samplers",
       .value = "NAMES",
       .help = absl::StrCat("The steps of sampling, in their order (default ",
                            SamplerSteps::LlamaCpp().ToString(), ").")},
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

std::vector<OptionSpec> SpeculateOptionSpecs(bool with_head) {
  std::vector<OptionSpec> specs = {
      {.name = "--speculate",
       .help = "Draft tokens that a pass computes beyond the next one; the text is the same "
               "(default auto: by all that there is, where that pays).",
       .choices = {"auto", "off", "ngram", "model"}},
      {.name = "--draft-max",
       .value = "N",
       .help = "The most tokens that are drafted for a text in a pass (default 0: as many as cost "
               "no time)."},
      {.name = "--model-draft",
       .alias = "-md",
       .value = "STORE",
       .help = "A smaller model of the same vocabulary that drafts tokens, in memory of its own."},
  };
  if (with_head) specs[0].choices.push_back("mtp");
  return specs;
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

namespace {

// llama.cpp's spelling: a token's id, then its bias with the sign.
absl::StatusOr<std::pair<int32_t, float>> ParseLogitBias(absl::string_view text) {
  const size_t sign = text.find_first_of("+-");
  int32_t id = 0;
  float bias = 0;
  const absl::string_view number = sign == absl::string_view::npos ? "" : text.substr(sign);
  const bool good = sign != absl::string_view::npos &&
                    absl::SimpleAtoi(text.substr(0, sign), &id) && id >= 0 &&
                    absl::SimpleAtof(absl::StripPrefix(number, "+"), &bias) && !std::isnan(bias);
  if (!good) {
    return UsageError(absl::StrCat(
        "--logit-bias wants a token's id and a bias such as 15043+1, not \"", text, "\""));
  }
  return std::pair{id, std::clamp(bias, -kMostLogitBias, kMostLogitBias)};
}

// What `error` says, by the name of the command line's option.
absl::Status WrongSampler(const SamplerRangeError& error) {
  using Option = SamplerRangeError::Option;
  const char* const name = error.option == Option::kTemperature        ? "--temp"
                           : error.option == Option::kTopP             ? "--top-p"
                           : error.option == Option::kMinP             ? "--min-p"
                           : error.option == Option::kTypicalP         ? "--typical"
                           : error.option == Option::kRepeatPenalty    ? "--repeat-penalty"
                           : error.option == Option::kFrequencyPenalty ? "--frequency-penalty"
                           : error.option == Option::kPresencePenalty  ? "--presence-penalty"
                                                                       : "--logit-bias";
  return UsageError(absl::StrCat(name, " ", error.value, " is not in ", error.range));
}

absl::StatusOr<SamplerOptions> ParseSampler(const Arguments& args) {
  SamplerOptions sampler;
  const std::pair<const char*, double*> numbers[] = {
      {"--temp", &sampler.temperature},
      {"--top-p", &sampler.top_p},
      {"--min-p", &sampler.min_p},
      {"--typical", &sampler.typical_p},
      {"--repeat-penalty", &sampler.repeat_penalty},
      {"--presence-penalty", &sampler.presence_penalty},
      {"--frequency-penalty", &sampler.frequency_penalty}};
  for (const auto& [name, value] : numbers) {
    SLUICE_ASSIGN_OR_RETURN(*value, args.Double(name, *value));
  }
  SLUICE_ASSIGN_OR_RETURN(sampler.top_k, args.Int("--top-k", sampler.top_k, -1, int64_t{1} << 40));
  SLUICE_ASSIGN_OR_RETURN(sampler.repeat_last_n,
                          args.Int("--repeat-last-n", sampler.repeat_last_n, -1, int64_t{1} << 40));
  for (const std::string& text : args.All("--logit-bias")) {
    SLUICE_ASSIGN_OR_RETURN(sampler.logit_bias.emplace_back(), ParseLogitBias(text));
  }
  if (const auto names = args.Get("--samplers"); names.has_value()) {
    absl::StatusOr<SamplerSteps> steps = SamplerSteps::Parse(*names);
    if (!steps.ok()) return UsageError(absl::StrCat("--samplers: ", steps.status().message()));
    sampler.steps = *steps;
  }
  SLUICE_ASSIGN_OR_RETURN(const int64_t seed, args.Int("--seed", -1, -1, INT64_MAX));
  sampler.seed = static_cast<uint64_t>(seed);
  if (seed < 0) {
    uint32_t random = 0;
    if (getrandom(&random, sizeof(random), 0) != sizeof(random)) random = 1;
    sampler.seed = random;
  }
  if (const auto error = CheckSampler(sampler, 0); error.has_value()) return WrongSampler(*error);
  return sampler;
}

}  // namespace

absl::StatusOr<SpeculateOptions> ParseSpeculateOptions(const Arguments& args) {
  SpeculateOptions options;
  const std::string mode = args.Get("--speculate").value_or("auto");
  options.mode = SpeculateModeOf(mode).value_or(SpeculateOptions::Mode::kAuto);
  options.draft_store = args.Get("--model-draft").value_or("");
  if (options.mode == SpeculateOptions::Mode::kModel && options.draft_store.empty()) {
    return UsageError("--speculate model needs -md STORE");
  }
  if (!options.draft_store.empty() && !options.WantsModel()) {
    return UsageError(absl::StrCat("-md drafts with --speculate auto or model, not with ", mode));
  }
  SLUICE_ASSIGN_OR_RETURN(options.draft_max, args.Int("--draft-max", 0, 0, int64_t{1} << 20));
  return options;
}

absl::StatusOr<GenerateOptions> ParseGenerateOptions(const Arguments& args) {
  GenerateOptions options;
  SLUICE_ASSIGN_OR_RETURN(options.max_new_tokens, args.Int("--predict", -1, -2, int64_t{1} << 40));
  SLUICE_ASSIGN_OR_RETURN(options.sampler, ParseSampler(args));
  options.stop = args.All("--stop");
  options.ignore_eos = args.Has("--ignore-eos");
  return options;
}

}  // namespace sluice
