// What all attention kernels share: views, who sees whom, and the queries that see nothing.
//
// `delta` is what docs/attention.md, section 10, calls r_i and FlashAttention D_i: the row sum of dout times out.
// Matrix products of tiles are named as in BLAS: gemm_nn for a b, gemm_nt for a bᵀ, gemm_tn for aᵀ b.
//
// Arrays come as views, (B, T, heads, HS): a base and the strides in elements by batch, position and head, as four
// parameters x, x_batch, x_position, x_head of a kernel. The last axis is contiguous. So q, k and v may be parts of one
// packed projection, and dq, dk and dv parts of its gradient. A view may span more than 2^31 elements: whatever the
// width of a stride (of heads it is what leaves the registers alone), its products are made in 64 bits.

#pragma once

#include "common.cuh"

constexpr float LOG2_E = 1.4426950408889634f;  // exp(x) = 2^(x log2 e): the chip's own exponential has base 2
constexpr float LN_2 = 0.6931471805599453f;

// A score times the scale, rounded. The largest of a row minus itself, rounded in the same way, is exactly 0. The
// compiler would make one fused instruction of product and difference, which leaves what the rounding took away: much,
// of a huge score.
__device__ __forceinline__ float scaled(float score, float scale) { return __fmul_rn(score, scale); }

// The same; -inf where the query does not see the key.
__device__ __forceinline__ float scaled_if(bool sees, float score, float scale) {
    const float product = __fmul_rn(score, scale);
    return sees ? product : -INFINITY;
}

// The row of HS numbers of view x at batch b, position t, head h. 64 bits: a batch may have more than 2^31 numbers.
#define ROW(x, b, t, h) (x + (long long)(b) * x##_batch + (long long)(t) * x##_position + (long long)(h) * x##_head)

// The number of keys that the causal order shows to query i: the last query stands at the last key.
__device__ __forceinline__ int causal_keys(int i, int queries, int keys, int causal) {
    return causal ? i + (keys - queries) + 1 : keys;
}

// The first query to which the causal order shows key j.
__device__ __forceinline__ int first_causal_query(int j, int queries, int keys, int causal) {
    return causal ? max(j - (keys - queries), 0) : 0;
}

// key_mask (B, Tk): false hides a key; null hides none.
__device__ __forceinline__ bool is_hidden(const bool* key_mask, int b, int j, int keys) {
    return key_mask != nullptr && !key_mask[(long long)b * keys + j];
}

// The first query that sees key j: query i sees it if i is this query or a later one. NEVER if no query does, or if there
// is no such key. The causal order, the mask and the end of the keys in one number.
constexpr int NEVER = 1 << 30;

__device__ __forceinline__ int first_visible_query(const bool* key_mask, int b, int j, int queries, int keys,
                                                   int causal) {
    const bool hidden = is_hidden(key_mask, b, min(j, keys - 1), keys);  // always read: no load waits for another
    return hidden | (j >= keys) ? NEVER : first_causal_query(j, queries, keys, causal);
}

// 1 / x for the sum of a row, 0 for a row without any. To one unit of the last place; 1.0f / x is a function call.
__device__ __forceinline__ float inverse_of_sum(float x) { return x == 0.0f ? 0.0f : __fdividef(1.0f, x); }

// For the backward's p = exp(s - lse): a query that sees nothing has lse = -inf and gets +inf, so that p = 0.
__device__ __forceinline__ float lse_or_infinity(float lse) { return lse == -INFINITY ? INFINITY : lse; }
