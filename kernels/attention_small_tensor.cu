// Attention for short sequences on tensor cores: bfloat16 with float32 sums, a whole head in one block.
//
// Idea:   a warp owns 16 queries of the head and has their scores with all keys (at most 64) in registers at once. So
//         there is no walk over tiles and no online softmax. In the backward there are two kinds of warps, side by
//         side: those that own queries make dq, those that own keys make dk and dv. Both compute the probabilities
//         they need, so no warp waits for another's: seven products in place of five, but products are cheap here.
// Memory: out and one float a query (lse) are saved.
// Order:  every sum has one owner and a fixed order: the same bits each time.
// Loses:  beyond 64 positions it does not run. Positions are padded to a multiple of 16.
//
// An arithmetic batch (192 samples, 4 heads, 32 positions, head size 32) is 768 small problems: launches and waiting
// for memory are the time, so all that a block needs is asked for at once, before its first barrier.
//
// Macros of the build: HEAD_SIZE (a multiple of 8); QUERY_ROWS and KEY_ROWS, positions rounded up to 16; GROUP_SIZE,
// query heads that share a key/value head. Fragments and tiles: attention_tensor.cuh and
// attention_mma.cuh. Formulas: docs/attention.md.

#include "attention_mma.cuh"

constexpr int QUERY_WARPS = QUERY_ROWS / 16, KEY_WARPS = KEY_ROWS / 16, ALL_WARPS = QUERY_WARPS + KEY_WARPS;
constexpr int KEY_TILES = KEY_ROWS / 8, CHANNEL_TILES = CHANNELS / 8;  // of an mma
constexpr u32 QUERY_BYTES = QUERY_ROWS * Tile<CHANNELS>::ROW_BYTES, KEY_BYTES = KEY_ROWS * Tile<CHANNELS>::ROW_BYTES;

// The backward takes so many keys (queries) at once: fewer numbers in registers, and a causal mask hides whole chunks.
constexpr int CHUNK = 16;
// So many warps of the backward's blocks side by side on a multiprocessor: bounds the registers of a thread. The last
// number is 768 blocks of four warps on 132 multiprocessors: an arithmetic batch all at once.
constexpr int LEAST_WARPS = GROUP_SIZE > 1 || CHANNELS > 64 ? 8 : CHANNELS > 32 || ALL_WARPS > 4 ? 16 : 24;
constexpr int LEAST_BLOCKS = LEAST_WARPS < ALL_WARPS ? 1 : LEAST_WARPS / ALL_WARPS;

using Rows = Accumulator<1, CHANNEL_TILES>;  // results of a warp's 16 queries or keys

// A warp's 16 rows, times a factor each, to rows of a view, by way of a tile that nobody reads any more.
__device__ __forceinline__ void store(const Rows& x, float factor_0, float factor_8, u32 tile, int first,
                                      element* target, int stride, int end) {
    const float factor[1][2] = {{factor_0, factor_8}};
    round_to_tile(x, factor, tile, first);
    __syncwarp();
    store_rows<16, 32>(tile + first * Tile<CHANNELS>::ROW_BYTES, target + (long long)first * stride, stride,
                       end - first, threadIdx.x % 32);
}

