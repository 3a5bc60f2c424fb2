// What the normalisations share: a row read once and held in registers by the threads that share it.
//
// ROW_THREADS, a macro of the build, says who shares a row: a warp (32; a block then has several rows), or a block for
// long rows. HELD is how many groups of WIDTH channels a thread holds: ROW_THREADS * HELD * WIDTH >= channels.

#pragma once

#include "groups.cuh"

#ifndef ROW_THREADS
#define ROW_THREADS 32
#endif
#ifndef HELD
#define HELD 1
#endif

constexpr int THREADS = 256;
constexpr int ROWS = THREADS / ROW_THREADS;  // that a block has under way

// The first row that is the thread's; the next one is gridDim.x * ROWS further.
__device__ __forceinline__ int first_row() { return blockIdx.x * ROWS + threadIdx.x / ROW_THREADS; }

// Sum over the threads that share a row, in all of them.
__device__ __forceinline__ float row_sum(float x, float* shared) {
    return ROW_THREADS == WARP ? warp_sum(x) : block_sum(x, shared);
}

// A thread's part of a row: groups a whole row of threads apart, so that neighbours read neighbouring addresses.
struct Part {
    Floats<WIDTH> group[HELD];

    // The first channel of group i.
    __device__ static __forceinline__ int channel(int i) {
        return (i * ROW_THREADS + threadIdx.x % ROW_THREADS) * WIDTH;
    }

    __device__ __forceinline__ void load(const element* row, int channels) {
#pragma unroll
        for (int i = 0; i < HELD; ++i) {
            group[i] = {};
            if (channel(i) < channels) group[i].load(row + channel(i));
        }
    }

    template <typename T>
    __device__ __forceinline__ void store(T* row, int channels) const {
#pragma unroll
        for (int i = 0; i < HELD; ++i)
            if (channel(i) < channels) group[i].store(row + channel(i));
    }
};

// The first stage of a sum over all rows, such as the gradient of a weight (column_sum.cu has the second): adds the
// parts of the rows of a block, row by row in their order. `mine` of the last row becomes the sum. Numbers of one
// thread lie 32 apart in `shared`, so that a warp meets all banks.
__device__ __forceinline__ void add_rows_of_block(Part& mine) {
    if (ROWS == 1) return;
    __shared__ float shared[HELD * WIDTH][WARP];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    for (int turn = 0; turn < ROWS; ++turn) {
        if (warp == turn) {
#pragma unroll
            for (int i = 0; i < HELD; ++i)
#pragma unroll
                for (int j = 0; j < WIDTH; ++j) {
                    float& sum = shared[i * WIDTH + j][lane];
                    if (turn > 0) mine.group[i].at[j] += sum;
                    sum = mine.group[i].at[j];
                }
        }
        __syncthreads();
    }
}

// Whether `mine` is the block's sum after that.
__device__ __forceinline__ bool has_sum_of_block() { return ROWS == 1 || threadIdx.x / ROW_THREADS == ROWS - 1; }
