// Tiles of float32 rows in shared memory, and the two matrix products of tiles that attention needs, on tensor cores.
//
// HEAD_SIZE (a multiple of 4, at most 128) and PRODUCTS are macros of the build. In shared memory a row has CHANNELS
// channels: 32, 64, 96 or 128, the extra ones zero. A product over channels stops at the last one that counts.
//
// A tensor core multiplies numbers of 11 significant bits, exactly, and adds up in float32. PRODUCTS says how float32
// gets there:
//   1  "tf32": each factor is rounded to those bits.
//   3  "3xtf32": each factor is cut into two such numbers, x = high + low, which together have 22 of float32's 24 bits,
//      and a b = low high + high low + high high. The missing low low is smaller than the rounding of a float32
//      product.
#pragma once

#include "attention_tensor.cuh"
#include "attention_tf32_ptx.cuh"

constexpr int CHANNELS = (HEAD_SIZE + 31) / 32 * 32;
constexpr int SUMMED_CHANNELS = (HEAD_SIZE + 7) / 8 * 8;  // that a product over channels takes
constexpr int C_TILES = CHANNELS / 8;
constexpr int CHUNKS = CHANNELS / 4;  // of 16 bytes, in a row
constexpr int ROW_BYTES = CHANNELS * 4;
// With three products a step is long enough to fill the pipeline. Of unrolled steps the compiler starts so many at once
// that registers run out.
constexpr int STEPS_UNROLLED = PRODUCTS == 1 ? CHANNELS / 8 : 1;

// Row r of a tile keeps its chunk c at place c ^ (r % 8): eight rows' chunks of the same number, which one ldmatrix or
// copy takes at once, then lie in the 8 groups of 4 banks, each in another.
__device__ __forceinline__ u32 chunk_address(u32 tile, u32 row, u32 chunk) {
    return tile + row * ROW_BYTES + (chunk ^ row % 8) * 16;
}

// Starts the copy of rows [0, rows) of a (.., stride) array of heads into a tile of ROWS; the rest becomes zeros.
template <int ROWS, int THREADS>
__device__ __forceinline__ void load_rows(u32 tile, const float* source, int stride, int rows) {
    constexpr int ROWS_A_STEP = THREADS / CHUNKS;
    const int first = threadIdx.x / CHUNKS, chunk = threadIdx.x % CHUNKS;
    const bool inside = chunk * 4 < HEAD_SIZE;
    const float* next = source + static_cast<long long>(first) * stride + chunk * 4;
#pragma unroll
    for (int step = 0; step < ceil_div(ROWS, ROWS_A_STEP); ++step) {
        const int row = step * ROWS_A_STEP + first;
        if (first < ROWS_A_STEP && row < ROWS) {
            const bool valid = inside && row < rows;
            copy_async(chunk_address(tile, row, chunk), valid ? next : source, valid);
        }
        next += static_cast<long long>(ROWS_A_STEP) * stride;
    }
}

// Where this lane points ldmatrix to for a piece of 16 rows and 8 channels. An 8 x 8 matrix of 16-bit numbers is one of
// 8 x 4 floats: lane l gets number l % 4 of row l / 4. The four matrices are numbered
//   down:    0 2   the order of an A operand          across:  0 1   the order of two B operands that are stored
//            1 3                                               2 3   as rows of n
struct Lanes {
    u32 row_offset, flip;

    __device__ __forceinline__ Lanes(u32 row, u32 chunk) : row_offset(row * ROW_BYTES), flip((chunk ^ row % 8) * 16) {}

    static __device__ __forceinline__ Lanes down() {
        u32 lane = threadIdx.x % 32;
        return Lanes(lane % 16, lane / 16);
    }

    static __device__ __forceinline__ Lanes across() {
        u32 lane = threadIdx.x % 32;
        return Lanes(lane % 8 + lane / 16 * 8, lane / 8 % 2);
    }

    // The piece whose corner is (row, channel), both multiples of 8.
    __device__ __forceinline__ u32 at(u32 tile, int row, int channel) const {
        return tile + row_offset + row * ROW_BYTES + ((channel * 4) ^ flip);
    }
};

