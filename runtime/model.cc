// Runs passes: gathers embeddings, walks the slabs, hands out logits.
#include "runtime/model.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "kernels/status_macros.h"
#include "runtime/finite.h"

namespace sluice {
namespace {

// A timeline holds 4096 moves; a slab makes six or seven.
constexpr size_t kSlabsPerFlush = 64;

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> Model::Create(const LayerStore& store, const MemoryPlan& plan, Ops* ops,
                                                     const ReadOptions& read) {
  std::unique_ptr<Model> model(new Model(store, plan));
  const Manifest& manifest = store.manifest();
  const HyperParameters& h = manifest.hyper_parameters;

  // The stream first: the disk works while everything else is allocated.
  std::vector<std::string> paths;
  for (size_t i = 0; i < manifest.files.size(); ++i) paths.push_back(store.FilePath(static_cast<int>(i)));
  model->embedding_file_ = static_cast<int>(paths.size());
  paths.push_back(store.EmbeddingPath());
  std::vector<StreamSlab> cycle;
  cycle.reserve(manifest.slabs.size());
  for (size_t i = 0; i < manifest.slabs.size(); ++i) {
    cycle.push_back(StreamSlabOf(manifest.slabs[i], plan.residency.tier[i] != kOnDisk));
  }
  StreamOptions stream_options;
  stream_options.io = read.io;
  stream_options.verify_once = read.verify_once;
  stream_options.ring_bytes = plan.ring_bytes;
  stream_options.worker_threads = plan.worker_threads;
  SLUICE_ASSIGN_OR_RETURN(model->stream_,
                          SlabStream::CreateWithEngine(std::move(paths), std::move(cycle),
                                                       stream_options, read.make_engine));

  const KvShape kv = {plan.request.k_type, plan.request.v_type, h.num_key_value_heads, h.head_dim};
  SLUICE_ASSIGN_OR_RETURN(model->kv_cache_, KvCache::Create(kv, h.num_hidden_layers, plan.kv_pages));
  SLUICE_ASSIGN_OR_RETURN(model->staging_, HostBuffer::Create(plan.pass_rows * manifest.embedding_stride));
  SLUICE_ASSIGN_OR_RETURN(model->executor_, BlockExecutor::Create(store, plan, ops, &model->kv_cache_));
  return model;
}

// Each distinct token's row is read once; equal tokens then share the staged bytes.
absl::Status Model::GatherEmbeddings(absl::Span<const PassRow> rows) {
  const Manifest& manifest = store_.manifest();
  const HyperParameters& h = manifest.hyper_parameters;
  const Encoding encoding = manifest.Find(TensorRole::kEmbedding, -1)->encoding;
  const int64_t stride = manifest.embedding_stride;
  const int64_t row_bytes = RowBytes(encoding, h.hidden_size);

  absl::flat_hash_map<int32_t, std::byte*> staged;
  std::vector<SlabStream::Range> ranges;
  for (const PassRow& row : rows) {
    if (row.token < 0 || row.token >= h.vocab_size) {
      return absl::InvalidArgumentError(absl::StrCat("token ", row.token, " at position ", row.position,
                                                     " is outside the vocabulary of ", h.vocab_size));
    }
    std::byte* const place = staging_.data() + ranges.size() * stride;
    if (!staged.emplace(row.token, place).second) continue;
    ranges.push_back({embedding_file_, row.token * stride, absl::MakeSpan(place, row_bytes + 8)});
  }
  clock_.Enter(kWaitingForDisk);
  const absl::Status gathered = stream_->ReadRanges(ranges);
  clock_.Enter(kComputing);
  SLUICE_RETURN_IF_ERROR(gathered);
  for (const SlabStream::Range& range : ranges) {
    uint64_t want;
    std::memcpy(&want, range.out.data() + row_bytes, sizeof(want));
    const uint64_t got = Checksum(range.out.first(row_bytes));
    if (got != want) {
      return absl::DataLossError(absl::StrCat(store_.EmbeddingPath(), ": row ", range.offset / stride,
                                              " at byte ", range.offset, ": XXH3 ", ChecksumToHex(got),
                                              ", the file says ", ChecksumToHex(want), "; shard again"));
    }
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    DecodeRow(encoding, staged[rows[i].token], h.hidden_size, executor_->residual() + i * h.hidden_size);
  }
  return absl::OkStatus();
}

absl::Status Model::FinishWalk(const std::atomic<bool>* stop) {
  const std::vector<ManifestSlab>& slabs = store_.manifest().slabs;
  clock_.Enter(kWaitingForDisk);
  while (next_slab_ != 0) {
    if (stop != nullptr && stop->load()) return absl::CancelledError("interrupted");
    SLUICE_RETURN_IF_ERROR(stream_->Next().status());  // the lease ends here
    next_slab_ = (next_slab_ + 1) % slabs.size();
    if (timeline_sink_ && next_slab_ % kSlabsPerFlush == 0) FlushTimeline();
  }
  clock_.Enter(kComputing);
  return absl::OkStatus();
}

absl::StatusOr<absl::Span<const float>> Model::RunPass(absl::Span<const PassRow> rows,
                                                       const std::atomic<bool>* stop) {
  clock_.Enter(kComputing);
  const absl::Cleanup leave = [this, start = std::chrono::steady_clock::now()] {
    pass_counters_.pass_seconds +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    clock_.Enter(kOther);
  };
  const auto wanted = std::count_if(rows.begin(), rows.end(), [](const PassRow& r) { return r.wants_logits; });
  if (rows.empty() || static_cast<int64_t>(rows.size()) > plan_.pass_rows || wanted > plan_.logit_rows) {
    return absl::InternalError(absl::StrCat("a pass of ", rows.size(), " rows, ", wanted,
                                            " with logits: the plan has room for ", plan_.pass_rows, " and ",
                                            plan_.logit_rows));
  }
  SLUICE_RETURN_IF_ERROR(FinishWalk(stop));
  SLUICE_RETURN_IF_ERROR(GatherEmbeddings(rows));
  std::vector<BlockRow> block_rows;
  block_rows.reserve(rows.size());
  for (const PassRow& row : rows) {
    block_rows.push_back({row.sequence->pages.data(), row.position, row.wants_logits});
  }
  executor_->Begin(std::move(block_rows));

  const std::vector<ManifestSlab>& slabs = store_.manifest().slabs;
  for (size_t i = 0; i < slabs.size(); ++i) {
    if (stop != nullptr && i > 0 && slabs[i].block != slabs[i - 1].block && stop->load()) {
      next_slab_ = i;
      return absl::CancelledError("interrupted");
    }
    clock_.Enter(kWaitingForDisk);
    absl::StatusOr<SlabStream::Lease> lease = stream_->Next();
    clock_.Enter(kComputing);
    SLUICE_RETURN_IF_ERROR(lease.status());
    SLUICE_RETURN_IF_ERROR(executor_->Slab(lease->slab(), lease->bytes()));
    if (timeline_sink_ && i % kSlabsPerFlush == 0) FlushTimeline();
  }
  const absl::Span<const float> logits = executor_->logits();
  if (!AllFinite(logits)) {
    return absl::DataLossError(absl::StrCat(store_.dir(), ": the head gave logits that are not finite; the ",
                                            "checkpoint's weights are damaged (NaN or infinity)"));
  }
  ++pass_counters_.passes;
  pass_counters_.rows += static_cast<int64_t>(rows.size());
  return logits;
}

PassCounters Model::pass_counters() const {
  PassCounters counters = pass_counters_;
  const std::array<double, kStates> seconds = clock_.Seconds();
  counters.other_seconds = seconds[kOther];
  counters.compute_seconds = seconds[kComputing];
  counters.wait_disk_seconds = seconds[kWaitingForDisk];
  counters.wall_seconds = seconds[kOther] + seconds[kComputing] + seconds[kWaitingForDisk];
  return counters;
}

void Model::FlushTimeline() {
  if (timeline_sink_) timeline_sink_(stream_->TakeTimeline());
}

}  // namespace sluice
