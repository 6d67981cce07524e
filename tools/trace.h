// Writes what every stage did as a trace for Perfetto (ui.perfetto.dev) or chrome://tracing.
#ifndef SLUICE_TOOLS_TRACE_H_
#define SLUICE_TOOLS_TRACE_H_

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "prefetch/timeline.h"
#include "runtime/speculate/speculator.h"
#include "storage/store/manifest.h"
#include "tools/slices.h"

namespace sluice {

// The JSON object form of the Trace Event Format: a track a stage with a slice a slab, an arrow
// from where a slab was read to where it is computed with, and counters of the bytes that are being
// read and that the ring holds. Where tokens are drafted, one more track has a slice a drafter and
// pass. Microseconds since the writer was created.
class TraceWriter {
 public:
  // `manifest` must outlive the writer. Errors name `path`.
  static absl::StatusOr<std::unique_ptr<TraceWriter>> Create(const std::string& path,
                                                             const Manifest& manifest);
  ~TraceWriter();

  // Begins another walk, such as another run of a benchmark, whose passes start anew.
  void BeginWalk(absl::string_view name);
  // `resident`: of each slab of the manifest. Moves in order of time.
  void Add(absl::Span<const TimelineEvent> events, const std::vector<bool>& resident);
  // What drafters did before pass `pass`, as slices of a track of its own. Passes in order.
  void AddDrafts(absl::Span<const DraftSpan> spans, int64_t pass);
  // Ends the file. DataLoss where it could not all be written.
  absl::Status Close();

 private:
  using Time = std::chrono::steady_clock::time_point;
  TraceWriter(std::string path, FILE* file, const Manifest& manifest);
  double Micros(Time time) const;
  void WriteSlice(const Slice& slice);
  void WriteCounters(const TimelineEvent& event, bool resident);
  void NameLane(Stage stage, int lane);
  void Separate();  // the comma between events

  const std::string path_;
  FILE* file_;
  const Manifest& manifest_;
  const Time start_ = std::chrono::steady_clock::now();
  SliceBuilder builder_;
  int walk_ = 0;  // a process each in the trace
  int named_lanes_[kNumStages] = {};
  std::set<std::pair<int64_t, int>> arrows_;  // passes and slabs whose arrow has begun
  bool named_drafting_ = false;
  bool first_ = true;
  int64_t reading_bytes_ = 0;
  int64_t ring_bytes_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_TOOLS_TRACE_H_
