// Attention, kernel variant blockwise: block by block with an online softmax, in float32 arithmetic.
//
// Idea:   a block of threads owns a tile of 64 queries (in the backward also: of 64 keys) and walks over tiles of keys
//         (queries). A tile of scores lives in registers, is used, and is thrown away; the backward computes it again
//         from the saved log-sum-exp. Rows of the inputs are read from memory once a tile, not once a score.
// Memory: out and one float a query (lse) are saved; the backward adds one float a query (delta).
// Order:  every sum runs in a fixed order. The backward is two kernels, one that owns queries and writes dq, one that
//         owns keys and writes dk and dv, so that nothing is added to by two blocks: no atomics, the same bits each
//         time, for the price of computing scores and dp twice (7 products of tiles in place of 5).
// Loses:  to tensor cores, which multiply 15 times faster in bfloat16 and 7 times in TF32. This is the way to full
//         float32 precision. For short sequences most of a tile of 64 is empty: see attention_small.cu.
//
// Milakov and Gimelshein 2018, arXiv 1805.02867; Dao et al., "FlashAttention", 2022, arXiv 2205.14135, and
// "FlashAttention-2", 2023, arXiv 2307.08691 (order of the loops).
// Formulas and step numbers: docs/attention.md, sections 9 and 10.
//
// FORWARD_COLUMNS, BACKWARD_COLUMNS: how many keys (queries) a step of the walk takes; macros of the build.

#include "attention_tiles.cuh"

constexpr int ROWS = 64, M = ROWS / DOWN;  // what a block owns
constexpr int TILE = ROWS * ROW_STRIDE;    // floats
// So many blocks side by side on a multiprocessor: bounds the registers. The kernel that owns keys has two results.
constexpr int LEAST_BLOCKS = CHANNELS <= 64 ? 3 : 2, LEAST_BLOCKS_OF_KEYS = CHANNELS <= 32 ? 3 : 2;

// From row to row of a tile of pairs 8 banks further: the 4 rows of a warp are read and written without conflicts.
template <int COLUMNS>
constexpr int PAIR_STRIDE = COLUMNS + 8;

// Where a block stands: its first row, its head, its batch.
struct Place {
    int first, h, b;
};

// With a causal mask the last queries see most keys, and the first keys are seen by most queries. What takes longest
// should begin first: a head's tiles of queries are taken from the last one backwards.
__device__ __forceinline__ Place place_of_block(int rows, int heads, bool from_last) {
    const int tiles = (rows + ROWS - 1) / ROWS, tile = blockIdx.x % tiles, head = blockIdx.x / tiles;
    return {(from_last ? tiles - 1 - tile : tile) * ROWS, head % heads, head / heads};
}

