// Attention backward on tensor cores for float32: the gradients of keys and values, in a fixed order.
//
// Idea: as attention_mma_backward_keys.cu. A block owns KEYS = WARPS KEY_ROWS keys of one head and walks over the
// queries that see them, on transposed tables, keys down and queries across: the accumulators of (q kᵀ)ᵀ, made into
// shares, are in the lanes where dv = pᵀ do wants its left operand, and likewise dsᵀ for dk = dsᵀ q. Neither p nor ds
// goes through memory, and dk and dv stay in the registers of the warp that owns their rows from the first query to the
// last. dq_i = sum_j ds_ij k_j runs over blocks; attention_tf32_backward_queries.cu walks the other way for it.
//
// Memory: shared (2 KEYS + 4 QUERIES) rows.
// Loses: when the keys give fewer blocks than the GPU has multiprocessors (grouped heads with few keys).
//
// Macros of the build: HEAD_SIZE, PRODUCTS, KEY_ROWS (of a warp: 16 or 32), QUERIES (of a step), CHUNK (queries whose
// shares are in registers at once), WARPS, BLOCKS (resident per multiprocessor).
#include "attention_tf32.cuh"

constexpr int THREADS = 32 * WARPS;
constexpr int KEYS = WARPS * KEY_ROWS;
constexpr int M_TILES = KEY_ROWS / 16;
constexpr int N_TILES = CHUNK / 8;
constexpr u32 KEY_BYTES = KEYS * ROW_BYTES;
constexpr u32 QUERY_BYTES = QUERIES * ROW_BYTES;
constexpr u32 STAGE_BYTES = 2 * QUERY_BYTES + QUERIES * 8;  // queries, dout, two numbers a row

// p_ij = e^(s_ij - L_i);   ds_ij = p_ij (dp_ij - delta_i). In place: scores become shares, dshares become dscores.
__device__ __forceinline__ void softmax_backward(Accumulator<M_TILES, N_TILES> &scores,
                                                 Accumulator<M_TILES, N_TILES> &dshares, u32 lse_delta, float scale) {
#pragma unroll
    for (int n = 0; n < N_TILES; ++n) {
        const LseDelta row(lse_delta, n);
#pragma unroll
        for (int m = 0; m < M_TILES; ++m)
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const float share = exponential(scores.at[m][n][i], scale, row.lse[i % 2]);
                scores.at[m][n][i] = share;
                dshares.at[m][n][i] = share * (dshares.at[m][n][i] - row.delta[i % 2]);
            }
    }
}

