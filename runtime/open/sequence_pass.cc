// Weights, the ring, and pages of the KV cache that go over a link.
#include "runtime/open/sequence_pass.h"

namespace sluice {

PassWork DescribeSequencePass(const Manifest& manifest, const MemoryPlan& plan,
                              const OpenOptions& options, int64_t context, int64_t rows,
                              int64_t logit_rows) {
  PassWork work = DescribePass(manifest, plan.residency, rows, logit_rows, options.num_threads,
                               options.read.verify_once, plan.HostSlabs(rows));
  AddRing(manifest, plan, &work);
  if (plan.KvInHostMemory()) {
    AddHostKv(LayoutOf(manifest, plan.request), context, rows, /*sequences=*/1, &work);
  }
  return work;
}

}  // namespace sluice
