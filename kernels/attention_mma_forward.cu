// Attention forward on tensor cores, bfloat16 with float32 sums: FlashAttention-2 (Dao, 2023,
// arXiv 2307.08691, algorithm 1).
//
// Idea: a block owns QUERIES queries of one head and walks over the keys in tiles of KEYS, with the online softmax of
// docs/attention.md, section 9. Scores and shares never leave the registers: the accumulators of q kᵀ, rounded to bf16,
// are in the very lanes that the next product, p v, wants its left operand in. A warp owns whole rows, so that the row
// maximum and sum need no other warp; with 32 rows each piece of k and v read from shared memory serves two products.
// While a tile is worked on, the next one is copied into the other of two stages.
//
// Memory: nothing but out and one number a query (lse). Shared: (QUERIES + 4 KEYS) rows.
// Loses: for few queries (a block's rows are idle when Tq < QUERIES), for few blocks (B NH Tq / QUERIES below the
// number of multiprocessors: a long cache and one query wants the keys split as well), and on Hopper to wgmma, which
// feeds the tensor cores from shared memory without ldmatrix.
//
// Macros of the build: HEAD_SIZE, QUERIES, KEYS, WARPS, BLOCKS (resident per multiprocessor, bounds the registers).
#include "attention_mma.cuh"

constexpr int THREADS = 32 * WARPS;
constexpr int ROWS = QUERIES / WARPS;  // of a warp
constexpr int M_TILES = ROWS / 16;
constexpr int N_TILES = KEYS / 8;
constexpr float SLACK = 8.0f;
constexpr u32 QUERY_BYTES = QUERIES * CHANNELS * 2;
constexpr u32 KEY_BYTES = KEYS * CHANNELS * 2;

// What a lane knows of its rows, row 16 m + g + 8 half of the warp: the running maximum and sum of the online softmax.
struct Rows {
    float maximum[M_TILES][2];  // of the raw scores, not yet scaled
    float total[M_TILES][2];    // of this lane's columns only; the four lanes of a row add up at the end
};

// m as a power of two. A row that has seen nothing has m = -inf, and -inf - -inf is no number; against 0 its
// exponentials are 0, as they must be.
__device__ __forceinline__ float base_of(float maximum, float scale_log2) {
    return maximum == -INFINITY ? 0.0f : maximum * scale_log2;
}

// m' = max(m, max_j s_j) and the correction e^(m - m') for l and a: only when a score of the warp's rows is more than
// 2^SLACK above its row's m. The maximum is there against overflow, and any m that is not far too small does that: l
// and a are relative to the same m, so o and lse are the same. After the first tiles hardly a warp corrects anything.
__device__ __forceinline__ void raise_maximum(const Accumulator<M_TILES, N_TILES> &scores, Rows &rows,
                                              Accumulator<M_TILES, CHANNELS / 8> &a, float scale_log2) {
    float largest[M_TILES][2];
    bool risen = false;
#pragma unroll
    for (int m = 0; m < M_TILES; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float &most = largest[m][half] = -INFINITY;
#pragma unroll
            for (int n = 0; n < N_TILES; ++n)
                most = fmaxf(most, fmaxf(scores.at[m][n][2 * half], scores.at[m][n][2 * half + 1]));
            most = row_max(most);
            risen |= (most - rows.maximum[m][half]) * scale_log2 > SLACK;  // never for -inf - -inf
        }
    if (!__any_sync(WHOLE_WARP, risen)) return;
#pragma unroll
    for (int m = 0; m < M_TILES; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const float before = rows.maximum[m][half];
            rows.maximum[m][half] = fmaxf(before, largest[m][half]);
            const float correction = exp2_fast(before * scale_log2 - base_of(rows.maximum[m][half], scale_log2));
            rows.total[m][half] *= correction;
#pragma unroll
            for (int n = 0; n < CHANNELS / 8; ++n) {
                a.at[m][n][2 * half] *= correction;
                a.at[m][n][2 * half + 1] *= correction;
            }
        }
}

