// Floors of the last pass that the context has room for, and the plan as JSON.
#include "runtime/open/plan_report.h"

#include <cstdint>
#include <utility>

#include "runtime/open/sequence_pass.h"

namespace sluice {
namespace {

// The store's manifest if its bf16 and f16 slabs were the other way: compressed, or not. Sizes are
// what the probe's weights compress to. Nothing where there is nothing to compress.
std::optional<Manifest> Otherwise(const Manifest& manifest, const MachineRates& rates) {
  if (rates.bf16_stored_share <= 0) return std::nullopt;
  Manifest other = manifest;
  bool changed = false;
  for (ManifestSlab& slab : other.slabs) {
    const Encoding encoding = other.tensors[slab.tensors[0]].encoding;
    if (slab.compression != SlabCompression::kNone) {
      slab.compression = SlabCompression::kNone;
      slab.bytes = slab.raw_bytes;
      changed = true;
    } else if (manifest.compression == StoreCompression::kNone && encoding == Encoding::kBF16) {
      slab.compression = CompressionFor(encoding);
      slab.bytes =
          static_cast<int64_t>(rates.bf16_stored_share * static_cast<double>(slab.raw_bytes));
      changed = true;
    }
  }
  if (!changed) return std::nullopt;
  return other;
}

nlohmann::json ItemsToJson(const std::vector<PlanItem>& items) {
  nlohmann::json object = nlohmann::json::object();
  for (const PlanItem& item : items) object[item.name] = item.bytes;
  return object;
}

nlohmann::json DeviceToJson(const PlanReport& report) {
  const MemoryPlan& plan = report.plan;
  return {{"name", report.device},
          {"max_vram_bytes", plan.request.device->max_bytes},
          {"minimum_bytes", plan.nearest().minimum_bytes},
          {"fixed_bytes", plan.nearest().fixed_bytes},
          {"fixed", ItemsToJson(plan.nearest().items)},
          {"ring_bytes", plan.nearest().ring_bytes},
          {"kept_bytes", plan.nearest().kept_bytes},
          {"kv_place", plan.KvInHostMemory() ? "host" : "device"},
          {"kv_staged_pages", plan.kv_staged_pages},
          {"unpinned_bytes", plan.unpinned_bytes},
          {"cpu_slabs", plan.host_share.num_slabs},
          {"cpu_bytes", plan.host_share.bytes},
          {"cpu_most_rows", plan.host_share.most_rows}};
}

nlohmann::json FloorToJson(const PassFloor& token) {
  return {{"disk_s", token.ring_s - token.turns_s},
          {"ring_turns_s", token.turns_s},
          {"memory_s", token.Seconds(kMemoryTerm)},
          {"link_s", token.Seconds(kLinkTerm)},
          {"device_memory_s", token.Seconds(kDeviceMemoryTerm)},
          {"verify_s", token.verify_s},
          {"unpack_s", token.unpack_s},
          {"compute_s", token.compute_s}};
}

}  // namespace

PlanReport MakePlanReport(const Session& session, const OpenOptions& options, MemoryPlan plan,
                          MachineRates rates) {
  const Manifest& manifest = session.store->manifest();
  const auto floor = [&](const Manifest& of, int64_t rows, int64_t logit_rows = 1) {
    return FloorOf(DescribeSequencePass(of, plan, options, plan.request.context_tokens - rows, rows,
                                        logit_rows),
                   rates);
  };
  PlanReport report;
  report.token = floor(manifest, 1);
  report.prompt = floor(manifest, plan.pass_rows);
  report.drafted = floor(manifest, 1 + plan.draft_rows, 1 + plan.draft_rows);
  if (plan.request.draft_model_bytes > 0 && rates.memory_bytes_per_s > 0) {
    int64_t bytes = 0;
    for (const ManifestSlab& slab : session.draft->store->manifest().slabs) bytes += slab.raw_bytes;
    report.draft_level_s = static_cast<double>(bytes) / rates.memory_bytes_per_s;
  }
  if (const auto other = Otherwise(manifest, rates); other.has_value()) {
    report.otherwise = floor(*other, 1);
  }
  if (session.gpu != nullptr) report.device = session.gpu->name();
  report.plan = std::move(plan);
  report.rates = std::move(rates);
  return report;
}

nlohmann::json PlanReportToJson(const PlanReport& report) {
  const MemoryPlan& plan = report.plan;
  nlohmann::json object = {
      {"max_ram_bytes", plan.request.max_ram_bytes},
      {"minimum_bytes", plan.host().minimum_bytes},
      {"fixed_bytes", plan.host().fixed_bytes},
      {"fixed", ItemsToJson(plan.host().items)},
      {"ring_bytes", plan.host().ring_bytes},
      {"resident_memory_bytes", plan.host().kept_bytes},
      {"weight_bytes", plan.weight_bytes},
      {"resident_bytes", plan.weight_bytes - plan.residency.streamed_bytes},
      {"streamed_bytes", plan.residency.streamed_bytes},
      {"context_tokens", plan.request.context_tokens},
      {"pass_rows", plan.pass_rows},
      {"draft_rows", plan.draft_rows},
      {"draft_model_bytes", plan.request.draft_model_bytes},
  };
  if (plan.on_device()) object["device"] = DeviceToJson(report);
  if (report.predicts()) {
    object["predicted_s"] = report.token.predicted_s();
    object["predicted_prompt_s"] = report.prompt.predicted_s();
    object["predicted_drafted_s"] = report.drafted.predicted_s();
    object["draft_level_s"] = report.draft_level_s;
    object["bound_by"] = report.token.bound_by();
    object["floor"] = FloorToJson(report.token);
  }
  return object;
}

}  // namespace sluice
