// Tries batch sizes.
#include "runtime/batch/batch_plan.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "kernels/ops.h"
#include "kernels/status_macros.h"
#include "runtime/batch/held_results.h"
#include "runtime/batch/line_reader.h"
#include "runtime/batch/prefix_sample.h"
#include "runtime/constraints.h"
#include "runtime/kv_swap.h"
#include "runtime/openai/completion_request.h"

namespace sluice {
namespace {

constexpr int64_t kMostSequences = 1024;
// Rows of a pass that prompts are wanted in, beside the rows that generate.
constexpr int64_t kPromptRows = 512;
// A batch must be this much faster than a smaller one to be worth its memory.
constexpr double kWorthwhile = 1.02;
// Beside 12 bytes a token (twice as an id, once in the journal's list): the objects of a sequence.
constexpr int64_t kSequenceBytes = 4096;
constexpr int64_t kSequenceTokenBytes = 12;

// What PassFloor knows nothing of: keys and values that attention reads, on average half of the answer's.
double KvBytesRead(const Manifest& manifest, const PlanRequest& request, const BatchShape& shape, double sequences) {
  const HyperParameters& h = manifest.hyper_parameters;
  const int64_t token_bytes = h.num_hidden_layers * h.num_key_value_heads *
                              (KvRowBytes(request.k_type, h.head_dim) + KvRowBytes(request.v_type, h.head_dim));
  return sequences * (shape.prompt_tokens + shape.answer_tokens / 2) * static_cast<double>(token_bytes);
}

// Rows cost what lies between the average pass and one with kPromptRows rows more, and as long as the disk keeps that
// pass waiting, nothing; where no kernel was measured, each its share of the pass. Pages are taken to be written as
// fast as slabs are read.
ResumeCosts CostsOfResuming(const Manifest& manifest, const BatchPlan& plan, const MachineRates& rates,
                            int num_threads, bool verify_once) {
  if (rates.disk_bytes_per_s <= 0) return {};
  const HyperParameters& h = manifest.hyper_parameters;
  const PlanRequest& request = plan.memory.request;
  const KvShape kv = {request.k_type, request.v_type, h.num_key_value_heads, h.head_dim};
  const auto rows = static_cast<int64_t>(std::ceil(plan.rows));
  const PassFloor more = FloorOf(DescribePass(manifest, plan.memory.residency, rows + kPromptRows, plan.batch_size,
                                              num_threads, verify_once),
                                 rates);
  ResumeCosts costs;
  costs.page_s = static_cast<double>(KvPageBytes(kv) * h.num_hidden_layers) / rates.disk_bytes_per_s;
  costs.row_s = (more.processor_s - plan.pass.processor_s) / kPromptRows;
  if (costs.row_s > 0) {
    costs.free_rows = (plan.pass.predicted_s() - plan.pass.processor_s) / costs.row_s;
  } else {
    costs.row_s = plan.pass.predicted_s() / plan.rows;
  }
  return costs;
}

// The most rows that are computed while a pass's slabs come from disk and over the links.
int64_t BalancedRows(const Manifest& manifest, const MemoryPlan& plan, const MachineRates& rates, int num_threads,
                     bool verify_once) {
  const auto computes_in_time = [&](int64_t rows) {
    const PassFloor floor = FloorOf(DescribePass(manifest, plan.residency, rows, std::min(rows, plan.logit_rows),
                                                 num_threads, verify_once, plan.HostSlabs(rows)),
                                    rates);
    return floor.processor_s <= floor.links_s();
  };
  if (plan.residency.streamed_bytes == 0 || computes_in_time(plan.pass_rows)) return plan.pass_rows;
  int64_t good = 0, bad = plan.pass_rows;
  while (bad - good > 1) {
    const int64_t middle = good + (bad - good) / 2;
    (computes_in_time(middle) ? good : bad) = middle;
  }
  return std::max<int64_t>(good, 1);
}

}  // namespace

double OwnPromptTokens(const BatchShape& shape, double sequences) {
  const double distinct = shape.shared_pages * std::max(sequences / shape.shared_among, 1.0);
  const double saved = std::max(shape.shared_pages_each - distinct / sequences, 0.0) * kKvPageTokens;
  return std::max(shape.prompt_tokens - saved, 0.0);
}

KvDiskTraffic DiskTrafficOf(const BatchShape& shape, double sequences, int64_t memory_pages) {
  const auto in_memory = static_cast<double>(memory_pages);
  const double generated = sequences * (shape.answer_tokens / 2 / kKvPageTokens + 0.5);
  const double prompts = sequences * OwnPromptTokens(shape, sequences) / kKvPageTokens;
  const double on_disk = std::max(generated + prompts - in_memory, 0.0);
  if (on_disk == 0) return {};
  const double prompts_on_disk = std::min(on_disk / prompts, 1.0);
  const double tails_on_disk = std::max(1 - in_memory / generated, 0.0);
  return {.pages_read = on_disk,
          .pages_written = prompts_on_disk * prompts / std::max(shape.answer_tokens, 1.0) + tails_on_disk * sequences};
}

absl::StatusOr<BatchPlan> PlanBatch(const LayerStore& store, PlanRequest request, const MachineRates& rates,
                                    int num_threads, bool verify_once, const BatchShape& shape, int64_t batch_size,
                                    std::optional<int64_t> kv_disk_pages) {
  const Manifest& manifest = store.manifest();
  const HyperParameters& h = manifest.hyper_parameters;
  const double tokens =
      std::min(shape.prompt_tokens + shape.answer_tokens, static_cast<double>(request.context_tokens));
  const double pages_each = std::ceil(tokens / kKvPageTokens);
  const auto pages_for = [&](int64_t sequences) {
    const auto n = static_cast<double>(sequences);
    const double shared = (shape.prompt_tokens - OwnPromptTokens(shape, n)) / kKvPageTokens;
    return static_cast<int64_t>(std::ceil(n * (pages_each - shared)));
  };

  const int64_t context_pages = request.context_tokens / kKvPageTokens + 1;
  const int64_t layer_page_bytes = KvPageBytes({request.k_type, request.v_type, h.num_key_value_heads, h.head_dim});
  const double page_bytes = static_cast<double>(layer_page_bytes * h.num_hidden_layers);

  const auto held_for = [&](int64_t sequences) {
    return shape.held_bytes + 2 * sequences * shape.held_bytes_each;  // running and waiting
  };
  const auto ask_for = [&](int64_t sequences, int64_t disk_pages) {
    request.num_sequences = sequences;
    request.kv_pages = pages_for(sequences);
    request.kv_disk_pages = disk_pages;
    request.pass_rows = sequences + kPromptRows;
    request.requests_bytes =
        shape.bookkeeping_bytes + held_for(sequences) +
        2 * sequences * (kSequenceBytes + kSequenceTokenBytes * static_cast<int64_t>(tokens)) +  // running and waiting
        KvSwap::MemoryBytes(h.num_hidden_layers, std::max(request.kv_pages, context_pages));
    if (shape.num_grammars > 0) {
      request.constraint_bytes =
          Constraints::MemoryBytes(h.vocab_size, std::min(shape.num_grammars, 2 * sequences), shape.grammar_bytes);
    }
  };
  const auto plan_for = [&](int64_t sequences, int64_t disk_pages) -> absl::StatusOr<BatchPlan> {
    ask_for(sequences, disk_pages);
    BatchPlan plan;
    SLUICE_ASSIGN_OR_RETURN(plan.memory, PlanMemory(store, request));
    plan.held_bytes = held_for(sequences);
    plan.batch_size = std::min(sequences, plan.memory.logit_rows);
    const double rows_each =
        1 + OwnPromptTokens(shape, static_cast<double>(sequences)) / std::max(shape.answer_tokens, 1.0);
    plan.rows =
        std::min(static_cast<double>(plan.batch_size) * rows_each, static_cast<double>(plan.memory.pass_rows));
    const double generating = plan.rows / rows_each;
    const auto rows = static_cast<int64_t>(std::ceil(plan.rows));
    PassWork work = DescribePass(manifest, plan.memory.residency, rows, plan.batch_size, num_threads, verify_once,
                                 plan.memory.HostSlabs(rows));
    work.nearest().touched_bytes += static_cast<int64_t>(KvBytesRead(manifest, request, shape, generating));
    if (plan.memory.KvInHostMemory()) {
      // A page that sequences share is copied once.
      const auto context = static_cast<int64_t>(OwnPromptTokens(shape, generating) + shape.answer_tokens / 2);
      AddHostKv(h, layer_page_bytes, context, /*rows=*/1, generating, &work);
      if (const auto prompts = static_cast<int64_t>(plan.rows - generating); prompts > 0) {
        AddHostKv(h, layer_page_bytes, /*context=*/0, prompts, /*sequences=*/1, &work);
      }
    }
    if (plan.memory.kv_disk_pages > 0) {
      const KvDiskTraffic kv = DiskTrafficOf(shape, generating, plan.memory.kv_pages - plan.memory.kv_disk_pages);
      plan.kv_disk_bytes = static_cast<int64_t>((kv.pages_read + kv.pages_written) * page_bytes);
      work.disk().sent_bytes += plan.kv_disk_bytes;
      work.verified_bytes += plan.kv_disk_bytes;
      work.host().touched_bytes += 2 * plan.kv_disk_bytes;
    }
    plan.pass = FloorOf(work, rates);
    if (plan.pass.predicted_s() > 0) plan.tokens_per_s = generating / plan.pass.predicted_s();
    plan.balanced_rows = BalancedRows(manifest, plan.memory, rates, num_threads, verify_once);
    plan.resume = CostsOfResuming(manifest, plan, rates, num_threads, verify_once);
    return plan;
  };
  // The same, or where memory has no room for it, as many pages on disk as is best.
  const auto plan_with_disk = [&](int64_t sequences) -> absl::StatusOr<BatchPlan> {
    absl::StatusOr<BatchPlan> best = plan_for(sequences, kv_disk_pages.value_or(0));
    if (!absl::IsResourceExhausted(best.status()) || kv_disk_pages.has_value() || request.device.has_value()) {
      return best;
    }
    const int64_t pages = std::max(pages_for(sequences), context_pages);
    const auto fits = [&](int64_t disk_pages) {
      ask_for(sequences, disk_pages);
      return PlanMemory(store, request).ok();
    };
    if (!fits(pages)) return best;
    int64_t too_few = 0, fewest = pages;
    while (fewest - too_few > 1) {
      const int64_t middle = too_few + (fewest - too_few) / 2;
      (fits(middle) ? fewest : too_few) = middle;
    }
    for (int64_t quarters = 0; quarters <= 4; ++quarters) {
      absl::StatusOr<BatchPlan> plan = plan_for(sequences, fewest + (pages - fewest) * quarters / 4);
      SLUICE_RETURN_IF_ERROR(plan.status());
      if (!best.ok() || plan->tokens_per_s > kWorthwhile * best->tokens_per_s) best = std::move(plan);
    }
    return best;
  };
  if (batch_size > 0) return plan_with_disk(batch_size);

  const int64_t most = shape.num_sequences > 0 ? std::min(shape.num_sequences, kMostSequences) : kMostSequences;
  SLUICE_ASSIGN_OR_RETURN(BatchPlan best, plan_with_disk(1));
  for (int64_t sequences = 2; best.batch_size < most; sequences += std::max<int64_t>(1, sequences / 4)) {
    absl::StatusOr<BatchPlan> plan = plan_with_disk(std::min(sequences, most));
    if (absl::IsResourceExhausted(plan.status())) break;
    SLUICE_RETURN_IF_ERROR(plan.status());
    if (plan->tokens_per_s > kWorthwhile * best.tokens_per_s) best = *std::move(plan);
    if (sequences >= most) break;
  }
  return best;
}

absl::StatusOr<BatchShape> SampleShape(const std::string& input, int64_t num_lines, bool plain_text,
                                       const PromptEncoder& encoder, int64_t context_tokens) {
  constexpr int kSample = 64;
  constexpr int64_t kMaxSampledLine = 1 << 18;
  SLUICE_ASSIGN_OR_RETURN(LineReader reader, LineReader::Open(input, kMaxSampledLine));
  double prompts = 0, prompt_tokens = 0, answer_tokens = 0, sequences = 0;
  int64_t held_bytes = 0;
  PrefixSample prefixes;
  int64_t lines = 0;
  int64_t constrained = 0;
  std::set<std::string> grammars;
  BatchShape shape;
  for (; lines < kSample; ++lines) {
    LineReader::Line line;
    SLUICE_ASSIGN_OR_RETURN(const bool more, reader.Next(&line));
    if (!more) break;
    if (line.too_long) continue;
    BatchLine parsed = ParseBatchLine(line.text, line.number, plain_text);
    auto* request = std::get_if<CompletionRequest>(&parsed.request);
    if (request == nullptr) continue;
    sequences += static_cast<double>(request->num_choices());
    if (request->grammar.has_value()) {
      ++constrained;
      if (grammars.insert(request->grammar->text).second) {
        // One that cannot be compiled takes nothing: its request fails.
        shape.grammar_bytes = std::max(shape.grammar_bytes, CheckGrammar(*request->grammar).value_or(0));
      }
    }
    std::vector<PromptTokens> sizes;
    for (size_t i = 0; i < request->prompts.size(); ++i) {
      const std::variant<ChatPrompt, ApiError> encoded = encoder.Encode(*request, i, context_tokens);
      const auto* const prompt = std::get_if<ChatPrompt>(&encoded);
      const int64_t n = prompt == nullptr ? 0 : static_cast<int64_t>(prompt->ids.size());
      if (n == 0 || n > context_tokens) continue;  // ids may be more
      sizes.push_back({n, n});
      prompts += 1;
      prompt_tokens += static_cast<double>(n);
      answer_tokens += static_cast<double>(std::min(request->max_tokens, context_tokens - n));
      prefixes.Add(prompt->ids, request->echo ? 0 : n - 1, request->n);
    }
    held_bytes += HeldBytes(*request, sizes, context_tokens);
  }
  shape.num_grammars = static_cast<int64_t>(grammars.size());
  // None like another: then those that follow are not either.
  if (constrained > 1 && shape.num_grammars == constrained) shape.num_grammars = BatchShape::kEachItsOwn;
  if (prompts > 0) {
    shape.held_bytes_each = static_cast<int64_t>(static_cast<double>(held_bytes) / sequences);
    shape.prompt_tokens = prompt_tokens / prompts;
    shape.answer_tokens = answer_tokens / prompts;
    shape.shared_pages_each = prefixes.shared_pages_each();
    shape.shared_pages = static_cast<double>(prefixes.shared_pages());
    shape.shared_among = static_cast<double>(prefixes.sequences());
    shape.num_sequences =
        static_cast<int64_t>(std::ceil(static_cast<double>(num_lines) * sequences / static_cast<double>(lines)));
  }
  return shape;
}

}  // namespace sluice
