// Decides which rows the next pass takes: continuous batching as a state machine without I/O.
#ifndef SLUICE_RUNTIME_ENGINE_PASS_SCHEDULER_H_
#define SLUICE_RUNTIME_ENGINE_PASS_SCHEDULER_H_

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "runtime/kv/kv_cache.h"
#include "runtime/kv/page_pool.h"
#include "runtime/kv/swap_space.h"

namespace sluice {

// However many sequences generate, prompts get this many rows of a pass that has room for them.
inline constexpr int64_t kLeastPromptRows = 64;

// Interactive sequences run before all of a batch's, which make room for them.
enum class Priority : uint8_t { kInteractive, kBatch };

struct ScheduleLimits {
  int64_t pass_rows = 1;      // rows that a pass has room for
  int64_t logit_rows = 1;     // of them with logits
  int64_t max_sequences = 1;  // running at once; never more than pass_rows or logit_rows
  // Rows beyond which a pass computes for longer than the disk reads: prompts are cut so that
  // passes stay below it where they can. 0: pass_rows.
  int64_t balanced_rows = 0;
};

// Sequences wait in the order in which they came, run, and leave:
//
//   Add -> waiting -> running -> Remove
//             ^---------'  preempted: its pages go to an older sequence; they are read back later
//             where they were
//                          swapped, else its rows are computed again
//
// Invariant: every running sequence is older than every waiting one, where all interactive
// sequences count as older than all of a batch. So the oldest always runs and is never preempted,
// and none of its priority starves. Rows depend on the calls alone, and no result depends on
// the rows.
class PassScheduler {
 public:
  // `pool` must outlive this and have pages for the longest sequence; so must `swap`, which may be
  // null: then every preempted sequence is computed again.
  PassScheduler(const ScheduleLimits& limits, PagePool* pool, SwapSpace* swap = nullptr);

  // Pages that one sequence has to itself, with the keys and values of its first `rows` tokens.
  struct OwnPages {
    KvSequence pages;
    int64_t rows = 0;
  };

  // Adds a sequence of `tokens` (at least 1) that may grow to `max_tokens` in the cache. Rows from
  // position `first_logit` on are to give logits. With `own` it goes on with these pages (`rows` is
  // at most first_logit), and it neither shares pages nor lets others find its own. Returns its
  // number; later ones of the same priority are higher.
  int64_t Add(std::vector<int32_t> tokens, int64_t max_tokens, int64_t first_logit,
              std::optional<OwnPages> own = std::nullopt,
              Priority priority = Priority::kInteractive);

  // Rows `first` .. `first + count - 1` of a sequence; those from `first_logit` on want logits.
  struct Chunk {
    int64_t id;
    int64_t first;
    int64_t count;
    int64_t first_logit;
  };
  // The rows of the next pass, which count as computed from here on; empty only where no sequence
  // has any left. A sequence whose last token's row was computed gives no more until Append.
  std::vector<Chunk> NextPass();

  // Slots behind a sequence's last row that a tree can be computed in.
  struct TreeRoom {
    int64_t rows = 0;
    bool moves = true;  // rows can be moved between them: none is in a page on disk
  };
  // Takes pages that nobody uses, in memory, until there is room for `rows` rows in slots behind
  // those that the pass has of a running sequence, of which all known tokens are in the pass or
  // before it. After the pass, DropTreeRoom gives them back.
  TreeRoom TakeTreeRoom(int64_t id, int64_t rows);
  // Says that the row of the sequence's last token is in the cache, as a tree had it.
  void TakeTreeRow(int64_t id);
  // Gives pages back that no row of the sequence is in, where it still runs.
  void DropTreeRoom(int64_t id);

  void Append(int64_t id, int32_t token);
  void Remove(int64_t id);
  // Removes a sequence that was added with pages of its own and returns them. The rows of the last
  // pass count unless it failed.
  OwnPages TakeOut(int64_t id, bool pass_failed);

  // Of a sequence that runs; valid until the next call.
  const KvSequence& Pages(int64_t id) const { return running_.at(id).pages; }
  const std::vector<int32_t>& Tokens(int64_t id) const;

  const ScheduleLimits& limits() const { return limits_; }
  int64_t num_running() const { return static_cast<int64_t>(running_.size()); }
  int64_t num_waiting() const { return static_cast<int64_t>(waiting_.size()); }
  int64_t oldest_waiting() const { return waiting_.empty() ? -1 : waiting_.begin()->first; }
  int64_t youngest_running() const { return running_.empty() ? -1 : running_.rbegin()->first; }

  struct Counters {
    int64_t preemptions = 0;
    int64_t rows = 0;
    int64_t shared_rows = 0;   // not computed, as a page with them was there
    int64_t swaps = 0;         // preemptions whose pages went to the swap space
    int64_t swapped_rows = 0;  // not computed again, as they came back from there
  };
  const Counters& counters() const { return counters_; }

 private:
  struct Sequence {
    std::vector<int32_t> tokens;
    int64_t max_tokens;
    int64_t first_logit;    // the first position whose logits are still owed
    KvSequence pages = {};  // for positions below `done`
    int64_t done = 0;       // rows computed or shared
    int64_t settled = 0;  // of them, when the pass that is being filled began: what is in the pages
    int64_t published = 0;          // pages whose content the pool knows
    PrefixName prefix = kNoPrefix;  // of the published pages
    bool owns_pages = false;        // they are neither shared nor published
    // Of one that waits, in the swap space: pages `first_saved` and on, with the rows below
    // `saved_rows`.
    std::vector<int32_t> saved = {};
    int64_t first_saved = 0;
    int64_t saved_rows = 0;

    int64_t left() const { return static_cast<int64_t>(tokens.size()) - done; }
  };
  // What is left of a pass while it is filled.
  struct Room {
    int64_t rows;
    int64_t logits;
    int64_t prompt_rows;  // of rows that are not some sequence's only one
    int64_t decoding;     // running sequences with one row left that have not got it yet
  };

  int64_t Wanted(const Sequence& sequence, int64_t done, const Room& room) const;
  std::optional<int32_t> TakePage(const Sequence& sequence);
  int64_t TakePages(Sequence& sequence, int64_t count);
  void SharePages(Sequence& sequence);
  void DropPages(Sequence& sequence);
  void SavePages(Sequence& sequence);
  int64_t DoneWithSaved(const Sequence& sequence) const;
  void RestorePages(Sequence& sequence);
  void DropSaved(Sequence& sequence);
  bool FitsBehindTheRunning(const Sequence& sequence) const;
  void Give(int64_t id, Sequence& sequence, int64_t count, Room* room, std::vector<Chunk>* pass);
  // Lets others find the pages that are full.
  void PublishPages(Sequence& sequence);
  // False where `id` itself was the one to go.
  bool PreemptYoungest(int64_t id, Room* room);
  void MakeRoomForOlder();
  void FillWithRunning(Room* room, std::vector<Chunk>* pass);
  void FillWithWaiting(Room* room, std::vector<Chunk>* pass);

  const ScheduleLimits limits_;
  PagePool* const pool_;
  SwapSpace* const swap_;
  std::map<int64_t, Sequence> running_;
  std::map<int64_t, Sequence> waiting_;
  int64_t last_id_ = 0;
  Counters counters_;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_ENGINE_PASS_SCHEDULER_H_
