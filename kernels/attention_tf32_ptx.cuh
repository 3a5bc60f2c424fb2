// The machine instructions that the float32 tensor-core kernels need beyond those of attention_mma_ptx.cuh.
// Sources: PTX ISA 8.x, sections "mma" (shape m16n8k8) and "rcp".
#pragma once

#include "attention_mma_ptx.cuh"

// c (16 x 8) += a (16 x 8) b (8 x 8), sums in float32. Factors are float32 patterns of which the tensor core reads the
// upper 19 bits (sign, exponent, 10 of the fraction: "tf32"). With g = lane / 4 and t = lane % 4 a lane holds
//   a[0], a[1]: rows g, g + 8 of column t;    a[2], a[3]: the same rows of column t + 4
//   b0: row t of column g;                    b1: row t + 4 of column g
//   c[0], c[1]: row g, columns 2t, 2t + 1;    c[2], c[3]: row g + 8 of the same columns
__device__ __forceinline__ void mma_tf32(float (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// 1 / x to 1 unit of the last place; one instruction, where `1.0f / x` calls a function for the rare cases.
__device__ __forceinline__ float reciprocal(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
