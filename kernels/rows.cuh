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

// The sums of all rows' parts in a block, row by row in their order: `mine` of the last row becomes the sum.
// Numbers of one thread lie 32 apart in `shared`, so that a warp meets all banks.
__device__ __forceinline__ void add_rows_of_block(Part& mine, float (&shared)[HELD * WIDTH][WARP]) {
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
