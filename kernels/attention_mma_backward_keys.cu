// Attention backward on tensor cores: the gradients of keys and values, and on request those of the queries in the same
// pass.
//
// Idea: a block owns KEYS keys of one head, KEY_ROWS a warp, and walks over the queries that see them. It works on
// transposed tables, keys down and queries across: the accumulators of (q kᵀ)ᵀ, made into shares and rounded, are then
// in the lanes where dv = pᵀ do wants its left operand, and likewise dsᵀ for dk = dsᵀ q. Neither p nor ds goes through
// memory, and dk and dv stay in the registers of the warp that owns their rows from the first query to the last.
//
// PAIRS: for wide heads the sums dk and dv of 32 keys are more than a warp has registers, and with 16 keys a warp reads
// nearly as much from shared memory as it computes. So two warps share 32 keys: the first has s, p and dv, and hands
// its p, rounded as dv takes it, to the second, which has dp, ds and dk. No product is done twice, and all have 32
// rows.
//
// dq_i = sum_j ds_ij k_j runs over keys, that is over blocks. DQ says what is done about it:
//   0  nothing: another kernel (attention_mma_backward_queries.cu) walks the other way. 7 products in place of 5, but
//      no block waits for another, and sums have a fixed order: the same bits every time.
//   1  float32 atomic additions into `dq_sum`, whose order is not fixed: the bits of dq differ from run to run. The
//      block's ds is gathered in shared memory, `dq_sum` is written in the order of the lanes' registers (16 bytes a
//      lane, 512 a warp, nothing transposed), and attention_mma_backward_round turns it into dq.
//
// Memory: shared (2 KEYS + 4 QUERIES) rows, and KEYS x QUERIES for p (PAIRS) and for ds (DQ); dq_sum 4 bytes for each
// element of q.
// Loses: when the keys give fewer blocks than the GPU has multiprocessors (grouped heads with few keys).
//
// Macros of the build: HEAD_SIZE, KEY_ROWS (of a warp: 16 or 32), QUERIES (of a step), CHUNK (queries whose shares are
// in registers at once), WARPS, BLOCKS (resident per multiprocessor), PAIRS (0 or 1), DQ (0 or 1).
#include "attention_mma.cuh"

constexpr int THREADS = 32 * WARPS;
constexpr int GROUPS = PAIRS ? WARPS / 2 : WARPS;  // of keys: a warp's or a pair's
constexpr int KEYS = GROUPS * KEY_ROWS;
constexpr int M_TILES = KEY_ROWS / 16;
constexpr int N_TILES = CHUNK / 8;
constexpr int C_TILES = CHANNELS / 8;
constexpr int CHUNKS_A_STEP = QUERIES / CHUNK;
constexpr u32 KEY_BYTES = KEYS * CHANNELS * 2;
constexpr u32 QUERY_BYTES = QUERIES * CHANNELS * 2;
constexpr u32 LSE_DELTA_BYTES = QUERIES * 8;
constexpr u32 STAGE_BYTES = 2 * QUERY_BYTES + LSE_DELTA_BYTES;
constexpr u32 TABLE_BYTES = KEYS * QUERIES * 2;
static_assert(!PAIRS || GROUPS * CHUNKS_A_STEP < 16, "each pair has a barrier for each chunk, and a block has 16");

// For dq the warps share the QUERIES x CHANNELS results anew: DQ_M x DQ_N pieces of 16 x 8 each.
constexpr int WARPS_DOWN = CHANNELS % (8 * WARPS) == 0 ? 2 : 4;
constexpr int WARPS_ACROSS = WARPS / WARPS_DOWN;
constexpr int DQ_M = QUERIES / WARPS_DOWN / 16;
constexpr int DQ_N = CHANNELS / WARPS_ACROSS / 8;
static_assert(DQ_M > 0 && DQ_N % 2 == 0, "too many warps for so few queries or channels");

typedef Operand<M_TILES, N_TILES / 2> Shares;  // of a warp's keys in a chunk of queries, as a left operand

