// How long a mask over 128k tokens takes, while texts that follow a schema or grammar are drawn at
// random.
//
// Each text is 512 tokens long at most, of tokens drawn from the mask, each as likely; new texts
// begin until there are 4,096 masks. Prints the median and the 99th percentile and what share of
// their limits (1 ms, 20 ms) they are; the first mask of all and the time to compile stand beside
// them. The vocabulary is made up of random words and numbers as a byte-level one has them, or read
// from a tiktoken file (a line a token, base64 and rank, such as Llama 3's tokenizer.model).
//
//   bench_grammar [FILE]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "runtime/text/grammar/constraint.h"
#include "runtime/text/grammar/gbnf.h"
#include "runtime/text/grammar/json_schema.h"

namespace sluice::grammar {
namespace {

constexpr int64_t kVocabulary = 128'256;
constexpr int kMasks = 4096;
constexpr int64_t kTextTokens = 512;
constexpr double kMedianLimitMs = 1, kP99LimitMs = 20;

using Clock = std::chrono::steady_clock;
double MillisecondsSince(Clock::time_point t) {
  return std::chrono::duration<double, std::milli>(Clock::now() - t).count();
}

std::vector<std::string> ReadTiktoken(const char* path) {
  std::vector<std::string> tokens;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::string token;
    if (absl::Base64Unescape(std::vector<std::string>(absl::StrSplit(line, ' '))[0], &token))
      tokens.push_back(token);
  }
  return tokens;
}

// All bytes, numbers of up to three digits, punctuation before and behind words, words of Zipf's
// lengths in three scripts, pieces of characters, runs of spaces.
std::vector<std::string> MakeTokens() {
  std::mt19937 random(1);
  const auto pick = [&](int n) { return std::uniform_int_distribution<int>(0, n - 1)(random); };
  std::set<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.emplace(1, static_cast<char>(b));
  for (int n = 0; n < 1000; ++n) tokens.insert(absl::StrCat(n));
  for (int n = 2; n < 80; ++n) tokens.emplace(n, ' ');
  const std::string marks = "\"'()[]{}<>,.:;!?=+-*/\\_#$%&@|~^`\n\t";
  while (tokens.size() < 9000) {
    std::string token(pick(3) == 0, ' ');
    for (int n = 1 + pick(4); n > 0; --n) token += marks[pick(static_cast<int>(marks.size()))];
    tokens.insert(token);
  }
  while (static_cast<int64_t>(tokens.size()) < kVocabulary - 256) {
    std::string token;
    const int start = pick(10);
    if (start < 5) token = " ";
    if (start == 9) token = marks[pick(static_cast<int>(marks.size()))];
    const int script = pick(10);
    for (int n = 2 + std::min(pick(8), pick(14)); n > 0; --n) {
      if (script < 7) {
        token += static_cast<char>((start == 5 ? 'A' : 'a') + pick(26));
      } else if (script < 9) {
        token += "\xD0";
        token += static_cast<char>(0xB0 + pick(16));
      } else {
        token += "\xE4";
        token += static_cast<char>(0xB8 + pick(8));
        token += static_cast<char>(0x80 + pick(64));
        if (pick(2) == 0) break;
      }
    }
    if (script == 9 && pick(4) == 0) token.pop_back();
    tokens.insert(token);
  }
  return {tokens.begin(), tokens.end()};
}

struct Case {
  std::string name;
  bool gbnf;
  std::string text;
};

// An object of 200 properties, each an enum of 20 names.
std::string WideSchema() {
  std::string properties;
  for (int i = 0; i < 200; ++i) {
    std::string names;
    for (int n = 0; n < 20; ++n)
      absl::StrAppend(&names, n == 0 ? "" : ",", "\"value ", i, " ", n * 37 % 20, "\"");
    absl::StrAppend(&properties, i == 0 ? "" : ",", "\"property ", i, "\":{\"enum\":[", names,
                    "]}");
  }
  return absl::StrCat("{\"type\":\"object\",\"properties\":{", properties, "}}");
}

std::vector<Case> Cases() {
  return {
      {"any object", false, R"({"type": "object"})"},
      {"record", false,
       R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer","minimum":0,"maximum":150},
      "email":{"type":"string","maxLength":60},"tags":{"type":"array","items":{"type":"string"},"maxItems":8},
      "kind":{"enum":["person","company","robot"]},"score":{"type":"number"}},"required":["name","age","kind"]})"},
      {"bounded strings", false,
       R"({"type":"array","items":{"type":"string","minLength":20,"maxLength":200}})"},
      {"pattern", false,
       R"({"type":"array","items":{"type":"string","pattern":"^[a-z]+(-[a-z0-9]+)*$"}})"},
      {"unanchored pattern", false,
       R"({"type":"array","items":{"type":"string","pattern":"abc[0-9]{2,5}"}})"},
      {"tree", false,
       R"({"$defs":{"node":{"type":"object","properties":{"value":{"type":"string"},"children":{"type":"array","items":
      {"$ref":"#/$defs/node"}}},"required":["value","children"],"additionalProperties":false}},"$ref":"#/$defs/node"})"},
      {"additional keys", false,
       R"({"type":"object","properties":{"alpha":{"type":"integer"},"beta":{"type":"boolean"}},
      "additionalProperties":{"type":"string"}})"},
      {"words (GBNF)", true,
       "root ::= word (\" \" word)* \".\"\nword ::= [A-Za-z]+ | [\\u0400-\\u04FF]+\n"},
      {"lines (GBNF)", true, "root ::= (\"- \" [^\\n]+ \"\\n\")+\n"},
      {"arithmetic (GBNF)", true,
       "root ::= e\ne ::= t ((\" + \" | \" - \") t)*\nt ::= f (\" * \" f)*\nf ::= [0-9]+ | \"(\" e "
       "\")\"\n"},
      {"wide", false, WideSchema()},
      {"very long string", false, R"({"type":"string","minLength":3000,"maxLength":20000})"},
      {"awkward pattern", false,
       R"({"type":"array","items":{"type":"string","pattern":"(a|b|[a-z]e)[a-z]{0,30}x.{10}$"}})"},
  };
}

