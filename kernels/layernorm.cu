// Layer normalisation, forward and backward.
//
// Idea:   the memory is the limit: a row is read once, held in registers by the threads that share it, and every sum
//         over it is made from there. In bfloat16 everything between load and store is float.
// Memory: mean and rstd of a row are saved, not the normalised row. The backward leaves 8 bytes for each channel and
//         block, the partial sums of dweight and dbias, and a second launch (column_sum.cu) adds them.
// Loses:  where a row does not fit into the registers of a block: such rows it does not take.
//
// ROW_THREADS and HELD, macros of the build: rows.cuh. Derivation: docs/layernorm.md.

#include "rows.cuh"

// x, y (rows, channels); weight, bias (channels,); mean, rstd (rows,), for the backward.
//     y = weight (x - mean) rstd + bias,     rstd = 1 / sqrt(variance + eps)
extern "C" __global__ void __launch_bounds__(THREADS)
layernorm_forward(const element* x, const element* weight, const element* bias, float eps, element* y, float* mean,
                  float* rstd, int rows, int channels) {
    __shared__ float shared[WARP];
    const int row = first_row();
    if (row >= rows) return;  // all who share the row leave together
    Part part;
    part.load(x + static_cast<long long>(row) * channels, channels);

    float total = 0.0f;
#pragma unroll
    for (int i = 0; i < HELD; ++i)
#pragma unroll
        for (int j = 0; j < WIDTH; ++j) total += part.group[i].at[j];
    const float middle = row_sum(total, shared) / channels;

    // The variance from centered numbers, not from the mean of the squares, which would cancel.
    float squares = 0.0f;
#pragma unroll
    for (int i = 0; i < HELD; ++i)
#pragma unroll
        for (int j = 0; j < WIDTH; ++j) {
            const float centered = part.group[i].at[j] - middle;
            if (Part::channel(i) < channels) squares += centered * centered;
        }
    const float scale = rsqrtf(row_sum(squares, shared) / channels + eps);

#pragma unroll
    for (int i = 0; i < HELD; ++i) {
        if (Part::channel(i) >= channels) continue;
        Floats<WIDTH> factor, shift;
        factor.load(weight + Part::channel(i));
        shift.load(bias + Part::channel(i));
#pragma unroll
        for (int j = 0; j < WIDTH; ++j)
            part.group[i].at[j] = (part.group[i].at[j] - middle) * scale * factor.at[j] + shift.at[j];
    }
    part.store(y + static_cast<long long>(row) * channels, channels);
    if (threadIdx.x % ROW_THREADS == 0) {
        mean[row] = middle;
        rstd[row] = scale;
    }
}

// dx from the row alone; of dweight and dbias each block leaves the sums over its rows: partial (blocks, 2, channels),
// to be added up by finish_column_sums. dy, x, dx (rows, channels); mean, rstd (rows,); weight (channels,).
extern "C" __global__ void __launch_bounds__(THREADS)
layernorm_backward(const element* dy, const element* x, const float* mean, const float* rstd, const element* weight,
                   element* dx, float* partial, int rows, int channels) {
    __shared__ float shared[WARP];
    Part dweight = {}, dbias = {};
    for (int row = first_row(); row < rows; row += gridDim.x * ROWS) {
        const long long start = static_cast<long long>(row) * channels;
        const float middle = mean[row], scale = rstd[row];
        Part gradient, normalized;
        gradient.load(dy + start, channels);
        normalized.load(x + start, channels);

        // forward: y = normalized weight + bias
        float total = 0.0f, along = 0.0f;
#pragma unroll
        for (int i = 0; i < HELD; ++i) {
            if (Part::channel(i) >= channels) continue;
            Floats<WIDTH> factor;
            factor.load(weight + Part::channel(i));
#pragma unroll
            for (int j = 0; j < WIDTH; ++j) {
                float &g = gradient.group[i].at[j], &n = normalized.group[i].at[j];
                n = (n - middle) * scale;
                dbias.group[i].at[j] += g;
                dweight.group[i].at[j] += g * n;
                g *= factor.at[j];  // dnormalized
                total += g;
                along += g * n;
            }
        }

        // forward: normalized = (x - mean) rstd, and mean and rstd depend on every channel: dnormalized loses its mean
        // and its component along normalized (ops/layernorm.py)
        const float through_mean = row_sum(total, shared) / channels;
        const float through_variance = row_sum(along, shared) / channels;
#pragma unroll
        for (int i = 0; i < HELD; ++i)
#pragma unroll
            for (int j = 0; j < WIDTH; ++j) {
                float& g = gradient.group[i].at[j];
                g = scale * (g - through_mean - normalized.group[i].at[j] * through_variance);
            }
        gradient.store(dx + start, channels);
    }

    add_rows_of_block(dweight);
    add_rows_of_block(dbias);
    if (!has_sum_of_block()) return;
    float* out = partial + static_cast<long long>(blockIdx.x) * 2 * channels;
    dweight.store(out, channels);
    dbias.store(out + channels, channels);
}