// Block (b, h): a query head of a sample. Writes out and lse.
extern "C" __global__ void __launch_bounds__(32 * QUERY_WARPS, 4) small_tensor_forward(
    const element* __restrict__ q, long long q_batch, int q_position, long long q_head,
    const element* __restrict__ k, long long k_batch, int k_position, long long k_head,
    const element* __restrict__ v, long long v_batch, int v_position, long long v_head,
    element* __restrict__ out, long long out_batch, int out_position, long long out_head,
    float* __restrict__ lse, const bool* __restrict__ key_mask,
    int queries, int keys, int heads, int causal, float scale) {
    constexpr int THREADS = 32 * QUERY_WARPS;
    extern __shared__ __align__(128) unsigned char shared[];
    const u32 q_tile = shared_address(shared), k_tile = q_tile + QUERY_BYTES, v_tile = k_tile + KEY_BYTES;

    const int b = blockIdx.x, h = blockIdx.y, kv = h / GROUP_SIZE;
    load_rows<QUERY_ROWS, THREADS>(q_tile, ROW(q, b, 0, h), q_position, queries);
    load_rows<KEY_ROWS, THREADS>(k_tile, ROW(k, b, 0, kv), k_position, keys);
    load_rows<KEY_ROWS, THREADS>(v_tile, ROW(v, b, 0, kv), v_position, keys);
    copies_commit();
    int visible_from[KEY_TILES][2];
#pragma unroll
    for (int n = 0; n < KEY_TILES; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e)
            visible_from[n][e] = first_visible_query(key_mask, b, lane_column(n, e), queries, keys, causal);
    copies_wait<0>();
    __syncthreads();

    const int first = threadIdx.x / 32 * 16;
    Accumulator<1, KEY_TILES> s;
    s.clear();
    gemm_nt(s, q_tile, first, k_tile, 0);  // section 1: s_ij, not scaled yet
    float largest[2] = {-INFINITY, -INFINITY}, total[2] = {0.0f, 0.0f}, factor[2];  // of the lane's two rows
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int i = first + lane_row(half);
#pragma unroll
        for (int n = 0; n < KEY_TILES; ++n)
#pragma unroll
            for (int e = 0; e < 2; ++e) {
                float& score = s.at[0][n][2 * half + e];
                score = scaled_if(i >= visible_from[n][e], score, scale * LOG2_E);
                largest[half] = fmaxf(largest[half], score);
            }
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        largest[half] = row_max(largest[half]);
        if (largest[half] == -INFINITY) largest[half] = 0.0f;  // a query that sees nothing: 2^(-inf - 0) is 0, no NaN
#pragma unroll
        for (int n = 0; n < KEY_TILES; ++n)
#pragma unroll
            for (int e = 0; e < 2; ++e) {
                float& score = s.at[0][n][2 * half + e];
                total[half] += score = exp2f(score - largest[half]);
            }
    }

    Operand<1, KEY_TILES / 2> weights;
    weights.round(s);
    Rows sum;
    sum.clear();
    gemm_nn(sum, weights, v_tile, 0);  // section 1: o_i = sum_j p_ij v_j
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        total[half] = row_sum(total[half]);
        factor[half] = inverse_of_sum(total[half]);
        const int i = first + lane_row(half);
        if (threadIdx.x % 4 == 0 && i < queries)
            lse[((long long)b * heads + h) * queries + i] = largest[half] * LN_2 + logf(total[half]);  // log 0 is -inf
    }
    __syncwarp();  // its other lanes may still be reading the queries, whose rows now take the result
    store(sum, factor[0], factor[1], q_tile, first, ROW(out, b, 0, h), out_position, queries);
}

// What the warps of a block share in the backward.
struct Tiles {
    u32 q, dout, k, v;
    const float2* rows;  // (QUERY_ROWS,): lse as a power of 2, and delta
    const int* visible_from;    // (KEY_ROWS,): the first query that sees a key
};

// By four lanes for each query: lse, and delta_i = dout_i . out_i (section 10). Beyond the last query lse is inf, so
// that p = 0.
template <int THREADS>
__device__ __forceinline__ void load_row_data(float2* rows, const element* dout, int dout_position, const element* out,
                                              int out_position, const float* lse, int queries) {
#pragma unroll
    for (int start = 0; start < QUERY_ROWS; start += THREADS / 4) {
        const int i = start + threadIdx.x / 4;
        if (i >= QUERY_ROWS) break;  // whole warps: QUERY_ROWS is a multiple of 8
        const int row = min(i, queries - 1);
        const float row_lse = i < queries ? lse_or_infinity(lse[row]) * LOG2_E : INFINITY;
        float sum = 0.0f;
#pragma unroll
        for (int part = 0; part < HEAD_SIZE; part += 4 * PACK) {
            const int c = part + threadIdx.x % 4 * PACK;
            if (HEAD_SIZE % (4 * PACK) != 0 && c >= HEAD_SIZE) continue;
            const Pack left = load_pack(dout + (long long)row * dout_position + c);
            const Pack right = load_pack(out + (long long)row * out_position + c);
#pragma unroll
            for (int e = 0; e < PACK; ++e) sum += to_float(left.at[e]) * to_float(right.at[e]);
        }
        sum = row_sum(sum);
        if (threadIdx.x % 4 == 0) rows[i] = make_float2(row_lse, sum);
    }
}

// The 16 queries from `first` on, of which the last sees the keys below `end`: dq without its scale.
__device__ __forceinline__ void query_gradients(Rows& dq, const Tiles& tiles, int first, int end, float scale) {
#pragma unroll
    for (int start = 0; start < KEY_ROWS; start += CHUNK) {
        if (start >= end) break;
        Accumulator<1, CHUNK / 8> s, dp;
        s.clear();
        dp.clear();
        gemm_nt(s, tiles.q, first, tiles.k, start);      // the scores again, not scaled yet
        gemm_nt(dp, tiles.dout, first, tiles.v, start);  // step A: dp_ij = dout_i . v_j
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int i = first + lane_row(half);
            const float2 row = tiles.rows[i];
#pragma unroll
            for (int n = 0; n < CHUNK / 8; ++n)
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    const int visible_from = tiles.visible_from[start + lane_column(n, e)], at = 2 * half + e;
                    const float score = scaled_if(i >= visible_from, s.at[0][n][at], scale * LOG2_E);
                    dp.at[0][n][at] = exp2f(score - row.x) * (dp.at[0][n][at] - row.y);  // step B: ds = p (dp - delta)
                }
        }
        Operand<1, CHUNK / 16> ds;
        ds.round(dp);
        gemm_nn(dq, ds, tiles.k, start);  // step C: dq_i = scale sum_j ds_ij k_j
    }
}

