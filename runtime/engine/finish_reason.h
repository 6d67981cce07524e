// Why a sequence ended.
#ifndef SLUICE_RUNTIME_ENGINE_FINISH_REASON_H_
#define SLUICE_RUNTIME_ENGINE_FINISH_REASON_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace sluice {

enum class FinishReason : uint8_t { kStop, kLength, kInterrupt };
absl::string_view FinishReasonName(FinishReason reason);  // "stop", "length", "interrupt"

}  // namespace sluice

#endif  // SLUICE_RUNTIME_ENGINE_FINISH_REASON_H_
