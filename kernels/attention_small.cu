// Attention for short sequences: a whole head in one block, in float32 arithmetic.
//
// Idea:   with at most 64 queries and keys a head's queries, keys, values and all scores fit beside one another into
//         shared memory and registers. So there is no walk over tiles and no online softmax, and the backward computes
//         the probabilities once for all of dq, dk and dv: one launch, five products of tiles.
// Memory: out and one float a query (lse) are saved.
// Order:  every sum has one owner and a fixed order: the same bits each time.
// Loses:  beyond 64 positions it does not run. A tile is padded to a multiple of 16 positions. With bfloat16 the
//         products are the most of its time: attention_small_tensor.cu leaves them to tensor cores.
//
// An arithmetic batch (192 samples, 4 heads, 32 positions, head size 32) is 768 small problems: not the arithmetic
// but launches and waiting for memory are the time, so everything is read at once, before the first barrier.
//
// Macros of the build: QUERY_ROWS and KEY_ROWS, positions rounded up to 16; GROUP_SIZE, query heads that share a
// key/value head (1 frees registers). Formulas: docs/attention.md, sections 1, 2, 5, 10.

#include "attention_tiles.cuh"

constexpr int M = QUERY_ROWS / DOWN, N = KEY_ROWS / ACROSS;  // a thread's queries and keys in the tile of pairs
constexpr int KEYS_DOWN = KEY_ROWS / DOWN;                   // a thread's rows in tiles of dk and dv
constexpr int QUERY_TILE = QUERY_ROWS * ROW_STRIDE, KEY_TILE = KEY_ROWS * ROW_STRIDE;  // floats
constexpr int PAIR_STRIDE = KEY_ROWS + 8;      // queries down: 8 banks further, no conflicts among a warp's 4 rows
constexpr int TRANSPOSED_STRIDE = QUERY_ROWS + 4;  // keys down: 4 banks further, none among 8 columns written at once
// So many blocks side by side on a multiprocessor: bounds the registers. 6 on each of 132 are an arithmetic batch.
constexpr int LEAST_BLOCKS = QUERY_ROWS <= 32 && KEY_ROWS <= 32 && UNITS * GROUP_SIZE == 1 ? 6 : 2;

// The sums over all keys or queries go in fours; those beyond the last one are zeros.
__device__ __forceinline__ int in_fours(int count) { return (count + 3) / 4 * 4; }