// One block: 64 queries of a head. Writes out and lse.
extern "C" __global__ void __launch_bounds__(THREADS, LEAST_BLOCKS) blockwise_forward(
    const element* __restrict__ q, long long q_batch, int q_position, long long q_head,
    const element* __restrict__ k, long long k_batch, int k_position, long long k_head,
    const element* __restrict__ v, long long v_batch, int v_position, long long v_head,
    element* __restrict__ out, long long out_batch, int out_position, long long out_head,
    float* __restrict__ lse, const bool* __restrict__ key_mask,
    int queries, int keys, int heads, int kv_heads, int causal, float scale) {
    constexpr int COLUMNS = FORWARD_COLUMNS, N = COLUMNS / ACROSS, STRIDE = PAIR_STRIDE<COLUMNS>;
    extern __shared__ float4 shared[];
    float* tile_q = reinterpret_cast<float*>(shared);    // (ROWS, HS)
    float* tile_k = tile_q + TILE;                       // (COLUMNS, HS)
    float* tile_v = tile_k + COLUMNS * ROW_STRIDE;       // (COLUMNS, HS)
    float* weights = tile_v + COLUMNS * ROW_STRIDE;      // (ROWS, COLUMNS)

    const auto [first, h, b] = place_of_block(queries, heads, true);
    const int kv = h / (heads / kv_heads), down = thread_down(), across = thread_across();
    Fetched<ROWS>(ROW(q, b, first, h), q_position, queries - first).put(tile_q);

    // Section 9, for each of the thread's rows: m, the largest score so far (as a power of 2), l and a, the sums of
    // exp(s - m) and of exp(s - m) v. Before the first key: m = -inf, l = 0, a = 0. l: this thread's columns only.
    float largest[M], total[M] = {}, sum[M][UNITS][4];
    clear(sum);
#pragma unroll
    for (int m = 0; m < M; ++m) largest[m] = -INFINITY;

    const int end = causal_keys(min(first + ROWS, queries) - 1, queries, keys, causal);  // of the last query
    for (int start = 0; start < end; start += COLUMNS) {
        const Fetched<COLUMNS> own_k(ROW(k, b, start, kv), k_position, keys - start);
        const Fetched<COLUMNS> own_v(ROW(v, b, start, kv), v_position, keys - start);
        __syncthreads();  // all are done with the last tiles
        own_k.put(tile_k);
        own_v.put(tile_v);
        __syncthreads();

        float s[M][N];
        gemm_nt(tile_q, tile_k, s);  // section 1: s_ij, not scaled yet
        int visible_from[N];
#pragma unroll
        for (int n = 0; n < N; ++n)
            visible_from[n] = first_visible_query(key_mask, b, start + across + ACROSS * n, queries, keys, causal);
#pragma unroll
        for (int m = 0; m < M; ++m) {
            const int i = first + down + DOWN * m;
            float block_largest = -INFINITY;
#pragma unroll
            for (int n = 0; n < N; ++n) {
                s[m][n] = scaled_if(i >= visible_from[n], s[m][n], scale * LOG2_E);
                block_largest = fmaxf(block_largest, s[m][n]);
            }
            // Section 9: m' is the larger of m and the block's largest; what we hold is corrected by exp(m - m').
            const float new_largest = fmaxf(largest[m], row_max(block_largest));
            const float subtracted = new_largest == -INFINITY ? 0.0f : new_largest;  // nothing seen yet: no NaN
            const float correction = exp2f(largest[m] - subtracted);
            largest[m] = new_largest;
            total[m] *= correction;
#pragma unroll
            for (int u = 0; u < UNITS; ++u)
#pragma unroll
                for (int e = 0; e < 4; ++e) sum[m][u][e] *= correction;
#pragma unroll
            for (int n = 0; n < N; ++n) {
                const float weight = exp2f(s[m][n] - subtracted);
                total[m] += weight;
                weights[(down + DOWN * m) * STRIDE + across + ACROSS * n] = weight;
            }
        }
        __syncwarp();  // a warp reads only the rows that it wrote
        gemm_nn<STRIDE>(weights, tile_v, COLUMNS, sum);  // section 9: a' = a exp(m - m') + sum_j exp(s - m') v
    }

    // Section 9: o = a / l and L = m + log l
    float factor[M];
#pragma unroll
    for (int m = 0; m < M; ++m) {
        const float l = row_sum(total[m]);
        factor[m] = inverse_of_sum(l);
        const int i = first + down + DOWN * m;
        if (across == 0 && i < queries)
            lse[((long long)b * heads + h) * queries + i] = l == 0.0f ? -INFINITY : largest[m] * LN_2 + logf(l);
    }
    store_rows(ROW(out, b, first, h), out_position, queries - first, sum, factor);
}

// One warp: one query of a head. Section 10: delta_i = sum_j p_ij dp_ij = dout_i . out_i. Writes (B, NH, Tq).
extern "C" __global__ void blockwise_delta(
    const element* __restrict__ dout, long long dout_batch, int dout_position, long long dout_head,
    const element* __restrict__ out, long long out_batch, int out_position, long long out_head,
    float* __restrict__ delta, int batch, int queries, int heads) {
    const long long index = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / WARP;  // as dout lies: (B, Tq, NH)
    if (index >= (long long)batch * queries * heads) return;
    const int h = index % heads, i = index / heads % queries, b = index / heads / queries;
    const element *left = ROW(dout, b, i, h), *right = ROW(out, b, i, h);
    float sum = 0.0f;
    for (int c = threadIdx.x % WARP; c < HEAD_SIZE; c += WARP) sum += to_float(left[c]) * to_float(right[c]);
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0) delta[((long long)b * heads + h) * queries + i] = sum;
}

