// Before the float32 backward's matrix products: for each query its log-sum-exp and delta, side by side.
//
// docs/attention.md, section 10: delta_i = sum_j p_ij dp_ij = do_i . o_i, one inner product of a row of out and one of
// dout.
//
// Rows beyond the last query up to `padded` get L = inf: there and for queries that saw nothing p = e^-inf = 0, so no
// kernel behind this one asks whether a query exists.
//
// Memory: reads out and dout once, writes 8 bytes a query. Bound by that.
#include "attention_tf32.cuh"

constexpr int PACKS = HEAD_SIZE / 4;  // of 16 bytes
constexpr int LANES = PACKS <= 4 ? 4 : PACKS <= 8 ? 8 : PACKS <= 16 ? 16 : 32;  // of a row, one for each pack

// out, dout (B, Tq, NH, HS) with strides; lse (B, NH, Tq); lse_delta (B, NH, padded, 2): L_i, delta_i.
// Grid: ceil(padded LANES / threads) in x, heads in y, batch in z.
extern "C" __global__ void __launch_bounds__(256)
    attention_tf32_backward_delta(const float* out, long long out_batch, int out_position, long long out_head,
                                  const float* dout, long long dout_batch, int dout_position, long long dout_head,
                                  const float* lse, float2* lse_delta, int queries, int padded) {
    const int thread = blockIdx.x * blockDim.x + threadIdx.x, query = thread / LANES, pack = thread % LANES;
    const int head = blockIdx.y, sample = blockIdx.z;
    float sum = 0.0f;
    if (query < queries && pack < PACKS) {
        const float* o = ROW(out, sample, query, head);
        const float* d = ROW(dout, sample, query, head);
        const float4 x = reinterpret_cast<const float4*>(o)[pack], y = reinterpret_cast<const float4*>(d)[pack];
        sum = fmaf(x.x, y.x, fmaf(x.y, y.y, fmaf(x.z, y.z, x.w * y.w)));
    }
#pragma unroll
    for (int distance = LANES / 2; distance > 0; distance /= 2) sum += __shfl_xor_sync(WHOLE_WARP, sum, distance);
    if (query >= padded || pack != 0) return;

    const long long row = static_cast<long long>(sample) * gridDim.y + head;
    const float logsumexp = query < queries ? lse[row * queries + query] : -INFINITY;
    lse_delta[row * padded + query] = make_float2(lse_or_infinity(logsumexp), sum);
}
