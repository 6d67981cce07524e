// A libcuda.so.1 that is of the version which the environment names (FAKE_CUDA_DRIVER, as 11080)
// and finds no device: as much of a driver as CUDA's own runtime needs to say so.
#include <cstdlib>
#include <cstring>

namespace {

constexpr int kNoDevice = 100;  // CUDA_ERROR_NO_DEVICE

int Fail() { return kNoDevice; }

}  // namespace

extern "C" {

int cuDriverGetVersion(int* version) {
  const char* const text = std::getenv("FAKE_CUDA_DRIVER");
  *version = text != nullptr ? std::atoi(text) : 0;
  return 0;
}

int cuInit(unsigned) { return kNoDevice; }

// The runtime wants to find every function of the driver before it calls one.
int cuGetProcAddress_v2(const char* name, void** function, int, unsigned long, int* found) {
  *function = reinterpret_cast<void*>(&Fail);
  if (std::strcmp(name, "cuDriverGetVersion") == 0)
    *function = reinterpret_cast<void*>(&cuDriverGetVersion);
  if (std::strcmp(name, "cuInit") == 0) *function = reinterpret_cast<void*>(&cuInit);
  if (std::strcmp(name, "cuGetProcAddress") == 0)
    *function = reinterpret_cast<void*>(&cuGetProcAddress_v2);
  if (found != nullptr) *found = 0;
  return 0;
}

}  // extern "C"
