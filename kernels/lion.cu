// Lion over flat buffers in one pass: limited by memory, each array is read and written once.
//
// Values, gradients and the moment are float32. Where a model computes in bfloat16 (OUT), its rounded copy of the values
// is written in the same pass. A sign turns at the last bit of what it is taken of, so products and sums are rounded one
// by one. The bits are those of the CPU, but for numbers below the normal ones, which are 0 here.

#include "groups.cuh"
#include "rates.cuh"

// -1, 0, 1, or NaN; of -0 it is 0, as on the CPU: values of -0 stay so
__device__ __forceinline__ float sign_of(float x) {
    return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x == 0.0f ? 0.0f : x;
}

// One update in place (optim/lion.py):
//     g = gradient_scale g
//     p = kept p - rate sign(beta1 m + fresh1 g),   kept = 1 behind the first `decayed` elements
//     m = beta2 m + fresh2 g
// values, gradients, first (size,); working (size,), the rounded copy, or null
// fresh1 = 1 - beta1 and fresh2 = 1 - beta2 come from the host: in float32 the difference would lose its digits.
// Those rates that may change from step to step come twice: the value, and where to read it instead, or null.
// A gradient_scale of NaN changes nothing at all: a step whose gradients are not finite is held back, and the host need
// not know.
extern "C" __global__ void lion(float* values, const float* gradients, float* first, result* working, int packs,
                                long long size, long long decayed, float rate, const float* rate_at, float kept,
                                const float* kept_at, float gradient_scale, const float* gradient_scale_at,
                                float beta1, float beta2, float fresh1, float fresh2) {
    rate = number(rate, rate_at);
    kept = number(kept, kept_at);
    gradient_scale = number(gradient_scale, gradient_scale_at);
    if (gradient_scale != gradient_scale) return;
    for_all(packs, size, [&](auto index, auto p) {
        const long long start = start_of(index, p.SIZE);
        auto g = p, m = p;
        g.load(gradients + start);
        m.load(first + start);
        p.load(values + start);
#pragma unroll
        for (int i = 0; i < p.SIZE; ++i) {
            const float scaled = times(gradient_scale, g.at[i]);
            const float direction = sign_of(plus(times(beta1, m.at[i]), times(fresh1, scaled)));
            p.at[i] = plus(times(start + i < decayed ? kept : 1.0f, p.at[i]), -times(rate, direction));
            m.at[i] = plus(times(beta2, m.at[i]), times(fresh2, scaled));
        }
        m.store(first + start);
        p.store(values + start);
        if (working) p.store(working + start);
    });
}
