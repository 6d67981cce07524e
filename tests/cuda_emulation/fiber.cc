// Changes stacks: a few instructions on x86-64, ucontext elsewhere.
#include "tests/cuda_emulation/fiber.h"

#include <cstdint>
#include <cstring>
#include <utility>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__x86_64__)
// Pushes what a callee keeps, stores the stack pointer, takes the other one, pops. swapcontext does
// the same and asks the kernel for the signal mask each time.
extern "C" void sluice_emulation_switch(void** save, void* load);
asm(R"(
.text
.globl sluice_emulation_switch
.type sluice_emulation_switch, @function
sluice_emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size sluice_emulation_switch, .-sluice_emulation_switch
)");
#endif

namespace sluice::cuda_emulation {
namespace {

constexpr size_t kStackBytes = 128 << 10;

Fiber* running = nullptr;

}  // namespace

struct Fiber::Context {
#if defined(__x86_64__)
  void* own = nullptr;
  void* resumer = nullptr;
#else
  ucontext_t own;
  ucontext_t resumer;
#endif
  // For AddressSanitizer: of the stack that resumed this one.
  const void* resumer_stack = nullptr;
  size_t resumer_bytes = 0;
};

Fiber::Fiber() : context_(new Context), stack_(new std::byte[kStackBytes]) {}

Fiber::~Fiber() {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(stack_.get(), kStackBytes);
#endif
}

void Fiber::Start(std::function<void()> run) {
  run_ = std::move(run);
  ended_ = false;
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(stack_.get(), kStackBytes);  // of frames that were forgotten
#endif
#if defined(__x86_64__)
  // What the first switch pops: six registers, then Entry as the return address, above which a
  // caller's return address would be.
  auto top = reinterpret_cast<uintptr_t>(stack_.get() + kStackBytes) / 16 * 16;
  void* slots[8] = {};
  slots[6] = reinterpret_cast<void*>(&Fiber::Entry);
  top -= sizeof slots;
  std::memcpy(reinterpret_cast<void*>(top), slots, sizeof slots);
  context_->own = reinterpret_cast<void*>(top);
#else
  getcontext(&context_->own);
  context_->own.uc_stack.ss_sp = stack_.get();
  context_->own.uc_stack.ss_size = kStackBytes;
  context_->own.uc_link = nullptr;
  makecontext(&context_->own, &Fiber::Entry, 0);
#endif
}

void Fiber::Resume() {
  running = this;
#if defined(__SANITIZE_ADDRESS__)
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, stack_.get(), kStackBytes);
#endif
#if defined(__x86_64__)
  sluice_emulation_switch(&context_->resumer, context_->own);
#else
  swapcontext(&context_->resumer, &context_->own);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
  running = nullptr;
}

void Fiber::SwitchBack() {
#if defined(__SANITIZE_ADDRESS__)
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(ended_ ? nullptr : &fake_stack, context_->resumer_stack,
                                 context_->resumer_bytes);
#endif
#if defined(__x86_64__)
  sluice_emulation_switch(&context_->own, context_->resumer);
#else
  swapcontext(&context_->own, &context_->resumer);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack, &context_->resumer_stack, &context_->resumer_bytes);
#endif
}

void Fiber::Entry() {
  Fiber* const self = running;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &self->context_->resumer_stack,
                                  &self->context_->resumer_bytes);
#endif
  self->run_();
  self->ended_ = true;
  self->SwitchBack();
}

void Fiber::Yield() { running->SwitchBack(); }

}  // namespace sluice::cuda_emulation
