// A model ready to run: its store, the stream of its slabs, and the buffers of a pass.
#ifndef SLUICE_RUNTIME_PASS_MODEL_H_
#define SLUICE_RUNTIME_PASS_MODEL_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/base/mutex.h"
#include "prefetch/device_stream.h"
#include "prefetch/slab_source.h"
#include "prefetch/slab_stream.h"
#include "prefetch/timeline.h"
#include "runtime/kv/kv_cache.h"
#include "runtime/kv/kv_file.h"
#include "runtime/kv/kv_pager.h"
#include "runtime/kv/kv_staging.h"
#include "runtime/pass/block_executor.h"
#include "runtime/pass/memory_plan.h"
#include "runtime/place/compute_place.h"
#include "storage/store/layer_store.h"

namespace sluice {

// One token row of a pass. Rows of one sequence come one behind the other, their slots in a row
// from its first position that is not in the cache yet.
//
// A chain's rows have slots that are their positions. A tree's rows come depth first, so that its
// first path is in order; where another path is to be kept, Model::MoveRows brings its rows to
// their positions.
struct PassRow {
  static constexpr int64_t kAtPosition = -1;

  const KvSequence* sequence;  // has pages for the slot
  int64_t position;            // the angle of its heads, and the order in which keys are summed
  int32_t token;
  bool wants_logits;
  // Where its keys and values go: place `slot` of the sequence's pages
  int64_t slot = kAtPosition;
  // Slots of the positions in front of it, up to its own, where they are not those of the same
  // number: the row's ancestors in a tree, which were in this or an earlier pass. Valid until the
  // pass ends.
  absl::Span<const int64_t> sees = {};
  // Of a head that drafts (ModelSpec::merges_hidden), else ignored: the hidden row of the token in
  // front of this one, [hidden_size], in host memory. Valid until the pass ends.
  absl::Span<const float> hidden = {};
};

// Keys and values of a row that was computed in one slot of its sequence and belongs in another.
struct RowMove {
  int64_t from_slot;
  int64_t to_slot;  // below from_slot
};

// What the compute stage did since the model was created: its seconds add up to wall_seconds. On a
// device that is the stream of its kernels, and the host as far as that had nothing to do.
struct PassCounters {
  int64_t passes = 0;
  int64_t rows = 0;
  double pass_seconds = 0;  // inside RunPass
  double wall_seconds = 0;
  double compute_seconds = 0;
  double wait_disk_seconds = 0;  // for a slab, for embedding rows, or for pages of the KV cache
  // For a slab's copy to the device, or for pages of the KV cache on their way there
  double wait_copy_seconds = 0;
  double other_seconds = 0;  // between passes: sampling, swapping, the terminal
};

// How far the model is, for whoever shows it while a pass runs.
struct ModelActivity {
  int64_t rows = 0;          // of the passes that are over
  int64_t pass_rows = 0;     // of the pass that runs; 0: none does
  double pass_share = 0;     // of that pass's walk over the slabs, from 0 to 1
  int64_t kept_bytes = 0;    // of the slabs that stay in memory, on the host or a device
  int64_t loaded_bytes = 0;  // of kept_bytes, what has been read
  int64_t bytes_read = 0;    // from the disk, of all kinds
};

// How Model::Create reads, and copies to a device.
struct ReadOptions {
  IoOptions io;
  bool verify_once = false;      // slabs are checked only the first time they are read
  int64_t copy_bytes_per_s = 0;  // a slower link, simulated; 0: as fast as it is
  SlabStream::EngineFactory make_engine = &IoEngine::Create;
};

// Thread-compatible: one pass at a time.
class Model {
 public:
  // Starts reading the first slabs at once. `store` and `place` must outlive the model, `plan` is
  // PlanMemory's for this store, with memory of a device where `place` is one. If the system pins
  // less host memory for that than planned, fewer slabs stay there: plan() is then another one.
  static absl::StatusOr<std::unique_ptr<Model>> Create(const LayerStore& store,
                                                       const MemoryPlan& plan, ComputePlace* place,
                                                       const ReadOptions& read);

  // Takes `rows` (1 .. plan.pass_rows) through all layers, writing their keys and values to the
  // cache. Returns the logits [number of rows that want them, vocab_size], in row order, valid
  // until the next pass. Looks at `stop` after each block, and while it waits
  // for a slab: Cancelled once it is set. The walk over
  // the slabs then stands inside a pass, and the next call first walks over the remaining slabs, at
  // the disk's pace. The cache's keys and values at the positions of a cancelled pass's rows are
  // lost. InvalidArgument: a token outside the vocabulary. DataLoss, Unavailable: from the disk, or
  // numbers that are not finite, naming the layer.
  absl::StatusOr<absl::Span<const float>> RunPass(absl::Span<const PassRow> rows,
                                                  const std::atomic<bool>* stop = nullptr);

  // The rows of the last pass behind the final norm, [number of rows, hidden_size], valid until the
  // next pass; empty where the plan does not keep them (PlanRequest::keeps_hidden) or the pass
  // failed.
  absl::Span<const float> hidden_rows() const { return hidden_rows_; }

  // Pages of one layer that a pass of these rows takes for branches of trees; the plan has room for
  // tree_rooms.
  static int64_t RoomsOf(absl::Span<const PassRow> rows);