int Run(int argc, char** argv) {
  std::vector<std::string> tokens = argc > 1 ? ReadTiktoken(argv[1]) : MakeTokens();
  const auto num_tokens = static_cast<int32_t>(tokens.size());
  auto start = Clock::now();
  const auto vocabulary =
      std::make_shared<Vocabulary>(tokens, num_tokens + 256, std::vector<int32_t>{num_tokens});
  std::printf("%d tokens, tries made in %.0f ms, %.1f MB\n", num_tokens, MillisecondsSince(start),
              static_cast<double>(vocabulary->MemoryBytes()) / 1e6);
  std::printf("%-20s %9s %9s %9s %9s %9s | %8s %8s %9s\n", "", "compile", "first", "median", "p99",
              "max ms", "/ 1 ms", "/ 20 ms", "cache MB");
  for (const Case& c : Cases()) {
    start = Clock::now();
    const auto grammar = c.gbnf ? ParseGbnf(c.text) : GrammarFromJsonSchema(c.text);
    if (!grammar.ok()) {
      std::fprintf(stderr, "%s: %s\n", c.name.c_str(),
                   std::string(grammar.status().message()).c_str());
      return 1;
    }
    const auto constraint = Constraint::Create(*grammar, vocabulary);
    const double compile = MillisecondsSince(start);
    std::mt19937 random(7);
    std::vector<double> times;
    TokenMask mask;
    std::vector<int32_t> choices;
    while (times.size() < kMasks) {
      Matcher matcher(*constraint);
      for (int64_t left = kTextTokens; left > 0 && !matcher.finished() && times.size() < kMasks;
           --left) {
        start = Clock::now();
        const absl::Status status = matcher.Mask(left, &mask);
        times.push_back(MillisecondsSince(start));
        if (!status.ok()) {
          std::fprintf(stderr, "%s: %s\n", c.name.c_str(), std::string(status.message()).c_str());
          return 1;
        }
        choices.clear();
        for (int32_t id = 0; id <= num_tokens; ++id) {
          if (Allows(mask, id)) choices.push_back(id);
        }
        (void)matcher.Accept(
            choices[std::uniform_int_distribution<size_t>(0, choices.size() - 1)(random)]);
      }
    }
    const double first = times[0];
    std::sort(times.begin(), times.end());
    const double median = times[times.size() / 2], p99 = times[times.size() * 99 / 100];
    std::printf("%-20s %9.2f %9.3f %9.4f %9.3f %9.3f | %8.3f %8.3f %9.1f\n", c.name.c_str(),
                compile, first, median, p99, times.back(), median / kMedianLimitMs,
                p99 / kP99LimitMs, static_cast<double>((*constraint)->MemoryBytes()) / 1e6);
  }
  return 0;
}

}  // namespace
}  // namespace sluice::grammar

int main(int argc, char** argv) { return sluice::grammar::Run(argc, argv); }
