// Ctrl-C: the first one asks the work to stop, the second one ends the process.
#ifndef SLUICE_TOOLS_INTERRUPT_H_
#define SLUICE_TOOLS_INTERRUPT_H_

#include <atomic>

namespace sluice {

// Installs the handler for SIGINT and SIGTERM and returns the flag that it sets. A second signal exits with
// code 130 at once. The flag lives as long as the process.
const std::atomic<bool>* InstallInterruptHandler();

}  // namespace sluice

#endif  // SLUICE_TOOLS_INTERRUPT_H_