// One block: 64 queries of a head. Writes dq.
extern "C" __global__ void __launch_bounds__(THREADS, LEAST_BLOCKS) blockwise_backward_queries(
    const element* __restrict__ dout, long long dout_batch, int dout_position, long long dout_head,
    const element* __restrict__ q, long long q_batch, int q_position, long long q_head,
    const element* __restrict__ k, long long k_batch, int k_position, long long k_head,
    const element* __restrict__ v, long long v_batch, int v_position, long long v_head,
    element* __restrict__ dq, long long dq_batch, int dq_position, long long dq_head,
    const float* __restrict__ lse, const float* __restrict__ delta, const bool* __restrict__ key_mask,
    int queries, int keys, int heads, int kv_heads, int causal, float scale) {
    constexpr int COLUMNS = BACKWARD_COLUMNS, N = COLUMNS / ACROSS, STRIDE = PAIR_STRIDE<COLUMNS>;
    extern __shared__ float4 shared[];
    float* tile_q = reinterpret_cast<float*>(shared);    // (ROWS, HS)
    float* tile_dout = tile_q + TILE;                    // (ROWS, HS)
    float* tile_k = tile_dout + TILE;                    // (COLUMNS, HS)
    float* tile_v = tile_k + COLUMNS * ROW_STRIDE;       // (COLUMNS, HS)
    float* pairs = tile_v + COLUMNS * ROW_STRIDE;        // (ROWS, COLUMNS)

    const auto [first, h, b] = place_of_block(queries, heads, true);
    const int kv = h / (heads / kv_heads), down = thread_down(), across = thread_across();
    Fetched<ROWS>(ROW(q, b, first, h), q_position, queries - first).put(tile_q);
    Fetched<ROWS>(ROW(dout, b, first, h), dout_position, queries - first).put(tile_dout);

    float row_lse[M], row_delta[M], sum[M][UNITS][4];  // of the thread's queries; lse as a power of 2
    clear(sum);
#pragma unroll
    for (int m = 0; m < M; ++m) {
        const int i = first + down + DOWN * m;
        const long long at = ((long long)b * heads + h) * queries + i;
        row_lse[m] = i < queries ? lse_or_infinity(lse[at]) * LOG2_E : INFINITY;
        row_delta[m] = i < queries ? delta[at] : 0.0f;
    }

    const int end = causal_keys(min(first + ROWS, queries) - 1, queries, keys, causal);
    for (int start = 0; start < end; start += COLUMNS) {
        const Fetched<COLUMNS> own_k(ROW(k, b, start, kv), k_position, keys - start);
        const Fetched<COLUMNS> own_v(ROW(v, b, start, kv), v_position, keys - start);
        __syncthreads();  // all are done with the last tiles
        own_k.put(tile_k);
        own_v.put(tile_v);
        __syncthreads();

        float s[M][N], dp[M][N];
        gemm_nt(tile_q, tile_k, s);      // the scores again, not scaled yet
        gemm_nt(tile_dout, tile_v, dp);  // step A: dp_ij = dout_i . v_j
#pragma unroll
        for (int n = 0; n < N; ++n) {
            const int j = start + across + ACROSS * n;
            const int visible_from = first_visible_query(key_mask, b, j, queries, keys, causal);
#pragma unroll
            for (int m = 0; m < M; ++m) {
                const float score = scaled_if(first + down + DOWN * m >= visible_from, s[m][n], scale * LOG2_E);
                const float p = exp2f(score - row_lse[m]);  // section 10: p_ij
                const float ds = p * (dp[m][n] - row_delta[m]);  // step B: ds_ij
                pairs[(down + DOWN * m) * STRIDE + across + ACROSS * n] = ds;
            }
        }
        __syncwarp();
        gemm_nn<STRIDE>(pairs, tile_k, COLUMNS, sum);  // step C: dq_i = scale sum_j ds_ij k_j
    }
    float factor[M];
#pragma unroll
    for (int m = 0; m < M; ++m) factor[m] = scale;
    store_rows(ROW(dq, b, first, h), dq_position, queries - first, sum, factor);
}

