// What the variants on tensor cores share, whatever numbers they multiply: where a warp's results lie in its lanes,
// which tiles a block walks over, and which pairs are hidden. The matrix products are in attention_mma.cuh (bfloat16)
// and in attention_tf32.cuh (float32). Formulas: docs/attention.md, sections 9 and 10.
//
// What is here compiles to the same instructions as if it stood in each kernel. That is not a matter of course: the
// kernels use nearly all registers, and a sum in another order, or a line earlier, gives other code. So the kernels
// compute `limit` themselves, and `attention_mma_backward_queries` fills its `Visible` itself.

#pragma once

#include "attention.cuh"
#include "attention_mma_ptx.cuh"

constexpr int ALWAYS = -NEVER;     // as the first query that sees a key: all do
constexpr int NO_LIMIT = 1 << 30;  // of the keys that a query sees

__host__ __device__ constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }

// The accumulators of one warp: M_TILES x N_TILES results of an mma, 16 x 8 each. A lane has at[m][n][2 half + e]:
// row 16 m + lane_row(half), column lane_column(n, e).
template <int M_TILES, int N_TILES>
struct Accumulator {
    float at[M_TILES][N_TILES][4];

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int m = 0; m < M_TILES; ++m)
#pragma unroll
            for (int n = 0; n < N_TILES; ++n)
#pragma unroll
                for (int i = 0; i < 4; ++i) at[m][n][i] = 0.0f;
    }
};

// In comments g is lane / 4, so that lane_row(half) is g + 8 half.
__device__ __forceinline__ int lane_row(int half) { return threadIdx.x % 32 / 4 + 8 * half; }
__device__ __forceinline__ int lane_column(int n, int e) { return 8 * n + threadIdx.x % 4 * 2 + e; }

// Over the four lanes that share a row, in all of them.
__device__ __forceinline__ float row_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(WHOLE_WARP, x, 1));
    return fmaxf(x, __shfl_xor_sync(WHOLE_WARP, x, 2));
}

__device__ __forceinline__ float row_sum(float x) {
    x += __shfl_xor_sync(WHOLE_WARP, x, 1);
    return x + __shfl_xor_sync(WHOLE_WARP, x, 2);
}

// The tile of work of a block. Tiles of the same rank in different heads have equal work, and `rank` 0 has most. Blocks
// start in the order of their number: the heaviest first, so that the light ones fill the gaps at the end; but
// `together` heads at a time, as many as keep their keys and values in the L2 cache.
struct Work {
    int rank, head;
};

__device__ __forceinline__ Work work_of_block(int block, int tiles, int heads, int together) {
    const int group = block / (tiles * together), inside = block - group * tiles * together;
    const int width = min(together, heads - group * together);
    return {inside / width, group * together + inside % width};
}

// ---- Queries down, keys across: the forward, and the backward of the queries ----

// The walk of a block of queries over tiles of keys. Between the keys that its first and its last query see, tiles need
// a mask; behind those that the last one sees they are skipped.
struct KeyWalk {
    int offset;         // causal: query i sees the keys up to i + offset
    int seen_by_first;  // how many keys the block's first query sees, if no mask hides some
    int tiles;          // to visit
};

template <int BLOCK_QUERIES, int TILE_KEYS>
__device__ __forceinline__ KeyWalk walk_over_keys(int first_query, int queries, int keys, int causal) {
    const int offset = keys - queries;
    const int seen_by_first = causal ? min(keys, first_query + offset + 1) : keys;
    const int seen_by_last = causal ? min(keys, min(first_query + BLOCK_QUERIES, queries) + offset) : keys;
    return {offset, seen_by_first, ceil_div(seen_by_last, TILE_KEYS)};
}

// Which keys a lane's queries see: those below `keys`, below `limit` + 16 m + 8 half, and of them those that the mask
// shows.
struct Visible {
    int keys, limit;
    const bool* key_mask;  // of this sample, or null
    int seen_by_warp;      // keys: from this one on they are hidden from all rows of the warp
};

