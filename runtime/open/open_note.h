// What opening a model has to tell its user, handed to whoever shows it.
#ifndef SLUICE_RUNTIME_OPEN_OPEN_NOTE_H_
#define SLUICE_RUNTIME_OPEN_OPEN_NOTE_H_

#include <cstdint>
#include <functional>
#include <string>

namespace sluice {

struct OpenNote {
  enum class Kind : uint8_t {
    kWarning,  // something may go wrong later
    kChoice,   // something was decided, such as that the CPU computes
    kProbe,    // about the measurements of this machine
  };
  Kind kind = Kind::kChoice;
  std::string text;  // one line, without its end
};

// Called on the thread that opens the model. Null: notes are dropped.
using OpenNoteFn = std::function<void(const OpenNote&)>;

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPEN_OPEN_NOTE_H_
