// The Gaussian error linear unit in its tanh form, forward and backward; limited by memory if a number costs few
// instructions. Therefore not tanh but the logistic function s, which is one exponential and one quotient:
//
//     (1 + tanh(u)) / 2 = s(2u) = 1 / (1 + exp(-2u)),      u = sqrt(2/pi) (x + 0.044715 x^3)
//     y     = x s                                           (ops/gelu.py: x/2 (1 + tanh(u)))
//     dy/dx = s + 2 x s (1 - s) u',   u' = sqrt(2/pi) (1 + 3 0.044715 x^2)     (1 - tanh^2 = 4 s (1 - s))
//
// Beside being faster it is more exact where x is far below 0: 1 + tanh(u) would cancel there.

#include "groups.cuh"

constexpr float SQRT_2_OVER_PI = 0.7978845608028654f, CUBIC = 0.044715f;

// s(2u). exp(-2u) may be infinite: the quotient is then 0.
__device__ __forceinline__ float gate(float x) {
    const float u = SQRT_2_OVER_PI * x * (1.0f + CUBIC * x * x);
    return __fdividef(1.0f, 1.0f + __expf(-2.0f * u));
}

// dy/dx at x, where s = gate(x)
__device__ __forceinline__ float slope_at(float x, float s) {
    const float du = SQRT_2_OVER_PI * (1.0f + 3.0f * CUBIC * x * x);
    return s + 2.0f * x * s * (1.0f - s) * du;
}

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
            const float x = value.at[i] + other.at[i], s = gate(x);
            value.at[i] = x * s;
            other.at[i] = slope_at(x, s);
        }
        value.store(h + start);
        other.store(slope + start);
    });
}
