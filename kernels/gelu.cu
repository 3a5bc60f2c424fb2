// The Gaussian error linear unit, forward and backward: y = x g with a gate g, in two forms. Limited by memory if a
// number costs few instructions. In the tanh form therefore not tanh but the logistic function, which is one exponential
// and one quotient:
//
//     g     = (1 + tanh(u)) / 2 = 1 / (1 + exp(-2u)),      u = sqrt(2/pi) (x + 0.044715 x^3)
//     dy/dx = g + 2 x g (1 - g) u',   u' = sqrt(2/pi) (1 + 3 0.044715 x^2)     (1 - tanh^2 = 4 g (1 - g))
//
// Beside being faster it is more exact where x is far below 0: 1 + tanh(u) would cancel there. With EXACT:
//
//     g     = Phi(x), the normal distribution's;      dy/dx = g + x phi(x),   phi = Phi' = exp(-x^2 / 2) / sqrt(2 pi)

#include "groups.cuh"

constexpr float FAR_OUT = 100.0f;

// x, or where the slope is 1 or 0 already: farther out x^2 may be infinite, and the factor beside it 0. NaN is in g.
__device__ __forceinline__ float nearer(float x) { return fminf(fmaxf(x, -FAR_OUT), FAR_OUT); }

#if EXACT
constexpr float ONE_OVER_SQRT_2_PI = 0.3989422804014327f;

__device__ __forceinline__ float gate(float x) { return normcdff(x); }

// dy/dx at x, where g = gate(x)
__device__ __forceinline__ float slope_at(float x, float g) {
    const float z = nearer(x);
    return g + z * ONE_OVER_SQRT_2_PI * __expf(-0.5f * z * z);
}
#else
constexpr float SQRT_2_OVER_PI = 0.7978845608028654f, CUBIC = 0.044715f;

// exp(-2u) may be infinite: the quotient is then 0.
__device__ __forceinline__ float gate(float x) {
    const float u = SQRT_2_OVER_PI * x * (1.0f + CUBIC * x * x);
    return __fdividef(1.0f, 1.0f + __expf(-2.0f * u));
}

// dy/dx at x, where g = gate(x)
__device__ __forceinline__ float slope_at(float x, float g) {
    const float z = nearer(x), du = SQRT_2_OVER_PI * (1.0f + 3.0f * CUBIC * z * z);
    return g + 2.0f * z * g * (1.0f - g) * du;
}
#endif

// y = gelu(x); both (size,)
extern "C" __global__ void gelu_forward(const element* x, element* y, int packs, long long size) {
    map(x, y, packs, size, [](float value) { return value * gate(value); });
}

// dx = dy slope(x), the slope computed again from x; all (size,)
extern "C" __global__ void gelu_backward(const element* dy, const element* x, element* dx, int packs, long long size) {
    combine(dy, x, dx, packs, size,
            [](float gradient, float value) { return gradient * slope_at(value, gate(value)); });
}

// h = gelu(h + bias), slope = its derivative; h, slope (size / columns, columns), bias (columns,)
extern "C" __global__ void bias_gelu(element* h, const element* bias, element* slope, int packs, long long size,
                                     int columns) {
    for_all(packs, size, [&](auto index, auto value) {
        const long long start = start_of(index, value.SIZE);
        auto other = value;
        value.load(h + start);
        other.load(bias + index % (columns / value.SIZE) * value.SIZE);
#pragma unroll
        for (int i = 0; i < value.SIZE; ++i) {
            const float x = value.at[i] + other.at[i], g = gate(x);
            value.at[i] = x * g;
            other.at[i] = slope_at(x, g);
        }
        value.store(h + start);
        other.store(slope + start);
    });
}
