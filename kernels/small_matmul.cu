// Many small matrix products side by side: out[i] = a[i] b[i], one thread for each number of the result.
//
// Idea:   the matrices of attention over a window of some twenty tokens are far smaller than a tile of a library's
//         kernel, and a product through CuPy may not stand in a CUDA graph. A thread walks along one row and one
//         column.
// Memory: nothing beside the factors and the result. Neighbouring threads read the same row of a, which the first cache
//         holds, and neighbouring numbers of b. Factors may be views with any strides, so transposes need no copy.
// Loses:  where the matrices are large: every factor is read from the cache once for each number that needs it.

#include "common.cuh"

// a (batch, rows, inner), b (batch, inner, columns), strides in elements; out (batch, rows, columns), contiguous, with
// `size` numbers. Sums in float, in the order of `inner`.
extern "C" __global__ void small_matmul(
    const element* __restrict__ a, long long a_batch, long long a_row, long long a_column,
    const element* __restrict__ b, long long b_batch, long long b_row, long long b_column,
    element* __restrict__ out, int rows, int inner, int columns, long long size) {
    const long long index = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (index >= size) return;
    const int column = index % columns;
    const int row = index / columns % rows;
    const long long matrix = index / columns / rows;
    const element* left = a + matrix * a_batch + row * a_row;
    const element* right = b + matrix * b_batch + column * b_column;
    float sum = 0.0f;
    for (int i = 0; i < inner; ++i) sum += to_float(left[i * a_column]) * to_float(right[i * b_row]);
    out[index] = from_float(sum);
}
