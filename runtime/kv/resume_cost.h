// Whether a preempted sequence's pages are better written to disk and read back, or computed again:
// closed formulas.
#ifndef SLUICE_RUNTIME_KV_RESUME_COST_H_
#define SLUICE_RUNTIME_KV_RESUME_COST_H_

#include <cstdint>

namespace sluice {

// What bringing a sequence back costs a job of many, in seconds.
struct ResumeCosts {
  double page_s = 0;     // a page, in all layers, to disk or back
  double free_rows = 0;  // rows that an average pass could compute besides, while the disk reads
  double row_s = 0;      // each row beyond those
};

// Passes wait while pages go to disk, and while they come back.
double SwapSeconds(const ResumeCosts& costs, int64_t pages);
double RecomputeSeconds(const ResumeCosts& costs, int64_t rows);

// page_s after `bytes` of pages took `seconds`: what was expected counts for as much as the first
// 64 MiB.
double LearnedPageSeconds(const ResumeCosts& costs, int64_t page_bytes, int64_t bytes,
                          double seconds);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_KV_RESUME_COST_H_
