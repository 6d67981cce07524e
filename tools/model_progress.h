// Shows on a terminal what a model is at while nothing of its answer is there yet: what it loads,
// then how far its passes are, inside of a pass too. A thread of its own draws, so that a slow disk
// leaves no silence.
#ifndef SLUICE_TOOLS_MODEL_PROGRESS_H_
#define SLUICE_TOOLS_MODEL_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "kernels/base/mutex.h"
#include "kernels/cpu/thread.h"
#include "runtime/pass/model.h"
#include "tools/progress.h"

namespace sluice {

// Draws between a begin and End(), on standard error where that is a terminal. For one thread
// beside the drawing one.
class ModelProgress {
 public:
  // `what` begins the line of passes: "prompt". The model must outlive this.
  ModelProgress(const Model* model, std::string what);
  ~ModelProgress();
  ModelProgress(const ModelProgress&) = delete;
  ModelProgress& operator=(const ModelProgress&) = delete;

  // From here on passes compute `rows` rows, and behind them generated tokens, a row each. Nothing
  // elsewhere than on a terminal.
  void BeginRows(int64_t rows);
  // From here on none of `total` things is done. Nothing elsewhere than on a terminal.
  void BeginCounts(int64_t total);
  // `done` of `total` things are done, and `note` says more. Elsewhere than on a terminal plain
  // lines, as Progress has them.
  void ShowCounts(int64_t done, int64_t total, absl::string_view note);
  // Writes a line to standard error, beside what is drawn.
  void Say(absl::string_view line);
  // Clears the line. Nothing is drawn from here on.
  void End();

 private:
  enum class Phase : uint8_t { kNone, kLoading, kWork, kGenerating };

  void Start();
  void Run();
  // Returns after `most`, or once nothing is to be drawn any more.
  void Pause(std::chrono::milliseconds most) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Draw() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The bar of a phase, which another phase's gives way to.
  Progress& BarOf(Phase phase) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EndBar() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Model& model_;
  const std::string what_;
  const bool terminal_;
  Progress lines_;  // elsewhere than on a terminal

  Mutex mutex_;  // the drawing thread shares what it guards
  CondVar ended_;
  bool drawing_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t rows_ ABSL_GUARDED_BY(mutex_) = -1;       // BeginRows; -1: counts are shown
  int64_t first_row_ ABSL_GUARDED_BY(mutex_) = 0;   // of the model's rows when they began
  int64_t first_byte_ ABSL_GUARDED_BY(mutex_) = 0;  // and of what it has read
  int64_t done_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t total_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string note_ ABSL_GUARDED_BY(mutex_);
  Phase phase_ ABSL_GUARDED_BY(mutex_) = Phase::kNone;
  std::unique_ptr<Progress> bar_ ABSL_GUARDED_BY(mutex_);  // of phase_
  Thread thread_;                                          // while drawing
};

}  // namespace sluice

#endif  // SLUICE_TOOLS_MODEL_PROGRESS_H_
