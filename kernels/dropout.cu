// Dropout, forward and backward alike: x times a mask that is drawn here and never stored. Bit for bit the mask of
// backend/random.py on the CPU: element n belongs to word n % 4 of the Philox block with counter (n / 4, step, site).

#include "groups.cuh"
#include "philox.cuh"

// y = x mask; x, y (size,), which may be one array. mask: 0 where the element's number in [0, 1) is below `rate`, else
// `scale` = 1 / (1 - rate). A product, not a choice: NaN stays NaN, and -x becomes -0, as on the CPU.
// step_address, if not null, is where the step stands: a captured graph is replayed with another step each time.
extern "C" __global__ void dropout(const element* x, element* y, int packs, long long size, float rate, float scale,
                                   unsigned key0, unsigned key1, unsigned step, const unsigned* step_address,
                                   unsigned site) {
    if (step_address) step = *step_address;
    const long long groups = (size + PACK - 1) / PACK;
    for (long long group = blockIdx.x * blockDim.x + threadIdx.x; group < groups; group += gridDim.x * blockDim.x) {
        Floats<PACK> mask;
#pragma unroll
        for (int i = 0; i < PACK / WORDS; ++i) {
            const unsigned long long number = group * (PACK / WORDS) + i;
            const unsigned low = static_cast<unsigned>(number), high = static_cast<unsigned>(number >> 32);
            const Block drawn = philox({{low, high, step, site}}, key0, key1);
#pragma unroll
            for (int j = 0; j < WORDS; ++j) {
                const float uniform = (drawn.word[j] >> 8) * 0x1p-24f;  // 24 bits: exact
                mask.at[i * WORDS + j] = uniform >= rate ? scale : 0.0f;
            }
        }
        const long long start = group * PACK;
        if (group < packs) {
            Floats<PACK> value;
            value.load(x + start);
#pragma unroll
            for (int i = 0; i < PACK; ++i) value.at[i] *= mask.at[i];
            value.store(y + start);
        } else {
#pragma unroll
            for (int i = 0; i < PACK; ++i)
                if (start + i < size) put(y + start + i, to_float(x[start + i]) * mask.at[i]);
        }
    }
}
