// Element-wise passes: sums, the bias, the rectifier and its backward. Each reads and writes every number once, so
// the memory is the limit, and nothing is to be gained but by 16-byte accesses and by fewer passes.
//
// Arrays may be the same one (in place). `packs` and `size` as in groups.cuh.

#include "groups.cuh"

// max(x, 0), where a NaN stays a NaN
__device__ __forceinline__ float rectified(float x) { return x < 0.0f ? 0.0f : x; }

// y = a + b; all (size,)
extern "C" __global__ void add(const element* a, const element* b, element* y, int packs, long long size) {
    combine(a, b, y, packs, size, [](float left, float right) { return left + right; });
}

// a = a * b; both (size,)
extern "C" __global__ void multiply_by(element* a, const element* b, int packs, long long size) {
    combine(a, b, a, packs, size, [](float left, float right) { return left * right; });
}

// y = x + row, the row added to every row; x, y (size / columns, columns), row (columns,)
extern "C" __global__ void add_row(const element* x, const element* row, element* y, int packs, long long size,
                                   int columns) {
    combine_row(x, row, y, packs, size, columns, [](float value, float shift) { return value + shift; });
}

// h = max(h + bias, 0); h (size / columns, columns), bias (columns,)
extern "C" __global__ void bias_relu(element* h, const element* bias, int packs, long long size, int columns) {
    combine_row(h, bias, h, packs, size, columns, [](float value, float shift) { return rectified(value + shift); });
}

// y = max(x, 0); both (size,)
extern "C" __global__ void relu_forward(const element* x, element* y, int packs, long long size) {
    map(x, y, packs, size, [](float value) { return rectified(value); });
}

// forward: y = max(x, 0), whose slope is 1 where y > 0 and 0 elsewhere; dy, y, dx (size,)
extern "C" __global__ void relu_backward(const element* dy, const element* y, element* dx, int packs, long long size) {
    combine(dy, y, dx, packs, size, [](float gradient, float out) { return out > 0.0f ? gradient : 0.0f; });
}