// e_j = e^(s_j - m);   l' = l + sum_j e_j. In place: scores become exponentials.
// These are powers of two: the scale and log2(e) are one factor, applied together with the subtraction.
__device__ __forceinline__ void exponentials(Accumulator<M_TILES, N_TILES> &scores, Rows &rows, float scale_log2) {
#pragma unroll
    for (int m = 0; m < M_TILES; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const float base = base_of(rows.maximum[m][half], scale_log2);
#pragma unroll
            for (int n = 0; n < N_TILES; ++n)
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; ++i) {
                    scores.at[m][n][i] = exp2_fast(fmaf(scores.at[m][n][i], scale_log2, -base));
                    rows.total[m][half] += scores.at[m][n][i];
                }
        }
}

// o = a / l and lse = m + log l; a query that saw nothing gets 0 and -inf.
__device__ __forceinline__ void finish(Rows &rows, float scale, float* lse, int first_row, int queries,
                                       float (&inverse)[M_TILES][2]) {
#pragma unroll
    for (int m = 0; m < M_TILES; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const float total = row_sum(rows.total[m][half]);
            const int row = first_row + 16 * m + 8 * half + threadIdx.x % 32 / 4;
            inverse[m][half] = total == 0.0f ? 0.0f : 1.0f / total;
            if (threadIdx.x % 4 == 0 && row < queries)
                lse[row] = total == 0.0f ? -INFINITY : rows.maximum[m][half] * scale + logf(total);
        }
}

// q, out (B, Tq, NH, HS); k, v (B, Tk, NHkv, HS): strides in elements of batch, position, head. lse (B, NH, Tq).
// key_mask (B, Tk) or null. Grid: ceil(Tq / QUERIES) * B * NH.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    attention_mma_forward(const bf16* q, long long q_batch, int q_position, long long q_head, const bf16* k,
                          long long k_batch, int k_position, long long k_head, const bf16* v, long long v_batch,
                          int v_position, long long v_head, bf16* out, long long out_batch, int out_position,
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

    // The first `open_tiles` need no mask: the block's first query sees all of their keys, and so do the others.
    const KeyWalk walk = walk_over_keys<QUERIES, KEYS>(first_query, queries, keys, causal);
    const int open_tiles = key_mask != nullptr ? 0 : walk.seen_by_first / KEYS;

    const int warp_row = threadIdx.x / 32 * ROWS;
    const int limit =
        causal ? first_query + warp_row + static_cast<int>(threadIdx.x) % 32 / 4 + walk.offset + 1 : NO_LIMIT;
    const Visible visible = visible_to<ROWS>(first_query, warp_row, limit, queries, keys, causal, key_mask, sample);

    auto load_keys = [&](int tile) {
        const u32 stage = stages + tile % 2 * 2 * KEY_BYTES;
        const long long first = static_cast<long long>(tile) * KEYS;
        load_rows<KEYS, THREADS>(stage, k + first * k_position, k_position, keys - tile * KEYS);
        load_rows<KEYS, THREADS>(stage + KEY_BYTES, v + first * v_position, v_position, keys - tile * KEYS);
    };

    Accumulator<M_TILES, CHANNELS / 8> a;
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
        raise_maximum(scores, rows, a, scale * LOG2_E);
        exponentials(scores, rows, scale * LOG2_E);
        Operand<M_TILES, N_TILES / 2> shares;
        shares.round(scores);
        gemm_nn(a, shares, v_tile, 0);
    }

    copies_wait<0>();
    __syncthreads();  // with no tile at all the queries may still be on their way into the tile that is written now
    float inverse[M_TILES][2];
    finish(rows, scale, lse + static_cast<long long>(work.head) * queries, first_query + warp_row, queries, inverse);
    round_to_tile(a, inverse, q_tile, warp_row);  // each warp into its own rows
    __syncwarp();
    const int rows_left = queries - first_query - warp_row;
    out = ROW(out, sample, first_query + warp_row, head);
    if (rows_left > 0)
        store_rows<ROWS, 32>(q_tile + warp_row * Tile<CHANNELS>::ROW_BYTES, out, out_position, rows_left,
                             threadIdx.x % 32);
}
