// Runs passes: gathers embeddings, walks the slabs, hands out logits.
#include "runtime/pass/model.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "storage/store/repair_advice.h"

namespace sluice {
namespace {

// A timeline holds 4096 moves; a slab makes six or seven.
constexpr size_t kSlabsPerFlush = 64;
// Embedding rows that are decoded before they are handed on.
constexpr size_t kEmbedRows = 16;

std::vector<BlockRow> BlockRowsOf(absl::Span<const PassRow> rows) {
  std::vector<BlockRow> block_rows;
  block_rows.reserve(rows.size());
  for (const PassRow& row : rows) {
    const int64_t slot = row.slot == PassRow::kAtPosition ? row.position : row.slot;
    block_rows.push_back(
        {row.sequence->pages.data(), row.position, slot, row.sees, row.wants_logits, row.hidden});
  }
  return block_rows;
}

}  // namespace

absl::Status Model::OpenStream(ComputePlace* place, const ReadOptions& read,
                               int64_t* pinned_bytes) {
  const Manifest& manifest = store_.manifest();
  std::vector<std::string> paths;
  for (size_t i = 0; i < manifest.files.size(); ++i)
    paths.push_back(store_.FilePath(static_cast<int>(i)));
  embedding_file_ = static_cast<int>(paths.size());
  paths.push_back(store_.EmbeddingPath());
  if (!read.io.scratch_dir.empty()) scratch_file_ = static_cast<int>(paths.size());
  std::vector<StreamSlab> cycle;
  std::vector<DeviceSlab> device_cycle;
  cycle.reserve(manifest.slabs.size());
  for (size_t i = 0; i < manifest.slabs.size(); ++i) {
    StreamSlab& slab = cycle.emplace_back(StreamSlabOf(manifest.slabs[i], plan_.InHostMemory(i)));
    slab.first_walk_only = plan_.OnDevice(i);
    device_cycle.push_back({.bytes = slab.leased_bytes(),
                            .kept = slab.first_walk_only,
                            .host = plan_.ComputedByHost(i),
                            .follows = ContinuesProduct(manifest, static_cast<int>(i))});
  }
  StreamOptions stream_options;
  stream_options.io = read.io;
  stream_options.verify_once = read.verify_once;
  stream_options.ring_bytes = plan_.host().ring_bytes;
  stream_options.worker_threads = plan_.worker_threads;
  stream_options.device = place->device();
  stream_options.pinned_bytes = pinned_bytes;
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<SlabStream> host,
                          SlabStream::CreateWithEngine(std::move(paths), std::move(cycle),
                                                       stream_options, read.make_engine));
  host_stream_ = host.get();
  if (place->device() == nullptr) {
    source_ = std::move(host);
    return absl::OkStatus();
  }
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<DeviceStream> device,
                          DeviceStream::Create(std::move(host), std::move(device_cycle),
                                               {.device = place->device(),
                                                .compute = place->stream(),
                                                .ring_bytes = plan_.nearest().ring_bytes,
                                                .max_bytes_per_s = read.copy_bytes_per_s}));
  device_stream_ = device.get();
  source_ = std::move(device);
  return absl::OkStatus();
}

absl::Status Model::OpenAsPinned(ComputePlace* place, const ReadOptions& read) {
  for (;;) {
    int64_t pinned = 0;
    absl::Status status = plan_.KvInHostMemory() ? CreateKvCache(place, &pinned) : absl::OkStatus();
    if (status.ok()) status = OpenStream(place, read, &pinned);
    const int64_t wanted = plan_.pinned_bytes() - plan_.host().ring_bytes +
                           HostBuffer::RoundedBytes(plan_.host().ring_bytes);
    if (place->device() == nullptr || !absl::IsResourceExhausted(status) || pinned >= wanted)
      return status;
    // Each time less than before, so this ends.
    kv_cache_ = {};
    PlanRequest request = plan_.request;
    request.device->max_pinned_bytes =
        std::min(pinned, request.device->max_pinned_bytes - kReadAlignment);
    SLUICE_ASSIGN_OR_RETURN(plan_, PlanMemory(store_, request));
  }
}

