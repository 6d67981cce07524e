// How often long work reports its progress.
#ifndef SLUICE_STORAGE_FILE_PROGRESS_INTERVAL_H_
#define SLUICE_STORAGE_FILE_PROGRESS_INTERVAL_H_

#include <chrono>

namespace sluice {

inline constexpr std::chrono::milliseconds kProgressInterval(200);

}  // namespace sluice

#endif  // SLUICE_STORAGE_FILE_PROGRESS_INTERVAL_H_
