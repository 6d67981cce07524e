// Looks at the model some eight times a second.
#include "tools/model_progress.h"

#include <chrono>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/base/format_bytes.h"
#include "tools/command.h"

namespace sluice {
namespace {

// What is over sooner is not worth a line.
constexpr std::chrono::milliseconds kFirstDraw(150);
constexpr std::chrono::milliseconds kBetweenDraws(125);

}  // namespace

ModelProgress::ModelProgress(const Model* model, std::string what)
    : model_(*model),
      what_(std::move(what)),
      terminal_(StderrIsTerminal()),
      lines_(what_, ProgressUnit::kCount) {}

ModelProgress::~ModelProgress() { End(); }

void ModelProgress::BeginRows(int64_t rows) {
  if (!terminal_) return;
  End();
  const ModelActivity now = model_.activity();
  {
    const MutexLock lock(&mutex_);
    rows_ = rows;
    first_row_ = now.rows;
    first_byte_ = now.bytes_read;
  }
  Start();
}

void ModelProgress::BeginCounts(int64_t total) {
  if (terminal_) ShowCounts(0, total, "");
}

void ModelProgress::ShowCounts(int64_t done, int64_t total, absl::string_view note) {
  if (!terminal_) {
    lines_.Update(static_cast<double>(done), total, note);
    return;
  }
  {
    const MutexLock lock(&mutex_);
    rows_ = -1;
    done_ = done;
    total_ = total;
    note_ = std::string(note);
  }
  if (!thread_.joinable()) Start();
}

void ModelProgress::Say(absl::string_view line) {
  const MutexLock lock(&mutex_);
  EndBar();
  std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
}

void ModelProgress::End() {
  {
    const MutexLock lock(&mutex_);
    drawing_ = false;
    ended_.NotifyAll();
  }
  thread_.Join();
  const MutexLock lock(&mutex_);
  EndBar();
}

void ModelProgress::EndBar() {
  bar_.reset();
  phase_ = Phase::kNone;
}

void ModelProgress::Start() {
  const MutexLock lock(&mutex_);
  absl::StatusOr<Thread> thread = Thread::Start("sluice-progress", [this] { Run(); });
  drawing_ = thread.ok();  // a system that refuses a thread gets no progress
  if (thread.ok()) thread_ = *std::move(thread);
}

void ModelProgress::Run() {
  const MutexLock lock(&mutex_);
  Pause(kFirstDraw);
  while (drawing_) {
    Draw();
    Pause(kBetweenDraws);
  }
}

void ModelProgress::Pause(std::chrono::milliseconds most) {
  bool over = false;
  while (drawing_ && !over) over = ended_.WaitFor(&mutex_, most);
}

Progress& ModelProgress::BarOf(Phase phase) {
  if (bar_ == nullptr || phase != phase_) {
    bar_.reset();
    const ProgressUnit unit = phase == Phase::kLoading             ? ProgressUnit::kBytes
                              : phase == Phase::kWork && rows_ < 0 ? ProgressUnit::kCount
                                                                   : ProgressUnit::kTokens;
    bar_ = std::make_unique<Progress>(phase == Phase::kLoading      ? "loading"
                                      : phase == Phase::kGenerating ? "generating"
                                                                    : what_,
                                      unit, ProgressEnd::kClearLine);
    phase_ = phase;
  }
  return *bar_;
}

void ModelProgress::Draw() {
  const ModelActivity now = model_.activity();
  const int64_t rows = now.rows - first_row_;
  const double done =
      static_cast<double>(rows) + static_cast<double>(now.pass_rows) * now.pass_share;
  std::string pass;
  if (now.pass_rows > 0)
    pass = absl::StrFormat("pass %d%%", static_cast<int>(100 * now.pass_share));
  if (now.loaded_bytes < now.kept_bytes) {
    // Slabs that stay come between the others on the first walk, so that the first pass runs
    // meanwhile.
    if (rows_ >= 0 && now.pass_rows > 0)
      pass = absl::StrFormat("%s %d of %d", what_, static_cast<int>(done), rows_);
    BarOf(Phase::kLoading).Update(static_cast<double>(now.loaded_bytes), now.kept_bytes, pass);
  } else if (rows_ < 0) {
    BarOf(Phase::kWork)
        .Update(static_cast<double>(done_), total_,
                absl::StrCat(note_, note_.empty() || pass.empty() ? "" : "  ", pass));
  } else if (rows < rows_) {
    BarOf(Phase::kWork)
        .Update(done, rows_,
                done > 0 ? "" : absl::StrCat(FormatBytes(now.bytes_read - first_byte_), " read"));
  } else {
    // The last of the prompt's rows gave the first token.
    BarOf(Phase::kGenerating).Update(static_cast<double>(rows - rows_) + 1, -1, pass);
  }
}

}  // namespace sluice
