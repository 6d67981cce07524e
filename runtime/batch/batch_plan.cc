// Tries batch sizes.
#include "runtime/batch/batch_plan.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/base/status_macros.h"
#include "kernels/ops.h"
#include "runtime/constrain/constraints.h"
#include "runtime/kv/kv_swap.h"
#include "runtime/speculate/suffix_drafter.h"

namespace sluice {
namespace {

constexpr int64_t kMostSequences = 1024;
// Beyond so many equal waves, sizes a quarter apart come as close.
constexpr int64_t kMostWaves = 32;
// Rows of a pass that prompts are wanted in, beside the rows that generate.
constexpr int64_t kPromptRows = 512;
// A batch must be this much faster than a smaller one to be worth its memory.
constexpr double kWorthwhile = 1.02;
// Buffers for drafts take the place of weights. A plan with them may be that much slower where no
// draft is right: drafts from earlier text bring more than the rest, as 1.15 times in a chat.
constexpr double kSlowerForDrafts = 0.92;
// The fewest rows that are worth a draft model's memory: as many as it gets where nothing says how
// many cost no time. Further ones, where no weights stay.
constexpr int64_t kLeastDraftModelRows = 4;
constexpr int64_t kUnprobedStreamedRows = 20;
// Beside 12 bytes a token (twice as an id, once in the journal's list): the objects of a sequence.
constexpr int64_t kSequenceBytes = 4096;
constexpr int64_t kSequenceTokenBytes = 12;

// What PassFloor knows nothing of: keys and values that attention reads, on average half of the
// answer's.
double KvBytesRead(const Manifest& manifest, const PlanRequest& request, const BatchShape& shape,
                   double sequences) {
  return sequences * (shape.prompt_tokens + shape.answer_tokens / 2) *
         static_cast<double>(LayoutOf(manifest, request).TokenBytes());
}

// Rows cost what lies between the average pass and one with kPromptRows rows more, and as long as
// the disk keeps that pass waiting, nothing; where no kernel was measured, each its share of the
// pass. Pages are taken to be written as fast as slabs are read.
ResumeCosts CostsOfResuming(const Manifest& manifest, const BatchPlan& plan,
                            const MachineRates& rates, int num_threads, bool verify_once) {
  if (rates.disk_bytes_per_s <= 0) return {};
  const StateLayout layout = LayoutOf(manifest, plan.memory.request);
  const auto rows = static_cast<int64_t>(std::ceil(plan.rows));
  const PassFloor more = FloorOf(DescribePass(manifest, plan.memory.residency, rows + kPromptRows,
                                              plan.batch_size, num_threads, verify_once),
                                 rates);
  ResumeCosts costs;
  costs.page_s = static_cast<double>(layout.page_bytes()) / rates.disk_bytes_per_s;
  costs.row_s = (more.processor_s - plan.pass.processor_s) / kPromptRows;
  if (costs.row_s > 0) {
    costs.free_rows = (plan.pass.predicted_s() - plan.pass.processor_s) / costs.row_s;
  } else {
    costs.row_s = plan.pass.predicted_s() / plan.rows;
  }
  return costs;
}

// The most rows that are computed while a pass's slabs come from disk and over the links.
int64_t BalancedRows(const Manifest& manifest, const MemoryPlan& plan, const MachineRates& rates,
                     int num_threads, bool verify_once) {
  const auto computes_in_time = [&](int64_t rows) {
    const PassFloor floor =
        FloorOf(DescribePass(manifest, plan.residency, rows, std::min(rows, plan.logit_rows),
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

// Pages of a sequence on average, whole ones: equal lengths of a page and a half take two each.
double PagesEach(const BatchShape& shape, int64_t context_tokens) {
  const auto pages = [&](double tokens) {
    return std::ceil(std::min(tokens, static_cast<double>(context_tokens)) / kKvPageTokens);
  };
  if (shape.left.empty()) return pages(shape.prompt_tokens + shape.answer_tokens);
  double sum = 0;
  for (const SequenceLength& s : shape.left)
    sum += pages(static_cast<double>(s.prompt_tokens + s.answer_tokens));
  return sum / static_cast<double>(shape.left.size());
}

// Plans for one size after the other.
class BatchPlanner {
 public:
  BatchPlanner(const LayerStore& store, PlanRequest request, const MachineRates& rates,
               int num_threads, bool verify_once, const BatchShape& shape,
               std::optional<int64_t> kv_disk_pages, const DraftModelBytesFn& draft_model_bytes)
      : store_(store),
        manifest_(store.manifest()),
        request_(std::move(request)),
        draft_rows_(std::exchange(request_.draft_rows, 0)),
        draft_model_bytes_(draft_model_bytes),
        rates_(rates),
        num_threads_(num_threads),
        verify_once_(verify_once),
        shape_(shape),
        kv_disk_pages_(kv_disk_pages),
        tokens_(std::min(shape.prompt_tokens + shape.answer_tokens,
                         static_cast<double>(request_.context_tokens))),
        pages_each_(PagesEach(shape, request_.context_tokens)),
        context_pages_(request_.context_tokens / kKvPageTokens + 1) {
    request_.draft_model_bytes = 0;
  }

  // The plan for that many at once, or where memory has no room for it, with as many pages on disk
  // as is best.
  absl::StatusOr<BatchPlan> For(int64_t sequences) {
    absl::StatusOr<BatchPlan> best = PlanFor(sequences, kv_disk_pages_.value_or(0));
    if (!absl::IsResourceExhausted(best.status()) || kv_disk_pages_.has_value() ||
        request_.device.has_value()) {
      return best;
    }
    const int64_t pages = std::max(PagesFor(sequences), context_pages_);
    const auto fits = [&](int64_t disk_pages) {
      AskFor(sequences, disk_pages);
      return PlanMemory(store_, request_).ok();
    };
    if (!fits(pages)) return best;
    int64_t too_few = 0, fewest = pages;
    while (fewest - too_few > 1) {
      const int64_t middle = too_few + (fewest - too_few) / 2;
      (fits(middle) ? fewest : too_few) = middle;
    }
    for (int64_t quarters = 0; quarters <= 4; ++quarters) {
      absl::StatusOr<BatchPlan> plan = PlanFor(sequences, fewest + (pages - fewest) * quarters / 4);
      SLUICE_RETURN_IF_ERROR(plan.status());
      if (!best.ok() || plan->tokens_per_s > kWorthwhile * best->tokens_per_s)
        best = std::move(plan);
    }
    return best;
  }

  // The fastest of some sizes, the smaller one of those that are about as fast.
  absl::StatusOr<BatchPlan> Best() {
    SLUICE_ASSIGN_OR_RETURN(BatchPlan best, For(1));
    drafts_or_not_ = true;
    const auto take = [&](BatchPlan plan) {
      if (plan.tokens_per_s > kWorthwhile * best.tokens_per_s) best = std::move(plan);
    };
    int64_t fits = 1;
    for (const int64_t sequences : SizesToTry()) {
      absl::StatusOr<BatchPlan> plan = For(sequences);
      if (absl::IsResourceExhausted(plan.status())) {
        SLUICE_ASSIGN_OR_RETURN(fits, LargestBetween(fits, sequences));
        SLUICE_ASSIGN_OR_RETURN(plan, For(fits));
        take(*std::move(plan));
        best.most_sequences = fits;
        break;
      }
      SLUICE_RETURN_IF_ERROR(plan.status());
      fits = sequences;
      take(*std::move(plan));
    }
    return best;
  }

 private:
  int64_t PagesFor(int64_t sequences) const {
    const auto n = static_cast<double>(sequences);
    const double shared = (shape_.prompt_tokens - OwnPromptTokens(shape_, n)) / kKvPageTokens;
    return static_cast<int64_t>(std::ceil(n * (pages_each_ - shared)));
  }

  int64_t HeldFor(int64_t sequences) const {
    return shape_.held_bytes + 2 * sequences * shape_.held_bytes_each;  // running and waiting
  }

  void AskFor(int64_t sequences, int64_t disk_pages) {
    const HyperParameters& h = manifest_.hyper_parameters;
    request_.num_sequences = sequences;
    request_.kv_pages = PagesFor(sequences);
    request_.kv_disk_pages = disk_pages;
    request_.pass_rows = sequences + kPromptRows;
    if (request_.drafters_bytes > 0) {
      request_.drafters_bytes = SuffixDrafter::MaxMemoryBytes(
          SuffixDrafterOptions::For(request_.context_tokens, sequences), sequences);
    }
    if (!request_.device.has_value()) {
      request_.head_streamed_share = HeadStreamedShare(manifest_, rates_, num_threads_, sequences);
    }
    request_.requests_bytes =
        shape_.bookkeeping_bytes + HeldFor(sequences) +
        2 * sequences *
            (kSequenceBytes +
             kSequenceTokenBytes * static_cast<int64_t>(tokens_)) +  // running and waiting
        KvSwap::MemoryBytes(h.num_hidden_layers, std::max(request_.kv_pages, context_pages_));
    if (shape_.num_grammars > 0) {
      request_.constraint_bytes = Constraints::MemoryBytes(
          h.vocab_size, std::min(shape_.num_grammars, 2 * sequences), shape_.grammar_bytes);
    }
  }

  // With room for drafts only where passes of so many sequences are known to have rows to spare.
  absl::StatusOr<BatchPlan> PlanFor(int64_t sequences, int64_t disk_pages) {
    AskFor(sequences, disk_pages);
    if (draft_rows_ > 0) {
      SLUICE_ASSIGN_OR_RETURN(const MemoryPlan plain, PlanMemory(store_, request_));
      request_.draft_rows = RowsForDrafts(plain, sequences);
    }
    if (request_.draft_rows >= kLeastDraftModelRows && draft_model_bytes_) {
      SLUICE_ASSIGN_OR_RETURN(request_.draft_model_bytes, draft_model_bytes_(sequences));
      // Weights may be streamed that would stay without it.
      const int64_t rows = std::exchange(request_.draft_rows, 0);
      const absl::StatusOr<MemoryPlan> beside = PlanMemory(store_, request_);
      request_.draft_rows =
          std::max(kLeastDraftModelRows, beside.ok() ? RowsForDrafts(*beside, sequences) : rows);
    }
    absl::StatusOr<BatchPlan> plan = PlanAsked(sequences);
    // A draft model needs rows for what it drafts, but not as many as could be of use.
    while (absl::IsResourceExhausted(plan.status()) && request_.draft_model_bytes > 0 &&
           request_.draft_rows > kLeastDraftModelRows) {
      request_.draft_rows = std::max(kLeastDraftModelRows, request_.draft_rows / 2);
      plan = PlanAsked(sequences);
    }
    const bool had_model = std::exchange(request_.draft_model_bytes, 0) > 0;
    const bool drafts = std::exchange(request_.draft_rows, 0) > 0;
    if (absl::IsResourceExhausted(plan.status()) && had_model && drafts_or_not_) {
      return PlanAsked(sequences);
    }
    if (!drafts || had_model || !plan.ok()) return plan;
    absl::StatusOr<BatchPlan> plain = PlanAsked(sequences);
    if (!plain.ok() || plan->tokens_per_s >= kSlowerForDrafts * plain->tokens_per_s) return plan;
    return plain;
  }

  int64_t RowsForDrafts(const MemoryPlan& plain, int64_t sequences) const {
    const int64_t streamed_bytes = plain.residency.streamed_bytes;
    if (!rates_.kernels.empty() && streamed_bytes > 0) {
      const int64_t balanced = BalancedRows(manifest_, plain, rates_, num_threads_, verify_once_);
      return std::clamp<int64_t>(balanced - sequences, 0, draft_rows_);
    }
    if (!draft_model_bytes_) return 0;
    return std::min(draft_rows_,
                    kLeastDraftModelRows + kUnprobedStreamedRows * streamed_bytes /
                                               std::max<int64_t>(plain.weight_bytes, 1));
  }

  absl::StatusOr<BatchPlan> PlanAsked(int64_t sequences) {
    BatchPlan plan;
    // Rows of drafts want logits, too.
    if (!request_.device.has_value()) {
      request_.head_streamed_share =
          HeadStreamedShare(manifest_, rates_, num_threads_, sequences + request_.draft_rows);
    }
    SLUICE_ASSIGN_OR_RETURN(plan.memory, PlanMemory(store_, request_));
    plan.held_bytes = HeldFor(sequences);
    plan.batch_size = std::min(sequences, plan.memory.logit_rows);
    const double rows_each = 1 + OwnPromptTokens(shape_, static_cast<double>(sequences)) /
                                     std::max(shape_.answer_tokens, 1.0);
    plan.rows = std::min(static_cast<double>(plan.batch_size) * rows_each,
                         static_cast<double>(plan.memory.pass_rows));
    const double generating = plan.rows / rows_each;
    plan.pass = FloorOf(DescribeJobPass(plan, plan.rows, generating, &plan.kv_disk_bytes), rates_);
    if (plan.pass.predicted_s() > 0) plan.tokens_per_s = generating / plan.pass.predicted_s();
    plan.balanced_rows = BalancedRows(manifest_, plan.memory, rates_, num_threads_, verify_once_);
    plan.resume = CostsOfResuming(manifest_, plan, rates_, num_threads_, verify_once_);
    if (!shape_.left.empty() && plan.pass.predicted_s() > 0) CountJob(&plan);
    return plan;
  }

  // `generating` of the rows are the next tokens of as many sequences.
  PassWork DescribeJobPass(const BatchPlan& plan, double rows, double generating,
                           int64_t* kv_disk_bytes) const {
    const StateLayout layout = LayoutOf(manifest_, request_);
    const auto whole_rows = static_cast<int64_t>(std::ceil(rows));
    PassWork work = DescribePass(manifest_, plan.memory.residency, whole_rows,
                                 std::min(plan.batch_size, whole_rows), num_threads_, verify_once_,
                                 plan.memory.HostSlabs(whole_rows));
    AddRing(manifest_, plan.memory, &work);
    work.nearest().touched_bytes +=
        static_cast<int64_t>(KvBytesRead(manifest_, request_, shape_, generating));
    if (plan.memory.KvInHostMemory()) {
      // A page that sequences share is copied once.
      const auto context =
          static_cast<int64_t>(OwnPromptTokens(shape_, generating) + shape_.answer_tokens / 2);
      AddHostKv(layout, context, /*rows=*/1, generating, &work);
      if (const auto prompts = static_cast<int64_t>(rows - generating); prompts > 0) {
        AddHostKv(layout, /*context=*/0, prompts, /*sequences=*/1, &work);
      }
    }
    if (plan.memory.kv_disk_pages > 0) {
      const KvDiskTraffic kv =
          DiskTrafficOf(shape_, generating, plan.memory.kv_pages - plan.memory.kv_disk_pages);
      const double page_bytes = static_cast<double>(layout.page_bytes());
      *kv_disk_bytes = static_cast<int64_t>((kv.pages_read + kv.pages_written) * page_bytes);
      work.disk().sent_bytes += *kv_disk_bytes;
      work.verified_bytes += *kv_disk_bytes;
      work.host().touched_bytes += 2 * *kv_disk_bytes;
    }
    return work;
  }

  // All passes of the sequences that are left, each for its rows: on the line between numbers of
  // rows that are a quarter apart.
  void CountJob(BatchPlan* plan) const {
    std::map<int64_t, double> known;
    const auto at = [&](int64_t rows) {
      const auto [it, added] = known.try_emplace(rows, 0);
      if (added) {
        const double generating =
            std::min(static_cast<double>(rows), static_cast<double>(plan->batch_size));
        int64_t kv_disk_bytes = 0;
        const PassWork work =
            DescribeJobPass(*plan, static_cast<double>(rows), generating, &kv_disk_bytes);
        it->second = FloorOf(work, rates_).predicted_s();
      }
      return it->second;
    };
    const auto seconds = [&](int64_t rows) {
      int64_t below = 1, above = 1;
      while (above < rows) below = std::exchange(above, above + std::max<int64_t>(1, above / 4));
      if (above == rows) return at(rows);
      const double share = static_cast<double>(rows - below) / static_cast<double>(above - below);
      return (1 - share) * at(below) + share * at(above);
    };
    const double own =
        OwnPromptTokens(shape_, static_cast<double>(plan->batch_size)) / shape_.prompt_tokens;
    std::vector<SequenceLength> left = shape_.left;
    double answers = 0;
    for (SequenceLength& sequence : left) {
      sequence.prompt_tokens =
          std::max<int64_t>(1, std::llround(own * static_cast<double>(sequence.prompt_tokens)));
      answers += static_cast<double>(std::max<int64_t>(sequence.answer_tokens, 1));
    }
    plan->job =
        CountPasses(left, {plan->batch_size, plan->memory.pass_rows, plan->balanced_rows}, seconds);
    plan->tokens_per_s = answers / plan->job.seconds;
  }

  // In ascending order, without 1: a quarter apart, and what makes equal waves of all.
  std::set<int64_t> SizesToTry() const {
    const int64_t most =
        shape_.num_sequences > 0 ? std::min(shape_.num_sequences, kMostSequences) : kMostSequences;
    std::set<int64_t> sizes;
    for (int64_t size = 2; size < most; size += std::max<int64_t>(1, size / 4)) sizes.insert(size);
    const auto left = static_cast<int64_t>(shape_.left.size());
    for (int64_t waves = 1; waves <= kMostWaves; ++waves) {
      const int64_t size = (left + waves - 1) / waves;
      if (size > 1 && size <= most) sizes.insert(size);
    }
    if (most > 1) sizes.insert(most);
    return sizes;
  }

  // The largest size that has room; `fits` has, `too_many` has not.
  absl::StatusOr<int64_t> LargestBetween(int64_t fits, int64_t too_many) {
    while (too_many - fits > 1) {
      const int64_t middle = fits + (too_many - fits) / 2;
      const absl::Status status = For(middle).status();
      if (!status.ok() && !absl::IsResourceExhausted(status)) return status;
      (status.ok() ? fits : too_many) = middle;
    }
    return fits;
  }

  const LayerStore& store_;
  const Manifest& manifest_;
  PlanRequest request_;       // without drafts, but while it is planned with
  const int64_t draft_rows_;  // that are wanted
  const DraftModelBytesFn& draft_model_bytes_;
  bool drafts_or_not_ = false;  // a size that has no room for the draft model goes without drafts
  const MachineRates& rates_;
  const int num_threads_;
  const bool verify_once_;
  const BatchShape& shape_;
  const std::optional<int64_t> kv_disk_pages_;
  const double tokens_;      // of a sequence, on average
  const double pages_each_;  // the same
  const int64_t context_pages_;
};

// "40 s", "2.5 min", "3 h".
std::string AboutSeconds(double seconds) {
  if (seconds < 90) return absl::StrFormat("%.2g s", seconds);
  if (seconds < 5400) return absl::StrFormat("%.2g min", seconds / 60);
  return absl::StrFormat("%.3g h", seconds / 3600);
}

}  // namespace

KvDiskTraffic DiskTrafficOf(const BatchShape& shape, double sequences, int64_t memory_pages) {
  const auto in_memory = static_cast<double>(memory_pages);
  const double generated = sequences * (shape.answer_tokens / 2 / kKvPageTokens + 0.5);
  const double prompts = sequences * OwnPromptTokens(shape, sequences) / kKvPageTokens;
  const double on_disk = std::max(generated + prompts - in_memory, 0.0);
  if (on_disk == 0) return {};
  const double prompts_on_disk = std::min(on_disk / prompts, 1.0);
  const double tails_on_disk = std::max(1 - in_memory / generated, 0.0);
  return {.pages_read = on_disk,
          .pages_written = prompts_on_disk * prompts / std::max(shape.answer_tokens, 1.0) +
                           tails_on_disk * sequences};
}

absl::StatusOr<BatchPlan> PlanBatch(const LayerStore& store, PlanRequest request,
                                    const MachineRates& rates, int num_threads, bool verify_once,
                                    const BatchShape& shape, int64_t batch_size,
                                    std::optional<int64_t> kv_disk_pages,
                                    const DraftModelBytesFn& draft_model_bytes) {
  BatchPlanner planner(store, std::move(request), rates, num_threads, verify_once, shape,
                       kv_disk_pages, draft_model_bytes);
  return batch_size > 0 ? planner.For(batch_size) : planner.Best();
}

std::string DescribeWaves(const BatchPlan& plan, const BatchShape& shape) {
  const std::string room = plan.most_sequences == 0 ? ""
                           : plan.most_sequences == plan.batch_size
                               ? "; the budget has room for no more"
                               : absl::StrCat("; the budget has room for ", plan.most_sequences,
                                              ", but more at once leave "
                                              "less memory to weights, and are no faster");
  if (plan.job.passes == 0) {
    if (plan.tokens_per_s <= 0) return "";
    return absl::StrCat(
        plan.batch_size, " sequences at once of ",
        shape.num_sequences > 0 ? absl::StrCat("about ", shape.num_sequences) : "many",
        absl::StrFormat(", %.3g tokens/s expected", plan.tokens_per_s), room);
  }
  const auto left = static_cast<int64_t>(shape.left.size());
  const int64_t waves = (left + plan.batch_size - 1) / plan.batch_size;
  return absl::StrCat(
      waves, waves == 1 ? " wave of " : " waves of ", std::min(plan.batch_size, left), ": ", left,
      left == 1 ? " sequence is" : " sequences are", " left, in ", plan.job.passes, " passes",
      plan.job.seconds > 0 ? absl::StrCat(" and about ", AboutSeconds(plan.job.seconds)) : "",
      room);
}

}  // namespace sluice
