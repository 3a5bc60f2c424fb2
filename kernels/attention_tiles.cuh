// Tiles of floats in shared memory and the two products of tiles that attention is made of, by a block of 128 threads.
//
// HEAD_SIZE, at most 128, is a macro of the build. A tile holds rows of queries, keys, values or output gradients, a
// row of HEAD_SIZE numbers each, as floats whatever `element` is. All sums are in float32, in a fixed order.
//
// The threads stand in a grid, DOWN x ACROSS. For a tile of scores, of R rows and C columns, a thread has
//     rows    down + DOWN m,      m < M = R / DOWN
//     columns across + ACROSS n,  n < N = C / ACROSS
// and of a tile of results (rows of HEAD_SIZE channels) the same rows and the
//     channels 4 across + 32 u + 0..3,  u < UNITS.
// The M x N (or M x UNITS x 4) numbers of a thread are in registers: each number read from shared memory serves for
// several products, which is what makes this fast (register tiling). The ACROSS threads of a row are neighbours in a
// warp: a row's maximum and sum need no shared memory.

#pragma once

#include "attention.cuh"

constexpr int DOWN = 16, ACROSS = 8, THREADS = DOWN * ACROSS;
constexpr int CHANNELS = (HEAD_SIZE + 7) / 8 * 8;    // of a row in shared memory; those beyond HEAD_SIZE are zeros
constexpr int UNITS = (CHANNELS + 31) / 32;          // times 4 channels a thread
// From row to row 4 banks further (CHANNELS + 4 is an odd multiple of 4): the 8 threads across read 16 bytes each of 8
// successive rows, and these 8 x 4 numbers lie in 32 different banks.
constexpr int ROW_STRIDE = CHANNELS + 4;
constexpr bool ROWS_ARE_PACKS = HEAD_SIZE % PACK == 0;  // then every row of a view begins at a multiple of 16 bytes

__device__ __forceinline__ int thread_down() { return threadIdx.x / ACROSS; }
__device__ __forceinline__ int thread_across() { return threadIdx.x % ACROSS; }

__device__ __forceinline__ float4 read_four(const float* address) { return *reinterpret_cast<const float4*>(address); }

// What a thread brings of a tile: fetched from memory into registers, put into shared memory later. So the loads of
// several tiles, and the work of other warps on the tiles before, go on at the same time. A thread brings the same
// channels of every ROWS_A_STEP-th row; neighbouring threads bring neighbouring channels.
template <int ROWS>
struct Fetched {
    static constexpr int WIDTH = ROWS_ARE_PACKS ? PACK : 1;  // elements at once
    static constexpr int PIECES_A_ROW = CHANNELS / WIDTH, ROWS_A_STEP = THREADS / PIECES_A_ROW;
    static constexpr int STEPS = (ROWS + ROWS_A_STEP - 1) / ROWS_A_STEP;
    element pieces[STEPS][WIDTH];

    static __device__ __forceinline__ int first_row() { return threadIdx.x / PIECES_A_ROW; }
    static __device__ __forceinline__ int channel() { return threadIdx.x % PIECES_A_ROW * WIDTH; }

    // Threads beyond a whole number of rows bring nothing, nor does the last step beyond the last row.
    static constexpr bool EVEN = THREADS % PIECES_A_ROW == 0 && ROWS % ROWS_A_STEP == 0;
    static __device__ __forceinline__ bool is_mine(int row) {
        return EVEN || (first_row() < ROWS_A_STEP && row < ROWS);
    }

    // Rows 0 .. ROWS - 1 of a view, `stride` elements from row to row; rows from `end` (at least 1) on become zeros.
    // Those are read too, from the last row: loads without conditions can all be under way at once.
    __device__ __forceinline__ Fetched(const element* rows, int stride, int end) {
        const int c = min(channel(), HEAD_SIZE - WIDTH);
#pragma unroll
        for (int step = 0; step < STEPS; ++step) {
            const int row = first_row() + step * ROWS_A_STEP;
            const element* from = rows + (long long)min(row, end - 1) * stride + c;
            const bool inside = row < end && channel() < HEAD_SIZE;
            if constexpr (WIDTH == PACK) {
                const Pack pack = load_pack(from);
#pragma unroll
                for (int e = 0; e < WIDTH; ++e) pieces[step][e] = inside ? pack.at[e] : from_float(0.0f);
            } else {
                pieces[step][0] = inside ? *from : from_float(0.0f);
            }
        }
    }

