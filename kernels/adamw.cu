// AdamW over flat buffers in one pass, and the norm of the gradients. Both are limited by memory: an update reads and
// writes each of its arrays once.
//
// Values, gradients and moments are float32. Where a model computes in bfloat16 (OUT), its rounded copy of the values
// is written in the same pass.

#include "groups.cuh"
#include "rates.cuh"

// One update in place (optim/adamw.py):
//     g = gradient_scale g,   m = beta1 m + fresh1 g,   v = beta2 v + fresh2 g^2
//     p = kept p - mean_scale m / (sqrt(v) spread_scale + eps),   kept = 1 behind the first `decayed` elements
// values, gradients, first, second (size,); working (size,), the rounded copy, or null
// fresh1 = 1 - beta1 and fresh2 = 1 - beta2 come from the host: in float32 the difference would lose its digits.
// Each rate comes twice: its value, and where to read it instead, or null. A gradient_scale of NaN changes nothing at
// all: a step whose gradients are not finite is held back, and the host need not know.
extern "C" __global__ void adamw(float* values, const float* gradients, float* first, float* second, result* working,
                                 int packs, long long size, long long decayed,
                                 float beta1, const float* beta1_at, float beta2, const float* beta2_at,
                                 float mean_scale, const float* mean_scale_at,
                                 float spread_scale, const float* spread_scale_at, float eps, const float* eps_at,
                                 float kept, const float* kept_at,
                                 float gradient_scale, const float* gradient_scale_at,
                                 float fresh1, const float* fresh1_at, float fresh2, const float* fresh2_at) {
    beta1 = number(beta1, beta1_at);
    beta2 = number(beta2, beta2_at);
    mean_scale = number(mean_scale, mean_scale_at);
    spread_scale = number(spread_scale, spread_scale_at);
    eps = number(eps, eps_at);
    kept = number(kept, kept_at);
    gradient_scale = number(gradient_scale, gradient_scale_at);
    fresh1 = number(fresh1, fresh1_at);
    fresh2 = number(fresh2, fresh2_at);
    if (gradient_scale != gradient_scale) return;
    for_all(packs, size, [&](auto index, auto p) {
        const long long start = start_of(index, p.SIZE);
        auto g = p, m = p, v = p;
        g.load(gradients + start);
        m.load(first + start);
        v.load(second + start);
        p.load(values + start);
#pragma unroll
        for (int i = 0; i < p.SIZE; ++i) {
            const float scaled = gradient_scale * g.at[i];
            m.at[i] = beta1 * m.at[i] + fresh1 * scaled;
            v.at[i] = beta2 * v.at[i] + fresh2 * scaled * scaled;
            const float update = mean_scale * m.at[i] / (sqrtf(v.at[i]) * spread_scale + eps);
            p.at[i] = (start + i < decayed ? kept : 1.0f) * p.at[i] - update;
        }
        m.store(first + start);
        v.store(second + start);
        p.store(values + start);
        if (working) p.store(working + start);
    });
}

// partial[block] = the sum of the squares of a block's share; x (size,), partial (gridDim.x,)
extern "C" __global__ void partial_squares(const element* x, float* partial, int packs, long long size) {
    __shared__ float shared[WARP];
    float sum = 0.0f;
    for_all(packs, size, [&](auto index, auto value) {
        value.load(x + start_of(index, value.SIZE));
#pragma unroll
        for (int i = 0; i < value.SIZE; ++i) sum += value.at[i] * value.at[i];
    });
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// norm_and_scale[0] = the norm, [1] = what the gradients are to be multiplied with so that it is at most `most`
// (0: no clipping); one block. A NaN stays a NaN, which fminf and fmaxf would drop.
extern "C" __global__ void finish_norm(const float* partial, float* norm_and_scale, int count, float most) {
    __shared__ float shared[WARP];
    float sum = 0.0f;
    for (int i = threadIdx.x; i < count; i += blockDim.x) sum += partial[i];
    sum = block_sum(sum, shared);
    if (threadIdx.x > 0) return;
    const float norm = sqrtf(sum), scale = most / (norm < 1e-12f ? 1e-12f : norm);
    norm_and_scale[0] = norm;
    norm_and_scale[1] = most <= 0.0f || scale > 1.0f ? 1.0f : scale;
}
