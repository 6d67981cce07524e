// The walk: a list of visits that says which slabs are wanted, and in which order.
#ifndef SLUICE_PREFETCH_WALK_H_
#define SLUICE_PREFETCH_WALK_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace sluice {

// How soon a visit's slab is wanted. kInTurn: after the slabs that were asked for before it. kNow:
// ahead of all slabs that are not being read yet (IoPriority).
enum class Urgency : uint8_t { kInTurn, kNow };

// A visit is a place in the walk, at which one slab is handed out.
struct Visit {
  int64_t id = -1;  // unique in the walk
  int slab = -1;    // index into the slabs of the source
  int64_t pass = 0;
  Urgency urgency = Urgency::kInTurn;
  bool appended = false;  // not a visit of the loop
};

// Holds the visits that are not asked for yet: appended ones in the order of appending, then those
// of a closed loop, which dense models walk for ever. Passes count from 0. Not thread-safe.
class Walk {
 public:
  // Pass 0 visits `first`, each later pass visits `later`. If `later` is empty, the loop ends after
  // pass 0; if both are empty, there is no loop.
  Walk(std::vector<int> first, std::vector<int> later);
  // Makes a walk whose passes each visit slabs 0 .. num_slabs - 1.
  static Walk Loop(int num_slabs);

  // Adds a visit ahead of the loop's, and behind earlier appended ones. Returns its id.
  int64_t Append(int slab, int64_t pass, Urgency urgency);
  // Takes an appended visit off the list. Returns false if it is not there any more.
  bool Drop(int64_t id);

  // Returns the visit to ask for next; nothing if the walk ends here, unless more is appended. A
  // visit of the loop gets its id from Pop().
  std::optional<Visit> Next() const;
  // Takes the next visit off the list; there must be one.
  Visit Pop();

 private:
  const std::vector<int>& Lap() const { return pass_ == 0 ? first_ : later_; }

  std::vector<int> first_;
  std::vector<int> later_;
  int64_t pass_ = 0;  // of the loop
  size_t next_ = 0;   // index into the lap's slabs; less than their number unless the loop is over
  std::deque<Visit> appended_;
  int64_t ids_ = 0;  // the number of ids that were given out
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_WALK_H_
