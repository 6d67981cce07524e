// Trying a checkpoint's tokenizer before the checkpoint is sharded.
#ifndef SLUICE_TOOLS_TOKENIZER_CHECK_H_
#define SLUICE_TOOLS_TOKENIZER_CHECK_H_

#include <string>

#include "storage/source/checkpoint.h"

namespace sluice {

// What is wrong with the tokenizer, and what to do about it, in one line that names the file; empty
// where it loads.
std::string TokenizerFault(const Checkpoint& checkpoint);

}  // namespace sluice

#endif  // SLUICE_TOOLS_TOKENIZER_CHECK_H_
