// The products of AVX-VNNI, built from the EVEX forms of its dot products: CPUs with AVX-512 VNNI
// run those, and many of them have no VEX forms.
#define SLUICE_AVX_VNNI_AS_EVEX
#include "kernels/cpu/matmul_avxvnni.cc"
