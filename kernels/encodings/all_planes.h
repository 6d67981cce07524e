// The planes of all encodings, for what is made from kernels/encodings/encodings.def: <name>Planes
// each. What needs one encoding only includes its header.
#ifndef SLUICE_KERNELS_ENCODINGS_ALL_PLANES_H_
#define SLUICE_KERNELS_ENCODINGS_ALL_PLANES_H_

#include "kernels/encodings/float_planes.h"
#include "kernels/encodings/int4g_planes.h"
#include "kernels/encodings/iq4_nl_planes.h"
#include "kernels/encodings/iq4_xs_planes.h"
#include "kernels/encodings/mxfp4_planes.h"
#include "kernels/encodings/q2_k_planes.h"
#include "kernels/encodings/q3_k_planes.h"
#include "kernels/encodings/q4_0_planes.h"
#include "kernels/encodings/q4_1_planes.h"
#include "kernels/encodings/q4_k_planes.h"
#include "kernels/encodings/q5_0_planes.h"
#include "kernels/encodings/q5_1_planes.h"
#include "kernels/encodings/q5_k_planes.h"
#include "kernels/encodings/q6_k_planes.h"
#include "kernels/encodings/q8_0_planes.h"

#endif  // SLUICE_KERNELS_ENCODINGS_ALL_PLANES_H_
