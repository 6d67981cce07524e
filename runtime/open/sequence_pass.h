// What a pass of one sequence has to do: plan predicts it, run's report and bench hold what they
// measured against it.
#ifndef SLUICE_RUNTIME_OPEN_SEQUENCE_PASS_H_
#define SLUICE_RUNTIME_OPEN_SEQUENCE_PASS_H_

#include <cstdint>

#include "runtime/floor/pass_floor.h"
#include "runtime/open/open_options.h"
#include "runtime/pass/memory_plan.h"
#include "storage/store/manifest.h"

namespace sluice {

// A pass of `rows` rows behind `context` tokens, of which `logit_rows` give logits, through the
// plan's ring.
PassWork DescribeSequencePass(const Manifest& manifest, const MemoryPlan& plan,
                              const OpenOptions& options, int64_t context, int64_t rows,
                              int64_t logit_rows);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPEN_SEQUENCE_PASS_H_
