// Cross-entropy of logits against targets with the softmax inside: probabilities are never stored. The forward reads
// the logits once and leaves two numbers a row; the backward reads them again and writes the gradient, each once.
//
//     loss of a row = log(total) - (z_t - max),     total = sum_i exp(z_i - max)
//     dz_i          = dloss weight (exp(z_i - max) / total - [i == t])
//
// max and total are kept apart: their logarithm max + log(total) would lose the digits that a large max takes.
// A row without weight adds nothing and gets a gradient of zeros, whatever its logits are: NaN, too. A target that is
// neither a class nor the ignored one is told (faults.cuh) and makes the loss NaN.
//
// ROW_THREADS, a macro of the build, says who shares a row: a warp (32) for small vocabularies, else a block.
// INDEX is the C type of the targets. A row's first elements, up to a multiple of 16 bytes, and its last are taken one
// by one, so that any vocabulary will do; `logits` and `dlogits` themselves start at multiples of 16 bytes.

#include "faults.cuh"
#include "groups.cuh"

#ifndef ROW_THREADS
#define ROW_THREADS 32
#endif
#ifndef UNROLLED
#define UNROLLED 2
#endif

constexpr int AHEAD = UNROLLED;  // packs that a thread may load before it uses the first
constexpr int THREADS = ROW_THREADS == WARP ? 256 : ROW_THREADS;
constexpr int ROWS = THREADS / ROW_THREADS;  // of a block

// The weight of a row in the loss: 0 where the target is not counted. `weights` is null where there are none.
__device__ __forceinline__ float weight_of(INDEX target, long long ignored, const float* weights, int row) {
    return target == ignored ? 0.0f : weights ? weights[row] : 1.0f;
}

// Calls each(first, x) for this thread's share of a row: `first` is the index of the first of x.SIZE elements.
template <typename Each>
__device__ __forceinline__ void for_row(long long start, int length, Each each) {
    const int thread = threadIdx.x % ROW_THREADS;
    const int head = min(static_cast<int>((PACK - start % PACK) % PACK), length);
    const int packs = (length - head) / PACK, tail = head + packs * PACK;
    if (thread < head) each(thread, Floats<1>{});
#pragma unroll AHEAD
    for (int pack = thread; pack < packs; pack += ROW_THREADS) each(head + pack * PACK, Floats<PACK>{});
    if (thread < length - tail) each(tail + thread, Floats<1>{});
}

// The largest of the numbers seen, and the sum of exp(number - largest): what it was before is rescaled when a larger
// one comes (Milakov and Gimelshein: "Online normalizer calculation for softmax", 2018, arXiv 1805.02867,
// algorithm 3).
struct Running {
    float largest = -INFINITY, total = 0.0f;

    template <int N>
    __device__ __forceinline__ void add(const Floats<N>& x) {
        float larger = largest;
#pragma unroll
        for (int i = 0; i < N; ++i) larger = fmaxf(larger, x.at[i]);
        const float shift = finite_shift(larger);
        total *= __expf(largest - shift);
#pragma unroll
        for (int i = 0; i < N; ++i) total += __expf(x.at[i] - shift);
        largest = larger;
    }

    // As long as all numbers are -infinity, their exponentials are 0 whatever is subtracted; -infinity would give NaN.
    __device__ static __forceinline__ float finite_shift(float largest) {
        return largest == -INFINITY ? 0.0f : largest;
    }
};

__device__ __forceinline__ Running together_in_warp(Running mine) {
    const float largest = warp_max(mine.largest);
    return {largest, warp_sum(mine.total * __expf(mine.largest - Running::finite_shift(largest)))};
}

// The largest number and the sum of all threads that share a row, in all of them.
__device__ __forceinline__ Running together(Running mine) {
    Running all = together_in_warp(mine);
#if ROW_THREADS > 32
    __shared__ float largest[WARP], total[WARP];
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (lane == 0) {
        largest[warp] = all.largest;
        total[warp] = all.total;
    }
    __syncthreads();
    if (lane < ROW_THREADS / WARP) mine = {largest[lane], total[lane]};
    else mine = {};
    all = together_in_warp(mine);
#endif
    return all;
}

// logits (rows, vocabulary); targets, weights or null, losses (each times its weight), largest, total (rows,);
// fault (2,) or null
extern "C" __global__ void __launch_bounds__(THREADS)
cross_entropy_forward(const element* logits, const INDEX* targets, const float* weights, long long ignored,
                      float* losses, float* largest, float* total, long long* fault, int rows, int vocabulary) {
    const int row = blockIdx.x * ROWS + threadIdx.x / ROW_THREADS;
    if (row >= rows) return;  // all who share the row leave together
    const long long start = static_cast<long long>(row) * vocabulary;
    Running running;
    for_row(start, vocabulary, [&](int first, auto x) {
        x.load(logits + start + first);
        running.add(x);
    });
    running = together(running);
    if (threadIdx.x % ROW_THREADS > 0) return;
    const INDEX target = targets[row];
    const float weight = weight_of(target, ignored, weights, row);
    const bool is_class = target >= 0 && target < vocabulary;
    if (!is_class && target != ignored) tell_fault(fault, target, vocabulary);
    const float of_target = is_class ? to_float(logits[start + target]) : not_a_number();
    losses[row] = weight == 0.0f ? 0.0f : weight * (logf(running.total) - (of_target - running.largest));
    largest[row] = running.largest;
    total[row] = running.total;
}

// dlogits (rows, vocabulary) from the gradient of the loss, dloss (): one pass. The rows go backwards: the last ones
// may still be in the cache from the forward.
extern "C" __global__ void __launch_bounds__(THREADS)
cross_entropy_backward(const float* dloss, const element* logits, const INDEX* targets, const float* weights,
                       long long ignored, const float* largest, const float* total, element* dlogits, int rows,
                       int vocabulary) {
    const int row = rows - 1 - (blockIdx.x * ROWS + threadIdx.x / ROW_THREADS);
    if (row < 0) return;
    const long long start = static_cast<long long>(row) * vocabulary;
    const INDEX target = targets[row];
    const int hot = target >= 0 && target < vocabulary ? target : -1;
    const float weight = weight_of(target, ignored, weights, row), scale = *dloss * weight;
    const float shift = largest[row], inverse = 1.0f / total[row];
    for_row(start, vocabulary, [&](int first, auto x) {
        x.load(logits + start + first);
#pragma unroll
        for (int i = 0; i < x.SIZE; ++i) {
            const float slope = __expf(x.at[i] - shift) * inverse - (first + i == hot ? 1.0f : 0.0f);
            x.at[i] = weight == 0.0f ? 0.0f : scale * slope;
        }
        x.store(dlogits + start + first);
    });
}

// loss = the sum of `count` numbers; one block of 1024 threads, so that the order is always the same
extern "C" __global__ void __launch_bounds__(1024) sum_losses(const float* losses, float* loss, int count) {
    __shared__ float shared[WARP];
    float sum = 0.0f;
#pragma unroll 4
    for (int i = threadIdx.x; i < count; i += 1024) sum += losses[i];
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) *loss = sum;
}
