// The arithmetic behind `sluice plan`.
#include "runtime/pass/memory_plan.h"

#include <algorithm>
#include <limits>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/base/status_macros.h"
#include "prefetch/io/host_buffer.h"
#include "prefetch/slab_stream.h"
#include "runtime/kv/kv_cache.h"
#include "runtime/kv/kv_file.h"
#include "runtime/kv/kv_pager.h"
#include "runtime/kv/kv_staging.h"
#include "runtime/pass/host_products.h"
#include "runtime/pass/tree_tables.h"
#include "runtime/place/compute_place.h"
#include "runtime/sample/sampler.h"

namespace sluice {
namespace {

constexpr int kSlabsBehindTheDisk = 4;
// On a device: two on their way, one that waits, one that is computed with.
constexpr int kDeviceRingSlabs = 4;
// One decodes about as much as a fast disk delivers; two keep up with it.
constexpr int kDecodingThreads = 2;

int64_t RingSlabBytes(absl::Span<const StreamSlab> cycle) {
  int64_t most = 0;
  for (const StreamSlab& slab : cycle) most = std::max(most, slab.place_bytes());
  return most;
}

int64_t SumOf(absl::Span<const PlanItem> items) {
  int64_t sum = 0;
  for (const PlanItem& item : items) sum += item.bytes;
  return sum;
}

// A ring that keeps the disk busy: what is on its way, and slabs that are being verified, are ready
// and are computed with. More would be better spent on slabs that stay. Of a small model it is not
// more than an eighth, as a ring that holds much of the model is a bad way to keep it.
int64_t RingBytes(absl::Span<const StreamSlab> cycle, const MemoryPlan& plan,
                  int64_t all_resident) {
  if (plan.request.ring_bytes > 0) return plan.request.ring_bytes;
  // A compressed slab takes its decoded size from when it is asked for.
  const double growth = static_cast<double>(all_resident) / static_cast<double>(plan.weight_bytes);
  const auto in_flight =
      static_cast<int64_t>(growth * static_cast<double>(plan.request.bytes_in_flight));
  return std::min(in_flight + kSlabsBehindTheDisk * RingSlabBytes(cycle), all_resident / 8);
}

// The least that can work with the KV cache in one of its places.
struct Least {
  KvPlace kv_place;
  int64_t ram_bytes;
  int64_t vram_bytes;    // 0: the host computes
  int64_t pinned_bytes;  // the same