    __device__ __forceinline__ void put(float* tile) const {
#pragma unroll
        for (int step = 0; step < STEPS; ++step) {
            const int row = first_row() + step * ROWS_A_STEP;
            if (!is_mine(row)) continue;
            float* to = tile + row * ROW_STRIDE + channel();
            const element* piece = pieces[step];
            if constexpr (WIDTH == PACK) {
#pragma unroll
                for (int e = 0; e < WIDTH; e += 4)
                    *reinterpret_cast<float4*>(to + e) = make_float4(to_float(piece[e]), to_float(piece[e + 1]),
                                                                     to_float(piece[e + 2]), to_float(piece[e + 3]));
            } else {
                *to = to_float(piece[0]);
            }
        }
    }
};

// Four elements that one instruction loads or stores; the address is a multiple of their size.
struct alignas(4 * sizeof(element)) Four {
    element at[4];
};
#if JOIN(ELEMENT_IS_, ELEMENT) == 2
typedef uint2 FourBits;
#else
typedef float4 FourBits;
#endif

__device__ __forceinline__ Four load_four(const element* address) {
    Four four;
    *reinterpret_cast<FourBits*>(&four) = *reinterpret_cast<const FourBits*>(address);
    return four;
}

__device__ __forceinline__ void store_four(element* address, const Four& four) {
    *reinterpret_cast<FourBits*>(address) = *reinterpret_cast<const FourBits*>(&four);
}

// Rows of results to rows of a view, each times its factor; rows from `end` on are left out.
template <int M>
__device__ __forceinline__ void store_rows(element* rows, int stride, int end, const float (&x)[M][UNITS][4],
                                           const float (&factor)[M]) {
#pragma unroll
    for (int m = 0; m < M; ++m) {
        const int row = thread_down() + DOWN * m;
        if (row >= end) continue;
#pragma unroll
        for (int u = 0; u < UNITS; ++u) {
            const int c = 4 * thread_across() + 32 * u;
            const float *four = x[m][u], f = factor[m];
            element* target = rows + (long long)row * stride + c;
            if (ROWS_ARE_PACKS) {
                const Four rounded = {from_float(four[0] * f), from_float(four[1] * f), from_float(four[2] * f),
                                      from_float(four[3] * f)};
                if (c < HEAD_SIZE) store_four(target, rounded);
            } else {
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    if (c + e < HEAD_SIZE) target[e] = from_float(four[e] * f);
            }
        }
    }
}

// This thread's part of the inner product of two rows of views (section 10: delta_i = dout_i . out_i); `row_sum`
// adds the parts.
__device__ __forceinline__ float part_of_dot(const element* a, const element* b) {
    float sum = 0.0f;
    if constexpr (ROWS_ARE_PACKS) {
#pragma unroll
        for (int c = 4 * thread_across(); c < HEAD_SIZE; c += 4 * ACROSS) {
            const Four left = load_four(a + c), right = load_four(b + c);
#pragma unroll
            for (int e = 0; e < 4; ++e) sum += to_float(left.at[e]) * to_float(right.at[e]);
        }
    } else {
        for (int c = thread_across(); c < HEAD_SIZE; c += ACROSS) sum += to_float(a[c]) * to_float(b[c]);
    }
    return sum;
}