// p_ij = e^(s_ij - L_i), in place.
__device__ __forceinline__ void make_shares(Accumulator<M_TILES, N_TILES> &scores, u32 lse_delta, float scale_log2) {
#pragma unroll
    for (int n = 0; n < N_TILES; ++n) {
        const LseDelta row(lse_delta, n);
#pragma unroll
        for (int m = 0; m < M_TILES; ++m)
#pragma unroll
            for (int i = 0; i < 4; ++i)
                scores.at[m][n][i] = exp2_fast(fmaf(scores.at[m][n][i], scale_log2, -row.lse[i % 2]));
    }
}

// ds_ij = p_ij (dp_ij - delta_i), in place of dp.
__device__ __forceinline__ void make_dscores(const Accumulator<M_TILES, N_TILES> &shares,
                                             Accumulator<M_TILES, N_TILES> &dshares, u32 lse_delta) {
#pragma unroll
    for (int n = 0; n < N_TILES; ++n) {
        const LseDelta row(lse_delta, n);
#pragma unroll
        for (int m = 0; m < M_TILES; ++m)
#pragma unroll
            for (int i = 0; i < 4; ++i)
                dshares.at[m][n][i] = shares.at[m][n][i] * (dshares.at[m][n][i] - row.delta[i % 2]);
    }
}

// The same from rounded shares, in their place.
__device__ __forceinline__ void make_dscores(Shares &shares, const Accumulator<M_TILES, N_TILES> &dshares,
                                             u32 lse_delta) {
#pragma unroll
    for (int n = 0; n < N_TILES; ++n) {
        const LseDelta row(lse_delta, n);
#pragma unroll
        for (int m = 0; m < M_TILES; ++m)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                u32 &pair = shares.at[m][n / 2][n % 2 * 2 + half];
                const float low = __uint_as_float(pair << 16), high = __uint_as_float(pair & 0xffff0000u);
                pair = pack(low * (dshares.at[m][n][2 * half] - row.delta[0]),
                            high * (dshares.at[m][n][2 * half + 1] - row.delta[1]));
            }
    }
}

// A warp's shares on their way to the other of its pair, in the order of the lanes' registers.
__device__ __forceinline__ u32 place_of_shares(u32 place, int m, int k) {
    return place + ((m * (N_TILES / 2) + k) * 32 + threadIdx.x % 32) * 16;
}

__device__ __forceinline__ void give_shares(const Shares &shares, u32 place, int barrier) {
#pragma unroll
    for (int m = 0; m < M_TILES; ++m)
#pragma unroll
        for (int k = 0; k < N_TILES / 2; ++k) store_shared(place_of_shares(place, m, k), shares.at[m][k]);
    barrier_arrive(barrier);
}

__device__ __forceinline__ void take_shares(Shares &shares, u32 place, int barrier) {
    barrier_wait(barrier);
#pragma unroll
    for (int m = 0; m < M_TILES; ++m)
#pragma unroll
        for (int k = 0; k < N_TILES / 2; ++k) {
            const uint4 four = load_shared(place_of_shares(place, m, k));
            u32 (&share)[4] = shares.at[m][k];
            share[0] = four.x, share[1] = four.y, share[2] = four.z, share[3] = four.w;
        }
}

// dsᵀ of a warp's keys and CHUNK queries into the table of the block, (KEYS, QUERIES).
__device__ __forceinline__ void store_dscores(const Shares &dscores, u32 table, int key, int query) {
#pragma unroll
    for (int m = 0; m < M_TILES; ++m)
#pragma unroll
        for (int n = 0; n < N_TILES; ++n)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const u32 row = key + 16 * m + 8 * half + threadIdx.x % 32 / 4;
                store_shared(Tile<QUERIES>::address(table, row, query / 8 + n) + threadIdx.x % 4 * 4,
                             dscores.at[m][n / 2][n % 2 * 2 + half]);
            }
}

