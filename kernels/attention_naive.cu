// Attention, kernel variant naive: the plain formula, one thread for each number of the result.
//
// Idea:   a thread owns one number of out (or of dq, or one of dk and one of dv). It walks over all keys (or queries)
//         that this number depends on and computes whatever it needs anew: scores, probabilities, delta.
// Memory: nothing beside the inputs and results. No T x T array, no shared memory. Any head size, any length.
// Loses:  always. The HS threads of one query compute each of its scores HS times, and every product reads both
//         factors from memory (mostly from the L1 cache: neighbouring threads read the same). Work grows with
//         T T HS HS. The variant blockwise keeps tiles of scores and computes each number of them once.
//
// Formulas and step numbers: docs/attention.md.

#include "attention.cuh"

// a . b, two rows of a view
__device__ float dot(const element* a, const element* b, int size) {
    float sum = 0.0f;
    for (int c = 0; c < size; ++c) sum += to_float(a[c]) * to_float(b[c]);
    return sum;
}

// Thread: one number of out (B, Tq, NH, HS), and the thread of channel 0 the query's lse (B, NH, Tq).
extern "C" __global__ void naive_forward(
    const element* __restrict__ q, long long q_batch, int q_position, long long q_head,
    const element* __restrict__ k, long long k_batch, int k_position, long long k_head,
    const element* __restrict__ v, long long v_batch, int v_position, long long v_head,
    element* __restrict__ out, long long out_batch, int out_position, long long out_head,
    float* __restrict__ lse, const bool* __restrict__ key_mask,
    int batch, int queries, int keys, int heads, int kv_heads, int head_size, int causal, float scale) {
    long long index = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= (long long)batch * queries * heads * head_size) return;
    const int c = index % head_size;
    index /= head_size;
    const int h = index % heads;
    index /= heads;
    const int i = index % queries, b = index / queries;
    const int kv = h / (heads / kv_heads);  // the key/value head that this query head shares
    const element* query = ROW(q, b, i, h);
    const int end = causal_keys(i, queries, keys, causal);

    // Section 1: s_ij = scale q_i . k_j. The largest is taken off all of them before exponentials.
    float largest = -INFINITY;
    for (int j = 0; j < end; ++j) {
        if (is_hidden(key_mask, b, j, keys)) continue;
        largest = fmaxf(largest, scaled(dot(query, ROW(k, b, j, kv), head_size), scale));
    }
    if (largest == -INFINITY) largest = 0.0f;  // a query that sees nothing: exp(-inf - 0) is 0, no NaN

    // Section 1: p_ij = exp(s_ij) / sum_m exp(s_im) and o_ic = sum_j p_ij v_jc, the division left to the end.
    float total = 0.0f, sum = 0.0f;
    for (int j = 0; j < end; ++j) {
        if (is_hidden(key_mask, b, j, keys)) continue;
        const float weight = expf(scaled(dot(query, ROW(k, b, j, kv), head_size), scale) - largest);
        total += weight;
        sum += weight * to_float(ROW(v, b, j, kv)[c]);
    }
    ROW(out, b, i, h)[c] = from_float(total == 0.0f ? 0.0f : sum / total);
    if (c == 0) lse[((long long)b * heads + h) * queries + i] = largest + logf(total);  // log 0 is -inf
}

// Thread: one number of dq (B, Tq, NH, HS).
extern "C" __global__ void naive_backward_queries(
    const element* __restrict__ dout, long long dout_batch, int dout_position, long long dout_head,
    const element* __restrict__ q, long long q_batch, int q_position, long long q_head,
    const element* __restrict__ k, long long k_batch, int k_position, long long k_head,
    const element* __restrict__ v, long long v_batch, int v_position, long long v_head,
    const element* __restrict__ out, long long out_batch, int out_position, long long out_head,
    element* __restrict__ dq, long long dq_batch, int dq_position, long long dq_head,
    const float* __restrict__ lse, const bool* __restrict__ key_mask,
    int batch, int queries, int keys, int heads, int kv_heads, int head_size, int causal, float scale) {
    long long index = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= (long long)batch * queries * heads * head_size) return;
    const int c = index % head_size;
    index /= head_size;
    const int h = index % heads;
    index /= heads;
    const int i = index % queries, b = index / queries;
    const int kv = h / (heads / kv_heads);
    const element *query = ROW(q, b, i, h), *doutput = ROW(dout, b, i, h);
    const int end = causal_keys(i, queries, keys, causal);

    // Section 10: delta_i = dout_i . out_i
    const float delta = dot(doutput, ROW(out, b, i, h), head_size);
    const float lse_i = lse_or_infinity(lse[((long long)b * heads + h) * queries + i]);
    float sum = 0.0f;
    for (int j = 0; j < end; ++j) {
        if (is_hidden(key_mask, b, j, keys)) continue;
        const element* key = ROW(k, b, j, kv);
        const float p = expf(scaled(dot(query, key, head_size), scale) - lse_i);             // section 10: p_ij
        const float dp = dot(doutput, ROW(v, b, j, kv), head_size);                // step A: dp_ij = dout_i . v_j
        sum += p * (dp - delta) * to_float(key[c]);                                // steps B and C
    }
    ROW(dq, b, i, h)[c] = from_float(sum * scale);
}

// Thread: one number of dk and the same of dv, both (B, Tk, NHkv, HS).
extern "C" __global__ void naive_backward_keys(
    const element* __restrict__ dout, long long dout_batch, int dout_position, long long dout_head,
    const element* __restrict__ q, long long q_batch, int q_position, long long q_head,
    const element* __restrict__ k, long long k_batch, int k_position, long long k_head,
    const element* __restrict__ v, long long v_batch, int v_position, long long v_head,
    const element* __restrict__ out, long long out_batch, int out_position, long long out_head,
    element* __restrict__ dk, long long dk_batch, int dk_position, long long dk_head,
    element* __restrict__ dv, long long dv_batch, int dv_position, long long dv_head,
    const float* __restrict__ lse, const bool* __restrict__ key_mask,
    int batch, int queries, int keys, int heads, int kv_heads, int head_size, int causal, float scale) {
    long long index = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= (long long)batch * keys * kv_heads * head_size) return;
    const int c = index % head_size;
    index /= head_size;
    const int kv = index % kv_heads;
    index /= kv_heads;
    const int j = index % keys, b = index / keys;
    const element *key = ROW(k, b, j, kv), *value = ROW(v, b, j, kv);

    float dkey = 0.0f, dvalue = 0.0f;
    const int group = heads / kv_heads;
    // Section 5: a shared key gets a gradient from each query head of its group, and they add up.
    for (int h = kv * group; h < (kv + 1) * group && !is_hidden(key_mask, b, j, keys); ++h) {
        for (int i = first_causal_query(j, queries, keys, causal); i < queries; ++i) {
            const element *query = ROW(q, b, i, h), *doutput = ROW(dout, b, i, h);
            const float lse_i = lse_or_infinity(lse[((long long)b * heads + h) * queries + i]);
            const float delta = dot(doutput, ROW(out, b, i, h), head_size);        // section 10: delta_i
            const float p = expf(scaled(dot(query, key, head_size), scale) - lse_i);         // section 10: p_ij
            const float dp = dot(doutput, value, head_size);                       // step A: dp_ij = dout_i . v_j
            dvalue += p * to_float(doutput[c]);                                    // step A: dv_j
            dkey += p * (dp - delta) * to_float(query[c]);                         // steps B and C
        }
    }
    ROW(dk, b, j, kv)[c] = from_float(dkey * scale);
    ROW(dv, b, j, kv)[c] = from_float(dvalue);
}