// first_query: of the block. warp_row: the warp's first of the block's rows; it has WARP_ROWS.
template <int WARP_ROWS>
__device__ __forceinline__ Visible visible_to(int first_query, int warp_row, int limit, int queries, int keys,
                                              int causal, const bool* key_mask, int sample) {
    const int offset = keys - queries;
    const bool* mask = key_mask == nullptr ? nullptr : key_mask + static_cast<long long>(sample) * keys;
    const int seen_by_warp = causal ? min(keys, first_query + warp_row + WARP_ROWS + offset) : keys;
    return {keys, limit, mask, seen_by_warp};
}

// s_ij = -inf for hidden pairs, before the maximum is taken or p_ij made.
template <int M_TILES, int N_TILES>
__device__ __forceinline__ void hide(Accumulator<M_TILES, N_TILES>& scores, int first_key, const Visible& visible) {
#pragma unroll
    for (int n = 0; n < N_TILES; ++n)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            const int key = first_key + 8 * n + threadIdx.x % 4 * 2 + i;
            bool shown = key < visible.keys;
            if (visible.key_mask != nullptr) shown = shown && visible.key_mask[key];
#pragma unroll
            for (int m = 0; m < M_TILES; ++m)
#pragma unroll
                for (int half = 0; half < 2; ++half)
                    if (!shown || key >= visible.limit + 16 * m + 8 * half) scores.at[m][n][2 * half + i] = -INFINITY;
        }
}

// ---- Keys down, queries across: the backward of the keys ----

// The walk of a block of keys: for each query head of its group, the tiles of queries from the one on that sees the
// block's first key.
struct QueryWalk {
    int first_tile, steps_a_head, steps;

    __device__ __forceinline__ int member(int step) const { return step / steps_a_head; }  // of the group
    __device__ __forceinline__ int tile(int step) const { return first_tile + step % steps_a_head; }
};

template <int TILE_QUERIES>
__device__ __forceinline__ QueryWalk walk_over_queries(int first_key, int offset, int query_tiles, int group,
                                                       int causal) {
    const int first_tile = causal ? max(0, first_key - offset) / TILE_QUERIES : 0;
    const int steps_a_head = query_tiles - first_tile;
    return {first_tile, steps_a_head, group * steps_a_head};
}

// visible_from[m][half]: the first query that sees each of a lane's keys, rows 16 m + g + 8 half; ALWAYS or NEVER if
// all or no queries see it. first_key: of the block. warp_key: the warp's first of the block's keys.
template <int M_TILES>
__device__ __forceinline__ void find_visible_from(int (&visible_from)[M_TILES][2], int first_key, int warp_key,
                                                  int offset, int keys, int causal, const bool* key_mask,
                                                  int sample) {
#pragma unroll
    for (int m = 0; m < M_TILES; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int key = first_key + warp_key + 16 * m + 8 * half + static_cast<int>(threadIdx.x) % 32 / 4;
            const bool shown =
                key < keys && (key_mask == nullptr || key_mask[static_cast<long long>(sample) * keys + key]);
            visible_from[m][half] = !shown ? NEVER : causal ? key - offset : ALWAYS;
        }
}

// s_ji = -inf where the query is before the first one that sees the key.
template <int M_TILES, int N_TILES>
__device__ __forceinline__ void hide_keys(Accumulator<M_TILES, N_TILES>& scores, const int (&visible_from)[M_TILES][2],
                                          int first_query) {
#pragma unroll
    for (int n = 0; n < N_TILES; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const int query = first_query + 8 * n + threadIdx.x % 4 * 2 + i % 2;
#pragma unroll
            for (int m = 0; m < M_TILES; ++m)
                if (query < visible_from[m][i / 2]) scores.at[m][n][i] = -INFINITY;
        }
}

// L and delta (section 10; L times log2(e) where attention_mma_backward_delta wrote it) of the two neighbouring queries
// that a lane has in column tile n. lse_delta: where those of a chunk begin in shared memory.
struct LseDelta {
    float lse[2], delta[2];

    __device__ __forceinline__ LseDelta(u32 lse_delta, int n) {
        const uint4 pair = load_shared(lse_delta + (8 * n + threadIdx.x % 4 * 2) * 8);
        lse[0] = __uint_as_float(pair.x), lse[1] = __uint_as_float(pair.z);
        delta[0] = __uint_as_float(pair.y), delta[1] = __uint_as_float(pair.w);
    }
};