absl::Status Model::CreateKvCache(ComputePlace* place, int64_t* pinned_bytes) {
  StateLayout layout = LayoutOf(store_.manifest(), plan_.request);
  SLUICE_ASSIGN_OR_RETURN(
      kv_cache_,
      plan_.KvInHostMemory()
          ? KvCache::CreatePinned(std::move(layout), plan_.kv_pages, place, pinned_bytes)
          : KvCache::Create(std::move(layout),
                            {plan_.kv_pages, plan_.kv_disk_pages, plan_.tree_rooms}, place));
  return absl::OkStatus();
}

absl::Status Model::CreateKvMover(ComputePlace* place) {
  if (scratch_file_ >= 0 && kv_cache_.in_host_memory()) {
    kv_file_ = std::make_unique<KvFile>(kv_cache_.layout(), plan_.kv_disk_pages + plan_.kv_pages,
                                        host_stream_->io_engine(), scratch_file_);
  }
  if (plan_.KvInHostMemory()) {
    SLUICE_ASSIGN_OR_RETURN(kv_staging_,
                            KvStaging::Create(&kv_cache_, place, device_stream_->link(),
                                              plan_.kv_staged_pages, plan_.tree_rooms));
  }
  if (plan_.kv_disk_pages == 0) return absl::OkStatus();
  if (kv_file_ == nullptr) return absl::InternalError("pages on disk, and no folder for them");
  kv_pager_ = std::make_unique<KvPager>(&kv_cache_, kv_file_.get());
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Model>> Model::Create(const LayerStore& store,
                                                     const MemoryPlan& plan, ComputePlace* place,
                                                     const ReadOptions& read) {
  if ((place->device() != nullptr) != plan.on_device()) {
    return absl::InternalError("the plan is for another kind of device");
  }
  std::unique_ptr<Model> model(new Model(store, plan));
  // The stream first: the disk works while everything else is allocated.
  SLUICE_RETURN_IF_ERROR(model->OpenAsPinned(place, read));
  if (!model->plan_.KvInHostMemory()) SLUICE_RETURN_IF_ERROR(model->CreateKvCache(place, nullptr));
  SLUICE_RETURN_IF_ERROR(model->CreateKvMover(place));
  SLUICE_ASSIGN_OR_RETURN(model->staging_, HostBuffer::Create(model->plan_.pass_rows *
                                                              store.manifest().embedding_stride));
  KvMover* const mover = model->kv_staging_ != nullptr
                             ? static_cast<KvMover*>(model->kv_staging_.get())
                             : model->kv_pager_.get();
  SLUICE_ASSIGN_OR_RETURN(model->executor_, BlockExecutor::Create(store, model->plan_, place,
                                                                  &model->kv_cache_, mover));
  if (place->device() == nullptr) {
    model->executor_->SetAside([stream = model->host_stream_] { stream->VerifyArrived(); });
  }
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
      return absl::InvalidArgumentError(absl::StrCat("token ", row.token, " at position ",
                                                     row.position, " is outside the vocabulary of ",
                                                     h.vocab_size));
    }
    std::byte* const place = staging_.data() + ranges.size() * stride;
    if (!staged.emplace(row.token, place).second) continue;
    ranges.push_back({embedding_file_, row.token * stride, absl::MakeSpan(place, row_bytes + 8)});
  }
  clock_.Enter(kWaitingForDisk);
  const absl::Status gathered = host_stream_->ReadRanges(ranges);
  clock_.Enter(kComputing);
  SLUICE_RETURN_IF_ERROR(gathered);
  for (const SlabStream::Range& range : ranges) {
    uint64_t want;
    std::memcpy(&want, range.out.data() + row_bytes, sizeof(want));
    const uint64_t got = Checksum(range.out.first(row_bytes));
    if (got != want) {
      return absl::DataLossError(absl::StrCat(store_.EmbeddingPath(), ": row ",
                                              range.offset / stride, " at byte ", range.offset,
                                              ": XXH3 ", ChecksumToHex(got), ", the file says ",
                                              ChecksumToHex(want), "; ", kRepairAdvice));
    }
  }
  std::vector<float> decoded(kEmbedRows * h.hidden_size);
  for (size_t first = 0; first < rows.size(); first += kEmbedRows) {
    const size_t count = std::min(kEmbedRows, rows.size() - first);
    for (size_t i = 0; i < count; ++i) {
      DecodeRow(encoding, staged[rows[first + i].token], h.hidden_size,
                decoded.data() + i * h.hidden_size);
    }
    SLUICE_RETURN_IF_ERROR(executor_->Embed(
        static_cast<int64_t>(first), absl::MakeConstSpan(decoded.data(), count * h.hidden_size)));
  }
  return absl::OkStatus();
}

