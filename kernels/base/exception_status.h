// Turns exceptions (std::bad_alloc above all) into a Status, where a thread or the program would
// end otherwise.
#ifndef SLUICE_KERNELS_BASE_EXCEPTION_STATUS_H_
#define SLUICE_KERNELS_BASE_EXCEPTION_STATUS_H_

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace sluice {

// In a catch block: the Status of the exception. ResourceExhausted for std::bad_alloc, with the
// limit that is reached; Internal for others.
absl::Status StatusOfException();

// The result of `work`, or the Status of what it threw.
absl::Status CatchExceptions(absl::FunctionRef<absl::Status()> work);

}  // namespace sluice

#endif  // SLUICE_KERNELS_BASE_EXCEPTION_STATUS_H_
