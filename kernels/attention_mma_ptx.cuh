// The few machine instructions that the tensor-core kernels are made of, each behind a function.
//
// Everything else in the kernels on tensor cores (but for attention_tf32_ptx.cuh) is ordinary C++, so that a reader has
// to look up PTX in these two files only, and a test may put functions of the same meaning in their place. Sources: PTX
// ISA 8.x, sections "mma", "ldmatrix", "cp.async", "bar", "red", "ex2", "cvt".
//
// Shared memory is addressed by 32-bit byte addresses (`shared_address`), which is what ldmatrix and cp.async take.
#pragma once

#include <cuda_bf16.h>

typedef __nv_bfloat16 bf16;
typedef unsigned int u32;

__device__ __forceinline__ u32 shared_address(const void* pointer) {
    return static_cast<u32>(__cvta_generic_to_shared(pointer));
}

// Four 8 x 8 matrices of bf16. Lane l names the address of row l % 8 of matrix l / 8 (16 bytes, aligned) and receives,
// of each matrix, row l / 4, columns 2 (l % 4) and + 1; transposed: rows 2 (l % 4) and + 1 of column l / 4.
__device__ __forceinline__ void ldmatrix(u32 (&fragment)[4], u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(fragment[0]), "=r"(fragment[1]), "=r"(fragment[2]), "=r"(fragment[3])
                 : "r"(address)
                 : "memory");
}

__device__ __forceinline__ void ldmatrix_transposed(u32 (&fragment)[4], u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(fragment[0]), "=r"(fragment[1]), "=r"(fragment[2]), "=r"(fragment[3])
                 : "r"(address)
                 : "memory");
}

// c (16 x 8) += a (16 x 16) b (16 x 8). With g = lane / 4 and t = lane % 4 a lane holds
//   a[0], a[1]: rows g, g + 8 of columns 2t, 2t + 1;   a[2], a[3]: the same rows of columns 2t + 8, 2t + 9
//   b0: rows 2t, 2t + 1 of column g;                   b1: rows 2t + 8, 2t + 9 of column g
//   c[0], c[1]: row g, columns 2t, 2t + 1;             c[2], c[3]: row g + 8 of the same columns
__device__ __forceinline__ void mma(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// 16 bytes from global to shared memory, past the registers; zeros where `valid` is false (nothing is read then).
__device__ __forceinline__ void copy_async(u32 address, const void* source, bool valid) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(source), "r"(valid ? 16 : 0)
                 : "memory");
}

__device__ __forceinline__ void copies_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most `PENDING` of this thread's latest groups of copies are under way.
template <int PENDING> __device__ __forceinline__ void copies_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

__device__ __forceinline__ void store_shared(u32 address, u32 value) {
    asm volatile("st.shared.b32 [%0], %1;" ::"r"(address), "r"(value) : "memory");
}

__device__ __forceinline__ void store_shared(u32 address, const u32 (&value)[4]) {
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(value[0]), "r"(value[1]), "r"(value[2]),
                 "r"(value[3])
                 : "memory");
}

__device__ __forceinline__ uint4 load_shared(u32 address) {
    uint4 value;
    asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
                 : "r"(address)
                 : "memory");
    return value;
}

// 2^x; exact to 2 units of the last place, 0 for -inf.
__device__ __forceinline__ float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// Two floats rounded to a pair of bf16, `low` in the lower half: the element of the smaller index.
__device__ __forceinline__ u32 pack(float low, float high) {
    u32 pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

// target[0..3] += value, atomically for each float; no result is waited for.
__device__ __forceinline__ void add_to_global(float* target, const float (&value)[4]) {
#if __CUDA_ARCH__ >= 900
    asm volatile("red.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(target), "f"(value[0]), "f"(value[1]),
                 "f"(value[2]), "f"(value[3])
                 : "memory");
#else
    for (int i = 0; i < 4; ++i) atomicAdd(target + i, value[i]);
#endif
}

// One warp hands something on to another through shared memory, at the block's barrier `id` (1 to 15; 0 is
// __syncthreads): the giver goes on at once, the taker waits for it and sees all that the giver wrote before.
__device__ __forceinline__ void barrier_arrive(int id) { asm volatile("bar.arrive %0, 64;" ::"r"(id) : "memory"); }

__device__ __forceinline__ void barrier_wait(int id) { asm volatile("bar.sync %0, 64;" ::"r"(id) : "memory"); }
