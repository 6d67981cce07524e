// Ctrl-C: the first one asks the work to stop, the second one ends the process. And what a program that waits
// for keys must notice besides.
#ifndef SLUICE_TOOLS_INTERRUPT_H_
#define SLUICE_TOOLS_INTERRUPT_H_

#include <atomic>

namespace sluice {

// Installs the handler for SIGINT and SIGTERM and returns the flag that it sets. A second signal exits with
// code 130 at once. The flag lives as long as the process.
const std::atomic<bool>* InstallInterruptHandler();

// For programs that go on after Ctrl-C: the work was stopped, and the next signal is a first one again.
void ClearInterrupt();
// Whether a SIGTERM was among the signals.
bool TerminationRequested();

// From here on SIGWINCH and SIGCONT are noticed, too, and the descriptor that is returned can be read (8 bytes) after
// each signal, so that who waits in poll() misses none. It lives as long as the process; -1 where there is none to
// be had.
int WatchSignals();
// Whether the terminal changed its size since the last call, and whether the process was stopped and went on: who
// set the terminal's modes must do so again.
bool TakeResize();
bool TakeContinue();

}  // namespace sluice

#endif  // SLUICE_TOOLS_INTERRUPT_H_
