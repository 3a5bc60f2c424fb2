// Tiles of bf16 rows in shared memory, and the two matrix products of tiles that attention needs.
//
// HEAD_SIZE (a multiple of 8, at most 128) is a macro of the build. In shared memory a row has CHANNELS channels:
// 16, 32, 48, 64, 96 or 128, the extra ones zero; a zero channel adds nothing to any product.
#pragma once

#include "attention_tensor.cuh"

constexpr int CHANNELS = HEAD_SIZE <= 64 ? (HEAD_SIZE + 15) / 16 * 16 : HEAD_SIZE <= 96 ? 96 : 128;

// A tile's rows lie one after the other, COLUMNS elements each, in chunks of 16 bytes. Row r keeps its chunk c at place
// c ^ swizzle(r): eight rows' chunks of the same number, which one ldmatrix or store takes at once, then lie in the 8
// groups of 4 banks, each in another. How many rows share one sweep of the banks (128 bytes) depends on the row's
// length.
template <int COLUMNS> struct Tile {
    static constexpr int CHUNKS = COLUMNS / 8;
    static constexpr int ROW_BYTES = COLUMNS * 2;

    static constexpr int SWIZZLE_PERIOD = CHUNKS % 8 == 0 ? 8 : CHUNKS % 4 == 0 ? 4 : 2;

    static __device__ __forceinline__ u32 swizzle(u32 row) { return row / (8 / SWIZZLE_PERIOD) % SWIZZLE_PERIOD; }

    static __device__ __forceinline__ u32 address(u32 tile, u32 row, u32 chunk) {
        return tile + row * ROW_BYTES + (chunk ^ swizzle(row)) * 16;
    }
};

// Where this lane points ldmatrix to for a 16 x 16 piece of a tile. Its four 8 x 8 matrices are numbered
//   down:    0 2   the order of an A operand, or of two B operands side by side that are stored transposed (rows = k)
//            1 3
//   across:  0 1   the order of two B operands that are stored as rows of n, or of an A operand stored transposed
//            2 3
template <int COLUMNS> struct Lanes {
    u32 row_offset, flip;

    __device__ __forceinline__ Lanes(u32 row, u32 chunk)
        : row_offset(row * Tile<COLUMNS>::ROW_BYTES), flip((chunk ^ Tile<COLUMNS>::swizzle(row)) * 16) {}

    static __device__ __forceinline__ Lanes down() {
        u32 lane = threadIdx.x % 32;
        return Lanes(lane % 16, lane / 16);
    }

    static __device__ __forceinline__ Lanes across() {
        u32 lane = threadIdx.x % 32;
        return Lanes(lane % 8 + lane / 16 * 8, lane / 8 % 2);
    }

    // The piece whose corner is (row, column), both multiples of 16. `swizzle` repeats after 8 rows and permutes chunks
    // in groups of SWIZZLE_PERIOD, so few columns need a sum of their own: the rest is a constant behind it, which
    // ldmatrix adds.
    __device__ __forceinline__ u32 at(u32 tile, int row, int column) const {
        constexpr int GROUP = Tile<COLUMNS>::SWIZZLE_PERIOD * 16;
        return tile + row_offset + ((column * 2 % GROUP) ^ flip) +
               (row * Tile<COLUMNS>::ROW_BYTES + column * 2 / GROUP * GROUP);
    }
};

// Starts the copy of rows [0, rows) of a (.., stride) array of heads into a tile of ROWS; the rest becomes zeros. A
// thread copies the same chunk of every ROWS_A_STEP-th row: one address in the array, from which it goes on in equal
// steps.
template <int ROWS, int THREADS>
__device__ __forceinline__ void load_rows(u32 tile, const bf16* source, int stride, int rows) {
    constexpr int CHUNKS = Tile<CHANNELS>::CHUNKS;
    constexpr int ROWS_A_STEP = THREADS / CHUNKS;
    constexpr bool EVEN = THREADS % CHUNKS == 0 && ROWS % ROWS_A_STEP == 0;  // every thread has a chunk in every step
    const int first = threadIdx.x / CHUNKS, chunk = threadIdx.x % CHUNKS;
    const bool inside = chunk * 8 < HEAD_SIZE;
    const long long step_size = static_cast<long long>(stride) * ROWS_A_STEP;
    source += static_cast<long long>(first) * stride + chunk * 8;
#pragma unroll
    for (int step = 0; step < ceil_div(ROWS, ROWS_A_STEP); ++step, source += step_size) {
        const int row = step * ROWS_A_STEP + first;
        if (EVEN || (first < ROWS_A_STEP && row < ROWS))
            copy_async(Tile<CHANNELS>::address(tile, row, chunk), source, inside && row < rows);
    }
}

