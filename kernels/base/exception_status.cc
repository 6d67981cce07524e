// One place that knows exceptions: the project itself throws none.
#include "kernels/base/exception_status.h"

#include <cstdint>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>

#include "absl/strings/str_cat.h"
#include "kernels/base/process_limits.h"

namespace sluice {
namespace {

// A bad_alloc does not say how much was asked for. Where less than this is left, the limit counts
// as reached.
constexpr int64_t kLittleMemory = int64_t{64} << 20;

}  // namespace

absl::Status StatusOfException() {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    const std::string limit = DescribeMemoryLimit(kLittleMemory);
    return absl::ResourceExhaustedError(
        absl::StrCat("out of memory; ", limit.empty() ? "" : absl::StrCat(limit, ", or "),
                     "ask for less: a smaller --max-ram or -c, fewer threads"));
  } catch (const std::length_error&) {
    return absl::ResourceExhaustedError("out of memory: more was asked for than any machine has");
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("unexpected error: ", error.what()));
  } catch (...) {
    return absl::InternalError("unexpected error");
  }
}

absl::Status CatchExceptions(absl::FunctionRef<absl::Status()> work) {
  try {
    return work();
  } catch (...) {
    return StatusOfException();
  }
}

}  // namespace sluice