// Block (b, h): a query head of a sample. Writes out and lse.
extern "C" __global__ void __launch_bounds__(THREADS, LEAST_BLOCKS) small_forward(
    const element* __restrict__ q, long long q_batch, int q_position, long long q_head,
    const element* __restrict__ k, long long k_batch, int k_position, long long k_head,
    const element* __restrict__ v, long long v_batch, int v_position, long long v_head,
    element* __restrict__ out, long long out_batch, int out_position, long long out_head,
    float* __restrict__ lse, const bool* __restrict__ key_mask,
    int queries, int keys, int heads, int causal, float scale) {
    extern __shared__ float4 shared[];
    float* tile_q = reinterpret_cast<float*>(shared);  // (QUERY_ROWS, HS)
    float* tile_k = tile_q + QUERY_TILE;               // (KEY_ROWS, HS)
    float* tile_v = tile_k + KEY_TILE;                 // (KEY_ROWS, HS)
    float* weights = tile_v + KEY_TILE;                // (QUERY_ROWS, KEY_ROWS)

    const int b = blockIdx.x, h = blockIdx.y, kv = h / GROUP_SIZE, down = thread_down(), across = thread_across();
    const Fetched<QUERY_ROWS> own_q(ROW(q, b, 0, h), q_position, queries);
    const Fetched<KEY_ROWS> own_k(ROW(k, b, 0, kv), k_position, keys), own_v(ROW(v, b, 0, kv), v_position, keys);
    own_q.put(tile_q);
    own_k.put(tile_k);
    own_v.put(tile_v);
    int visible_from[N];
#pragma unroll
    for (int n = 0; n < N; ++n)
        visible_from[n] = first_visible_query(key_mask, b, across + ACROSS * n, queries, keys, causal);
    __syncthreads();

    float s[M][N], largest[M], total[M];
    gemm_nt(tile_q, tile_k, s);  // section 1: s_ij, not scaled yet
#pragma unroll
    for (int m = 0; m < M; ++m) {
        largest[m] = -INFINITY;
#pragma unroll
        for (int n = 0; n < N; ++n) {
            s[m][n] = scaled_if(down + DOWN * m >= visible_from[n], s[m][n], scale * LOG2_E);
            largest[m] = fmaxf(largest[m], s[m][n]);
        }
    }
#pragma unroll
    for (int m = 0; m < M; ++m) {
        largest[m] = row_max(largest[m]);
        if (largest[m] == -INFINITY) largest[m] = 0.0f;  // a query that sees nothing: 2^(-inf - 0) is 0, no NaN
        total[m] = 0.0f;
#pragma unroll
        for (int n = 0; n < N; ++n) {
            const float weight = exp2f(s[m][n] - largest[m]);
            total[m] += weight;
            weights[(down + DOWN * m) * PAIR_STRIDE + across + ACROSS * n] = weight;
        }
    }
    __syncwarp();  // a warp reads only the rows that it wrote

    float sum[M][UNITS][4], factor[M];
    clear(sum);
    gemm_nn<PAIR_STRIDE>(weights, tile_v, in_fours(keys), sum);  // section 1: o_i = sum_j p_ij v_j
#pragma unroll
    for (int m = 0; m < M; ++m) {
        total[m] = row_sum(total[m]);
        factor[m] = inverse_of_sum(total[m]);
        const int i = down + DOWN * m;
        if (across == 0 && i < queries)
            lse[((long long)b * heads + h) * queries + i] = largest[m] * LN_2 + logf(total[m]);  // log 0 is -inf
    }
    store_rows(ROW(out, b, 0, h), out_position, queries, sum, factor);
}

