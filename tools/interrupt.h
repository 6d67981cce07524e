// Ctrl-C: the first one asks the work to stop, the second one ends the process. And what a program
// that waits for keys must notice besides.
#ifndef SLUICE_TOOLS_INTERRUPT_H_
#define SLUICE_TOOLS_INTERRUPT_H_

#include <atomic>

namespace sluice {

// Installs the handler for SIGINT and SIGTERM and returns the flag that it sets. A second signal
// exits with code 130 at once, unless it comes within 0.2 s: then it is taken for the same one. A
// program that then reads and writes nothing and uses next to no CPU for 1.5 s is stuck in a call
// that does not return: it says so and exits with code 130, too. Files survive that, as they
// survive kill -9. The flag lives as long as the process. May be called again.
const std::atomic<bool>* InstallInterruptHandler();

// For programs that go on after Ctrl-C: the work was stopped, and the next signal is a first one
// again, however soon it comes.
void ClearInterrupt();
// Whether a SIGTERM was among the signals.
bool TerminationRequested();

// From here on SIGWINCH and SIGCONT are noticed, too, and the descriptor that is returned can be
// read (8 bytes) after each signal, so that who waits in poll() misses none. It lives as long as
// the process; -1 where there is none to be had.
int WatchSignals();
// Whether the terminal changed its size since the last call, and whether the process was stopped
// and went on: who set the terminal's modes must do so again.
bool TakeResize();
bool TakeContinue();

}  // namespace sluice

#endif  // SLUICE_TOOLS_INTERRUPT_H_
