// Attention backward on tensor cores for float32: the gradients of the queries, in a fixed order.
//
// Idea: as attention_mma_backward_queries.cu, the forward's walk again. A block owns QUERIES queries of one head and
// walks over the keys they see; a warp owns whole rows. Shares come back from the saved log-sum-exp, their gradients
// from a product, and ds is in the lanes that the product ds k wants its left operand in. Nothing is shared between
// blocks or warps but the tiles of k and v.
//
// Memory: nothing but dq. Shared: (2 QUERIES + 4 KEYS) rows.
// Loses: it computes s and dp a second time (attention_tf32_backward_keys.cu has computed them): 3 products, of which 2
// are repeated.
//
// Macros of the build: HEAD_SIZE, PRODUCTS, QUERIES, KEYS (of a step), CHUNK (keys whose shares are in registers at
// once), WARPS, BLOCKS.
#include "attention_tf32.cuh"

constexpr int THREADS = 32 * WARPS;
constexpr int ROWS = QUERIES / WARPS;  // of a warp
constexpr int M_TILES = ROWS / 16;
constexpr int N_TILES = CHUNK / 8;
constexpr u32 QUERY_BYTES = QUERIES * ROW_BYTES;
constexpr u32 KEY_BYTES = KEYS * ROW_BYTES;

// p_ij = e^(s_ij - L_i);   ds_ij = p_ij (dp_ij - delta_i). In place: dshares become dscores.
__device__ __forceinline__ void softmax_backward(const Accumulator<M_TILES, N_TILES> &scores,
                                                 Accumulator<M_TILES, N_TILES> &dshares,
                                                 const float2 (&lse_delta)[M_TILES][2], float scale) {
#pragma unroll
    for (int m = 0; m < M_TILES; ++m)
#pragma unroll
        for (int n = 0; n < N_TILES; ++n)
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const float2 row = lse_delta[m][i / 2];
                dshares.at[m][n][i] =
                    exponential(scores.at[m][n][i], scale, row.x) * (dshares.at[m][n][i] - row.y);
            }
}

// q, dout, dq (B, Tq, NH, HS); k, v (B, Tk, NHkv, HS): strides in elements of batch, position, head.
// lse_delta (B, NH, padded, 2) from attention_tf32_backward_delta, padded a multiple of QUERIES. key_mask (B, Tk) or
// null.
// Grid: ceil(Tq / QUERIES) * B * NH.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    attention_tf32_backward_queries(const float* q, long long q_batch, int q_position, long long q_head, const float* k,
                                    long long k_batch, int k_position, long long k_head, const float* v,
                                    long long v_batch, int v_position, long long v_head, const float* dout,
                                    long long dout_batch, int dout_position, long long dout_head,
                                    const float2* lse_delta, float* dq, long long dq_batch, int dq_position,
                                    long long dq_head, const bool* key_mask, int batch, int queries, int padded,
                                    int keys, int heads, int kv_heads, int causal, float scale, int together) {
    extern __shared__ __align__(128) unsigned char shared[];
    const u32 q_tile = shared_address(shared), do_tile = q_tile + QUERY_BYTES, stages = do_tile + QUERY_BYTES;

    const int query_tiles = ceil_div(queries, QUERIES);
    const Work work = work_of_block(blockIdx.x, query_tiles, batch * heads, together);
    const int sample = work.head / heads, head = work.head % heads, kv_head = head / (heads / kv_heads);
    const int first_query = (query_tiles - 1 - work.rank) * QUERIES;  // causal: the last queries see most keys
    q = ROW(q, sample, first_query, head);
    dout = ROW(dout, sample, first_query, head);
    dq = ROW(dq, sample, first_query, head);
    k = ROW(k, sample, 0, kv_head);
    v = ROW(v, sample, 0, kv_head);

    const KeyWalk walk = walk_over_keys<QUERIES, KEYS>(first_query, queries, keys, causal);
    const int open_keys = key_mask != nullptr ? 0 : walk.seen_by_first;  // the keys before it need no mask

    const int warp_row = threadIdx.x / 32 * ROWS, own_row = warp_row + static_cast<int>(threadIdx.x) % 32 / 4;
    const int limit = causal ? first_query + own_row + walk.offset + 1 : NO_LIMIT;
    const Visible visible = visible_to<ROWS>(first_query, warp_row, limit, queries, keys, causal, key_mask, sample);

    float2 own_lse_delta[M_TILES][2];
#pragma unroll
    for (int m = 0; m < M_TILES; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half)
            own_lse_delta[m][half] =
                lse_delta[static_cast<long long>(work.head) * padded + first_query + own_row + 16 * m + 8 * half];

    auto load_keys = [&](int tile) {
        const u32 stage = stages + tile % 2 * 2 * KEY_BYTES;
        const long long first = static_cast<long long>(tile) * KEYS;
        load_rows<KEYS, THREADS>(stage, k + first * k_position, k_position, keys - tile * KEYS);
        load_rows<KEYS, THREADS>(stage + KEY_BYTES, v + first * v_position, v_position, keys - tile * KEYS);
    };

    Accumulator<M_TILES, C_TILES> dq_sum;
    dq_sum.clear();
    load_rows<QUERIES, THREADS>(q_tile, q, q_position, queries - first_query);
    load_rows<QUERIES, THREADS>(do_tile, dout, dout_position, queries - first_query);
    if (walk.tiles > 0) load_keys(0);
    copies_commit();

    for (int tile = 0; tile < walk.tiles; ++tile) {
        copies_wait<0>();
        __syncthreads();  // this tile is here for all, and all are done with the one before: its stage is free
        if (tile + 1 < walk.tiles) load_keys(tile + 1);
        copies_commit();

        const u32 k_tile = stages + tile % 2 * 2 * KEY_BYTES, v_tile = k_tile + KEY_BYTES;
#pragma unroll 1
        for (int chunk = 0; chunk < KEYS; chunk += CHUNK) {
            const int first_key = tile * KEYS + chunk;
            if (first_key >= visible.seen_by_warp) break;  // hidden from all rows of this warp
            // s_ij = q_i . k_j and dp_ij = do_i . v_j
            Accumulator<M_TILES, N_TILES> scores, dshares;
            scores.clear();
            dshares.clear();
            gemm_nt(scores, q_tile, warp_row, k_tile, chunk);
            gemm_nt(dshares, do_tile, warp_row, v_tile, chunk);
            if (first_key + CHUNK > open_keys) hide(scores, first_key, visible);
            softmax_backward(scores, dshares, own_lse_delta, scale);
            gemm_nn(dq_sum, dshares, k_tile, chunk);  // dq_i += sum_j ds_ij k_j
        }
    }
    copies_wait<0>();

    float factor[M_TILES][2];
#pragma unroll
    for (int m = 0; m < M_TILES; ++m) factor[m][0] = factor[m][1] = scale;  // of s = scale q . k
    store_rows(dq_sum, factor, dq + static_cast<long long>(warp_row) * dq_position, dq_position,
               queries - first_query - warp_row);
}