// N factors as the tensor core takes them; `low` with three products only.
template <int N> struct Parts {
    u32 high[N], low[N];
};

// Rounds to the nearest number of 11 bits, ties away from zero, as cvt.rna.tf32 does, which takes twice the
// instructions: adds half of the last bit that counts, and the tensor core cuts off the rest. NaN and inf stay what
// they are.
__device__ __forceinline__ u32 round_tf32(u32 x) {
    constexpr float HALF_OF_LAST_BIT = 1.0f / 2048.0f;  // of a number between 1 and 2
    return __float_as_uint(fmaf(__uint_as_float(x & 0xff800000u), HALF_OF_LAST_BIT, __uint_as_float(x)));
}

// high is rounded, so low = x - high (exact) has a sign of its own, and what the tensor core cuts off of it has no
// bias. A NaN may lose itself in high (its bits overflow) but not in low; inf becomes NaN.
template <int N> __device__ __forceinline__ void split(Parts<N> &parts, const u32 (&x)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
        if (PRODUCTS == 1) {
            parts.high[i] = round_tf32(x[i]);
        } else {
            parts.high[i] = (x[i] + 0x1000u) & 0xffffe000u;
            parts.low[i] = __float_as_uint(__uint_as_float(x[i]) - __uint_as_float(parts.high[i]));
        }
    }
}

// c += a b for one step of 8 summed numbers, columns [8 first, 8 (first + COUNT)) of c. Tensor cores cut off where
// float32 rounds, always towards zero. A long sum would drift by as many units of its last place as it has steps; so
// with three products each step starts from zero, the small ones first, and is added to the sum with rounding.
template <int COUNT, int M_TILES, int N_TILES>
__device__ __forceinline__ void mma_step(Accumulator<M_TILES, N_TILES> &c, int first, const Parts<4> (&a)[M_TILES],
                                         const Parts<2> (&b)[COUNT]) {
    if (PRODUCTS == 1) {
#pragma unroll
        for (int n = 0; n < COUNT; ++n)
#pragma unroll
            for (int m = 0; m < M_TILES; ++m) mma_tf32(c.at[m][first + n], a[m].high, b[n].high);
        return;
    }
    Accumulator<M_TILES, COUNT> step;
    step.clear();
#pragma unroll
    for (int product = 0; product < 3; ++product)
#pragma unroll
        for (int n = 0; n < COUNT; ++n)
#pragma unroll
            for (int m = 0; m < M_TILES; ++m)
                mma_tf32(step.at[m][n], product == 0 ? a[m].low : a[m].high, product == 1 ? b[n].low : b[n].high);
#pragma unroll
    for (int m = 0; m < M_TILES; ++m)
#pragma unroll
        for (int n = 0; n < COUNT; ++n)
#pragma unroll
            for (int i = 0; i < 4; ++i) c.at[m][first + n][i] += step.at[m][n][i];
}

// c += a bᵀ over all channels: rows of a (from `a_row`) against rows of b (from `b_row`).
template <int M_TILES, int N_TILES>
__device__ __forceinline__ void gemm_nt(Accumulator<M_TILES, N_TILES> &c, u32 a, int a_row, u32 b, int b_row) {
    const Lanes down = Lanes::down(), across = Lanes::across();
#pragma unroll STEPS_UNROLLED
    for (int channel = 0; channel < SUMMED_CHANNELS; channel += 8) {
        Parts<4> left[M_TILES];
#pragma unroll
        for (int m = 0; m < M_TILES; ++m) {
            u32 x[4];
            ldmatrix(x, down.at(a, a_row + 16 * m, channel));
            split(left[m], x);
        }
#pragma unroll
        for (int n = 0; n < N_TILES; n += 2) {
            u32 x[4];
            ldmatrix(x, across.at(b, b_row + 8 * n, channel));
            Parts<2> right[2];
            split(right[0], {x[0], x[1]});
            split(right[1], {x[2], x[3]});
            mma_step(c, n, left, right);
        }
    }
}

