// cuBLAS where this machine has it, opened at run time, as what products are compared with. Nothing
// of sluice links it.
#ifndef SLUICE_BENCH_CUBLAS_H_
#define SLUICE_BENCH_CUBLAS_H_

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sluice {

class Cublas {
 public:
  // Looks for libcublas.so.13 and .12 in `dir`, dir/lib and dir/lib64; with "" where the loader
  // looks, and in /usr/local/cuda/lib64. Calls are queued on `stream` of the calling thread's
  // device, which must outlive it. NotFound: there is none. Internal: it does not start.
  static absl::StatusOr<std::unique_ptr<Cublas>> Open(const std::string& dir, cudaStream_t stream);
  ~Cublas();
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;

  // out [tokens, rows] = x [tokens, k] times weights [rows, k], all bf16 in device memory, f32
  // inside; queued.
  absl::Status MatMulBF16(const void* weights, const void* x, void* out, int64_t rows,
                          int64_t tokens, int64_t k);

  const std::string& path() const { return path_; }

 private:
  struct Functions;
  Cublas() = default;
  std::string path_;
  std::unique_ptr<Functions> functions_;
  void* handle_ = nullptr;
};

}  // namespace sluice

#endif  // SLUICE_BENCH_CUBLAS_H_