void Model::LeaveVerifying(bool on) {
  if (device_stream_ != nullptr || on == verifying_left_) return;
  host_stream_->LeaveVerifying(on);
  verifying_left_ = on;
}

void Model::NoteOtherMoves() {
  std::vector<HostProducts::Span> products;
  std::vector<KvStaging::Move> pages;
  if (executor_->host_products() != nullptr) products = executor_->host_products()->TakeSpans();
  if (kv_staging_ != nullptr) pages = kv_staging_->TakeMoves();
  if (!timeline_sink_) return;
  const std::vector<ManifestSlab>& slabs = store_.manifest().slabs;
  const int64_t pass = walks_ - 1;
  for (const HostProducts::Span& span : products) {
    other_events_.push_back({span.begin, pass, span.slab, SlabState::kLeased, Hop::kCpu});
    other_events_.push_back({span.end, pass, span.slab, SlabState::kFree, Hop::kCpu});
  }
  for (const KvStaging::Move& move : pages) {
    const auto slab = std::lower_bound(
        slabs.begin(), slabs.end(), store_.manifest().program.FirstBlock(move.layer),
        [](const ManifestSlab& a, int block) { return a.block < block; });
    TimelineEvent event = {.time = move.begin,
                           .pass = pass,
                           .slab = static_cast<int>(slab - slabs.begin()),
                           .to = SlabState::kReading,
                           .hop = move.in ? Hop::kKvIn : Hop::kKvOut,
                           .bytes = move.bytes};
    other_events_.push_back(event);
    event.time = move.end;
    event.to = SlabState::kReady;
    other_events_.push_back(event);
  }
}

absl::Span<const absl::Span<const std::byte>> Model::ShareWithHost(int64_t rows) {
  if (executor_->host_products() == nullptr || rows > plan_.host_share.most_rows) return {};
  const auto n = static_cast<int>(store_.manifest().slabs.size());
  const int first = device_stream_->ComputeOnHost();
  if (first == n) return {};
  host_tiles_.assign(n, {});
  for (int i = first; i < n; ++i) {
    if (plan_.ComputedByHost(i)) host_tiles_[i] = device_stream_->HostBytes(i);
  }
  return host_tiles_;
}

absl::Status Model::Walk(int64_t rows, const std::atomic<bool>* stop) {
  const std::vector<ManifestSlab>& slabs = store_.manifest().slabs;
  size_t flush_at = 1;  // once a walk at least, however short it is
  for (size_t i = 0; i < slabs.size();) {
    if (stop != nullptr && i > 0 && slabs[i].block != slabs[i - 1].block && stop->load()) {
      return absl::CancelledError("interrupted");
    }
    clock_.Enter(slab_wait());
    absl::StatusOr<Lease> lease = source_->Next(stop);
    clock_.Enter(kComputing);
    SLUICE_RETURN_IF_ERROR(lease.status());
    i += lease->num_slabs();
    next_slab_ = i % slabs.size();  // however this pass ends
    NoteActivity(rows, static_cast<double>(i) / static_cast<double>(slabs.size()));
    LeaveVerifying(executor_->TakesLong(lease->slab()));
    SLUICE_RETURN_IF_ERROR(executor_->Slabs(lease->slab(), lease->num_slabs(), lease->bytes()));
    if (timeline_sink_ && i >= flush_at) {
      FlushTimeline();
      flush_at = i + kSlabsPerFlush;
    }
  }
  return absl::OkStatus();
}