// dq_i = sum_j ds_ij k_j over the block's keys, a warp's share of the results.
__device__ __forceinline__ void gemm_dq(Accumulator<DQ_M, DQ_N> &dq, u32 table, u32 k_tile) {
    const Lanes<QUERIES> across = Lanes<QUERIES>::across();
    const Lanes<CHANNELS> down = Lanes<CHANNELS>::down();
    const int warp = threadIdx.x / 32;
    const int query = warp / WARPS_ACROSS * DQ_M * 16;
    const u32 channel = warp % WARPS_ACROSS * DQ_N * 8;
#pragma unroll
    for (int key = 0; key < KEYS; key += 16) {
        u32 left[DQ_M][4];
#pragma unroll
        for (int m = 0; m < DQ_M; ++m) ldmatrix_transposed(left[m], across.at(table, key, query + 16 * m));
#pragma unroll
        for (int n = 0; n < DQ_N; n += 2) {
            u32 right[4];
            ldmatrix_transposed(right, down.at(k_tile, key, channel + 8 * n));
#pragma unroll
            for (int m = 0; m < DQ_M; ++m) {
                mma(dq.at[m][n], left[m], right[0], right[1]);
                mma(dq.at[m][n + 1], left[m], right[2], right[3]);
            }
        }
    }
}

// Where a lane's piece (m, n) of a tile of queries lies in dq_sum, 4 floats.
__device__ __forceinline__ long long place_in_sum(long long tile, int m, int n) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    return (((tile * WARPS + warp) * DQ_M + m) * DQ_N + n) * 128 + lane * 4;
}

// A warp's rows of dk or dv, times a factor, to the array, through its own rows of a tile.
__device__ __forceinline__ void write_gradient(const Accumulator<M_TILES, C_TILES> &sum, float factor, u32 tile,
                                               int row, bf16* target, int stride, int rows_left) {
    float factors[M_TILES][2];
#pragma unroll
    for (int m = 0; m < M_TILES; ++m) factors[m][0] = factors[m][1] = factor;
    round_to_tile(sum, factors, tile, row);
    __syncwarp();
    if (rows_left > 0)
        store_rows<KEY_ROWS, 32>(tile + row * Tile<CHANNELS>::ROW_BYTES, target + static_cast<long long>(row) * stride,
                                 stride, rows_left, threadIdx.x % 32);
}

