// Traces what a session's model does.
#ifndef SLUICE_TOOLS_TRACE_SESSION_H_
#define SLUICE_TOOLS_TRACE_SESSION_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/open/session.h"
#include "tools/trace.h"

namespace sluice {

// Writes to `path` what the stages of session.model and the drafters do from now on, as a walk
// called `name`. The writer must outlive the session's passes; then Model::FlushTimeline and
// TraceWriter::Close. Errors name `path`.
absl::StatusOr<std::unique_ptr<TraceWriter>> TraceSession(Session& session, absl::string_view name,
                                                          const std::string& path);

}  // namespace sluice

#endif  // SLUICE_TOOLS_TRACE_SESSION_H_