// q, dout (B, Tq, NH, HS); k, v, dk, dv (B, Tk, NHkv, HS): strides in elements of batch, position, head.
// lse_delta (B, NH, padded, 2) from attention_tf32_backward_delta, padded a multiple of QUERIES. key_mask (B, Tk) or
// null.
// Grid: ceil(Tk / KEYS) * B * NHkv.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    attention_tf32_backward_keys(const float* q, long long q_batch, int q_position, long long q_head, const float* k,
                                 long long k_batch, int k_position, long long k_head, const float* v, long long v_batch,
                                 int v_position, long long v_head, const float* dout, long long dout_batch,
                                 int dout_position, long long dout_head, const float2* lse_delta, float* dk,
                                 long long dk_batch, int dk_position, long long dk_head, float* dv, long long dv_batch,
                                 int dv_position, long long dv_head, const bool* key_mask, int batch, int queries,
                                 int padded, int keys, int heads, int kv_heads, int causal, float scale, int together) {
    extern __shared__ __align__(128) unsigned char shared[];
    const u32 k_tile = shared_address(shared), v_tile = k_tile + KEY_BYTES, stages = v_tile + KEY_BYTES;

    const int key_tiles = ceil_div(keys, KEYS), query_tiles = ceil_div(queries, QUERIES);
    const Work work = work_of_block(blockIdx.x, key_tiles, batch * kv_heads, together);
    const int sample = work.head / kv_heads, kv_head = work.head % kv_heads, group = heads / kv_heads;
    const int first_key = work.rank * KEYS, offset = keys - queries;  // causal: most queries see the first keys
    k = ROW(k, sample, first_key, kv_head);
    v = ROW(v, sample, first_key, kv_head);
    dk = ROW(dk, sample, first_key, kv_head);
    dv = ROW(dv, sample, first_key, kv_head);

    // The steps: for each query head of the group, the tiles of queries that see the block's first key.
    const QueryWalk walk = walk_over_queries<QUERIES>(first_key, offset, query_tiles, group, causal);

    const int warp_key = threadIdx.x / 32 * KEY_ROWS;
    int visible_from[M_TILES][2];
    find_visible_from(visible_from, first_key, warp_key, offset, keys, causal, key_mask, sample);
    const bool some_hidden = key_mask != nullptr || first_key + KEYS > keys;
    const int warp_visible_from =
        first_key + warp_key >= keys ? NEVER : causal ? first_key + warp_key - offset : ALWAYS;

    auto load_queries = [&](int step) {
        const int head = kv_head * group + walk.member(step), tile = walk.tile(step);
        const u32 stage = stages + step % 2 * STAGE_BYTES;
        const long long first = static_cast<long long>(tile) * QUERIES;
        const int left = queries - tile * QUERIES;
        load_rows<QUERIES, THREADS>(stage, ROW(q, sample, first, head), q_position, left);
        load_rows<QUERIES, THREADS>(stage + QUERY_BYTES, ROW(dout, sample, first, head), dout_position, left);
        if (threadIdx.x < QUERIES / 2) {
            const long long row = (static_cast<long long>(sample) * heads + head) * padded + first;
            copy_async(stage + 2 * QUERY_BYTES + threadIdx.x * 16, lse_delta + row + threadIdx.x * 2, true);
        }
    };

    Accumulator<M_TILES, C_TILES> dk_sum, dv_sum;
    dk_sum.clear();
    dv_sum.clear();
    load_rows<KEYS, THREADS>(k_tile, k, k_position, keys - first_key);
    load_rows<KEYS, THREADS>(v_tile, v, v_position, keys - first_key);
    load_queries(0);
    copies_commit();

    for (int step = 0; step < walk.steps; ++step) {
        copies_wait<0>();
        __syncthreads();  // this step's queries are here for all, and all are done with the step before
        if (step + 1 < walk.steps) load_queries(step + 1);
        copies_commit();

        const u32 q_tile = stages + step % 2 * STAGE_BYTES, do_tile = q_tile + QUERY_BYTES;
        const int tile_query = walk.tile(step) * QUERIES;
#pragma unroll 1
        for (int chunk = 0; chunk < QUERIES; chunk += CHUNK) {
            const int first_query = tile_query + chunk;
            if (first_query + CHUNK <= warp_visible_from) continue;  // no query of the chunk sees a key of the warp
            // s_ji = q_i . k_j and dp_ji = do_i . v_j
            Accumulator<M_TILES, N_TILES> scores, dshares;
            scores.clear();
            dshares.clear();
            gemm_nt(scores, k_tile, warp_key, q_tile, chunk);
            gemm_nt(dshares, v_tile, warp_key, do_tile, chunk);
            if (some_hidden || first_query < warp_visible_from + KEY_ROWS - 1)
                hide_keys(scores, visible_from, first_query);
            softmax_backward(scores, dshares, do_tile + QUERY_BYTES + chunk * 8, scale);
            gemm_nn(dv_sum, scores, do_tile, chunk);  // dv_j += sum_i p_ij do_i
            gemm_nn(dk_sum, dshares, q_tile, chunk);  // dk_j += sum_i ds_ij q_i
        }
    }
    copies_wait<0>();

    float factor[M_TILES][2], one[M_TILES][2];
#pragma unroll
    for (int m = 0; m < M_TILES; ++m) factor[m][0] = factor[m][1] = scale, one[m][0] = one[m][1] = 1.0f;
    const int rows_left = keys - first_key - warp_key;
    store_rows(dk_sum, factor, dk + static_cast<long long>(warp_key) * dk_position, dk_position, rows_left);
    store_rows(dv_sum, one, dv + static_cast<long long>(warp_key) * dv_position, dv_position, rows_left);
}