// q, dout (B, Tq, NH, HS); k, v, dk, dv (B, Tk, NHkv, HS): strides in elements of batch, position, head.
// lse_delta (B, NH, padded, 2) from attention_mma_backward_delta, padded a multiple of QUERIES. key_mask (B, Tk) or
// null.
// dq_sum (B, NH, query_tiles, QUERIES CHANNELS), zeros before.
// Grid: ceil(Tk / KEYS) * B * NHkv.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS)
    attention_mma_backward_keys(const bf16* q, long long q_batch, int q_position, int q_head, const bf16* k,
                                long long k_batch, int k_position, int k_head, const bf16* v, long long v_batch,
                                int v_position, int v_head, const bf16* dout, long long dout_batch, int dout_position,
                                int dout_head, const float2* lse_delta, bf16* dk, long long dk_batch, int dk_position,
                                int dk_head, bf16* dv, long long dv_batch, int dv_position, int dv_head, float* dq_sum,
                                const bool* key_mask, int batch, int queries, int padded, int keys,
                                int heads, int kv_heads, int causal, float scale, int together) {
    extern __shared__ __align__(128) unsigned char shared[];
    const u32 k_tile = shared_address(shared), v_tile = k_tile + KEY_BYTES, stages = v_tile + KEY_BYTES;
    const u32 shares = stages + 2 * STAGE_BYTES, table = shares + PAIRS * TABLE_BYTES;  // pᵀ on its way, dsᵀ

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

    const int group_of_keys = threadIdx.x / 32 % GROUPS, warp_key = group_of_keys * KEY_ROWS;
    const bool second = PAIRS && threadIdx.x / 32 >= GROUPS;  // of a pair
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
    Accumulator<M_TILES, C_TILES> dv_sum, dk_sum;  // PAIRS: only dv_sum, which is that of dk in the second warp
    dv_sum.clear();
    dk_sum.clear();
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
        const int first_query = walk.tile(step) * QUERIES;
#pragma unroll 1
        for (int chunk = 0; chunk < QUERIES; chunk += CHUNK) {
            Shares operand;
            const u32 lse_delta_of_chunk = do_tile + QUERY_BYTES + chunk * 8;
            if (first_query + chunk + CHUNK <= warp_visible_from) {  // no query of the chunk sees a key of the warp
                operand.clear();
            } else {
                // s_ji = q_i . k_j and dp_ji = do_i . v_j; PAIRS: the first warp makes s, the second dp, as its `scores`
                Accumulator<M_TILES, N_TILES> scores, dshares;
                scores.clear();
                gemm_nt(scores, second ? v_tile : k_tile, warp_key, second ? do_tile : q_tile, chunk);
                if (!PAIRS) {
                    dshares.clear();
                    gemm_nt(dshares, v_tile, warp_key, do_tile, chunk);
                }
                const int barrier = 1 + group_of_keys * CHUNKS_A_STEP + chunk / CHUNK;
                const u32 place = shares + (barrier - 1) * (KEY_ROWS * CHUNK * 2);
                if (!second) {
                    if (some_hidden || first_query + chunk < warp_visible_from + KEY_ROWS - 1)
                        hide_keys(scores, visible_from, first_query + chunk);
                    make_shares(scores, lse_delta_of_chunk, scale * LOG2_E);
                    operand.round(scores);
                    if (PAIRS) give_shares(operand, place, barrier);
                } else {
                    take_shares(operand, place, barrier);
                    make_dscores(operand, scores, lse_delta_of_chunk);
                }
                // dv_j += sum_i p_ij do_i and dk_j += sum_i ds_ij q_i; PAIRS: the first warp dv, the second dk
                gemm_nn(dv_sum, operand, second ? q_tile : do_tile, chunk);
                if (!PAIRS) {
                    make_dscores(scores, dshares, lse_delta_of_chunk);
                    operand.round(dshares);
                    gemm_nn(dk_sum, operand, q_tile, chunk);
                }
            }
            if (DQ && second == PAIRS) store_dscores(operand, table, warp_key, chunk);
        }

        if (DQ) {
            __syncthreads();  // all of the table is there
            Accumulator<DQ_M, DQ_N> dq;
            dq.clear();
            gemm_dq(dq, table, k_tile);
            const int head = kv_head * group + walk.member(step), tile = walk.tile(step);
            const long long sum_tile = (static_cast<long long>(sample) * heads + head) * query_tiles + tile;
#pragma unroll
            for (int m = 0; m < DQ_M; ++m)
#pragma unroll
                for (int n = 0; n < DQ_N; ++n) add_to_global(dq_sum + place_in_sum(sum_tile, m, n), dq.at[m][n]);
        }
    }

    copies_wait<0>();
    __syncthreads();  // all are done with the tiles, which now take the results
    const int rows_left = keys - first_key - warp_key;
    if (!second) write_gradient(dv_sum, 1.0f, v_tile, warp_key, dv, dv_position, rows_left);
    if (second || !PAIRS)  // with the scale of s = scale q . k
        write_gradient(PAIRS ? dv_sum : dk_sum, scale, k_tile, warp_key, dk, dk_position, rows_left);
}

// dq = scale dq_sum, rounded and brought from the order of registers into that of the array. Grid: query_tiles, heads,
// batch.
extern "C" __global__ void __launch_bounds__(THREADS)
    attention_mma_backward_round(const float* dq_sum, bf16* dq, long long dq_batch, int dq_position, int dq_head,
                                 int queries, float scale) {
    __shared__ __align__(128) unsigned char shared_rows[QUERY_BYTES];
    const u32 tile = shared_address(shared_rows);
    const int head = blockIdx.y, sample = blockIdx.z, first_query = blockIdx.x * QUERIES;
    const long long sum_tile = (static_cast<long long>(sample) * gridDim.y + head) * gridDim.x + blockIdx.x;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
    for (int m = 0; m < DQ_M; ++m)
#pragma unroll
        for (int n = 0; n < DQ_N; ++n) {
            const float4 x = *reinterpret_cast<const float4*>(dq_sum + place_in_sum(sum_tile, m, n));
            const u32 row = (warp / WARPS_ACROSS * DQ_M + m) * 16 + lane / 4, chunk = warp % WARPS_ACROSS * DQ_N + n;
            store_shared(Tile<CHANNELS>::address(tile, row, chunk) + lane % 4 * 4, pack(x.x * scale, x.y * scale));
            store_shared(Tile<CHANNELS>::address(tile, row + 8, chunk) + lane % 4 * 4, pack(x.z * scale, x.w * scale));
        }
    __syncthreads();
    dq = ROW(dq, sample, first_query, head);
    store_rows<QUERIES, THREADS>(tile, dq, dq_position, queries - first_query, threadIdx.x);
}
