// Connects a model's timeline to a trace.
#include "tools/trace_session.h"

#include <utility>
#include <vector>

#include "kernels/base/status_macros.h"
#include "runtime/pass/model.h"

namespace sluice {

absl::StatusOr<std::unique_ptr<TraceWriter>> TraceSession(Session& session, absl::string_view name,
                                                          const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(std::unique_ptr<TraceWriter> trace,
                          TraceWriter::Create(path, session.store->manifest()));
  trace->BeginWalk(name);
  std::vector<bool> resident;
  for (const int tier : session.model->plan().residency.tier) resident.push_back(tier != kOnDisk);
  session.model->SetTimelineSink(
      [writer = trace.get(), resident = std::move(resident)](
          absl::Span<const TimelineEvent> events) { writer->Add(events, resident); });
  if (session.speculator != nullptr) {
    session.speculator->SetSpanSink(
        [writer = trace.get(), model = session.model.get()](absl::Span<const DraftSpan> spans) {
          writer->AddDrafts(spans, model->pass_counters().passes - 1);
        });
  }
  return trace;
}

}  // namespace sluice
