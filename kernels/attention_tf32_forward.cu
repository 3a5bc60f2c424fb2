// Attention forward on tensor cores for float32: FlashAttention-2 (Dao, 2023, arXiv 2307.08691,
// algorithm 1), products by attention_tf32.cuh.
//
// Idea: as attention_mma_forward.cu. A block owns QUERIES queries of one head and walks over the keys in tiles of KEYS,
// with the online softmax of docs/attention.md, section 9. A warp owns whole rows; scores and shares never leave its
// registers. While a tile is worked on, the next one is copied into the other of two stages.
//
// Memory: nothing but out and one number a query (lse). Shared: (QUERIES + 4 KEYS) rows of float32, twice those of
// bfloat16.
// Loses: for few queries (a block's rows are idle when Tq < QUERIES), for few blocks, and with one product where an
// error of 5e-4 of every factor is too much.
//
// Macros of the build: HEAD_SIZE, PRODUCTS, QUERIES, KEYS, WARPS, BLOCKS (resident per multiprocessor, bounds the
// registers).
#include "attention_tf32.cuh"

constexpr int THREADS = 32 * WARPS;
constexpr int ROWS = QUERIES / WARPS;  // of a warp
constexpr int M_TILES = ROWS / 16;
constexpr int N_TILES = KEYS / 8;
constexpr u32 QUERY_BYTES = QUERIES * ROW_BYTES;
constexpr u32 KEY_BYTES = KEYS * ROW_BYTES;

// What a lane knows of its rows, row 16 m + g + 8 half of the warp: the running maximum and sum of the online softmax.
struct Rows {
    float maximum[M_TILES][2];  // of the raw scores, not yet scaled
    float total[M_TILES][2];    // of this lane's columns only; the four lanes of a row add up at the end
};

// m' = max(m, max_j s_j);   correction e^(m - m') for l and a;   e_j = e^(s_j - m');   l' = l correction + sum_j e_j
__device__ __forceinline__ void online_softmax(Accumulator<M_TILES, N_TILES> &scores, Rows &rows,
                                               Accumulator<M_TILES, C_TILES> &a, float scale) {
#pragma unroll
    for (int m = 0; m < M_TILES; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float largest = rows.maximum[m][half];
#pragma unroll
            for (int n = 0; n < N_TILES; ++n)
                largest = fmaxf(largest, fmaxf(scores.at[m][n][2 * half], scores.at[m][n][2 * half + 1]));
            largest = row_max(largest);
            // A row that has seen nothing has -inf - -inf = NaN before it; against 0 its exponentials are 0, as they
            // must be.
            const float base = largest == -INFINITY ? 0.0f : __fmul_rn(largest, scale);
            // From one rounded base to the next: exactly 1 where the maximum stays. A factor that is off by the
            // rounding of a product would, over hundreds of tiles, draw a and l apart.
            const float correction = exp2_fast((__fmul_rn(rows.maximum[m][half], scale) - base) * LOG2_E);
            rows.maximum[m][half] = largest;
            float total = rows.total[m][half] * correction;
#pragma unroll
            for (int n = 0; n < N_TILES; ++n)
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; ++i) {
                    scores.at[m][n][i] = exponential(scores.at[m][n][i], scale, base);
                    total += scores.at[m][n][i];
                }
            rows.total[m][half] = total;
#pragma unroll
            for (int n = 0; n < C_TILES; ++n) {
                a.at[m][n][2 * half] *= correction;
                a.at[m][n][2 * half + 1] *= correction;
            }
        }
}

// o = a / l and lse = m + log l; a query that saw nothing gets 0 and -inf. m is rounded as the exponentials' base was:
// no fused multiply-add.
__device__ __forceinline__ void finish(Rows &rows, float scale, float* lse, int first_row, int queries,
                                       float (&inverse)[M_TILES][2]) {
#pragma unroll
    for (int m = 0; m < M_TILES; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const float total = row_sum(rows.total[m][half]);
            const int row = first_row + 16 * m + 8 * half + threadIdx.x % 32 / 4;
            inverse[m][half] = total == 0.0f ? 0.0f : reciprocal(total);
            if (threadIdx.x % 4 == 0 && row < queries)
                lse[row] = total == 0.0f ? -INFINITY : __fmul_rn(rows.maximum[m][half], scale) + logf(total);
        }
}