// One block: 64 keys of a key/value head. Rows of its tiles of pairs are keys, columns queries. Writes dk and dv.
extern "C" __global__ void __launch_bounds__(THREADS, LEAST_BLOCKS_OF_KEYS) blockwise_backward_keys(
    const element* __restrict__ dout, long long dout_batch, int dout_position, long long dout_head,
    const element* __restrict__ q, long long q_batch, int q_position, long long q_head,
    const element* __restrict__ k, long long k_batch, int k_position, long long k_head,
    const element* __restrict__ v, long long v_batch, int v_position, long long v_head,
    element* __restrict__ dk, long long dk_batch, int dk_position, long long dk_head,
    element* __restrict__ dv, long long dv_batch, int dv_position, long long dv_head,
    const float* __restrict__ lse, const float* __restrict__ delta, const bool* __restrict__ key_mask,
    int queries, int keys, int heads, int kv_heads, int causal, float scale) {
    constexpr int COLUMNS = BACKWARD_COLUMNS, N = COLUMNS / ACROSS, STRIDE = PAIR_STRIDE<COLUMNS>;
    extern __shared__ float4 shared[];
    float* tile_k = reinterpret_cast<float*>(shared);    // (ROWS, HS)
    float* tile_v = tile_k + TILE;                       // (ROWS, HS)
    float* tile_q = tile_v + TILE;                       // (COLUMNS, HS)
    float* tile_dout = tile_q + COLUMNS * ROW_STRIDE;    // (COLUMNS, HS)
    float* pairs = tile_dout + COLUMNS * ROW_STRIDE;     // (ROWS, COLUMNS)

    const auto [first, kv, b] = place_of_block(keys, kv_heads, false);
    const int group = heads / kv_heads, down = thread_down(), across = thread_across();
    Fetched<ROWS>(ROW(k, b, first, kv), k_position, keys - first).put(tile_k);
    Fetched<ROWS>(ROW(v, b, first, kv), v_position, keys - first).put(tile_v);
    int visible_from[M];
#pragma unroll
    for (int m = 0; m < M; ++m)
        visible_from[m] = first_visible_query(key_mask, b, first + down + DOWN * m, queries, keys, causal);
    float dkey[M][UNITS][4], dvalue[M][UNITS][4];
    clear(dkey);
    clear(dvalue);

    // Section 5: a shared key gets a gradient from each query head of its group, and they add up.
    for (int h = kv * group; h < (kv + 1) * group; ++h) {
        const long long head = ((long long)b * heads + h) * queries;
        for (int start = first_causal_query(first, queries, keys, causal); start < queries; start += COLUMNS) {
            const Fetched<COLUMNS> own_q(ROW(q, b, start, h), q_position, queries - start);
            const Fetched<COLUMNS> own_dout(ROW(dout, b, start, h), dout_position, queries - start);
            __syncthreads();  // all are done with the last tiles
            own_q.put(tile_q);
            own_dout.put(tile_dout);
            __syncthreads();

            float p[M][N], ds[M][N];
            gemm_nt(tile_k, tile_q, p);      // the scores again, not scaled yet
            gemm_nt(tile_v, tile_dout, ds);  // step A: dp_ij = dout_i . v_j
#pragma unroll
            for (int n = 0; n < N; ++n) {
                const int i = start + across + ACROSS * n;
                const float column_lse = i < queries ? lse_or_infinity(lse[head + i]) * LOG2_E : INFINITY;
                const float column_delta = i < queries ? delta[head + i] : 0.0f;
#pragma unroll
                for (int m = 0; m < M; ++m) {
                    const float score = scaled_if(i >= visible_from[m], p[m][n], scale * LOG2_E);
                    p[m][n] = exp2f(score - column_lse);  // section 10: p_ij
                    ds[m][n] = p[m][n] * (ds[m][n] - column_delta);  // step B: ds_ij
                    pairs[(down + DOWN * m) * STRIDE + across + ACROSS * n] = p[m][n];
                }
            }
            __syncwarp();
            gemm_nn<STRIDE>(pairs, tile_dout, COLUMNS, dvalue);  // step A: dv_j = sum_i p_ij dout_i
            __syncwarp();
#pragma unroll
            for (int n = 0; n < N; ++n)
#pragma unroll
                for (int m = 0; m < M; ++m) pairs[(down + DOWN * m) * STRIDE + across + ACROSS * n] = ds[m][n];
            __syncwarp();
            gemm_nn<STRIDE>(pairs, tile_q, COLUMNS, dkey);  // step C: dk_j = scale sum_i ds_ij q_i
        }
    }
    float of_dk[M], of_dv[M];
#pragma unroll
    for (int m = 0; m < M; ++m) of_dk[m] = scale, of_dv[m] = 1.0f;
    store_rows(ROW(dk, b, first, kv), dk_position, keys - first, dkey, of_dk);
    store_rows(ROW(dv, b, first, kv), dv_position, keys - first, dvalue, of_dv);
}
