// One event a line, written as it comes: a trace of a long run takes no memory.
#include "tools/trace.h"

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "runtime/pass/memory_plan.h"

namespace sluice {
namespace {

// Tracks are sorted by their thread id; a stage may have many lanes.
int ThreadId(Stage stage, int lane) { return 100 * (static_cast<int>(stage) + 1) + lane; }
constexpr int kDraftingThreadId = 50;  // above the stages, as drafting comes before the pass

}  // namespace

absl::StatusOr<std::unique_ptr<TraceWriter>> TraceWriter::Create(const std::string& path,
                                                                 const Manifest& manifest) {
  FILE* const file = std::fopen(path.c_str(), "wbe");
  if (file == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", path));
  return std::unique_ptr<TraceWriter>(new TraceWriter(path, file, manifest));
}

TraceWriter::TraceWriter(std::string path, FILE* file, const Manifest& manifest)
    : path_(std::move(path)), file_(file), manifest_(manifest) {
  std::fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n", file_);
}

TraceWriter::~TraceWriter() {
  if (file_ != nullptr) std::fclose(file_);
}

double TraceWriter::Micros(Time time) const {
  return std::chrono::duration<double, std::micro>(time - start_).count();
}

void TraceWriter::Separate() {
  if (!first_) std::fputs(",\n", file_);
  first_ = false;
}

void TraceWriter::BeginWalk(absl::string_view name) {
  ++walk_;
  builder_ = SliceBuilder();
  reading_bytes_ = ring_bytes_ = 0;
  arrows_.clear();
  for (int& lanes : named_lanes_) lanes = 0;
  named_drafting_ = false;
  Separate();
  const nlohmann::json event = {{"ph", "M"},
                                {"pid", walk_},
                                {"name", "process_name"},
                                {"args", {{"name", std::string(name)}}}};
  std::fputs(event.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str(), file_);
}

void TraceWriter::NameLane(Stage stage, int lane) {
  int& named = named_lanes_[static_cast<int>(stage)];
  for (; named <= lane; ++named) {
    Separate();
    std::fprintf(file_,
                 R"({"ph":"M","pid":%d,"tid":%d,"name":"thread_name","args":{"name":"%s%s"}})",
                 walk_, ThreadId(stage, named), std::string(StageName(stage)).c_str(),
                 named == 0 ? "" : absl::StrCat(" ", named + 1).c_str());
  }
}

void TraceWriter::WriteSlice(const Slice& slice) {
  const int index = slice.slab;
  const bool pages = slice.stage == Stage::kKvIn || slice.stage == Stage::kKvOut;
  int64_t bytes = slice.bytes;
  for (int i = 0; i < slice.num_slabs && !pages; ++i) bytes += manifest_.slabs[index + i].bytes;
  const std::string name =
      pages ? absl::StrCat("layer ", manifest_.BlockOf(manifest_.slabs[index]).layer,
                           " keys and values")
            : SlabName(manifest_, index);
  NameLane(slice.stage, slice.lane);
  const int tid = ThreadId(slice.stage, slice.lane);
  const double begin = Micros(slice.begin);
  const double length = Micros(slice.end) - begin;
  Separate();
  std::fprintf(file_,
               R"({"ph":"X","pid":%d,"tid":%d,"ts":%.3f,"dur":%.3f,"name":"%s","cat":"%s",)"
               R"("args":{"slab":%d,"slabs":%d,"pass":%lld,"bytes":%lld}})",
               walk_, tid, begin, length, name.c_str(), std::string(StageName(slice.stage)).c_str(),
               index, pages ? 0 : slice.num_slabs, static_cast<long long>(slice.pass),
               static_cast<long long>(bytes));
  // The arrow starts and ends inside a slice: at its middle.
  const bool read = slice.stage == Stage::kDisk;
  if (read) {
    arrows_.insert({slice.pass, slice.slab});
  } else if (slice.stage != Stage::kCompute || arrows_.erase({slice.pass, slice.slab}) == 0) {
    return;
  }
  Separate();
  std::fprintf(
      file_,
      R"({"ph":"%s","pid":%d,"tid":%d,"ts":%.3f,"id":"%d.%lld.%d","name":"slab","cat":"slab"%s})",
      read ? "s" : "f", walk_, tid, begin + length / 2, walk_, static_cast<long long>(slice.pass),
      slice.slab, read ? "" : R"(,"bp":"e")");
}

void TraceWriter::WriteCounters(const TimelineEvent& event, bool resident) {
  if (event.hop != Hop::kHost) return;
  const ManifestSlab& slab = manifest_.slabs[event.slab];
  const int64_t bytes = slab.bytes;
  if (event.to == SlabState::kReading || event.to == SlabState::kRead) {
    reading_bytes_ += event.to == SlabState::kReading ? bytes : -bytes;
    Separate();
    std::fprintf(file_,
                 R"({"ph":"C","pid":%d,"ts":%.3f,"name":"bytes in flight","args":{"bytes":%lld}})",
                 walk_, Micros(event.time), static_cast<long long>(reading_bytes_));
  }
  if (!resident && (event.to == SlabState::kReading || event.to == SlabState::kFree)) {
    const int64_t room = StreamSlabOf(slab, resident).place_bytes();
    ring_bytes_ += event.to == SlabState::kReading ? room : -room;
    Separate();
    std::fprintf(file_, R"({"ph":"C","pid":%d,"ts":%.3f,"name":"ring fill","args":{"bytes":%lld}})",
                 walk_, Micros(event.time), static_cast<long long>(ring_bytes_));
  }
}

void TraceWriter::Add(absl::Span<const TimelineEvent> events, const std::vector<bool>& resident) {
  for (const TimelineEvent& event : events) {
    WriteCounters(event, resident[event.slab]);
  }
  for (const Slice& slice : builder_.Add(events)) WriteSlice(slice);
}

void TraceWriter::AddDrafts(absl::Span<const DraftSpan> spans, int64_t pass) {
  if (!named_drafting_) {
    Separate();
    std::fprintf(file_,
                 R"({"ph":"M","pid":%d,"tid":%d,"name":"thread_name","args":{"name":"drafting"}})",
                 walk_, kDraftingThreadId);
    named_drafting_ = true;
  }
  for (const DraftSpan& span : spans) {
    const double begin = Micros(span.begin);
    Separate();
    std::fprintf(file_,
                 R"({"ph":"X","pid":%d,"tid":%d,"ts":%.3f,"dur":%.3f,"name":"%s","cat":"drafting",)"
                 R"("args":{"pass":%lld,"proposed":%lld,"rows":%lld,"accepted":%lld}})",
                 walk_, kDraftingThreadId, begin, Micros(span.end) - begin,
                 std::string(span.drafter).c_str(), static_cast<long long>(pass),
                 static_cast<long long>(span.proposed), static_cast<long long>(span.rows),
                 static_cast<long long>(span.accepted));
  }
}

absl::Status TraceWriter::Close() {
  std::fputs("\n]}\n", file_);
  const bool failed = std::ferror(file_) != 0;
  if (std::fclose(std::exchange(file_, nullptr)) != 0 || failed) {
    return absl::DataLossError(absl::StrCat(path_, ": the trace could not be written to its end"));
  }
  return absl::OkStatus();
}

}  // namespace sluice
