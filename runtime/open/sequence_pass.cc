// Weights, the ring, and pages of the KV cache that go over a link.
#include "runtime/open/sequence_pass.h"

namespace sluice {

PassWork DescribeSequencePass(const Manifest& manifest, const MemoryPlan& plan,
                              const OpenOptions& options, int64_t context, int64_t rows,
                              int64_t logit_rows) {
  const HyperParameters& h = manifest.hyper_parameters;
  PassWork work = DescribePass(manifest, plan.residency, rows, logit_rows, options.num_threads,
                               options.read.verify_once, plan.HostSlabs(rows));
  AddRing(manifest, plan, &work);
  if (plan.KvInHostMemory()) {
    const int64_t page_bytes =
        KvPageBytes({plan.request.k_type, plan.request.v_type, h.num_key_value_heads, h.head_dim});
    AddHostKv(h, page_bytes, context, rows, /*sequences=*/1, &work);
  }
  return work;
}

}  // namespace sluice