  bool FitsRam(const PlanRequest& request) const { return ram_bytes <= request.max_ram_bytes; }
  bool FitsVram(const PlanRequest& request) const {
    return !request.device.has_value() || vram_bytes <= request.device->max_bytes;
  }
  bool FitsPinned(const PlanRequest& request) const {
    return !request.device.has_value() || pinned_bytes <= request.device->max_pinned_bytes;
  }
  bool Fits(const PlanRequest& request) const {
    return FitsRam(request) && FitsVram(request) && FitsPinned(request);
  }
};

// Of places none of which works: the one that comes nearest.
const Least& NearestOf(absl::Span<const Least> places, const PlanRequest& request) {
  const Least* nearest = places.data();
  for (const Least& place : places) {
    if (place.FitsRam(request) &&
        (!nearest->FitsRam(request) || place.vram_bytes < nearest->vram_bytes)) {
      nearest = &place;
    }
  }
  return *nearest;
}

// Why it does not work.
absl::Status Refusal(const LayerStore& store, const PlanRequest& request, const Least& least) {
  const char* const fewer = request.num_sequences > 1 ? ", a smaller --batch-size" : "";
  if (!least.FitsRam(request)) {
    return absl::ResourceExhaustedError(absl::StrFormat(
        "a budget of %d bytes (%.1f MiB%s) is too small: %s needs at least %d bytes (%.1f MiB) at "
        "a context "
        "of %d tokens; give --max-ram %dMiB, a smaller -c%s, or -ctk and -ctv q8_0",
        request.max_ram_bytes, request.max_ram_bytes / 1048576.0,
        request.max_ram_source.empty() ? "" : absl::StrCat("; ", request.max_ram_source),
        store.dir(), least.ram_bytes, least.ram_bytes / 1048576.0, request.context_tokens,
        (least.ram_bytes + 1048575) / 1048576, fewer));
  }
  if (!least.FitsVram(request)) {
    return absl::ResourceExhaustedError(absl::StrFormat(
        "%d bytes (%.1f MiB) of device memory are too small: %s needs at least %d bytes (%.1f MiB) "
        "there at a "
        "context of %d tokens; give --max-vram %dMiB, a smaller -c%s, %sor -ctk and -ctv q8_0",
        request.device->max_bytes, request.device->max_bytes / 1048576.0, store.dir(),
        least.vram_bytes, least.vram_bytes / 1048576.0, request.context_tokens,
        (least.vram_bytes + 1048575) / 1048576, fewer,
        request.device->kv_place == KvPlace::kDevice ? "--no-kv-offload, " : ""));
  }
  return absl::ResourceExhaustedError(
      absl::StrFormat("the system pins no more than %d bytes of host memory for copies to the "
                      "device, %s needs at least %d%s",
                      request.device->max_pinned_bytes, store.dir(), least.pinned_bytes,
                      least.kv_place == KvPlace::kHost ? " with the KV cache there" : ""));
}

}  // namespace

int64_t PromptWorkBytes(int64_t max_ram_bytes) {
  return std::clamp(max_ram_bytes / 32, int64_t{1} << 20, int64_t{64} << 20);
}

int64_t SmallestWithPrompts(int64_t bytes) {
  int64_t budget = bytes + PromptWorkBytes(bytes);
  // Each round adds 1/32 of what the last one added.
  while (budget - PromptWorkBytes(budget) < bytes) budget = bytes + PromptWorkBytes(budget);
  return budget;
}

StateLayout LayoutOf(const Manifest& manifest, const PlanRequest& request) {
  return StateLayout::Of(manifest.spec, request.k_type, request.v_type);
}

int64_t HiddenRowsBytes(const ModelSpec& model, const MemoryPlan& plan) {
  return HostBuffer::RoundedBytes(plan.pass_rows * model.hidden_size *
                                  static_cast<int64_t>(sizeof(float)));
}

PassSize PassSizeOf(const MemoryPlan& plan) {
  return {.rows = plan.pass_rows,
          .logit_rows = plan.logit_rows,
          .context_tokens = plan.request.context_tokens,
          .num_threads = plan.request.num_threads};
}

PassLimits LimitsOf(const MemoryPlan& plan, const ModelSpec& model) {
  PassLimits limits = {.rows = plan.pass_rows,
                       .page_tables = plan.request.num_sequences + plan.tree_rooms,
                       .context_tokens = plan.request.context_tokens,
                       .num_heads = 0,
                       .kv = {plan.request.k_type, plan.request.v_type, 0, 0}};
  for (const LayerSpec& layer : model.layers) {
    const AttentionSpec& attention = std::get<AttentionSpec>(layer.mixer);
    limits.num_heads = std::max(limits.num_heads, attention.num_heads);
    limits.kv.num_kv_heads = std::max(limits.kv.num_kv_heads, attention.num_kv_heads);
    limits.kv.head_dim = std::max(limits.kv.head_dim, attention.head_dim);
  }
  return limits;
}

StreamSlab StreamSlabOf(const ManifestSlab& slab, bool resident) {
  return {.file = slab.file,
          .offset = slab.offset,
          .bytes = slab.bytes,
          .checksum = slab.checksum,
          .resident = resident,
          .compression = slab.compression,
          .raw_bytes = slab.raw_bytes};
}

Rounding RoundingOf(const PlanRequest& request) {
  if (!request.fast_math) return Rounding::kNone;
  return request.device.has_value() ? Rounding::kBF16AndF16 : Rounding::kBF16;
}

void AddRing(const Manifest& manifest, const MemoryPlan& plan, PassWork* work) {
  work->ring_bytes = plan.host().ring_bytes;
  for (size_t i = 0; i < manifest.slabs.size(); ++i) {
    if (plan.residency.tier[i] == kOnDisk) {
      work->ring_slab_bytes = std::max(work->ring_slab_bytes, manifest.slabs[i].bytes);
    }
  }
}

std::string ArithmeticOf(const PlanRequest& request) {
  if (!request.fast_math) return "exact";
  if (!request.device.has_value()) return "fast-math";
  const int capability = request.device->compute_capability;
  return absl::StrCat("fast-math on compute capability ", capability / 10, ".", capability % 10);
}

namespace {

// Makes one plan: what is always needed, where keys and values lie, how many rows a pass has, and
// then which slabs stay.
class MemoryPlanner {
 public:
  MemoryPlanner(const LayerStore& store, const PlanRequest& request)
      : store_(store),
        manifest_(store.manifest()),
        h_(manifest_.hyper_parameters),
        layout_(LayoutOf(manifest_, request)) {
    plan_.request = request;
  }

