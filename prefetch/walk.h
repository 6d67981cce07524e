// Which slabs are wanted, and in which order: a list of visits.
#ifndef SLUICE_PREFETCH_WALK_H_
#define SLUICE_PREFETCH_WALK_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace sluice {

// How soon a visit's slab is wanted: kInTurn, after those that were asked for before it; or kNow,
// ahead of all slabs that are not being read yet (IoPriority).
enum class Urgency : uint8_t { kInTurn, kNow };

// A place in the walk, at which one slab is handed out.
struct Visit {
  int64_t id = -1;  // no two visits of a walk have the same
  int slab = -1;    // index into the slabs of the source
  int64_t pass = 0;
  Urgency urgency = Urgency::kInTurn;
  bool appended = false;  // not of the loop
};

// The visits that are still to be asked for: those that were appended, in that order, then those of
// a closed loop, which dense models walk for ever. Passes count from 0. Not thread-safe.
class Walk {
 public:
  // Pass 0 visits `first`, each later one `later`. If `later` is empty, the loop ends after pass 0;
  // if both are empty, there is none.
  Walk(std::vector<int> first, std::vector<int> later);
  // Each pass visits slabs 0 .. num_slabs - 1.
  static Walk Loop(int num_slabs);

  // Adds a visit ahead of the loop's, and behind what was appended before. Returns its id.
  int64_t Append(int slab, int64_t pass, Urgency urgency);
  // Takes an appended visit off the list. False: it is not there any more.
  bool Drop(int64_t id);

  // The visit to ask for next. Nothing: the walk ends here, unless more is appended. The id of a
  // visit of the loop is known once it is popped.
  std::optional<Visit> Next() const;
  // Takes the next visit, which must be there, off the list.
  Visit Pop();

 private:
  const std::vector<int>& Lap() const { return pass_ == 0 ? first_ : later_; }

  std::vector<int> first_;
  std::vector<int> later_;
  int64_t pass_ = 0;  // of the loop
  size_t next_ = 0;   // index into the lap's slabs; less than their number unless the loop is over
  std::deque<Visit> appended_;
  int64_t ids_ = 0;  // that were given out
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_WALK_H_
