// The sigmoid linear unit, and its use as a gate. Limited by memory, so what is computed twice costs nothing.
//
//     silu(x) = x s,      s = 1 / (1 + exp(-x));      silu'(x) = s + x s (1 - s),   1 - s = 1 / (1 + exp(x))
//
// 1 - s is computed by itself: the difference would lose its digits where s is near 1.

#include "groups.cuh"

constexpr float FAR_OUT = 100.0f;

// exp(-x) may be infinite: the quotient is then 0.
__device__ __forceinline__ float logistic(float x) { return __fdividef(1.0f, 1.0f + __expf(-x)); }

// x, or where the slope is 1 or 0 already: farther out x may be infinite, and the factor beside it 0. NaN is in s.
__device__ __forceinline__ float nearer(float x) { return fminf(fmaxf(x, -FAR_OUT), FAR_OUT); }

__device__ __forceinline__ float silu(float x) { return x * logistic(x); }

__device__ __forceinline__ float slope(float x) {
    const float s = logistic(x), z = nearer(x);
    return s * (1.0f + z * logistic(-z));
}

// y = silu(x); both (size,)
extern "C" __global__ void silu_forward(const element* x, element* y, int packs, long long size) {
    map(x, y, packs, size, [](float value) { return silu(value); });
}

// dx = dy silu'(x), the slope computed again from x; all (size,)
extern "C" __global__ void silu_backward(const element* dy, const element* x, element* dx, int packs, long long size) {
    combine(dy, x, dx, packs, size, [](float gradient, float value) { return gradient * slope(value); });
}

// Where in [gate | up], rows of 2 columns, the gate of element (or pack) `index` of a product (rows, columns) begins.
__device__ __forceinline__ long long gate_of(long long index, int group, int columns) {
    const long long row = index / (columns / group), first = index % (columns / group) * group;
    return row * 2 * columns + first;
}

// product = silu(gate) up; hidden [gate | up] (size / columns, 2 columns), product (size / columns, columns)
extern "C" __global__ void silu_gate(element* product, const element* hidden, int packs, long long size, int columns) {
    for_all(packs, size, [&](auto index, auto gate) {
        const long long place = gate_of(index, gate.SIZE, columns);
        auto up = gate;
        gate.load(hidden + place);
        up.load(hidden + place + columns);
#pragma unroll
        for (int i = 0; i < gate.SIZE; ++i) gate.at[i] = silu(gate.at[i]) * up.at[i];
        gate.store(product + start_of(index, gate.SIZE));
    });
}

// dhidden = [dproduct up silu'(gate) | dproduct silu(gate)], shapes as above
extern "C" __global__ void silu_gate_backward(const element* dproduct, const element* hidden, element* dhidden,
                                              int packs, long long size, int columns) {
    for_all(packs, size, [&](auto index, auto gate) {
        const long long place = gate_of(index, gate.SIZE, columns);
        auto up = gate, gradient = gate;
        gradient.load(dproduct + start_of(index, gate.SIZE));
        gate.load(hidden + place);
        up.load(hidden + place + columns);
#pragma unroll
        for (int i = 0; i < gate.SIZE; ++i) {
            const float x = gate.at[i];
            gate.at[i] = gradient.at[i] * up.at[i] * slope(x);
            up.at[i] = gradient.at[i] * silu(x);
        }
        gate.store(dhidden + place);
        up.store(dhidden + place + columns);
    });
}