absl::Status Model::FinishWalk(const std::atomic<bool>* stop) {
  const std::vector<ManifestSlab>& slabs = store_.manifest().slabs;
  clock_.Enter(slab_wait());
  for (size_t flush_at = next_slab_ + kSlabsPerFlush; next_slab_ != 0;) {
    if (stop != nullptr && stop->load()) return absl::CancelledError("interrupted");
    SLUICE_ASSIGN_OR_RETURN(const Lease lease, source_->Next(stop));
    next_slab_ = (next_slab_ + lease.num_slabs()) % slabs.size();
    if (timeline_sink_ && next_slab_ >= flush_at) {
      FlushTimeline();
      flush_at = next_slab_ + kSlabsPerFlush;
    }
  }
  clock_.Enter(kComputing);
  return absl::OkStatus();
}

absl::StatusOr<absl::Span<const float>> Model::RunPass(absl::Span<const PassRow> rows,
                                                       const std::atomic<bool>* stop) {
  clock_.Enter(kComputing);
  const auto num_rows = static_cast<int64_t>(rows.size());
  NoteActivity(num_rows, 0);
  hidden_rows_ = {};
  int64_t computed_rows = 0;
  const absl::Cleanup leave = [this, &computed_rows, start = std::chrono::steady_clock::now()] {
    LeaveVerifying(false);
    // Whatever ended the pass: the host may read and move pages from here on.
    if (kv_staging_ != nullptr) kv_staging_->End().IgnoreError();
    // Of a pass that was cancelled, the timeline has what it did.
    source_->Settle().IgnoreError();
    pass_counters_.pass_seconds +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    EndActivity(computed_rows);
    clock_.Enter(kOther);
  };
  const auto wanted =
      std::count_if(rows.begin(), rows.end(), [](const PassRow& r) { return r.wants_logits; });
  if (rows.empty() || static_cast<int64_t>(rows.size()) > plan_.pass_rows ||
      wanted > plan_.logit_rows) {
    return absl::InternalError(absl::StrCat("a pass of ", rows.size(), " rows, ", wanted,
                                            " with logits: the plan has room for ", plan_.pass_rows,
                                            " and ", plan_.logit_rows));
  }
  SLUICE_RETURN_IF_ERROR(FinishWalk(stop));
  SLUICE_RETURN_IF_ERROR(GatherEmbeddings(rows));
  SLUICE_RETURN_IF_ERROR(
      executor_->Begin(BlockRowsOf(rows), ShareWithHost(static_cast<int64_t>(rows.size()))));
  NoteOtherMoves();
  ++walks_;
  SLUICE_RETURN_IF_ERROR(Walk(num_rows, stop));
  SLUICE_ASSIGN_OR_RETURN(const absl::Span<const float> logits, executor_->Finish());
  SLUICE_ASSIGN_OR_RETURN(hidden_rows_, executor_->HiddenRows());
  SLUICE_RETURN_IF_ERROR(source_->Settle());
  ++pass_counters_.passes;
  pass_counters_.rows += num_rows;
  computed_rows = num_rows;
  return logits;
}

int64_t Model::RoomsOf(absl::Span<const PassRow> rows) {
  return TreeTables::RoomsOf(BlockRowsOf(rows));
}

