// The end of a training step that no host looks at: what was measured is kept until somebody asks, and a step whose
// loss or gradient is not finite is held back, as are all after it, so that the weights stay as they were before it.

#include "common.cuh"

__device__ __forceinline__ bool is_finite(float x) { return fabsf(x) < INFINITY; }  // false for NaN

// All arrays () unless said otherwise.
// norm, scale:         of the gradients, and what they are to be multiplied with so that it is not too large
// step:                which step this is
// history (length, 2): row step % length becomes the loss and the norm
// failed:              becomes 1 if one of them is not finite, and stays so
// gradient_scale:      becomes the scale, or NaN, which tells the optimizer to leave everything as it is
extern "C" __global__ void settle_step(const float* loss, const float* norm, const float* scale, const unsigned* step,
                                       float* history, int length, int* failed, float* gradient_scale) {
    float* row = history + 2 * (*step % length);
    row[0] = *loss;
    row[1] = *norm;
    const bool held_back = *failed || !is_finite(*loss) || !is_finite(*norm);
    *failed = held_back;
    *gradient_scale = held_back ? not_a_number() : *scale;
}