// q, out (B, Tq, NH, HS); k, v (B, Tk, NHkv, HS): strides in elements of batch, position, head. lse (B, NH, Tq).
// key_mask (B, Tk) or null. Grid: ceil(Tq / QUERIES) * B * NH.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    attention_tf32_forward(const float* q, long long q_batch, int q_position, long long q_head, const float* k,
                           long long k_batch, int k_position, long long k_head, const float* v, long long v_batch,
                           int v_position, long long v_head, float* out, long long out_batch, int out_position,
                           long long out_head, float* lse, const bool* key_mask, int batch, int queries, int keys,
                           int heads, int kv_heads, int causal, float scale, int together) {
    extern __shared__ __align__(128) unsigned char shared[];
    const u32 q_tile = shared_address(shared), stages = q_tile + QUERY_BYTES;

    const int query_tiles = ceil_div(queries, QUERIES);
    const Work work = work_of_block(blockIdx.x, query_tiles, batch * heads, together);
    const int sample = work.head / heads, head = work.head % heads, kv_head = head / (heads / kv_heads);
    const int first_query = (query_tiles - 1 - work.rank) * QUERIES;  // causal: the last queries see most keys
    q = ROW(q, sample, first_query, head);
    k = ROW(k, sample, 0, kv_head);
    v = ROW(v, sample, 0, kv_head);
    out = ROW(out, sample, first_query, head);

    // The first `open_tiles` need no mask: the block's first query sees all of their keys, and so do the others.
    const KeyWalk walk = walk_over_keys<QUERIES, KEYS>(first_query, queries, keys, causal);
    const int open_tiles = key_mask != nullptr ? 0 : walk.seen_by_first / KEYS;

    const int warp_row = threadIdx.x / 32 * ROWS, own_row = warp_row + static_cast<int>(threadIdx.x) % 32 / 4;
    const int limit = causal ? first_query + own_row + walk.offset + 1 : NO_LIMIT;
    const Visible visible = visible_to<ROWS>(first_query, warp_row, limit, queries, keys, causal, key_mask, sample);

    auto load_keys = [&](int tile) {
        const u32 stage = stages + tile % 2 * 2 * KEY_BYTES;
        const long long first = static_cast<long long>(tile) * KEYS;
        load_rows<KEYS, THREADS>(stage, k + first * k_position, k_position, keys - tile * KEYS);
        load_rows<KEYS, THREADS>(stage + KEY_BYTES, v + first * v_position, v_position, keys - tile * KEYS);
    };

    Accumulator<M_TILES, C_TILES> a;
    a.clear();
    Rows rows;
#pragma unroll
    for (int m = 0; m < M_TILES; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) rows.maximum[m][half] = -INFINITY, rows.total[m][half] = 0.0f;

    load_rows<QUERIES, THREADS>(q_tile, q, q_position, queries - first_query);
    if (walk.tiles > 0) load_keys(0);
    copies_commit();

    // docs/attention.md, section 9: a' = a e^(m - m') + sum_j e^(s_j - m') v_j
    for (int tile = 0; tile < walk.tiles; ++tile) {
        copies_wait<0>();
        __syncthreads();  // this tile is here for all, and all are done with the one before: its stage is free
        if (tile + 1 < walk.tiles) load_keys(tile + 1);
        copies_commit();

        if (tile * KEYS >= visible.seen_by_warp) continue;  // hidden from all rows of this warp
        const u32 k_tile = stages + tile % 2 * 2 * KEY_BYTES, v_tile = k_tile + KEY_BYTES;
        Accumulator<M_TILES, N_TILES> scores;
        scores.clear();
        gemm_nt(scores, q_tile, warp_row, k_tile, 0);
        if (tile >= open_tiles) hide(scores, tile * KEYS, visible);
        online_softmax(scores, rows, a, scale);
        gemm_nn(a, scores, v_tile, 0);
    }
    copies_wait<0>();

    float inverse[M_TILES][2];
    finish(rows, scale, lse + static_cast<long long>(work.head) * queries, first_query + warp_row, queries, inverse);
    store_rows(a, inverse, out + static_cast<long long>(warp_row) * out_position, out_position,
               queries - first_query - warp_row);
}