// Writes rows [0, rows) of a tile of ROWS to an array of heads, by COUNT threads that are numbered from 0.
template <int ROWS, int COUNT>
__device__ __forceinline__ void store_rows(u32 tile, bf16* target, int stride, int rows, int thread) {
    constexpr int CHUNKS = HEAD_SIZE / 8;
    for (int i = thread; i < ROWS * CHUNKS; i += COUNT) {
        const int row = i / CHUNKS, chunk = i % CHUNKS;
        if (row < rows) {
            uint4 value = load_shared(Tile<CHANNELS>::address(tile, row, chunk));
            *reinterpret_cast<uint4*>(target + static_cast<long long>(row) * stride + chunk * 8) = value;
        }
    }
}

// A 16 x 8 M_TILES x K_TILES operand in registers, rounded to bf16 from accumulators. The columns of two neighbouring
// results are the 16 columns of one A operand, and lie in the same lanes: no data moves.
template <int M_TILES, int K_TILES> struct Operand {
    u32 at[M_TILES][K_TILES][4];

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int m = 0; m < M_TILES; ++m)
#pragma unroll
            for (int k = 0; k < K_TILES; ++k)
#pragma unroll
                for (int i = 0; i < 4; ++i) at[m][k][i] = 0;
    }

    __device__ __forceinline__ void round(const Accumulator<M_TILES, 2 * K_TILES> &x) {
#pragma unroll
        for (int m = 0; m < M_TILES; ++m)
#pragma unroll
            for (int n = 0; n < 2 * K_TILES; ++n)
#pragma unroll
                for (int half = 0; half < 2; ++half)
                    at[m][n / 2][n % 2 * 2 + half] = pack(x.at[m][n][2 * half], x.at[m][n][2 * half + 1]);
    }
};

// c += a bᵀ over all channels: rows of a (from `a_row`) against rows of b (from `b_row`).
template <int M_TILES, int N_TILES>
__device__ __forceinline__ void gemm_nt(Accumulator<M_TILES, N_TILES> &c, u32 a, int a_row, u32 b, int b_row) {
    const Lanes<CHANNELS> down = Lanes<CHANNELS>::down(), across = Lanes<CHANNELS>::across();
#pragma unroll
    for (int k = 0; k < CHANNELS; k += 16) {
        u32 left[M_TILES][4];
#pragma unroll
        for (int m = 0; m < M_TILES; ++m) ldmatrix(left[m], down.at(a, a_row + 16 * m, k));
#pragma unroll
        for (int n = 0; n < N_TILES; n += 2) {
            u32 right[4];
            ldmatrix(right, across.at(b, b_row + 8 * n, k));
#pragma unroll
            for (int m = 0; m < M_TILES; ++m) {
                mma(c.at[m][n], left[m], right[0], right[1]);
                mma(c.at[m][n + 1], left[m], right[2], right[3]);
            }
        }
    }
}

// c += a b: a from registers, its columns against the rows of b from `b_row`; the columns of c are channels.
template <int M_TILES, int K_TILES>
__device__ __forceinline__ void gemm_nn(Accumulator<M_TILES, CHANNELS / 8> &c,
                                        const Operand<M_TILES, K_TILES> &a, u32 b, int b_row) {
    const Lanes<CHANNELS> down = Lanes<CHANNELS>::down();
#pragma unroll
    for (int k = 0; k < K_TILES; ++k)
#pragma unroll
        for (int n = 0; n < CHANNELS / 8; n += 2) {
            u32 right[4];
            ldmatrix_transposed(right, down.at(b, b_row + 16 * k, 8 * n));
#pragma unroll
            for (int m = 0; m < M_TILES; ++m) {
                mma(c.at[m][n], a.at[m][k], right[0], right[1]);
                mma(c.at[m][n + 1], a.at[m][k], right[2], right[3]);
            }
        }
}

// A warp's accumulated rows times a factor for each of a lane's rows, as bf16 into a tile: row 16 m + g + 8 half.
template <int M_TILES>
__device__ __forceinline__ void round_to_tile(const Accumulator<M_TILES, CHANNELS / 8> &x,
                                              const float (&factor)[M_TILES][2], u32 tile, int first_row) {
    const u32 lane = threadIdx.x % 32;
#pragma unroll
    for (int m = 0; m < M_TILES; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half)
#pragma unroll
            for (int n = 0; n < CHANNELS / 8; ++n) {
                const u32 row = first_row + 16 * m + 8 * half + lane / 4;
                store_shared(Tile<CHANNELS>::address(tile, row, n) + lane % 4 * 4,
                             pack(x.at[m][n][2 * half] * factor[m][half], x.at[m][n][2 * half + 1] * factor[m][half]));
            }
}
