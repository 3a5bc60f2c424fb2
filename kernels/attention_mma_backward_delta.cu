// Before the backward's matrix products: for each query its log-sum-exp and delta, side by side.
//
// docs/attention.md, section 10: delta_i = sum_j p_ij dp_ij = do_i . o_i, one inner product of a row of out and one of
// dout.
// The scores come back as powers of two, p_ij = 2^(s_ij log2(e) - L_i log2(e)), so the factor log2(e) is applied here,
// once.
//
// Rows beyond the last query up to `padded` get L = inf: there and for queries that saw nothing p = 2^-inf = 0, so no
// kernel behind this one asks whether a query exists.
//
// Memory: reads out and dout once, writes 8 bytes a query. Bound by that: a thread asks for all its pieces of 16 bytes
// before it uses the first, and blocks that run together read neighbouring heads, which lie side by side.
#include "attention_mma.cuh"

constexpr int THREADS = 256;
constexpr int CHUNKS = HEAD_SIZE / 8;
constexpr int LANES = CHUNKS <= 2 ? 2 : CHUNKS <= 4 ? 4 : CHUNKS <= 8 ? 8 : 16;  // of a row, 16 bytes each
constexpr int ROWS = 4;                                                          // of a thread
constexpr int ROWS_A_STEP = THREADS / LANES;

// The inner product of eight pairs of bf16.
__device__ __forceinline__ float inner_product(uint4 a, uint4 b) {
    const u32 left[4] = {a.x, a.y, a.z, a.w}, right[4] = {b.x, b.y, b.z, b.w};
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        sum = fmaf(__uint_as_float(left[i] << 16), __uint_as_float(right[i] << 16), sum);
        sum = fmaf(__uint_as_float(left[i] & 0xffff0000u), __uint_as_float(right[i] & 0xffff0000u), sum);
    }
    return sum;
}

// out, dout (B, Tq, NH, HS) with strides; lse (B, NH, Tq); lse_delta (B, NH, padded, 2): L_i log2(e), delta_i.
// Grid: heads in x, ceil(padded LANES / (THREADS ROWS)) in y, batch in z.
extern "C" __global__ void __launch_bounds__(THREADS)
    attention_mma_backward_delta(const bf16* out, long long out_batch, int out_position, int out_head, const bf16* dout,
                                 long long dout_batch, int dout_position, int dout_head, const float* lse,
                                 float2* lse_delta, int queries, int padded) {
    const int first = blockIdx.y * ROWS * ROWS_A_STEP + threadIdx.x / LANES, chunk = threadIdx.x % LANES;
    const int head = blockIdx.x, sample = blockIdx.z;
    out = ROW(out, sample, 0, head);
    dout = ROW(dout, sample, 0, head);

    uint4 o[ROWS] = {}, d[ROWS] = {};
#pragma unroll
    for (int i = 0; i < ROWS; ++i) {
        const long long query = first + i * ROWS_A_STEP;
        if (query >= queries || chunk >= CHUNKS) continue;
        o[i] = reinterpret_cast<const uint4*>(out + query * out_position)[chunk];
        d[i] = reinterpret_cast<const uint4*>(dout + query * dout_position)[chunk];
    }

    const long long row = static_cast<long long>(sample) * gridDim.x + head;
#pragma unroll
    for (int i = 0; i < ROWS; ++i) {
        const int query = first + i * ROWS_A_STEP;
        float sum = inner_product(o[i], d[i]);
#pragma unroll
        for (int distance = LANES / 2; distance > 0; distance /= 2) sum += __shfl_xor_sync(WHOLE_WARP, sum, distance);
        if (query >= padded || chunk != 0) continue;
        const float logsumexp = query < queries ? lse[row * queries + query] : -INFINITY;
        lse_delta[row * padded + query] = make_float2(lse_or_infinity(logsumexp) * LOG2_E, sum);
    }
}
