// Bytes from standard input, one at a time, that no signal can make one wait past.
#ifndef SLUICE_TOOLS_BYTE_INPUT_H_
#define SLUICE_TOOLS_BYTE_INPUT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace sluice {

class ByteInput {
 public:
  enum class State { kByte, kEnd, kInterrupted };

  // `on_wake` is called whenever waiting begins or a signal came, where given.
  explicit ByteInput(std::function<void()> on_wake = nullptr);

  // Waits for a byte, the end of the input, or a SIGINT or SIGTERM that was not cleared.
  State Next(uint8_t* byte);
  // Gives the last byte back: the next Next() has it again.
  void Unread() { --at_; }

 private:
  const std::function<void()> on_wake_;
  const int signal_fd_;
  const std::atomic<bool>* const interrupted_;
  uint8_t buffer_[4096];
  size_t at_ = 0, end_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_TOOLS_BYTE_INPUT_H_