// The left operand that is the k-th of a row of accumulators. The loop picks registers also where k is known only at
// run time.
template <int K_TILES>
__device__ __forceinline__ void split_columns(Parts<4> &parts, const float (&a)[K_TILES][4], int k) {
    u32 x[4];
#pragma unroll
    for (int tile = 0; tile < K_TILES; ++tile)
        if (tile == k) {
            x[0] = __float_as_uint(a[tile][0]);
            x[1] = __float_as_uint(a[tile][2]);
            x[2] = __float_as_uint(a[tile][1]);
            x[3] = __float_as_uint(a[tile][3]);
        }
    split(parts, x);
}

// c += a b: a from accumulators, its columns against the rows of b from `b_row`; the columns of c are channels.
//
// A lane holds columns 2t and 2t + 1 of a, the instruction wants t and t + 4. A sum may be taken in any order: the
// instruction's t is called 2t and its t + 4 is called 2t + 1, in a and in the rows of b. No data moves. The columns
// are renamed as well: 16 bytes of a row of b, channels 4g to 4g + 3 of 32, are what a lane brings to four products. In
// return a lane of c has, of its two rows, the channels 8t to 8t + 7 of every 32.
template <int M_TILES, int K_TILES>
__device__ __forceinline__ void gemm_nn(Accumulator<M_TILES, C_TILES> &c,
                                        const Accumulator<M_TILES, K_TILES> &a, u32 b, int b_row) {
    const u32 lane = threadIdx.x % 32, even_row = lane % 4 * 2;
    const u32 even = chunk_address(b, even_row, lane / 4), odd = chunk_address(b, even_row + 1, lane / 4);
// See STEPS_UNROLLED; to pick one of more than 4 would cost too much.
#pragma unroll(PRODUCTS == 1 || K_TILES > 4 ? K_TILES : 1)
    for (int k = 0; k < K_TILES; ++k) {
        Parts<4> left[M_TILES];
#pragma unroll
        for (int m = 0; m < M_TILES; ++m) split_columns(left[m], a.at[m], k);
#pragma unroll
        for (int n = 0; n < C_TILES; n += 4) {
            const u32 offset = (b_row + 8 * k) * ROW_BYTES + n * 32;
            const uint4 x = load_shared(even + offset), y = load_shared(odd + offset);
            Parts<2> right[2];
            split(right[0], {x.x, y.x});
            split(right[1], {x.y, y.y});
            mma_step(c, n, left, right);
            split(right[0], {x.z, y.z});
            split(right[1], {x.w, y.w});
            mma_step(c, n + 2, left, right);
        }
    }
}

// Writes rows [0, rows) of a warp's sums over `gemm_nn`, times a factor for each of a lane's rows 16 m + g + 8
// half.
template <int M_TILES>
__device__ __forceinline__ void store_rows(const Accumulator<M_TILES, C_TILES> &x, const float (&factor)[M_TILES][2],
                                           float* target, int stride, int rows) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int m = 0; m < M_TILES; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int row = 16 * m + 8 * half + lane / 4;
            if (row >= rows) continue;
#pragma unroll
            for (int n = 0; n < C_TILES; n += 4)
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; ++i) {
                    const int channel = 8 * n + lane % 4 * 8 + i % 2 * 4;
                    const float f = factor[m][half];
                    const float4 value = {x.at[m][n][i] * f, x.at[m][n + 1][i] * f, x.at[m][n + 2][i] * f,
                                          x.at[m][n + 3][i] * f};
                    if (channel < HEAD_SIZE)
                        *reinterpret_cast<float4*>(target + static_cast<long long>(row) * stride + channel) = value;
                }
        }
}

// e^(scale s - base). The difference is rounded once, where it is small. To apply scale log2(e) as one factor, as the
// bfloat16 kernels do, would save a multiplication and round `base` once more: an error of 6e-8 of a large score, in
// every share of its row.
__device__ __forceinline__ float exponential(float s, float scale, float base) {
    return exp2_fast(fmaf(s, scale, -base) * LOG2_E);
}
