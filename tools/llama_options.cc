// The table, by the names of llama.cpp's common/arg.cpp. docs/cli.md has it for people.
#include "tools/llama_options.h"

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace sluice {
namespace {

struct LlamaRow {
  absl::string_view commands;  // of sluice, separated by spaces; empty: all that run a model
  absl::string_view names;
  LlamaMeaning meaning;
  absl::string_view text;
};

constexpr LlamaMeaning kOption = LlamaMeaning::kOption;
constexpr LlamaMeaning kAlreadySo = LlamaMeaning::kAlreadySo;
constexpr LlamaMeaning kAdvice = LlamaMeaning::kAdvice;

// The first row that fits counts.
constexpr LlamaRow kLlamaRows[] = {
    {"run chat", "--n-predict", kOption, "--predict"},
    {"run chat", "--temperature", kOption, "--temp"},
    {"run chat", "--typical-p", kOption, "--typical"},
    {"run chat", "-r --reverse-prompt", kOption, "--stop"},
    {"run chat", "-sys --system-prompt", kOption, "--system"},
    {"run chat batch", "--chat-template --chat-template-file", kOption, "--template"},
    {"run score tokenize", "-bf --binary-file", kOption, "--file"},
    {"", "-dev", kOption, "--device"},
    {"", "--usage", kOption, "--help"},
    {"run", "-st --single-turn", kOption, "--chat"},
    {"run", "-no-cnv --no-conversation", kOption, "--no-chat"},

    {"", "--no-warmup --no-mmap --jinja --no-context-shift --no-escape --simple-io --offline",
     kAlreadySo, ""},
    {"chat", "-cnv --conversation -i --interactive -if --interactive-first", kAlreadySo, ""},

    {"run", "-cnv --conversation -i --interactive -if --interactive-first", kAdvice,
     "`sluice chat STORE` holds a conversation, and --chat with -p TEXT answers one message"},
    {"chat", "-st --single-turn -p --prompt -f --file", kAdvice,
     "chat reads messages from standard input; `sluice run STORE --chat -p TEXT` answers one "
     "message"},
    {"chat", "-no-cnv --no-conversation", kAdvice, "`sluice run STORE -p TEXT` continues a text"},
    {"run chat", "-sysf --system-prompt-file", kAdvice, "type --system \"$(cat FILE)\""},
    {"run chat", "--in-prefix --in-suffix --in-prefix-bos", kAdvice,
     "the chat template says what stands around a message; --template gives another one"},
    {"run chat", "--chat-template-kwargs --no-jinja --reasoning-format --reasoning-budget", kAdvice,
     "the chat template is always rendered as Jinja, as the model brings it; --template gives "
     "another one"},
    {"batch",
     "--temp --temperature --top-k --top-p --min-p --typical --typical-p --repeat-penalty "
     "--presence-penalty --frequency-penalty -l --logit-bias --samplers -n --predict --n-predict "
     "--stop",
     kAdvice,
     "each request says so itself, as in OpenAI's API: temperature, top_p, max_tokens, stop"},
    {"batch", "--grammar --grammar-file -j --json-schema -jf --json-schema-file", kAdvice,
     "each request says so itself: response_format, or grammar (docs/batch.md)"},
    {"batch", "-p --prompt -f --file", kAdvice,
     "-i FILE has the requests; with --text each line is a prompt"},
    {"perplexity", "--chunks", kAdvice,
     "type --tokens N, where N is the number of chunks times -c"},
    {"perplexity", "--ppl-stride", kAdvice, "type --stride N"},
    {"perplexity", "-p --prompt", kAdvice,
     "type -f FILE; `echo TEXT | sluice perplexity STORE -f -` takes a text"},

    {"", "-ngl --gpu-layers --n-gpu-layers", kAdvice,
     "--device cuda computes on a GPU, and --max-vram SIZE says how much of its memory it takes; "
     "leave it out"},
    {"", "-mg --main-gpu", kAdvice, "type --device cuda:N"},
    {"", "-sm --split-mode -ts --tensor-split", kAdvice,
     "sluice computes on one GPU; --device cuda:N chooses it"},
    {"", "--list-devices", kAdvice, "`sluice probe` names and measures the devices"},
    {"", "-ot --override-tensor -cmoe --cpu-moe -ncmoe --n-cpu-moe", kAdvice,
     "--max-ram and --max-vram decide what lies where; `sluice plan STORE` shows it"},
    {"", "-fa --flash-attn", kAdvice,
     "attention always computes without a matrix of all scores; leave it out"},
    {"", "-b --batch-size -ub --ubatch-size", kAdvice,
     "sluice chooses how many tokens of a prompt a pass takes; leave it out"},
    {"", "--mlock", kAdvice,
     "weights that --max-ram keeps are in memory of the process, not locked; leave it out"},
    {"", "--mmap -dio --direct-io --no-direct-io", kAdvice,
     "weights are read past the page cache, and no file is mapped; leave it out"},
    {"", "-np --parallel -ns --sequences -cb --cont-batching -nocb --no-cont-batching", kAdvice,
     "`sluice batch` runs many requests at once, by itself as many as the budget allows; leave it "
     "out"},
    {"", "-hf -hfr --hf-repo -hff --hf-file -hft --hf-token -mu --model-url -dr --docker-repo",
     kAdvice,
     "sluice downloads nothing; fetch the model (`hf download REPO`), then cut it with `sluice "
     "shard MODEL STORE`"},
    {"", "--lora --lora-scaled --control-vector --control-vector-scaled", kAdvice,
     "merge the adapter into the checkpoint before `sluice shard`"},
    {"run chat batch", "--draft --draft-n --spec-draft-n-max", kOption, "--draft-max"},
    {"run chat batch", "--spec-draft-model", kOption, "--model-draft"},
    {"run chat batch",
     "--draft-min --draft-n-min --spec-draft-n-min --draft-p-min --spec-draft-p-min "
     "--draft-p-split --spec-draft-p-split --spec-type -cd --ctx-size-draft",
     LlamaMeaning::kIgnored, "how much is drafted follows from what is measured"},
    {"run chat batch", "--spec-default", kAlreadySo, ""},
    {"", "-ngld --gpu-layers-draft --n-gpu-layers-draft -devd --device-draft", kAdvice,
     "the CPU computes a draft model; leave it out"},
    {"",
     "-md --model-draft --spec-draft-model --draft --draft-max --draft-min --draft-n --draft-n-min "
     "--draft-p-min --draft-p-split --spec-type --spec-default --spec-draft-n-max "
     "--spec-draft-n-min --spec-draft-p-min --spec-draft-p-split -cd --ctx-size-draft",
     kAdvice, "`sluice run`, `sluice chat` and `sluice batch` draft; leave it out"},
    {"", "-tb --threads-batch", kAdvice, "-t N sets the threads of prompts and of generation"},
    {"", "-Cb --cpu-mask-batch -Crb --cpu-range-batch --cpu-strict-batch", kAdvice,
     "-C, -Cr and --cpu-strict hold for prompts and for generation"},
    {"", "--prio --prio-batch --poll --poll-batch --numa", kAdvice,
     "-C, -Cr and --cpu-strict 1 place the threads"},
    {"", "--keep --context-shift", kAdvice,
     "a full context ends the text of `run`, and `chat` drops its oldest turns; leave it out"},
    {"", "-co --color", kAdvice, "text is printed without colours; leave it out"},
    {"",
     "--sampler-seq --sampling-seq --mirostat --mirostat-lr --mirostat-ent --xtc-probability "
     "--xtc-threshold --top-nsigma --top-n-sigma --dynatemp-range --dynatemp-exp "
     "--dry-multiplier --dry-base --dry-allowed-length --dry-penalty-last-n "
     "--dry-sequence-breaker",
     kAdvice,
     "samplers are --repeat-penalty, --presence-penalty, --frequency-penalty, --top-k, --typical, "
     "--top-p, --min-p and --temp; --samplers changes their order"},
    {"", "--prompt-cache --prompt-cache-all --prompt-cache-ro", kAdvice,
     "/save and /load of `sluice chat` keep a conversation with its keys and values"},
    {"", "-sp --special", kAdvice,
     "`sluice run --json` has the ids, and `sluice tokenize --decode` their text"},
    {"", "-ptc --print-token-count --verbose-prompt", kAdvice,
     "`sluice tokenize STORE -p TEXT` shows the tokens"},
    {"",
     "-v --verbose --log-verbose -lv --verbosity --log-verbosity --perf --no-perf --show-timings",
     kAdvice, "the report at the end says how it went; `run --json` and --trace FILE say more"},
    {"", "--log-disable --log-file --log-colors --log-prefix --log-timestamps", kAdvice,
     "messages go to standard error: 2>FILE keeps them apart"},
    {"", "--check-tensors", kAdvice,
     "each slab's checksum is checked as it is read; `sluice verify STORE` checks all of them"},
    {"",
     "--rope-scaling --rope-scale --rope-freq-base --rope-freq-scale --yarn-orig-ctx "
     "--yarn-ext-factor "
     "--yarn-attn-factor --yarn-beta-slow --yarn-beta-fast --override-kv",
     kAdvice, "the model's config.json says so; change it there and cut the model again"},
    {"",
     "-kvu --kv-unified --swa-full --ctx-checkpoints --swa-checkpoints -dt --defrag-thold -nr "
     "--no-repack --repack "
     "--no-host --no-op-offload --warmup -fit --fit",
     kAdvice, "sluice has nothing like it to switch; leave it out"},
    {"", "--mmproj --mmproj-url --image --audio", kAdvice,
     "sluice runs the language part of models only"},
    {"", "--host --port --api-key --rpc", kAdvice,
     "there is no server; `sluice batch` answers a file of requests in OpenAI's form"},
};

bool HasWord(absl::string_view words, absl::string_view word) {
  const std::vector<absl::string_view> list = absl::StrSplit(words, ' ');
  return std::find(list.begin(), list.end(), word) != list.end();
}

bool RunsAModel(const CommandSpec& command) {
  return std::any_of(command.options.begin(), command.options.end(),
                     [](const OptionSpec& option) { return option.name == "--max-ram"; });
}

bool IsFor(const LlamaRow& row, const CommandSpec& command) {
  return row.commands.empty() ? RunsAModel(command) : HasWord(row.commands, command.name);
}

}  // namespace

LlamaOption FindLlamaOption(const CommandSpec& command, absl::string_view name) {
  if (name == "-m" || name == "--model") {
    const bool takes_one =
        !command.positionals.empty() && (absl::StrContains(command.positionals[0], "STORE") ||
                                         absl::StrContains(command.positionals[0], "MODEL"));
    return {takes_one ? LlamaMeaning::kModel : LlamaMeaning::kUnknown, ""};
  }
  for (const LlamaRow& row : kLlamaRows) {
    if (IsFor(row, command) && HasWord(row.names, name)) return {row.meaning, row.text};
  }
  return {};
}

std::vector<absl::string_view> LlamaNamesOf(const CommandSpec& command) {
  std::vector<absl::string_view> names;
  for (const LlamaRow& row : kLlamaRows) {
    if (row.meaning != kOption || !IsFor(row, command)) continue;
    for (const absl::string_view name : absl::StrSplit(row.names, ' ')) {
      if (absl::StartsWith(name, "--")) names.push_back(name);
    }
  }
  return names;
}

}  // namespace sluice
