// A fiber: a function on a stack of its own that is resumed and yields, on one thread.
// AddressSanitizer is told of every change of stack.
#ifndef SLUICE_TESTS_CUDA_EMULATION_FIBER_H_
#define SLUICE_TESTS_CUDA_EMULATION_FIBER_H_

#include <cstddef>
#include <functional>
#include <memory>

namespace sluice::cuda_emulation {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Makes the next Resume call `run` from its beginning; what ran here before and did not end is
  // forgotten without unwinding its stack.
  void Start(std::function<void()> run);
  // Runs until Yield or the end of `run`. Not from inside a fiber.
  void Resume();
  bool ended() const { return ended_; }

  // From inside the running fiber: back to who resumed it.
  static void Yield();

 private:
  struct Context;
  static void Entry();
  void SwitchBack();

  std::unique_ptr<Context> context_;
  std::unique_ptr<std::byte[]> stack_;
  std::function<void()> run_;
  bool ended_ = true;
};

}  // namespace sluice::cuda_emulation

#endif  // SLUICE_TESTS_CUDA_EMULATION_FIBER_H_
