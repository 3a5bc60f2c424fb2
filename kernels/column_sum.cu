// Sums over the rows of a matrix, such as the gradient of a bias: in two stages without atomics, so that the order of
// the additions, and with it every bit, is the same each time.
//
// 1. partial_column_sums: each block sums some rows of some columns, in 16-byte accesses: partial (chunks, columns).
//    If one chunk has all the rows (there are columns enough for every block), that is the result already.
// 2. finish_column_sums: the rows of the partial sums, to where the result goes. It also serves alone where there are
//    few rows: a launch costs more than short rows read 4 bytes at a time.

#include "groups.cuh"

constexpr int MOST_THREADS = 256;
constexpr int AHEAD = 4;  // rows that a thread loads before it adds them: memory is far away

// partial[chunk] = sums over the rows of a chunk; x (rows, columns), partial (gridDim.y, columns). With a single chunk
// and `out` (columns,), not null, they go there instead: in place of what is there or, with `add`, on top.
// Block (X, Y): X groups of columns side by side, Y rows at a time; grid (column tiles, chunks of rows).
extern "C" __global__ void __launch_bounds__(MOST_THREADS)
partial_column_sums(const element* x, float* partial, result* out, int rows, int columns, int chunk, int add) {
    __shared__ float shared[WIDTH][MOST_THREADS];
    const int column = (blockIdx.x * blockDim.x + threadIdx.x) * WIDTH;
    const int first = blockIdx.y * chunk, last = min(first + chunk, rows);
    Floats<WIDTH> sum = {};
    for (int row = first + threadIdx.y; column < columns && row < last; row += AHEAD * blockDim.y) {
        Floats<WIDTH> value[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; ++i) {
            const int that = row + i * blockDim.y;
            value[i] = {};
            if (that < last) value[i].load(x + static_cast<long long>(that) * columns + column);
        }
#pragma unroll
        for (int i = 0; i < AHEAD; ++i) sum.add(value[i]);
    }
    const int thread = threadIdx.y * blockDim.x + threadIdx.x;
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) shared[i][thread] = sum.at[i];
    __syncthreads();
    if (threadIdx.y > 0 || column >= columns) return;
    for (int y = 1; y < blockDim.y; ++y) {
#pragma unroll
        for (int i = 0; i < WIDTH; ++i) sum.at[i] += shared[i][y * blockDim.x + threadIdx.x];
    }
    if (!out) {
        sum.store(partial + static_cast<long long>(blockIdx.y) * columns + column);
        return;
    }
    if (add) {
        Floats<WIDTH> before;
        before.load(out + column);
        sum.add(before);
    }
    sum.store(out + column);
}

// The sums of the first `split` columns to a, of the others to b; x (rows, columns), a (split,), b (columns - split,).
// Block (32, 32): 32 columns side by side, 32 rows at a time.
extern "C" __global__ void finish_column_sums(const element* x, result* a, result* b, int rows, int columns, int split,
                                              int add_a, int add_b) {
    __shared__ float shared[WARP][WARP + 1];  // one more, so that reading along a column meets all banks
    const int column = blockIdx.x * WARP + threadIdx.x;
    float sum = 0.0f;
    if (column < columns) {
#pragma unroll 8
        for (int row = threadIdx.y; row < rows; row += WARP)
            sum += to_float(x[static_cast<long long>(row) * columns + column]);
    }
    shared[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    sum = warp_sum(shared[threadIdx.x][threadIdx.y]);  // warp y has column y now
    const int mine = blockIdx.x * WARP + threadIdx.y;
    if (threadIdx.x > 0 || mine >= columns) return;
    result* out = mine < split ? a + mine : b + (mine - split);
    const int add = mine < split ? add_a : add_b;
    put(out, add ? to_float(*out) + sum : sum);
}