  // Brings rows of `sequence`, between passes, to other slots in all layers. Both slots of the
  // moves grow from one move to the next. The pages are in memory, not on disk.
  absl::Status MoveRows(const KvSequence& sequence, absl::Span<const RowMove> moves);

  const HyperParameters& hyper_parameters() const { return store_.hyper_parameters(); }
  const MemoryPlan& plan() const { return plan_; }
  KvCache& kv_cache() { return kv_cache_; }
  StreamCounters stream_counters() const { return host_stream_->counters(); }
  // Zeros where it computes on the host.
  DeviceStreamCounters device_counters() const;
  PassCounters pass_counters() const;
  // Any thread, during a pass too.
  ModelActivity activity() const;
  // What the CPU computed beside a device.
  HostProductCounters host_product_counters() const {
    const HostProducts* const products = executor_->host_products();
    return products != nullptr ? products->counters() : HostProductCounters();
  }
  // Gives `sink` every move of a slab, in batches, during passes and by FlushTimeline.
  using TimelineSink = std::function<void(absl::Span<const TimelineEvent>)>;
  void SetTimelineSink(TimelineSink sink);
  void FlushTimeline();
  const std::string& io_description() const { return host_stream_->io_description(); }
  // The scratch file: the cache's pages on disk, and behind them as many slots as the cache has
  // pages. Null where the options named no folder for one, and where pages are in memory of a
  // device.
  KvFile* kv_file() const { return kv_file_.get(); }
  // What went over the link; zeros where the KV cache lies where it is computed with.
  KvStagingCounters kv_staging_counters() const {
    return kv_staging_ != nullptr ? kv_staging_->counters() : KvStagingCounters();
  }
  // What pages on disk took.
  KvPagerCounters kv_counters() const {
    return kv_pager_ != nullptr ? kv_pager_->counters() : KvPagerCounters();
  }

 private:
  Model(const LayerStore& store, const MemoryPlan& plan) : store_(store), plan_(plan) {}
  // The clock's state while a slab is not there: on a device its own events tell what the kernels
  // wait for.
  int slab_wait() const { return device_stream_ != nullptr ? kComputing : kWaitingForDisk; }
  // `pinned_bytes`: as in StreamOptions.
  absl::Status OpenStream(ComputePlace* place, const ReadOptions& read, int64_t* pinned_bytes);
  // The stream, behind the KV cache where that is pinned, too.
  absl::Status OpenAsPinned(ComputePlace* place, const ReadOptions& read);
  absl::Status CreateKvCache(ComputePlace* place, int64_t* pinned_bytes);
  // The scratch file, and what moves pages.
  absl::Status CreateKvMover(ComputePlace* place);
  // Whether slabs are verified beside products, or by the stream's worker.
  void LeaveVerifying(bool on);
  // The slabs that the CPU computes beside the device in a pass of `rows` rows, as
  // BlockExecutor::Begin takes them.
  absl::Span<const absl::Span<const std::byte>> ShareWithHost(int64_t rows);
  // The products of the CPU in the walk that goes on, and the pages that were copied in it, for the
  // timeline's sink.
  void NoteOtherMoves();
  // All slabs.
  absl::Status Walk(int64_t rows, const std::atomic<bool>* stop);
  absl::Status GatherEmbeddings(absl::Span<const PassRow> rows);
  absl::Status FinishWalk(const std::atomic<bool>* stop);
  // A pass of `rows` rows has `share` of its walk behind it.
  void NoteActivity(int64_t rows, double share);
  // No pass runs any more; the last one computed `rows` rows.
  void EndActivity(int64_t rows);

  const LayerStore& store_;
  MemoryPlan plan_;
  KvCache kv_cache_;
  HostBuffer staging_;  // [pass_rows] rows of embedding.rows as stored
  std::unique_ptr<SlabSource> source_;
  SlabStream* host_stream_ = nullptr;      // source_, or what that copies to a device
  DeviceStream* device_stream_ = nullptr;  // source_ where a device computes, else null
  std::unique_ptr<KvFile> kv_file_;
  std::unique_ptr<KvPager> kv_pager_;  // null: no page is on disk
  // Null: no page is in host memory while a device computes
  std::unique_ptr<KvStaging> kv_staging_;
  std::unique_ptr<BlockExecutor> executor_;
  absl::Span<const float> hidden_rows_;  // the executor's
  std::vector<absl::Span<const std::byte>>
      host_tiles_;              // [num_slabs], or empty: the CPU computes none
  PassCounters pass_counters_;  // but for the clock's
  enum { kOther, kComputing, kWaitingForDisk, kStates };
  StageClock<kStates> clock_;
  mutable Mutex activity_mutex_;                             // another thread shows it
  ModelActivity activity_ ABSL_GUARDED_BY(activity_mutex_);  // without the bytes
  TimelineSink timeline_sink_;
  bool verifying_left_ = false;
  int64_t walks_ = 0;                        // that passes began
  std::vector<TimelineEvent> other_events_;  // not flushed yet
  size_t next_slab_ = 0;    // of the walk; not 0 between passes after one that ended early
  int embedding_file_ = 0;  // in the stream's paths
  int scratch_file_ = -1;   // behind them
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_PASS_MODEL_H_
