// The arithmetic behind `sluice plan`.
#include "runtime/pass/memory_plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/base/status_macros.h"
#include "kernels/cpu/attention.h"
#include "kernels/encodings/tile.h"
#include "prefetch/io/host_buffer.h"
#include "prefetch/slab_stream.h"
#include "runtime/kv/kv_cache.h"
#include "runtime/kv/kv_file.h"
#include "runtime/kv/kv_pager.h"
#include "runtime/kv/kv_staging.h"
#include "runtime/place/compute_place.h"
#include "runtime/sample/sampler.h"

namespace sluice {
namespace {

// As memory of a ComputePlace is aligned.
constexpr int64_t kWorkspaceAlignment = 256;
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

PassLimits LimitsOf(const MemoryPlan& plan, const HyperParameters& h) {
  return {.rows = plan.pass_rows,
          .sequences = plan.request.num_sequences,
          .context_tokens = plan.request.context_tokens,
          .num_heads = h.num_attention_heads,
          .kv = {plan.request.k_type, plan.request.v_type, h.num_key_value_heads, h.head_dim}};
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

int64_t WorkspaceSizes::activations() const {
  int64_t bytes = residual_bytes + normed_bytes + ahead_bytes + block_bytes + note_bytes;
  for (const int64_t of_format : activation_bytes) bytes += of_format;
  return bytes;
}

int64_t WorkspaceSizes::total() const {
  return activations() + logits_bytes + rope_bytes + staging_bytes;
}

Rounding RoundingOf(const PlanRequest& request) {
  if (!request.fast_math) return Rounding::kNone;
  return request.device.has_value() ? Rounding::kBF16AndF16 : Rounding::kBF16;
}

ActivationFormat ActivationsOf(Encoding encoding, Rounding rounding) {
  if (encoding == Encoding::kBF16 && rounding != Rounding::kNone) return ActivationFormat::kBF16;
  if (encoding == Encoding::kF16 && rounding == Rounding::kBF16AndF16)
    return ActivationFormat::kF16;
  return Info(encoding).activations;
}

void AddRing(const Manifest& manifest, const MemoryPlan& plan, PassWork* work) {
  work->ring_bytes = plan.ring_bytes;
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

int64_t PreparedAhead(int64_t rows, int64_t prepared_row_bytes, int64_t float_row_bytes) {
  const int64_t growth = std::max<int64_t>(prepared_row_bytes - float_row_bytes, 0);
  return RoundUp(std::min(rows, kRowTile) * prepared_row_bytes + rows * growth,
                 kWorkspaceAlignment);
}

WorkspaceSizes SizeWorkspace(const Manifest& manifest, int64_t pass_rows, int64_t logit_rows,
                             int64_t context_tokens, Rounding rounding) {
  const HyperParameters& h = manifest.hyper_parameters;
  const int64_t q_dim = h.num_attention_heads * h.head_dim;
  const int64_t kv_dim = h.num_key_value_heads * h.head_dim;
  const auto rounded = [](int64_t bytes) { return HostBuffer::RoundedBytes(bytes); };
  WorkspaceSizes sizes = {};
  sizes.residual_bytes = rounded(pass_rows * h.hidden_size * 4);
  sizes.normed_bytes = rounded(std::min(pass_rows, kRowTile) * h.hidden_size * 4);
  for (const Block& block : manifest.program.blocks) {
    for (const Product& product : block.products) {
      for (const int matrix : MatricesOf(product, block.layer, manifest.index)) {
        const ManifestTensor& tensor = manifest.tensors[matrix];
        const ActivationFormat format = ActivationsOf(tensor.encoding, rounding);
        const int64_t k = tensor.shape[1];
        if (ReadsStream(product)) {
          sizes.activation_bytes[static_cast<int>(format)] =
              rounded(pass_rows * ActivationRowBytes(format, k));
        } else {
          const int64_t ahead = PreparedAhead(pass_rows, ActivationRowBytes(format, k), k * 4);
          sizes.ahead_bytes = std::max(sizes.ahead_bytes, ahead);
        }
      }
    }
  }
  // One buffer with what is ahead of it.
  const int64_t block_bytes = pass_rows * std::max(2 * q_dim + 2 * kv_dim, h.intermediate_size) * 4;
  sizes.block_bytes = rounded(sizes.ahead_bytes + block_bytes) - sizes.ahead_bytes;
  sizes.logits_bytes = rounded(logit_rows * h.vocab_size * 4);
  sizes.rope_bytes = rounded(context_tokens * h.head_dim * 4);
  sizes.note_bytes = rounded(sizeof(int32_t));
  sizes.staging_bytes = rounded(pass_rows * manifest.embedding_stride);
  return sizes;
}

int64_t ProductRows(const Manifest& manifest, const ManifestSlab& slab) {
  const int64_t first = slab.first_tile * kTileRows;
  return std::min(slab.num_tiles * kTileRows, manifest.tensors[slab.tensors[0]].shape[0] - first);
}

int64_t HostProductSizes::host_bytes() const {
  int64_t bytes = product_bytes;
  for (const int64_t of_format : activation_bytes) bytes += of_format;
  return bytes;
}

HostProductSizes SizeHostProducts(const Manifest& manifest, int64_t rows, int64_t logit_rows) {
  HostProductSizes sizes;
  int64_t together = 0;  // of slabs that read the same
  int block = -1;
  PassBuffer input = PassBuffer::kNormed;
  for (const ManifestSlab& slab : manifest.slabs) {
    const ManifestTensor& tensor = manifest.tensors[slab.tensors[0]];
    const Product& product = manifest.ProductOf(slab);
    const int64_t count = OfLogitRows(product) ? std::min(rows, logit_rows) : rows;
    if (slab.block != block || product.reads != input) together = 0;
    block = slab.block;
    input = product.reads;
    together += count * ProductRows(manifest, slab) * static_cast<int64_t>(sizeof(float));
    sizes.product_bytes = std::max(sizes.product_bytes, HostBuffer::RoundedBytes(together));
    const ActivationFormat format = Info(tensor.encoding).activations;
    int64_t& bytes = sizes.activation_bytes[static_cast<int>(format)];
    bytes = std::max(bytes,
                     HostBuffer::RoundedBytes(count * ActivationRowBytes(format, tensor.shape[1])));
  }
  return sizes;
}

namespace {

absl::StatusOr<MemoryPlan> PlanFor(const LayerStore& store, const PlanRequest& request) {
  const Manifest& manifest = store.manifest();
  const HyperParameters& h = manifest.hyper_parameters;
  if (request.context_tokens <= 0 || request.num_sequences <= 0 || request.pass_rows <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("a plan needs a positive context, not ", request.context_tokens, " tokens"));
  }
  MemoryPlan plan;
  plan.request = request;

  std::vector<SlabSize> slab_sizes;
  std::vector<StreamSlab> cycle;
  int64_t all_resident = 0;
  for (const ManifestSlab& slab : manifest.slabs) {
    cycle.push_back(StreamSlabOf(slab, /*resident=*/false));
    const bool brief = OfLogitRows(manifest.ProductOf(slab)) && request.pass_rows > 1 &&
                       request.num_sequences == 1 && !request.logits_of_all_rows;
    slab_sizes.push_back({slab.bytes, cycle.back().place_bytes(), brief});
    plan.weight_bytes += slab.bytes;
    plan.raw_bytes += slab.raw_bytes;
    all_resident += cycle.back().place_bytes();
  }
  if (plan.raw_bytes > plan.weight_bytes) plan.worker_threads = kDecodingThreads;
  const int64_t stream_tables = SlabStream::MemoryBytes(cycle, 0, plan.worker_threads);
  const int64_t context_pages = (request.context_tokens + kKvPageTokens - 1) / kKvPageTokens;
  plan.kv_pages = request.kv_pages > 0 ? std::max(request.kv_pages, context_pages)
                                       : context_pages * request.num_sequences;
  const KvShape kv = {request.k_type, request.v_type, h.num_key_value_heads, h.head_dim};
  plan.kv_disk_pages = std::min(request.kv_disk_pages, plan.kv_pages);
  if (plan.kv_disk_pages > 0 && request.device.has_value()) {
    return absl::InvalidArgumentError(
        "keys and values cannot lie on disk where a device computes; leave them in its memory or "
        "in the host's");
  }
  const int64_t kv_bytes =
      KvCache::BytesForPages(kv, h.num_hidden_layers, plan.kv_pages - plan.kv_disk_pages);
  const int64_t kv_disk_bytes =
      KvCache::BytesForPages(kv, h.num_hidden_layers, plan.kv_pages, plan.kv_disk_pages) -
      kv_bytes + KvFile::MemoryBytes(h.num_hidden_layers, plan.kv_disk_pages) +
      KvPager::MemoryBytes(plan.kv_disk_pages);

  std::vector<KvPlace> kv_places = {KvPlace::kDevice};
  if (request.device.has_value()) {
    plan.device.emplace();
    if (request.device->kv_place == KvPlace::kAuto) {
      kv_places.push_back(KvPlace::kHost);
    } else {
      kv_places = {request.device->kv_place};
    }
  }
  const auto describe = [&](int64_t rows) {
    plan.pass_rows = rows;
    plan.logit_rows = request.logits_of_all_rows ? rows : std::min(rows, request.num_sequences);
    const WorkspaceSizes work =
        SizeWorkspace(manifest, rows, plan.logit_rows, request.context_tokens, RoundingOf(request));
    const int64_t sampler_bytes = Sampler::MemoryBytes(h.vocab_size);
    if (plan.device.has_value()) {
      const bool kv_on_host = plan.KvInHostMemory();
      plan.device->kv_staged_pages =
          kv_on_host
              ? KvStaging::MostPages(h.layer_windows, request.num_sequences, rows, plan.kv_pages)
              : 0;
      const int64_t upload_bytes = kUploadBuffers * UploadBufferBytes(LimitsOf(plan, h));
      plan.device->items = {
          kv_on_host ? PlanItem{"KV pages on their way",
                                KvStaging::DeviceBytes(kv, plan.device->kv_staged_pages)}
                     : PlanItem{"KV cache", kv_bytes},
          {"activations", work.activations()},
          {"logits", work.logits_bytes},
          {"rotary tables", work.rope_bytes},
          {"norms and biases", manifest.resident_bytes},
          {"kernels and the device's runtime", request.device->scratch_bytes + upload_bytes},
      };
      plan.items = {
          {"copies to the device", ComputePlace::kStagingBytes + work.staging_bytes + upload_bytes +
                                       (kv_on_host ? KvStaging::HostBytes(plan.kv_pages) : 0)},
          {"logits and sampling", work.logits_bytes + sampler_bytes},
          {"norms, biases and manifest", store.MemoryBytes()},
          {"tokenizer", request.tokenizer_bytes},
          {"I/O tables", stream_tables},
      };
      if (request.device->host_bytes > 0)
        plan.items.push_back({"the device's driver", request.device->host_bytes});
      if (kv_on_host) plan.items.insert(plan.items.begin(), {"KV cache", kv_bytes});
      plan.device->fixed_bytes = SumOf(plan.device->items);
    } else {
      plan.items = {
          {"KV cache", kv_bytes},
          {"activations", work.activations() + work.staging_bytes},
          {"logits and sampling", work.logits_bytes + sampler_bytes},
          {"rotary tables", work.rope_bytes},
          {"norms, biases and manifest", store.MemoryBytes()},
          {"tokenizer", request.tokenizer_bytes},
          {"I/O tables and kernel scratch",
           stream_tables +
               CpuAttention::ScratchBytes(h.num_attention_heads, h.head_dim, request.num_threads)},
      };
    }
    if (plan.device.has_value() && request.host_share.has_value()) {
      const HostProductSizes shared =
          SizeHostProducts(manifest, std::min(rows, kMostSharedRows), plan.logit_rows);
      plan.device->items.push_back({"products of the CPU", shared.product_bytes});
      plan.device->fixed_bytes += shared.product_bytes;
      plan.items.push_back({"products for the device", shared.host_bytes()});
    }
    if (plan.kv_disk_pages > 0) plan.items.push_back({"KV pages on their way", kv_disk_bytes});
    if (request.constraint_bytes > 0) plan.items.push_back({"grammars", request.constraint_bytes});
    if (request.requests_bytes > 0)
      plan.items.push_back({"requests in flight", request.requests_bytes});
    if (request.reads_prompts) {
      plan.items.push_back({"prompts on their way to ids", PromptWorkBytes(request.max_ram_bytes)});
    }
    plan.fixed_bytes = SumOf(plan.items);
  };

  // Two slabs: one is computed with while the next one arrives.
  const int64_t min_ring =
      HostBuffer::RoundedBytes(std::min(2 * RingSlabBytes(cycle), all_resident));
  const int64_t least_rows = std::min(request.num_sequences, request.pass_rows);
  const auto put_kv = [&](KvPlace place) {
    if (plan.device.has_value())
      plan.device->kv_host_bytes = place == KvPlace::kHost ? kv_bytes : 0;
    describe(least_rows);
  };
  std::vector<Least> leasts;
  for (const KvPlace place : kv_places) {
    put_kv(place);
    Least least = {place, plan.fixed_bytes + min_ring, 0, 0};
    if (request.reads_prompts) {
      least.ram_bytes =
          SmallestWithPrompts(least.ram_bytes - PromptWorkBytes(request.max_ram_bytes));
    }
    if (plan.device.has_value()) {
      least.vram_bytes = plan.device->fixed_bytes + min_ring;
      least.pinned_bytes = plan.device->kv_host_bytes + min_ring;
    }
    leasts.push_back(least);
  }
  std::vector<KvPlace> possible;
  int64_t least_vram = std::numeric_limits<int64_t>::max();
  plan.minimum_bytes = least_vram;
  for (const Least& least : leasts) {
    if (least.Fits(request)) possible.push_back(least.kv_place);
    if (!least.FitsPinned(request)) continue;
    if (least.FitsVram(request)) plan.minimum_bytes = std::min(plan.minimum_bytes, least.ram_bytes);
    if (least.FitsRam(request)) least_vram = std::min(least_vram, least.vram_bytes);
  }
  if (possible.empty()) return Refusal(store, request, NearestOf(leasts, request));
  if (plan.device.has_value()) plan.device->minimum_bytes = least_vram;
  // As many rows a pass as are wanted, unless their buffers take more than a third of what could
  // hold weights (but a row for each sequence): each halving doubles the passes of a prompt, each
  // byte here is one less resident. On a device, its memory is what they take.
  const int64_t budget =
      plan.device.has_value() ? request.device->max_bytes : request.max_ram_bytes;
  const int64_t& fixed = plan.device.has_value() ? plan.device->fixed_bytes : plan.fixed_bytes;
  const auto grant_rows = [&](KvPlace place) {
    put_kv(place);
    const int64_t base = fixed;
    int64_t rows = request.pass_rows;
    const auto all_fits = [&] {
      describe(rows);
      return fixed + HostBuffer::RoundedBytes(all_resident) <= budget;
    };
    while (rows > least_rows) {
      const bool all = all_fits();
      const bool host_fits = plan.fixed_bytes + min_ring <= request.max_ram_bytes;
      if (host_fits && (fixed - base <= (budget - base - min_ring) / 3 || all)) break;
      rows = std::max((rows + 1) / 2, least_rows);
    }
    // Where fewer rows let all weights stay, no pass reads any: more passes then cost nothing.
    const int64_t granted = rows;
    while (!plan.device.has_value() && !all_fits() && rows > least_rows + kRowTile) {
      rows = (rows + 1) / 2;
    }
    if (!all_fits()) rows = granted;
    describe(rows);
    return rows;
  };
  const int64_t rows = grant_rows(possible.front());
  if (possible.size() > 1 && rows < request.pass_rows && grant_rows(possible.back()) <= rows) {
    grant_rows(possible.front());
  }

  std::vector<int64_t> capacities;  // of the tiers
  if (plan.device.has_value()) {
    int64_t capacity = request.device->max_bytes - fixed;
    if (all_resident > capacity) {
      const int64_t ring = std::min(kDeviceRingSlabs * RingSlabBytes(cycle), all_resident / 8);
      plan.device->ring_bytes =
          std::clamp(ring, min_ring, capacity) / kReadAlignment * kReadAlignment;
      capacity -= plan.device->ring_bytes;
    }
    capacities.push_back(capacity);
  }
  int64_t room = request.max_ram_bytes - plan.fixed_bytes;
  const int64_t unlimited = room;
  if (plan.device.has_value()) {
    room = std::min(room, request.device->max_pinned_bytes - plan.device->kv_host_bytes);
  }
  int64_t capacity = HostBuffer::RoundedBytes(all_resident);
  // What stays on a device passes the host's ring once.
  if (capacity > room || plan.device.has_value()) {
    const int64_t ring = std::clamp(RingBytes(cycle, plan, all_resident), min_ring, room);
    plan.ring_bytes = ring / kReadAlignment * kReadAlignment;
    if (plan.ring_bytes > kHugePageBytes)
      plan.ring_bytes = plan.ring_bytes / kHugePageBytes * kHugePageBytes;
    // What is left, in a buffer that does not round up.
    capacity = room - plan.ring_bytes;
    if (capacity > kHugePageBytes) capacity = capacity / kHugePageBytes * kHugePageBytes;
  }
  capacities.push_back(capacity);
  plan.residency = PlaceSlabs(slab_sizes, capacities);
  plan.resident_bytes =
      HostBuffer::RoundedBytes(plan.residency.tier_bytes[plan.residency.host_tier()]);
  if (plan.device.has_value()) {
    plan.device->kept_bytes = plan.residency.tier_bytes[0];
    plan.device->unpinned_bytes = std::min(unlimited - room, plan.residency.streamed_bytes);
  }
  if (plan.device.has_value() && request.host_share.has_value()) {
    plan.host_share = ChooseHostShare(manifest, plan.residency, *request.host_share, least_rows,
                                      plan.logit_rows, RoundingOf(request) != Rounding::kNone);
  }
  return plan;
}

}  // namespace

absl::StatusOr<MemoryPlan> PlanMemory(const LayerStore& store, const PlanRequest& request) {
  PlanRequest without = request;
  without.host_share.reset();
  absl::StatusOr<MemoryPlan> plan = PlanFor(store, without);
  if (!request.host_share.has_value() || !request.device.has_value() || !plan.ok()) return plan;
  plan->request.host_share = request.host_share;
  absl::StatusOr<MemoryPlan> shared = PlanFor(store, request);
  // No room for what that takes, or only in the place of keys and values, or nothing for the CPU:
  // buffers would lie idle.
  if (!shared.ok() || shared->host_share.slabs.empty() ||
      shared->KvInHostMemory() != plan->KvInHostMemory()) {
    return plan;
  }
  shared->minimum_bytes = plan->minimum_bytes;
  shared->device->minimum_bytes = plan->device->minimum_bytes;
  return shared;
}

}  // namespace sluice
