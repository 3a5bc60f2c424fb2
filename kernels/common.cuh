// What every kernel needs: the element type, infinity, sums over a warp and a block, loads and stores of 16 bytes.
//
// ELEMENT, a macro of the build, is f32 (also if it is not given) or bf16. Kernels read and write `element`
// and compute in float. Nothing here assumes that numbers are finite.

#pragma once

#include <cuda_bf16.h>

#ifndef ELEMENT
#define ELEMENT f32
#endif

#define JOIN_NOW(a, b) a##b
#define JOIN(a, b) JOIN_NOW(a, b)  // one step more, so that a macro is replaced before it is joined
#define ELEMENT_IS_f32 1
#define ELEMENT_IS_bf16 2

#if JOIN(ELEMENT_IS_, ELEMENT) == 1
typedef float element;
#elif JOIN(ELEMENT_IS_, ELEMENT) == 2
typedef __nv_bfloat16 element;
#else
#error "ELEMENT must be f32 or bf16"
#endif

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

// Rounds to the nearest element, ties to even; NaN stays NaN.
__device__ __forceinline__ element from_float(float x) {
#if JOIN(ELEMENT_IS_, ELEMENT) == 2
    return __float2bfloat16_rn(x);
#else
    return x;
#endif
}

#ifndef INFINITY
#define INFINITY __int_as_float(0x7f800000)  // NVRTC has no <math.h>
#endif
__device__ __forceinline__ float not_a_number() { return __int_as_float(0x7fc00000); }

constexpr int WARP = 32;
constexpr unsigned WHOLE_WARP = 0xffffffffu;

// Sum over the 32 threads of a warp, in all of them the same: each round adds a partner half as far away.
__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (int distance = WARP / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(WHOLE_WARP, x, distance);
    return x;
}

// Maximum over a warp, in all its threads. fmaxf drops a NaN if the other number is none: who needs it looks himself.
__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
    for (int distance = WARP / 2; distance > 0; distance /= 2) x = fmaxf(x, __shfl_xor_sync(WHOLE_WARP, x, distance));
    return x;
}

// Sum over a block of one dimension and whole warps, in all its threads, always in the same order.
// shared: 32 floats. All threads must come here; `shared` may be used again at once.
__device__ __forceinline__ float block_sum(float x, float* shared) {
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, warps = blockDim.x / WARP;
    x = warp_sum(x);
    if (lane == 0) shared[warp] = x;
    __syncthreads();
    x = warp_sum(lane < warps ? shared[lane] : 0.0f);
    __syncthreads();  // nobody writes `shared` again before all have read it
    return x;
}

// 16 bytes of elements, the most that one instruction loads. Addresses must be multiples of 16 bytes.
template <typename T>
struct alignas(16) PackOf {
    static constexpr int SIZE = 16 / sizeof(T);
    T at[SIZE];
};

using Pack = PackOf<element>;
constexpr int PACK = Pack::SIZE;  // 4 of float, 8 of bfloat16

template <typename T>
__device__ __forceinline__ PackOf<T> load_pack(const T* address) {
    PackOf<T> pack;
    *reinterpret_cast<int4*>(&pack) = *reinterpret_cast<const int4*>(address);
    return pack;
}

template <typename T>
__device__ __forceinline__ void store_pack(T* address, const PackOf<T>& pack) {
    *reinterpret_cast<int4*>(address) = *reinterpret_cast<const int4*>(&pack);
}