  absl::StatusOr<MemoryPlan> Plan();

 private:
  const PlanRequest& request() const { return plan_.request; }
  bool on_device() const { return plan_.on_device(); }
  PlacePlan& nearest() { return plan_.nearest(); }
  PlacePlan& host() { return plan_.host(); }
  // One sequence alone has passes in which a single row of many goes through the head.
  double HeadStreamedShare() const {
    const bool one_row = request().num_sequences == 1 && request().draft_rows == 0;
    return one_row ? 0 : request().head_streamed_share;
  }

  void TakeSlabs();
  absl::Status TakeKv();
  // Fills the items of a plan for passes of `rows` rows.
  void Describe(int64_t rows);
  void DescribeHost(const WorkspaceSizes& work);
  void DescribeDevice(const WorkspaceSizes& work, int64_t rows);
  // The same for the fewest rows, with keys and values in `place`.
  void PutKv(KvPlace place);
  Least LeastWith(KvPlace place);
  // The places of keys and values that can work; also finds the smallest budgets.
  absl::StatusOr<std::vector<KvPlace>> PossiblePlaces();
  bool AllFits(int64_t rows);
  int64_t GrantRows(KvPlace place);
  int64_t DeviceCapacity();
  int64_t HostCapacity(int64_t room);
  void PlaceAll();