// product = a bᵀ, product[m][n] = sum over c of a[row m][c] b[column n][c]: the scores of a tile, or dout . v.
template <int M, int N>
__device__ __forceinline__ void gemm_nt(const float* a, const float* b, float (&product)[M][N]) {
    a += thread_down() * ROW_STRIDE;
    b += thread_across() * ROW_STRIDE;
#pragma unroll
    for (int m = 0; m < M; ++m)
#pragma unroll
        for (int n = 0; n < N; ++n) product[m][n] = 0.0f;
#pragma unroll 2
    for (int c = 0; c < CHANNELS; c += 4) {
        float4 left[M];
#pragma unroll
        for (int m = 0; m < M; ++m) left[m] = read_four(a + DOWN * m * ROW_STRIDE + c);
#pragma unroll
        for (int n = 0; n < N; ++n) {
            const float4 right = read_four(b + ACROSS * n * ROW_STRIDE + c);
#pragma unroll
            for (int m = 0; m < M; ++m)
                product[m][n] += left[m].x * right.x + left[m].y * right.y + left[m].z * right.z + left[m].w * right.w;
        }
    }
}

// sum += weights x, sum[m][u] += sum over j of weights[row m][j] x[j][channels u]: p v, and every gradient.
// weights: a tile of numbers of pairs, WEIGHT_STRIDE floats (a multiple of 4) from row to row
template <int WEIGHT_STRIDE, int M>
__device__ __forceinline__ void gemm_nn(const float* weights, const float* x, int columns,
                                        float (&sum)[M][UNITS][4]) {
    weights += thread_down() * WEIGHT_STRIDE;
    x += thread_across() * 4;
#pragma unroll 1
    for (int j = 0; j < columns; j += 4) {
        float weight[M][4];
#pragma unroll
        for (int m = 0; m < M; ++m)
            *reinterpret_cast<float4*>(weight[m]) = read_four(weights + DOWN * m * WEIGHT_STRIDE + j);
#pragma unroll
        for (int part = 0; part < 4; ++part)
#pragma unroll
            for (int u = 0; u < UNITS; ++u) {
                if (CHANNELS % 32 != 0 && 4 * thread_across() + 32 * u >= CHANNELS) continue;
                const float4 right = read_four(x + (j + part) * ROW_STRIDE + 32 * u);
#pragma unroll
                for (int m = 0; m < M; ++m) {
                    sum[m][u][0] += weight[m][part] * right.x;
                    sum[m][u][1] += weight[m][part] * right.y;
                    sum[m][u][2] += weight[m][part] * right.z;
                    sum[m][u][3] += weight[m][part] * right.w;
                }
            }
    }
}

template <int M>
__device__ __forceinline__ void clear(float (&sum)[M][UNITS][4]) {
#pragma unroll
    for (int m = 0; m < M; ++m)
#pragma unroll
        for (int u = 0; u < UNITS; ++u)
#pragma unroll
            for (int e = 0; e < 4; ++e) sum[m][u][e] = 0.0f;
}

// Over the ACROSS threads of a row, in all of them.
__device__ __forceinline__ float row_max(float x) {
#pragma unroll
    for (int distance = ACROSS / 2; distance > 0; distance /= 2) x = fmaxf(x, __shfl_xor_sync(WHOLE_WARP, x, distance));
    return x;
}

__device__ __forceinline__ float row_sum(float x) {
#pragma unroll
    for (int distance = ACROSS / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(WHOLE_WARP, x, distance);
    return x;
}

// sum += weightsᵀ x: as gemm_nn, but the weights lie transposed, weights[j][row m].
template <int WEIGHT_STRIDE, int M>
__device__ __forceinline__ void gemm_tn(const float* weights, const float* x, int columns,
                                        float (&sum)[M][UNITS][4]) {
    weights += thread_down();
    x += thread_across() * 4;
#pragma unroll 4
    for (int j = 0; j < columns; ++j) {
        float weight[M];
#pragma unroll
        for (int m = 0; m < M; ++m) weight[m] = weights[j * WEIGHT_STRIDE + DOWN * m];
#pragma unroll
        for (int u = 0; u < UNITS; ++u) {
            if (CHANNELS % 32 != 0 && 4 * thread_across() + 32 * u >= CHANNELS) continue;
            const float4 right = read_four(x + j * ROW_STRIDE + 32 * u);
#pragma unroll
            for (int m = 0; m < M; ++m) {
                sum[m][u][0] += weight[m] * right.x;
                sum[m][u][1] += weight[m] * right.y;
                sum[m][u][2] += weight[m] * right.z;
                sum[m][u][3] += weight[m] * right.w;
            }
        }
    }
}
