// The four functions of cuBLAS that are used, by name. Types and numbers are those of cublas_api.h
// and library_types.h, the same in CUDA 12 and 13.
#include "bench/cublas.h"

#include <dlfcn.h>

#include <vector>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr int kOpN = 0, kOpT = 1;      // cublasOperation_t
constexpr int kBF16 = 14;              // CUDA_R_16BF
constexpr int kCompute32F = 68;        // CUBLAS_COMPUTE_32F
constexpr int kDefaultAlgorithm = -1;  // CUBLAS_GEMM_DEFAULT

// The library of that version in that folder, null where it is not. It needs cublasLt, which lies
// beside it and which the loader may not find by itself.
void* OpenIn(const std::string& folder, int version, std::string* path) {
  const std::string prefix = folder.empty() ? "" : folder + "/";
  dlopen(absl::StrCat(prefix, "libcublasLt.so.", version).c_str(), RTLD_NOW | RTLD_GLOBAL);
  *path = absl::StrCat(prefix, "libcublas.so.", version);
  return dlopen(path->c_str(), RTLD_NOW | RTLD_LOCAL);
}

}  // namespace

struct Cublas::Functions {
  int (*create)(void** handle);
  int (*destroy)(void* handle);
  int (*set_stream)(void* handle, cudaStream_t stream);
  int (*gemm_ex)(void* handle, int op_a, int op_b, int m, int n, int k, const void* alpha,
                 const void* a, int a_type, int lda, const void* b, int b_type, int ldb,
                 const void* beta, void* c, int c_type, int ldc, int compute_type, int algorithm);
};

absl::StatusOr<std::unique_ptr<Cublas>> Cublas::Open(const std::string& dir, cudaStream_t stream) {
  std::vector<std::string> folders = {"", "/usr/local/cuda/lib64"};
  if (!dir.empty()) folders = {dir, dir + "/lib", dir + "/lib64"};
  std::unique_ptr<Cublas> cublas(new Cublas);
  void* library = nullptr;
  for (const std::string& folder : folders) {
    for (const int version : {13, 12}) {
      if (library == nullptr) library = OpenIn(folder, version, &cublas->path_);
    }
  }
  if (library == nullptr) {
    return absl::NotFoundError(absl::StrCat("no libcublas.so.13 or .12 ",
                                            dir.empty() ? "on this machine" : "in ", dir,
                                            " that can be opened"));
  }
  cublas->functions_ = std::make_unique<Functions>();
  Functions& f = *cublas->functions_;
  f.create = reinterpret_cast<decltype(f.create)>(dlsym(library, "cublasCreate_v2"));
  f.destroy = reinterpret_cast<decltype(f.destroy)>(dlsym(library, "cublasDestroy_v2"));
  f.set_stream = reinterpret_cast<decltype(f.set_stream)>(dlsym(library, "cublasSetStream_v2"));
  f.gemm_ex = reinterpret_cast<decltype(f.gemm_ex)>(dlsym(library, "cublasGemmEx"));
  if (f.create == nullptr || f.destroy == nullptr || f.set_stream == nullptr ||
      f.gemm_ex == nullptr) {
    return absl::InternalError(
        absl::StrCat(cublas->path_, " lacks a function that every version has"));
  }
  if (const int error = f.create(&cublas->handle_); error != 0) {
    return absl::InternalError(absl::StrCat(cublas->path_, ": cublasCreate gives ", error));
  }
  if (const int error = f.set_stream(cublas->handle_, stream); error != 0) {
    return absl::InternalError(absl::StrCat(cublas->path_, ": cublasSetStream gives ", error));
  }
  return cublas;
}

Cublas::~Cublas() {
  if (handle_ != nullptr) functions_->destroy(handle_);
}

absl::Status Cublas::MatMulBF16(const void* weights, const void* x, void* out, int64_t rows,
                                int64_t tokens, int64_t k) {
  const float one = 1, zero = 0;
  // In its terms, columns first: out' [rows, tokens] = weights' [k, rows] transposed times x' [k,
  // tokens].
  const int error = functions_->gemm_ex(
      handle_, kOpT, kOpN, static_cast<int>(rows), static_cast<int>(tokens), static_cast<int>(k),
      &one, weights, kBF16, static_cast<int>(k), x, kBF16, static_cast<int>(k), &zero, out, kBF16,
      static_cast<int>(rows), kCompute32F, kDefaultAlgorithm);
  if (error == 0) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat(path_, ": cublasGemmEx of ", rows, " x ", tokens, " x ", k, " gives ", error));
}

}  // namespace sluice