  const LayerStore& store_;
  const Manifest& manifest_;
  const HyperParameters& h_;
  const StateLayout layout_;
  MemoryPlan plan_;
  std::vector<SlabSize> slab_sizes_;
  std::vector<StreamSlab> cycle_;
  int64_t all_resident_ = 0;  // bytes of all slabs in memory
  int64_t stream_tables_ = 0;
  int64_t kv_bytes_ = 0;       // of the pages in memory
  int64_t kv_disk_bytes_ = 0;  // that pages on disk take in memory
  int64_t min_ring_ = 0;
  int64_t least_rows_ = 0;
};

void MemoryPlanner::TakeSlabs() {
  for (const ManifestSlab& slab : manifest_.slabs) {
    cycle_.push_back(StreamSlabOf(slab, /*resident=*/false));
    const bool brief = OfLogitRows(manifest_.ProductOf(slab)) && HeadStreamedShare() < 1 &&
                       request().pass_rows > request().num_sequences &&
                       !request().logits_of_all_rows;
    slab_sizes_.push_back({slab.bytes, cycle_.back().place_bytes(), brief});
    plan_.weight_bytes += slab.bytes;
    plan_.raw_bytes += slab.raw_bytes;
    all_resident_ += cycle_.back().place_bytes();
  }
  if (plan_.raw_bytes > plan_.weight_bytes) plan_.worker_threads = kDecodingThreads;
  stream_tables_ = SlabStream::MemoryBytes(cycle_, 0, plan_.worker_threads);
  // Two slabs: one is computed with while the next one arrives.
  min_ring_ = HostBuffer::RoundedBytes(std::min(2 * RingSlabBytes(cycle_), all_resident_));
  const bool with_draft_model = request().draft_model_bytes > 0;
  // A ring of two slabs has the disk wait for the rows of drafts.
  if (with_draft_model && !on_device()) {
    min_ring_ =
        std::max(min_ring_, HostBuffer::RoundedBytes(RingBytes(cycle_, plan_, all_resident_)));
  }
  const int64_t drafted = with_draft_model ? request().draft_rows : 0;
  least_rows_ = std::min(request().num_sequences + drafted, request().pass_rows);
}

absl::Status MemoryPlanner::TakeKv() {
  const int64_t context_pages = (request().context_tokens + kKvPageTokens - 1) / kKvPageTokens;
  plan_.kv_pages = request().kv_pages > 0 ? std::max(request().kv_pages, context_pages)
                                          : context_pages * request().num_sequences;
  if (plan_.kv_pages > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(absl::StrCat(request().num_sequences, " sequences of ",
                                                   request().context_tokens, " tokens want ",
                                                   plan_.kv_pages,
                                                   " pages of the KV cache, more than there are "
                                                   "numbers for them; plan fewer of them"));
  }
  plan_.kv_disk_pages = std::min(request().kv_disk_pages, plan_.kv_pages);
  if (plan_.kv_disk_pages > 0 && on_device()) {
    return absl::InvalidArgumentError(
        "keys and values cannot lie on disk where a device computes; leave them in its memory or "
        "in the host's");
  }
  kv_bytes_ = KvCache::Bytes(layout_, {.pages = plan_.kv_pages - plan_.kv_disk_pages});
  kv_disk_bytes_ = KvCache::Bytes(layout_, {plan_.kv_pages, plan_.kv_disk_pages}) - kv_bytes_ +
                   KvFile::MemoryBytes(layout_.num_layers(), plan_.kv_disk_pages) +
                   KvPager::MemoryBytes(plan_.kv_disk_pages);
  return absl::OkStatus();
}

void MemoryPlanner::DescribeHost(const WorkspaceSizes& work) {
  host().items = {
      {"KV cache", kv_bytes_},
      {"activations", work.activations() + work.staging_bytes},
      {"logits and sampling", work.logits_bytes + Sampler::MemoryBytes(h_.vocab_size)},
      {"rotary tables", work.rope_bytes},
      {"norms, biases and manifest", store_.MemoryBytes()},
      {"tokenizer", request().tokenizer_bytes},
      {"I/O tables and kernel scratch", stream_tables_ + work.scratch_bytes},
  };
}

void MemoryPlanner::DescribeDevice(const WorkspaceSizes& work, int64_t rows) {
  const bool kv_on_host = plan_.KvInHostMemory();
  plan_.kv_staged_pages = kv_on_host
                              ? KvStaging::MostPages(layout_.WidestWindow(),
                                                     request().num_sequences, rows, plan_.kv_pages)
                              : 0;
  const int64_t upload_bytes = kUploadBuffers * UploadBufferBytes(LimitsOf(plan_, manifest_.spec));
  nearest().items = {
      kv_on_host ? PlanItem{"KV pages on their way",
                            KvStaging::DeviceBytes(layout_, plan_.kv_staged_pages, 0)}
                 : PlanItem{"KV cache", kv_bytes_},
      {"activations", work.activations()},
      {"logits", work.logits_bytes},
      {"rotary tables", work.rope_bytes},
      {"norms and biases", manifest_.resident_bytes},
      {"kernels and the device's runtime", request().device->scratch_bytes + upload_bytes},
  };
  host().items = {
      {"copies to the device", ComputePlace::kStagingBytes + work.staging_bytes + upload_bytes +
                                   (kv_on_host ? KvStaging::HostBytes(plan_.kv_pages) : 0)},
      {"logits and sampling", work.logits_bytes + Sampler::MemoryBytes(h_.vocab_size)},
      {"norms, biases and manifest", store_.MemoryBytes()},
      {"tokenizer", request().tokenizer_bytes},
      {"I/O tables", stream_tables_},
  };
  if (request().device->host_bytes > 0) {
    host().items.push_back({"the device's driver", request().device->host_bytes});
  }
  if (kv_on_host) host().items.insert(host().items.begin(), {"KV cache", kv_bytes_});
  if (request().host_share.has_value()) {
    const HostProductSizes shared =
        SizeHostProducts(manifest_, std::min(rows, kMostSharedRows), plan_.logit_rows);
    nearest().items.push_back({"products of the CPU", shared.product_bytes});
    host().items.push_back({"products for the device", shared.host_bytes()});
  }
}

void MemoryPlanner::Describe(int64_t rows) {
  plan_.pass_rows = rows;
  plan_.draft_rows = std::clamp<int64_t>(rows - request().num_sequences, 0, request().draft_rows);
  plan_.tree_rooms = plan_.draft_rows;
  plan_.logit_rows = request().logits_of_all_rows
                         ? rows
                         : std::min(rows, request().num_sequences + plan_.draft_rows);
  const WorkspaceSizes work = SizeWorkspace(manifest_, PassSizeOf(plan_), RoundingOf(request()));
  if (on_device()) {
    DescribeDevice(work, rows);
  } else {
    DescribeHost(work);
  }
  const std::pair<const char*, int64_t> further[] = {
      {"KV pages on their way", plan_.kv_disk_pages > 0 ? kv_disk_bytes_ : 0},
      {"draft model", request().draft_model_bytes},
      {"hidden rows", request().keeps_hidden ? HiddenRowsBytes(manifest_.spec, plan_) : 0},
      {"grammars", request().constraint_bytes},
      {"requests in flight", request().requests_bytes},
      {"prompts on their way to ids",
       request().reads_prompts ? PromptWorkBytes(request().max_ram_bytes) : 0}};
  for (const auto& [name, bytes] : further) {
    if (bytes > 0) host().items.push_back({name, bytes});
  }
  if (plan_.draft_rows > 0) {
    nearest().items.push_back({"branches of drafts", HostBuffer::RoundedBytes(KvCache::RoomBytes(
                                                         layout_, plan_.tree_rooms))});
    host().items.push_back(
        {"drafts", request().drafters_bytes +
                       TreeTables::MemoryBytes(plan_.draft_rows, request().context_tokens)});
  }
  for (PlacePlan& place : plan_.places) place.fixed_bytes = SumOf(place.items);
}

void MemoryPlanner::PutKv(KvPlace place) {
  if (on_device()) plan_.kv_host_bytes = place == KvPlace::kHost ? kv_bytes_ : 0;
  Describe(least_rows_);
}

Least MemoryPlanner::LeastWith(KvPlace place) {
  PutKv(place);
  Least least = {place, host().fixed_bytes + min_ring_, 0, 0};
  if (request().reads_prompts) {
    least.ram_bytes =
        SmallestWithPrompts(least.ram_bytes - PromptWorkBytes(request().max_ram_bytes));
  }
  if (on_device()) {
    least.vram_bytes = nearest().fixed_bytes + min_ring_;
    least.pinned_bytes = plan_.kv_host_bytes + min_ring_;
  }
  return least;
}

absl::StatusOr<std::vector<KvPlace>> MemoryPlanner::PossiblePlaces() {
  std::vector<KvPlace> places = {KvPlace::kDevice};
  if (on_device() && request().device->kv_place == KvPlace::kAuto) {
    places.push_back(KvPlace::kHost);
  } else if (on_device()) {
    places = {request().device->kv_place};
  }
  std::vector<Least> leasts;
  for (const KvPlace place : places) leasts.push_back(LeastWith(place));
  std::vector<KvPlace> possible;
  int64_t least_vram = std::numeric_limits<int64_t>::max();
  host().minimum_bytes = least_vram;
  for (const Least& least : leasts) {
    if (least.Fits(request())) possible.push_back(least.kv_place);
    if (!least.FitsPinned(request())) continue;
    if (least.FitsVram(request())) {
      host().minimum_bytes = std::min(host().minimum_bytes, least.ram_bytes);
    }
    if (least.FitsRam(request())) least_vram = std::min(least_vram, least.vram_bytes);
  }
  if (possible.empty()) return Refusal(store_, request(), NearestOf(leasts, request()));
  if (on_device()) nearest().minimum_bytes = least_vram;
  return possible;
}

bool MemoryPlanner::AllFits(int64_t rows) {
  Describe(rows);
  return nearest().fixed_bytes + HostBuffer::RoundedBytes(all_resident_) <= nearest().budget_bytes;
}

// As many rows a pass as are wanted, unless their buffers take more than a third of what could
// hold weights (but a row for each sequence): each halving doubles the passes of a prompt, each
// byte here is one less resident. On a device, its memory is what they take.
int64_t MemoryPlanner::GrantRows(KvPlace place) {
  PutKv(place);
  const int64_t base = nearest().fixed_bytes;
  int64_t rows = request().pass_rows;
  while (rows > least_rows_) {
    const bool all_fits = AllFits(rows);
    const bool host_fits = host().fixed_bytes + min_ring_ <= request().max_ram_bytes;
    const bool small =
        nearest().fixed_bytes - base <= (nearest().budget_bytes - base - min_ring_) / 3;
    if (host_fits && (small || all_fits)) break;
    rows = std::max((rows + 1) / 2, least_rows_);
  }
  // Where fewer rows let all weights stay, no pass reads any: more passes then cost nothing.
  if (!on_device()) {
    int64_t fewer = rows;
    while (!AllFits(fewer) && fewer > least_rows_ + kRowTile) fewer = (fewer + 1) / 2;
    if (AllFits(fewer)) rows = fewer;
  }
  Describe(rows);
  return rows;
}

// What is left for slabs that stay on the device, besides the ring that it takes from there.
int64_t MemoryPlanner::DeviceCapacity() {
  const int64_t capacity = nearest().budget_bytes - nearest().fixed_bytes;
  if (all_resident_ <= capacity) return capacity;
  const int64_t ring = std::min(kDeviceRingSlabs * RingSlabBytes(cycle_), all_resident_ / 8);
  nearest().ring_bytes = std::clamp(ring, min_ring_, capacity) / kReadAlignment * kReadAlignment;
  return capacity - nearest().ring_bytes;
}

// The same of `room` bytes of host memory, in buffers that do not round up.
int64_t MemoryPlanner::HostCapacity(int64_t room) {
  const auto whole_pages = [](int64_t bytes) {
    return bytes > kHugePageBytes ? bytes / kHugePageBytes * kHugePageBytes : bytes;
  };
  const int64_t all = HostBuffer::RoundedBytes(all_resident_);
  // What stays on a device passes the host's ring once.
  if (all <= room && !on_device()) return all;
  const int64_t ring = std::clamp(RingBytes(cycle_, plan_, all_resident_), min_ring_, room);
  host().ring_bytes = whole_pages(ring / kReadAlignment * kReadAlignment);
  return whole_pages(room - host().ring_bytes);
}

void MemoryPlanner::PlaceAll() {
  std::vector<int64_t> capacities;  // of the tiers
  if (on_device()) capacities.push_back(DeviceCapacity());
  const int64_t unlimited = request().max_ram_bytes - host().fixed_bytes;
  int64_t room = unlimited;
  if (on_device()) {
    room = std::min(room, request().device->max_pinned_bytes - plan_.kv_host_bytes);
  }
  capacities.push_back(HostCapacity(room));
  plan_.residency = PlaceSlabs(slab_sizes_, capacities, HeadStreamedShare());
  host().kept_bytes =
      HostBuffer::RoundedBytes(plan_.residency.tier_bytes[plan_.residency.host_tier()]);
  if (!on_device()) return;
  nearest().kept_bytes = plan_.residency.tier_bytes[0];
  plan_.unpinned_bytes = std::min(unlimited - room, plan_.residency.streamed_bytes);
  if (!request().host_share.has_value()) return;
  plan_.host_share = ChooseHostShare(manifest_, plan_.residency, *request().host_share, least_rows_,
                                     plan_.logit_rows, RoundingOf(request()) != Rounding::kNone);
}

absl::StatusOr<MemoryPlan> MemoryPlanner::Plan() {
  if (request().context_tokens <= 0 || request().num_sequences <= 0 || request().pass_rows <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("a plan needs a positive context, not ", request().context_tokens, " tokens"));
  }
  if (request().device.has_value()) {
    plan_.places.push_back({.budget_bytes = request().device->max_bytes});
  }
  plan_.places.push_back({.budget_bytes = request().max_ram_bytes});
  TakeSlabs();
  SLUICE_RETURN_IF_ERROR(TakeKv());
  SLUICE_ASSIGN_OR_RETURN(const std::vector<KvPlace> possible, PossiblePlaces());
  // Keys and values lie in host memory only where that gives a pass more rows.
  const int64_t rows = GrantRows(possible.front());
  if (possible.size() > 1 && rows < request().pass_rows && GrantRows(possible.back()) <= rows) {
    GrantRows(possible.front());
  }
  PlaceAll();
  return std::move(plan_);
}

}  // namespace

absl::StatusOr<MemoryPlan> PlanMemory(const LayerStore& store, const PlanRequest& request) {
  PlanRequest without = request;
  without.host_share.reset();
  absl::StatusOr<MemoryPlan> plan = MemoryPlanner(store, without).Plan();
  if (!request.host_share.has_value() || !request.device.has_value() || !plan.ok()) return plan;
  plan->request.host_share = request.host_share;
  absl::StatusOr<MemoryPlan> shared = MemoryPlanner(store, request).Plan();
  // No room for what that takes, or only in the place of keys and values, or nothing for the CPU:
  // buffers would lie idle.
  if (!shared.ok() || shared->host_share.slabs.empty() ||
      shared->KvInHostMemory() != plan->KvInHostMemory()) {
    return plan;
  }
  shared->host().minimum_bytes = plan->host().minimum_bytes;
  shared->nearest().minimum_bytes = plan->nearest().minimum_bytes;
  return shared;
}

}  // namespace sluice
