// poll() over standard input and the descriptor that signals wake.
#include "tools/byte_input.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

#include "tools/interrupt.h"

namespace sluice {

ByteInput::ByteInput(std::function<void()> on_wake)
    : on_wake_(std::move(on_wake)),
      signal_fd_(WatchSignals()),
      interrupted_(InstallInterruptHandler()) {}

ByteInput::State ByteInput::Next(uint8_t* byte) {
  while (at_ == end_) {
    pollfd fds[2] = {{STDIN_FILENO, POLLIN, 0}, {signal_fd_, POLLIN, 0}};
    if (poll(fds, signal_fd_ < 0 ? 1 : 2, -1) < 0 && errno != EINTR) return State::kEnd;
    uint64_t signals;
    if (signal_fd_ >= 0 && read(signal_fd_, &signals, sizeof(signals)) < 0) {  // none came
    }
    if (on_wake_) on_wake_();
    if (interrupted_->load()) return State::kInterrupted;
    if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) == 0) continue;
    const ssize_t n = read(STDIN_FILENO, buffer_, sizeof(buffer_));
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0) return State::kEnd;
    at_ = 0;
    end_ = static_cast<size_t>(n);
  }
  *byte = buffer_[at_++];
  return State::kByte;
}

}  // namespace sluice
