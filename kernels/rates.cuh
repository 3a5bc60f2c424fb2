// The numbers of an optimizer's update.

#pragma once

// A number that the host knows, or one that lies in device memory: a captured graph is replayed with other rates.
__device__ __forceinline__ float number(float value, const float* address) { return address ? *address : value; }

// Products and sums that are rounded one by one, as on the CPU: the compiler makes no fused multiply-add of them.
__device__ __forceinline__ float times(float a, float b) { return __fmul_rn(a, b); }
__device__ __forceinline__ float plus(float a, float b) { return __fadd_rn(a, b); }
