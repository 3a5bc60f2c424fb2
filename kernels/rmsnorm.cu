// Root-mean-square normalisation, forward and backward: layernorm.cu without the mean and the bias.
//
// Idea:   the memory is the limit: a row is read once, held in registers by the threads that share it, and every sum
//         over it is made from there. In bfloat16 everything between load and store is float.
// Memory: one number a row (rrms) is saved, not the normalised row. The backward leaves 4 bytes for each channel and
//         block, the partial sums of dweight, and a second launch (column_sum.cu) adds them.
// Loses:  where a row does not fit into the registers of a block: such rows it does not take.
//
// ROW_THREADS and HELD, macros of the build: rows.cuh. Derivation: docs/rmsnorm.md.

#include "rows.cuh"

// x, y (rows, channels); weight (channels,); rrms (rows,), for the backward.
//     y = weight x rrms,     rrms = 1 / sqrt(mean(x²) + eps)
extern "C" __global__ void __launch_bounds__(THREADS)
rmsnorm_forward(const element* x, const element* weight, float eps, element* y, float* rrms, int rows, int channels) {
    __shared__ float shared[WARP];
    const int row = first_row();
    if (row >= rows) return;  // all who share the row leave together
    Part part;
    part.load(x + static_cast<long long>(row) * channels, channels);

    float squares = 0.0f;
#pragma unroll
    for (int i = 0; i < HELD; ++i)
#pragma unroll
        for (int j = 0; j < WIDTH; ++j) squares += part.group[i].at[j] * part.group[i].at[j];  // 0 behind the row's end
    const float scale = rsqrtf(row_sum(squares, shared) / channels + eps);

#pragma unroll
    for (int i = 0; i < HELD; ++i) {
        if (Part::channel(i) >= channels) continue;
        Floats<WIDTH> factor;
        factor.load(weight + Part::channel(i));
#pragma unroll
        for (int j = 0; j < WIDTH; ++j) part.group[i].at[j] *= scale * factor.at[j];
    }
    part.store(y + static_cast<long long>(row) * channels, channels);
    if (threadIdx.x % ROW_THREADS == 0) rrms[row] = scale;
}

// dx from the row alone; of dweight each block leaves the sums over its rows: partial (blocks, channels), to be added
// up by finish_column_sums. dy, x, dx (rows, channels); rrms (rows,); weight (channels,).
extern "C" __global__ void __launch_bounds__(THREADS)
rmsnorm_backward(const element* dy, const element* x, const float* rrms, const element* weight, element* dx,
                 float* partial, int rows, int channels) {
    __shared__ float shared[WARP];
    Part dweight = {};
    for (int row = first_row(); row < rows; row += gridDim.x * ROWS) {
        const long long start = static_cast<long long>(row) * channels;
        const float scale = rrms[row];
        Part gradient, normalized;
        gradient.load(dy + start, channels);
        normalized.load(x + start, channels);

        // forward: y = normalized weight
        float along = 0.0f;
#pragma unroll
        for (int i = 0; i < HELD; ++i) {
            if (Part::channel(i) >= channels) continue;
            Floats<WIDTH> factor;
            factor.load(weight + Part::channel(i));
#pragma unroll
            for (int j = 0; j < WIDTH; ++j) {
                float &g = gradient.group[i].at[j], &n = normalized.group[i].at[j];
                n *= scale;
                dweight.group[i].at[j] += g * n;
                g *= factor.at[j];  // dnormalized
                along += g * n;
            }
        }

        // forward: normalized = x rrms, and rrms depends on every channel: dnormalized loses its component along
        // normalized (ops/rmsnorm.py)
        const float through_mean_square = row_sum(along, shared) / channels;
#pragma unroll
        for (int i = 0; i < HELD; ++i)
#pragma unroll
            for (int j = 0; j < WIDTH; ++j) {
                float& g = gradient.group[i].at[j];
                g = scale * (g - normalized.group[i].at[j] * through_mean_square);
            }
        gradient.store(dx + start, channels);
    }

    add_rows_of_block(dweight);
    if (!has_sum_of_block()) return;
    dweight.store(partial + static_cast<long long>(blockIdx.x) * channels, channels);
}
