// Stands in for libcublas: takes what bench/cublas.cc calls, and multiplies nothing.
extern "C" {

int cublasCreate_v2(void** handle) {
  static int one;
  *handle = &one;
  return 0;
}
int cublasDestroy_v2(void*) { return 0; }
int cublasSetStream_v2(void*, void*) { return 0; }
// CUBLAS_STATUS_INVALID_VALUE where leading dimensions are not those of a product of rows of k
// values.
int cublasGemmEx(void*, int op_a, int op_b, int m, int, int k, const void*, const void*, int,
                 int lda, const void*, int, int ldb, const void*, void*, int, int ldc, int, int) {
  return op_a == 1 && op_b == 0 && lda == k && ldb == k && ldc == m ? 0 : 7;
}

}  // extern "C"