absl::Status Model::MoveRows(const KvSequence& sequence, absl::Span<const RowMove> moves) {
  const auto place_of = [&](int64_t slot) {
    return std::pair(sequence.pages[static_cast<size_t>(slot / kKvPageTokens)],
                     static_cast<int32_t>(slot % kKvPageTokens));
  };
  while (!moves.empty()) {
    // Up to a move to a slot that one of these still has to be read from.
    std::vector<KvCopy> copies;
    for (const RowMove& move : moves) {
      const bool read =
          std::any_of(moves.begin(), moves.begin() + static_cast<int64_t>(copies.size()),
                      [&](const RowMove& before) { return before.from_slot == move.to_slot; });
      if (read) break;
      const auto [from_page, from_token] = place_of(move.from_slot);
      const auto [to_page, to_token] = place_of(move.to_slot);
      copies.push_back({from_page, from_token, to_page, to_token, 1});
    }
    moves.remove_prefix(copies.size());
    for (int64_t layer = 0; layer < kv_cache_.layout().num_layers(); ++layer) {
      AttentionArgs args = {};
      args.kv = kv_cache_.layout().layer(layer).kv;
      args.pages = kv_cache_.LayerPages(layer);
      args.page_stride = kv_cache_.PageBytes(layer);
      args.num_heads = args.kv.num_kv_heads;
      if (kv_cache_.in_host_memory()) {
        CopyKvRows(args.kv, args.pages, args.page_stride, copies);
      } else {
        SLUICE_RETURN_IF_ERROR(kv_cache_.place()->ops()->CopyKv(args, copies));
      }
    }
  }
  return absl::OkStatus();
}

void Model::NoteActivity(int64_t rows, double share) {
  const MutexLock lock(&activity_mutex_);
  activity_.pass_rows = rows;
  activity_.pass_share = share;
}

void Model::EndActivity(int64_t rows) {
  const MutexLock lock(&activity_mutex_);
  activity_.rows += rows;
  activity_.pass_rows = 0;
  activity_.pass_share = 0;
}

ModelActivity Model::activity() const {
  ModelActivity activity;
  {
    const MutexLock lock(&activity_mutex_);
    activity = activity_;
  }
  const std::vector<ManifestSlab>& slabs = store_.manifest().slabs;
  for (size_t i = 0; i < slabs.size(); ++i) {
    if (plan_.InHostMemory(i) || plan_.OnDevice(i)) activity.kept_bytes += slabs[i].bytes;
  }
  const StreamCounters counters = stream_counters();
  activity.loaded_bytes = counters.kept_bytes_read;
  activity.bytes_read = counters.io.bytes_read;
  return activity;
}

PassCounters Model::pass_counters() const {
  PassCounters counters = pass_counters_;
  const std::array<double, kStates> seconds = clock_.Seconds();
  counters.other_seconds = seconds[kOther];
  counters.compute_seconds = seconds[kComputing];
  counters.wait_disk_seconds = seconds[kWaitingForDisk];
  counters.wall_seconds = seconds[kOther] + seconds[kComputing] + seconds[kWaitingForDisk];
  // Waits for pages, and the device's, are parts of the time that the host took for computing.
  const double kv_wait = kv_counters().wait_seconds;
  counters.wait_disk_seconds += kv_wait;
  counters.compute_seconds -= kv_wait;
  const DeviceStreamCounters device = device_counters();
  const double copy_wait = device.wait_copy_seconds + kv_staging_counters().wait_seconds;
  const double waits = device.wait_disk_seconds + copy_wait;
  const double share = waits > counters.compute_seconds ? counters.compute_seconds / waits : 1;
  counters.wait_disk_seconds += share * device.wait_disk_seconds;
  counters.wait_copy_seconds = share * copy_wait;
  counters.compute_seconds -= share * waits;
  return counters;
}

DeviceStreamCounters Model::device_counters() const {
  return device_stream_ != nullptr ? device_stream_->counters() : DeviceStreamCounters();
}

void Model::SetTimelineSink(TimelineSink sink) {
  timeline_sink_ = std::move(sink);
  if (device_stream_ != nullptr) device_stream_->TimeEveryLease(timeline_sink_ != nullptr);
}

void Model::FlushTimeline() {
  if (!timeline_sink_) return;
  std::vector<TimelineEvent> events = source_->TakeTimeline();
  NoteOtherMoves();
  events.insert(events.end(), other_events_.begin(), other_events_.end());
  other_events_.clear();
  timeline_sink_(events);
}

}  // namespace sluice
