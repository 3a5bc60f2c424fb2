// Positions sorted by the id that stands at each, equal ids in the order of their positions. Nothing waits for the
// device, so that it may stand in a CUDA graph.
//
// What is sorted are the numbers id * 2^32 + position, no two of them equal. First each block sorts a tile of them in
// shared memory; then sorted runs are merged in pairs until one is left.

#include "ids.cuh"

// Sorts the positions of a tile: sorted (gridDim.x, TILE). Those without a row of the table (see row_of) and those from
// `rows` on come last, as if their id were 2^32 - 1. Batcher's bitonic sort: in round (size, distance) numbers that lie
// `distance` apart are put in order, in turns of `size` rising and falling.
extern "C" __global__ void __launch_bounds__(TILE / 2)
sort_tiles(const INDEX* ids, unsigned long long* sorted, int rows, int vocabulary) {
    __shared__ unsigned long long key[TILE];
    for (int i = threadIdx.x; i < TILE; i += TILE / 2) {
        const long long position = static_cast<long long>(blockIdx.x) * TILE + i;
        const int row = position < rows ? row_of(ids[position], vocabulary) : -1;
        key[i] = static_cast<unsigned long long>(static_cast<unsigned>(row)) << 32 | static_cast<unsigned>(position);
    }
    for (int size = 2; size <= TILE; size *= 2) {
#pragma unroll 1  // unrolled, it runs out of registers on sm_100
        for (int distance = size / 2; distance > 0; distance /= 2) {
            __syncthreads();
            const int lower = 2 * threadIdx.x - threadIdx.x % distance, upper = lower + distance;
            const bool rising = (lower & size) == 0;
            const unsigned long long a = key[lower], b = key[upper];
            if ((a > b) == rising) {
                key[lower] = b;
                key[upper] = a;
            }
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < TILE; i += TILE / 2) sorted[static_cast<long long>(blockIdx.x) * TILE + i] = key[i];
}

// Merges each two neighbouring runs of `run` numbers into one; the last run may be shorter, or without a neighbour.
// from, to (size,). A thread for each number: in its pair it comes behind those of its own run that were before it, and
// those of the other run that are less.
extern "C" __global__ void merge_runs(const unsigned long long* from, unsigned long long* to, long long size,
                                      long long run) {
    const long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= size) return;
    const long long first = i / (2 * run) * (2 * run);
    const long long middle = min(first + run, size), end = min(middle + run, size);
    const unsigned long long key = from[i];
    const long long place = i < middle ? i + count_below(from + middle, end - middle, key)
                                       : i - run + count_below(from + first, run, key);
    to[place] = key;
}
