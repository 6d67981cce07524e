// The reasons' names.
#include "runtime/engine/finish_reason.h"

namespace sluice {

absl::string_view FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kInterrupt:
      return "interrupt";
  }
  return "";
}

}  // namespace sluice
