// Rotary positions: each pair of channels of a head turned by an angle that grows with the position. The memory is the
// limit: nothing is read but x, and the angles are made here, forward and backward, instead of kept.
//
// A thread has WIDTH neighbouring channels of a row, and takes them through all heads of the row: their angles are the
// same. PAIRED, a macro of the build, is 1 where the head size or the width is no multiple of that: a thread then has one
// pair. HALVES is 1 where the pairs are channels i and i + width / 2: a thread then has two runs of channels.
// INDEX, a macro of the build, is the type of the positions.

#include "groups.cuh"

#ifndef PAIRED
#define PAIRED 0
#endif

#ifndef HALVES
#define HALVES 0
#endif

constexpr int THREADS = 256;
constexpr int CHANNELS = PAIRED ? 2 : HALVES ? 2 * PACK : PACK;  // of a thread
constexpr int PAIRS = CHANNELS / 2;

// Sine and cosine of position * base^(-2 pair / width). A large position times its frequency has many whole turns,
// and only the remainder counts: so the angle is made in double and in turns, and float begins behind the remainder.
__device__ __forceinline__ void angle_of(long long position, int pair, int width, double log2_base, float* sine,
                                         float* cosine) {
    constexpr double TURNS = 0.15915494309189533577;  // 1 / (2 pi)
    const double turns = static_cast<double>(position) * exp2(-2.0 * pair / width * log2_base) * TURNS;
    sincospif(2.0f * static_cast<float>(turns - rint(turns)), sine, cosine);
}

// x, y (rows, heads, head_size): y = x with the pairs among the first `width` channels of the first `turned` heads turned
// by their row's position (turned back if `back`), the rest copied. positions (period,): row n has positions[n % period].
//     y[2i] = x[2i] cos - x[2i + 1] sin,     y[2i + 1] = x[2i] sin + x[2i + 1] cos,     or with i and i + width / 2
extern "C" __global__ void __launch_bounds__(THREADS)
turn(const element* x, const INDEX* positions, element* y, int rows, int period, int heads, int turned, int head_size,
     int width, double log2_base, int back) {
    const int threads_a_row = head_size / CHANNELS;
    const long long thread = static_cast<long long>(blockIdx.x) * THREADS + threadIdx.x;
    const int row = static_cast<int>(thread / threads_a_row);
    const int channel = static_cast<int>(thread % threads_a_row) * CHANNELS;
    if (row >= rows) return;

    const long long start = static_cast<long long>(row) * heads * head_size;
    if (channel >= width) {  // these channels are not turned in any head
        for (int head = 0; head < heads; ++head) {
            Floats<CHANNELS> value;
            value.load(x + start + head * head_size + channel);
            value.store(y + start + head * head_size + channel);
        }
        return;
    }

    const int pair = channel / 2;
    float sine[PAIRS], cosine[PAIRS];
#pragma unroll
    for (int i = 0; i < PAIRS; ++i) {
        angle_of(positions[row % period], pair + i, width, log2_base, &sine[i], &cosine[i]);
        if (back) sine[i] = -sine[i];
    }

    for (int head = 0; head < heads; ++head) {
        const long long place = start + head * head_size;
#if HALVES
        Floats<PAIRS> low, high;
        low.load(x + place + pair);
        high.load(x + place + width / 2 + pair);
#pragma unroll
        for (int i = 0; i < PAIRS; ++i) {
            const float first = low.at[i], second = high.at[i];
            if (head < turned) {
                low.at[i] = first * cosine[i] - second * sine[i];
                high.at[i] = first * sine[i] + second * cosine[i];
            }
        }
        low.store(y + place + pair);
        high.store(y + place + width / 2 + pair);
#else
        Floats<CHANNELS> value;
        value.load(x + place + channel);
#pragma unroll
        for (int i = 0; i < PAIRS; ++i) {
            const float first = value.at[2 * i], second = value.at[2 * i + 1];
            if (head < turned) {
                value.at[2 * i] = first * cosine[i] - second * sine[i];
                value.at[2 * i + 1] = first * sine[i] + second * cosine[i];
            }
        }
        value.store(y + place + channel);
#endif
    }
}