// Block (b, kv): a key/value head of a sample, and the query heads that share it. Writes dq, dk and dv.
extern "C" __global__ void __launch_bounds__(THREADS, LEAST_BLOCKS) small_backward(
    const element* __restrict__ dout, long long dout_batch, int dout_position, long long dout_head,
    const element* __restrict__ q, long long q_batch, int q_position, long long q_head,
    const element* __restrict__ k, long long k_batch, int k_position, long long k_head,
    const element* __restrict__ v, long long v_batch, int v_position, long long v_head,
    const element* __restrict__ out, long long out_batch, int out_position, long long out_head,
    element* __restrict__ dq, long long dq_batch, int dq_position, long long dq_head,
    element* __restrict__ dk, long long dk_batch, int dk_position, long long dk_head,
    element* __restrict__ dv, long long dv_batch, int dv_position, long long dv_head,
    const float* __restrict__ lse, const bool* __restrict__ key_mask,
    int queries, int keys, int heads, int causal, float scale) {
    extern __shared__ float4 shared[];
    float* tile_k = reinterpret_cast<float*>(shared);                     // (KEY_ROWS, HS)
    float* tile_v = tile_k + KEY_TILE;                                    // (KEY_ROWS, HS)
    float* tile_q = tile_v + KEY_TILE;                                    // (QUERY_ROWS, HS)
    float* tile_dout = tile_q + QUERY_TILE;                               // (QUERY_ROWS, HS)
    float* transposed_p = tile_dout + QUERY_TILE;                         // (KEY_ROWS, QUERY_ROWS)
    float* transposed_ds = transposed_p + KEY_ROWS * TRANSPOSED_STRIDE;   // (KEY_ROWS, QUERY_ROWS)

    const int b = blockIdx.x, kv = blockIdx.y, down = thread_down(), across = thread_across();
    float dkey[KEYS_DOWN][UNITS][4], dvalue[KEYS_DOWN][UNITS][4];
    clear(dkey);
    clear(dvalue);

    // Section 5: a shared key gets a gradient from each query head of its group, and they add up.
#pragma unroll 1
    for (int member = 0; member < GROUP_SIZE; ++member) {
        const int h = kv * GROUP_SIZE + member;
        const Fetched<QUERY_ROWS> own_q(ROW(q, b, 0, h), q_position, queries);
        const Fetched<QUERY_ROWS> own_dout(ROW(dout, b, 0, h), dout_position, queries);
        float row_lse[M], row_delta[M];  // lse as a power of 2
#pragma unroll
        for (int m = 0; m < M; ++m) {
            const int i = down + DOWN * m, row = min(i, queries - 1);
            const float lse_i = lse[((long long)b * heads + h) * queries + row];
            row_lse[m] = i < queries ? lse_or_infinity(lse_i) * LOG2_E : INFINITY;
            row_delta[m] = part_of_dot(ROW(dout, b, row, h), ROW(out, b, row, h));
        }
        if (member == 0) {
            Fetched<KEY_ROWS>(ROW(k, b, 0, kv), k_position, keys).put(tile_k);
            Fetched<KEY_ROWS>(ROW(v, b, 0, kv), v_position, keys).put(tile_v);
        } else {
            __syncthreads();  // all are done with the last head's tiles
        }
        own_q.put(tile_q);
        own_dout.put(tile_dout);
#pragma unroll
        for (int m = 0; m < M; ++m) row_delta[m] = row_sum(row_delta[m]);  // section 10: delta_i = dout_i . out_i
        int visible_from[N];
#pragma unroll
        for (int n = 0; n < N; ++n)
            visible_from[n] = first_visible_query(key_mask, b, across + ACROSS * n, queries, keys, causal);
        __syncthreads();

        float s[M][N], dp[M][N];
        gemm_nt(tile_q, tile_k, s);      // the scores again, not scaled yet
        gemm_nt(tile_dout, tile_v, dp);  // step A: dp_ij = dout_i . v_j
#pragma unroll
        for (int n = 0; n < N; ++n)
#pragma unroll
            for (int m = 0; m < M; ++m) {
                const int i = down + DOWN * m, j = across + ACROSS * n;
                const float score = scaled_if(i >= visible_from[n], s[m][n], scale * LOG2_E);
                const float p = exp2f(score - row_lse[m]);  // section 10: p_ij
                transposed_p[j * TRANSPOSED_STRIDE + i] = p;
                transposed_ds[j * TRANSPOSED_STRIDE + i] = p * (dp[m][n] - row_delta[m]);  // step B: ds_ij
            }
        __syncthreads();

        gemm_nn<TRANSPOSED_STRIDE>(transposed_p, tile_dout, in_fours(queries), dvalue);  // step A: sum_i p_ij dout_i
        gemm_nn<TRANSPOSED_STRIDE>(transposed_ds, tile_q, in_fours(queries), dkey);      // step C: sum_i ds_ij q_i
        float dquery[M][UNITS][4], of_dq[M];
        clear(dquery);
        gemm_tn<TRANSPOSED_STRIDE>(transposed_ds, tile_k, keys, dquery);  // step C: dq_i = scale sum_j ds_ij k_j
#pragma unroll
        for (int m = 0; m < M; ++m) of_dq[m] = scale;
        store_rows(ROW(dq, b, 0, h), dq_position, queries, dquery, of_dq);
    }
    float of_dk[KEYS_DOWN], of_dv[KEYS_DOWN];
#pragma unroll
    for (int m = 0; m < KEYS_DOWN; ++m) of_dk[m] = scale, of_dv[m] = 1.0f;
    store_rows(ROW(dk, b, 0, kv), dk_position, keys, dkey, of_dk);
    store_rows(ROW(dv, b, 0, kv), dv_position, keys, dvalue, of_dv);
}
