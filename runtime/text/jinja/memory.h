// Counts the bytes that the values of one rendering hold.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_MEMORY_H_
#define SLUICE_RUNTIME_TEXT_JINJA_MEMORY_H_

#include <cstdint>
#include <utility>

namespace sluice::jinja {

class Memory {
 public:
  explicit Memory(int64_t limit) : limit_(limit) {}
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // Returns whether `bytes` more would stay within the limit.
  bool HasRoomFor(int64_t bytes) const { return bytes <= limit_ - used_; }
  // Small values are made before this is checked.
  bool exhausted() const { return used_ > limit_; }

 private:
  friend class Charge;
  int64_t used_ = 0;
  const int64_t limit_;
};

// Counts bytes for as long as it lives. Without a Memory it counts nothing; the Memory must outlive
// it.
class Charge {
 public:
  Charge(Memory* memory, int64_t bytes) : memory_(memory), bytes_(bytes) {
    if (memory_ != nullptr) memory_->used_ += bytes_;
  }
  ~Charge() {
    if (memory_ != nullptr) memory_->used_ -= bytes_;
  }
  Charge(const Charge&) = delete;
  Charge& operator=(const Charge&) = delete;

  void Grow(int64_t bytes) {
    bytes_ += bytes;
    if (memory_ != nullptr) memory_->used_ += bytes;
  }

 private:
  Memory* const memory_;
  int64_t bytes_;
};

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_MEMORY_H_
