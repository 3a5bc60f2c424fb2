// Gradient descent with momentum over flat buffers in one pass: limited by memory, each array is read and written once.
//
// Values, gradients and the velocity are float32. Where a model computes in bfloat16 (OUT), its rounded copy of the
// values is written in the same pass. The bits are those of the CPU, but for numbers below the normal ones, which are 0
// here.

#include "groups.cuh"
#include "rates.cuh"

// One update in place (optim/sgd.py):
//     g = gradient_scale g + penalty p,   v = momentum v + fresh g,   u = v, with nesterov g + momentum v
//     p = kept p - rate u,   penalty = 0 and kept = 1 behind the first `decayed` elements
// values, gradients (size,); velocity (size,), or null: then u = g; working (size,), the rounded copy, or null
// Those rates that may change from step to step come twice: the value, and where to read it instead, or null.
// A gradient_scale of NaN changes nothing at all: a step whose gradients are not finite is held back, and the host need
// not know.
extern "C" __global__ void sgd(float* values, const float* gradients, float* velocity, result* working, int packs,
                               long long size, long long decayed, float rate, const float* rate_at, float kept,
                               const float* kept_at, float fresh, const float* fresh_at, float gradient_scale,
                               const float* gradient_scale_at, float momentum, float penalty, int nesterov) {
    rate = number(rate, rate_at);
    kept = number(kept, kept_at);
    fresh = number(fresh, fresh_at);
    gradient_scale = number(gradient_scale, gradient_scale_at);
    if (gradient_scale != gradient_scale) return;
    for_all(packs, size, [&](auto index, auto p) {
        const long long start = start_of(index, p.SIZE);
        auto u = p, v = p;
        u.load(gradients + start);
        p.load(values + start);
        if (velocity) v.load(velocity + start);
#pragma unroll
        for (int i = 0; i < p.SIZE; ++i) {
            const bool decays = start + i < decayed;
            u.at[i] = times(gradient_scale, u.at[i]);
            if (decays && penalty != 0.0f) u.at[i] = plus(u.at[i], times(penalty, p.at[i]));
            if (velocity) {
                v.at[i] = plus(times(momentum, v.at[i]), times(fresh, u.at[i]));
                u.at[i] = nesterov ? plus(u.at[i], times(momentum, v.at[i])) : v.at[i];
            }
            p.at[i] = plus(times(decays ? kept : 1.0f, p.at[i]), -times(rate, u.at[i]));
        }
        if (velocity) v.store(velocity + start);
        p.store(values + start);
        if (working) p.store(working + start);
    });
}
