// What NVML, the driver's management library, says of a device's memory: all that is in use there,
// the driver's context included, which CUDA itself does not tell.
#ifndef SLUICE_KERNELS_CUDA_NVML_H_
#define SLUICE_KERNELS_CUDA_NVML_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace sluice::cuda {

// Measures what this process takes of one device's memory, from when it was made, before the
// context. Any thread.
class MemoryMeter {
 public:
  // Null where the library is not there (WSL, some containers), or does not know the device.
  // `pci_bus_id`: "0000:01:00.0".
  static std::unique_ptr<MemoryMeter> Create(const std::string& pci_bus_id,
                                             const std::string& library = "libnvidia-ml.so.1");
  ~MemoryMeter();

  // Bytes that this process holds there, by the driver's list of processes; where that does not
  // tell, what is in use beyond what was when the meter was made: right as long as no other process
  // comes or goes. None: NVML failed.
  std::optional<int64_t> TakenBytes() const;

 private:
  struct Library;
  explicit MemoryMeter(std::unique_ptr<Library> library);
  std::optional<int64_t> UsedBytes() const;
  std::optional<int64_t> OwnBytes() const;

  const std::unique_ptr<Library> library_;
  int64_t used_before_ = 0;
};

}  // namespace sluice::cuda

#endif  // SLUICE_KERNELS_CUDA_NVML_H_
