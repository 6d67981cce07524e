// What one rendering has used of its limits, and its clock.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_RUNTIME_H_
#define SLUICE_RUNTIME_TEXT_JINJA_RUNTIME_H_

#include <cstdint>
#include <ctime>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/text/jinja/limits.h"
#include "runtime/text/jinja/memory.h"
#include "runtime/text/jinja/value.h"

namespace sluice::jinja {

// Makes an error of the template: InvalidArgument with these pieces as its message.
template <typename... Pieces>
absl::Status Error(const Pieces&... pieces) {
  return absl::InvalidArgumentError(absl::StrCat(pieces...));
}

class Object;

class Runtime {
 public:
  Runtime(const Limits& limits, const std::tm& now);
  ~Runtime();

  // Counts work. ResourceExhausted: too many steps, or the values have outgrown their limit.
  absl::Status Step(int64_t steps = 1);
  // ResourceExhausted: a value of `bytes` would not fit. Called before large values are made.
  absl::Status CheckRoom(int64_t bytes) const;
  // ResourceExhausted: a value nests too deeply.
  absl::Status CheckDepth(const Value& value) const;
  // Counts printed bytes.
  absl::Status Print(int64_t bytes);

  // Returns whether CheckRoom or Print has refused anything.
  bool out_of_memory() const { return out_of_memory_; }

  // Enters a level of calls; DepthGuard calls it.
  absl::Status Enter();
  void Leave() { --depth_; }

  Value String(std::string text, bool markup = false) {
    return Value::String(std::move(text), &memory_, markup);
  }
  Value List(std::vector<Value> items) { return Value::List(std::move(items), &memory_); }
  Value Tuple(std::vector<Value> items) { return Value::Tuple(std::move(items), &memory_); }

  // Makes a value of an object that lives as long as this: for objects that can come to hold
  // themselves.
  Value Own(std::unique_ptr<Object> object);

  Memory* memory() { return &memory_; }
  const Limits& limits() const { return limits_; }
  const std::tm& now() const { return now_; }

 private:
  const Limits limits_;
  mutable bool out_of_memory_ = false;
  const std::tm now_;
  Memory memory_;
  int64_t steps_ = 0;
  int64_t printed_ = 0;
  int depth_ = 0;
  std::vector<std::unique_ptr<Object>> owned_;  // charged to memory_
};

// Holds one level of calls while it lives, if status() is OK.
class DepthGuard {
 public:
  explicit DepthGuard(Runtime& runtime) : runtime_(runtime), status_(runtime.Enter()) {}
  ~DepthGuard() { runtime_.Leave(); }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;
  const absl::Status& status() const { return status_; }

 private:
  Runtime& runtime_;
  const absl::Status status_;
};

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_RUNTIME_H_