// The 16 keys from `first` on, seen by no query before `begin`: adds one query head's part to dk, without its scale,
// and to dv. Rows are keys here, columns queries.
__device__ __forceinline__ void key_gradients(Rows& dk, Rows& dv, const Tiles& tiles, int first, int begin,
                                              float scale) {
#pragma unroll
    for (int start = 0; start < QUERY_ROWS; start += CHUNK) {
        if (start + CHUNK <= begin) continue;
        Accumulator<1, CHUNK / 8> s, dp;
        s.clear();
        dp.clear();
        gemm_nt(s, tiles.k, first, tiles.q, start);      // the scores again, not scaled yet
        gemm_nt(dp, tiles.v, first, tiles.dout, start);  // step A: dp_ij = dout_i . v_j
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int visible_from = tiles.visible_from[first + lane_row(half)];
#pragma unroll
            for (int n = 0; n < CHUNK / 8; ++n)
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    const int i = start + lane_column(n, e), at = 2 * half + e;
                    const float2 row = tiles.rows[i];
                    const float score = scaled_if(i >= visible_from, s.at[0][n][at], scale * LOG2_E);
                    s.at[0][n][at] = exp2f(score - row.x);                         // section 10: p_ij
                    dp.at[0][n][at] = s.at[0][n][at] * (dp.at[0][n][at] - row.y);  // step B: ds = p (dp - delta)
                }
        }
        Operand<1, CHUNK / 16> pairs;
        pairs.round(s);
        gemm_nn(dv, pairs, tiles.dout, start);  // step A: dv_j = sum_i p_ij dout_i
        pairs.round(dp);
        gemm_nn(dk, pairs, tiles.q, start);     // step C: dk_j = scale sum_i ds_ij q_i
    }
}

// Block (b, kv): a key/value head of a sample, and the query heads that share it. Writes dq, dk and dv.
extern "C" __global__ void __launch_bounds__(32 * ALL_WARPS, LEAST_BLOCKS) small_tensor_backward(
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
    constexpr int THREADS = 32 * ALL_WARPS;
    extern __shared__ __align__(128) unsigned char shared[];
    const u32 k_tile = shared_address(shared), v_tile = k_tile + KEY_BYTES;
    const u32 q_tile = v_tile + KEY_BYTES, dout_tile = q_tile + QUERY_BYTES;
    float2* rows = reinterpret_cast<float2*>(shared + 2 * (KEY_BYTES + QUERY_BYTES));
    int* visible_from = reinterpret_cast<int*>(rows + QUERY_ROWS);
    const Tiles tiles = {q_tile, dout_tile, k_tile, v_tile, rows, visible_from};

    const int b = blockIdx.x, kv = blockIdx.y, warp = threadIdx.x / 32;
    const bool owns_queries = warp < QUERY_WARPS;
    const int first = 16 * (owns_queries ? warp : warp - QUERY_WARPS);
    load_rows<KEY_ROWS, THREADS>(k_tile, ROW(k, b, 0, kv), k_position, keys);
    load_rows<KEY_ROWS, THREADS>(v_tile, ROW(v, b, 0, kv), v_position, keys);

    Rows sum, other;  // dq; or dk and dv
    sum.clear();
    other.clear();
    // Section 5: a shared key gets a gradient from each query head of its group, and they add up.
#pragma unroll 1
    for (int member = 0; member < GROUP_SIZE; ++member) {
        const int h = kv * GROUP_SIZE + member;
        if (member > 0) __syncthreads();  // all are done with the last head's tiles
        load_rows<QUERY_ROWS, THREADS>(q_tile, ROW(q, b, 0, h), q_position, queries);
        load_rows<QUERY_ROWS, THREADS>(dout_tile, ROW(dout, b, 0, h), dout_position, queries);
        copies_commit();
        if (threadIdx.x < KEY_ROWS)
            visible_from[threadIdx.x] = first_visible_query(key_mask, b, threadIdx.x, queries, keys, causal);
        load_row_data<THREADS>(rows, ROW(dout, b, 0, h), dout_position, ROW(out, b, 0, h), out_position,
                               lse + ((long long)b * heads + h) * queries, queries);
        copies_wait<0>();
        __syncthreads();

        if (owns_queries) {
            sum.clear();
            query_gradients(sum, tiles, first, min(causal_keys(first + 15, queries, keys, causal), keys), scale);
        } else {
            key_gradients(sum, other, tiles, first, first_causal_query(first, queries, keys, causal), scale);
        }
        __syncthreads();  // all are done with the tiles, which now take the results
        if (owns_queries) store(sum, scale, scale, q_tile, first, ROW(dq, b, 0, h), dq_position, queries);
    }
    if (!owns_queries) {
        store(sum, scale, scale, k_tile, first, ROW(dk, b, 0, kv), dk_position, keys);
        store(other, 1.0f, 1.0f, v_tile, first, ROW(dv, b, 0, kv), dv_position, keys);
    }
}
