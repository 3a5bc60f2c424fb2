// Attention, kernel variant gemm: batched GEMM by cuBLASLt, for heads that are too wide for tiles in shared memory and
// registers. Here is the softmax between those GEMMs, and its backward. The scores of a few heads and queries with all
// keys are in memory at a time.
//
// Idea:   a block takes one row of scores, which has all the keys that its query may see; so there is no online
//         softmax, and delta of section 10 is summed over the row itself.
// Memory: a block of scores in float32 and, in bfloat16, their rounded copies for the next GEMM. In float32 a result
//         stands where its input stood.
// Loses:  to every kernel that keeps scores in registers: here each is written and read again between two GEMMs.
//
// Formulas and step numbers: docs/attention.md.

#include "attention.cuh"

constexpr int THREADS = 256;
constexpr int SOFTMAX_BLOCKS = 7;  // side by side on a multiprocessor: for one more, sm_80 would have to spill

// Where a block stands: row `i` of the queries of query head `h` in sample `b`, and its row in the block of scores.
struct Row {
    int b, h, i;
    long long start;
};

// A block of scores (heads, rows, columns): key/value heads from `first_head` on, counted through all samples, and of
// each the query head `member` of its group; queries from `first_query` on.
__device__ __forceinline__ Row row_of_block(int rows, int columns, int first_head, int first_query, int kv_heads,
                                            int group, int member) {
    const int head = first_head + blockIdx.x / rows;
    return {head / kv_heads, head % kv_heads * group + member, first_query + static_cast<int>(blockIdx.x % rows),
            static_cast<long long>(blockIdx.x) * columns};
}

// How many keys a row sees at most: hidden ones among them are told by the mask.
__device__ __forceinline__ int visible_keys(const Row& row, int queries, int keys, int columns, int causal) {
    return max(min(causal_keys(row.i, queries, keys, causal), columns), 0);
}

// The largest of the numbers of a block's threads, in all of them. shared: 32 floats, which may be used again at once.
__device__ __forceinline__ float block_max(float x, float* shared) {
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    x = warp_max(x);
    if (lane == 0) shared[warp] = x;
    __syncthreads();
    x = warp_max(lane < THREADS / WARP ? shared[lane] : -INFINITY);
    __syncthreads();
    return x;
}

// Section 1: p_ij = exp(scale s_ij) / sum_m exp(scale s_im), and lse (B, NH, Tq). scores (heads, rows, columns) float;
// shares (heads, rows, columns), which may be the same array. A query that sees nothing has shares of 0 and -inf.
extern "C" __global__ void __launch_bounds__(THREADS, SOFTMAX_BLOCKS) gemm_softmax(
    const float* scores, element* shares, float* lse, const bool* key_mask, int rows, int columns, int first_head,
    int first_query, int queries, int keys, int kv_heads, int group, int member, int causal, float scale) {
    __shared__ float shared[WARP];
    const Row row = row_of_block(rows, columns, first_head, first_query, kv_heads, group, member);
    const int end = visible_keys(row, queries, keys, columns, causal);
    float largest = -INFINITY;
    for (int j = threadIdx.x; j < end; j += THREADS)
        if (!is_hidden(key_mask, row.b, j, keys)) largest = fmaxf(largest, scaled(scores[row.start + j], scale));
    largest = block_max(largest, shared);
    if (largest == -INFINITY) largest = 0.0f;  // exp(-inf - 0) is 0, no NaN

    float total = 0.0f;
    for (int j = threadIdx.x; j < end; j += THREADS)
        if (!is_hidden(key_mask, row.b, j, keys)) total += expf(scaled(scores[row.start + j], scale) - largest);
    total = block_sum(total, shared);
    const float inverse = total == 0.0f ? 0.0f : 1.0f / total;

    for (int j = threadIdx.x; j < columns; j += THREADS) {
        const bool hidden = j >= end || is_hidden(key_mask, row.b, j, keys);
        const float p = hidden ? 0.0f : expf(scaled(scores[row.start + j], scale) - largest) * inverse;
        shares[row.start + j] = from_float(p);
    }
    if (threadIdx.x == 0)  // log 0 is -inf
        lse[(static_cast<long long>(row.b) * kv_heads * group + row.h) * queries + row.i] = largest + logf(total);
}

// Section 10: p_ij = exp(scale s_ij - lse_i), delta_i = sum_j p_ij dp_ij; step B: ds_ij = p_ij (dp_ij - delta_i), here
// times the scale of step C. scores, dshares (heads, rows, columns) float; shares, dscores, which may be the same
// arrays.
extern "C" __global__ void __launch_bounds__(THREADS) gemm_softmax_backward(
    const float* scores, const float* dshares, element* shares, element* dscores, const float* lse,
    const bool* key_mask, int rows, int columns, int first_head, int first_query, int queries, int keys, int kv_heads,
    int group, int member, int causal, float scale) {
    __shared__ float shared[WARP];
    const Row row = row_of_block(rows, columns, first_head, first_query, kv_heads, group, member);
    const int end = visible_keys(row, queries, keys, columns, causal);
    const float of_row =
        lse_or_infinity(lse[(static_cast<long long>(row.b) * kv_heads * group + row.h) * queries + row.i]);
    float sum = 0.0f;
    for (int j = threadIdx.x; j < end; j += THREADS)
        if (!is_hidden(key_mask, row.b, j, keys))
            sum += expf(scaled(scores[row.start + j], scale) - of_row) * dshares[row.start + j];
    sum = block_sum(sum, shared);

    for (int j = threadIdx.x; j < columns; j += THREADS) {
        const bool hidden = j >= end || is_hidden(key_mask, row.b, j, keys);
        const float p = hidden ? 0.0f : expf(scaled(scores[row.start + j], scale) - of_row);
        const float ds = hidden ? 0.0f : scale * p * (dshares[row.start + j] - sum);
        shares[row.start + j] = from_float(p);
        dscores[row.start + j] = from_float(ds);
    }
}
