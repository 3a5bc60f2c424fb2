// Choosing the next token: what samplers do with the logits, and a draw. Token by token the decisions of
// generation/samplers.py on the CPU, which says what each sampler means; kernels of its names are here.
//
// A block has a row. The scores of the row are float64 in global memory: `widen` makes them of the logits, each sampler
// reads and writes them, `choose_token` makes a token of them. All samplers have one list of parameters:
//
//     scores (rows, V);  weights (rows, V), for the kernel's own use;  prompt, written (rows, V) how often each token
//     stands there, or null;  value: the sampler's number
//
// Who is kept depends on sums of weights. These are whole numbers, parts of 2^40, so that the order of a sum does not
// matter and no rounding decides. Products and sums that the CPU rounds one by one are rounded so here, too (__dmul_rn).

#include "common.cuh"
#include "philox.cuh"

typedef unsigned long long u64;

constexpr int THREADS = 512;  // of a block
constexpr int WARPS = THREADS / WARP;
constexpr int BINS = 256;  // of a digit
constexpr double LIKELIEST = 0x1p40;  // the weight of the likeliest token
constexpr double DISTANCE_STEPS = 0x1p32;  // to one nat

__device__ __forceinline__ double infinity() { return __longlong_as_double(0x7ff0000000000000LL); }

// A token and its score. Of equal scores the lower id is the better one.
struct Best {
    double score;
    int id;

    __device__ __forceinline__ void take(double other_score, int other_id) {
        if (other_score > score || (other_score == score && other_id < id)) {
            score = other_score;
            id = other_id;
        }
    }
};

// The best of a block, in all its threads.
__device__ Best best_of_block(Best mine) {
    __shared__ double scores[WARPS];
    __shared__ int ids[WARPS];
#pragma unroll
    for (int distance = WARP / 2; distance > 0; distance /= 2) {
        const double score = __shfl_xor_sync(WHOLE_WARP, mine.score, distance);
        mine.take(score, __shfl_xor_sync(WHOLE_WARP, mine.id, distance));
    }
    if (threadIdx.x % WARP == 0) {
        scores[threadIdx.x / WARP] = mine.score;
        ids[threadIdx.x / WARP] = mine.id;
    }
    __syncthreads();
    mine = {scores[0], ids[0]};
    for (int warp = 1; warp < WARPS; ++warp) mine.take(scores[warp], ids[warp]);
    __syncthreads();  // nobody writes the shared arrays again before all have read them
    return mine;
}

__device__ Best best_of_row(const double* scores, int vocabulary) {
    Best best = {-infinity(), vocabulary - 1};
    for (int i = threadIdx.x; i < vocabulary; i += THREADS) best.take(scores[i], i);
    return best_of_block(best);
}

// The sum over a block, in all its threads, always in the same order.
template <typename Number>
__device__ Number sum_of_block(Number mine) {
    __shared__ Number sums[WARPS];
#pragma unroll
    for (int distance = WARP / 2; distance > 0; distance /= 2) mine += __shfl_xor_sync(WHOLE_WARP, mine, distance);
    if (threadIdx.x % WARP == 0) sums[threadIdx.x / WARP] = mine;
    __syncthreads();
    mine = sums[0];
    for (int warp = 1; warp < WARPS; ++warp) mine += sums[warp];
    __syncthreads();
    return mine;
}

// A score minus the largest: 0 for that, infinite or not.
__device__ __forceinline__ double below(double score, double largest) {
    return score == largest ? 0.0 : score - largest;
}

// Writes the weight of each token, and returns their sum.
__device__ u64 weigh(const double* scores, u64* weights, double largest, int vocabulary) {
    u64 sum = 0;
    for (int i = threadIdx.x; i < vocabulary; i += THREADS) {
        weights[i] = static_cast<u64>(rint(exp(below(scores[i], largest)) * LIKELIEST));
        sum += weights[i];
    }
    return sum_of_block(sum);
}

// A number in the order of the scores: the larger the score, the larger the number.
__device__ __forceinline__ u64 ordered(double score) {
    const u64 bits = __double_as_longlong(score == 0.0 ? 0.0 : score);  // -0 is 0
    return bits >> 63 ? ~bits : bits | 1ull << 63;
}

// Adds in shared memory, whatever the order. In halves: the GPU adds 32 bits at once, 64 only by trying again and again.
__device__ __forceinline__ void add_shared(unsigned (&sum)[2], u64 weight) {
    const unsigned low = static_cast<unsigned>(weight);
    const unsigned carry = atomicAdd(&sum[0], low) > ~low;
    const unsigned high = static_cast<unsigned>(weight >> 32) + carry;
    if (high) atomicAdd(&sum[1], high);
}

// Where the tokens end that are kept.
struct Last {
    u64 key;     // of the last one
    u64 before;  // the weights of those with larger keys
};

// Tokens in falling order of their keys are kept as long as the weights before them, with `before` for a start, are
// below the target. Digit by digit, from the highest on, of 8 bits each: the weights of all tokens that agree with
// the last one so far are summed up by their next digit, and the first warp finds the digit at which the target is met.
template <int BITS, typename Key, typename Weight>
__device__ Last last_kept(int vocabulary, u64 before, double target, Key key, Weight weight) {
    __shared__ unsigned sums[BINS][2];
    __shared__ u64 found_key, found_before;
    u64 prefix = 0, known = 0;  // the digits so far, and which bits they are
    for (int shift = BITS - 8; shift >= 0; shift -= 8) {
        for (int bin = threadIdx.x; bin < BINS; bin += THREADS) sums[bin][0] = sums[bin][1] = 0;
        __syncthreads();
        for (int i = threadIdx.x; i < vocabulary; i += THREADS) {
            const u64 of_token = key(i);
            if ((of_token & known) == prefix) add_shared(sums[of_token >> shift & (BINS - 1)], weight(i));
        }
        __syncthreads();
        if (threadIdx.x < WARP) {
            // Each lane has 8 bins, the first lane the largest digits.
            const int first = BINS - 1 - 8 * static_cast<int>(threadIdx.x);
            u64 mine = 0;
            for (int j = 0; j < 8; ++j) mine += static_cast<u64>(sums[first - j][1]) << 32 | sums[first - j][0];
            u64 up_to = mine;
#pragma unroll
            for (int distance = 1; distance < WARP; distance *= 2) {
                const u64 other = __shfl_up_sync(WHOLE_WARP, up_to, distance);
                if (threadIdx.x >= distance) up_to += other;
            }
            u64 above = before + up_to - mine;
            for (int j = 0; j < 8; ++j) {
                const u64 here = static_cast<u64>(sums[first - j][1]) << 32 | sums[first - j][0];
                if (static_cast<double>(above) < target && static_cast<double>(above + here) >= target) {
                    found_key = prefix | static_cast<u64>(first - j) << shift;
                    found_before = above;
                }
                above += here;
            }
        }
        __syncthreads();
        prefix = found_key;
        before = found_before;
        known |= static_cast<u64>(BINS - 1) << shift;
    }
    return {prefix, before};
}

// Rules out all tokens but those before the target is met; of equal keys the lower ids come first.
template <typename Key, typename Weight>
__device__ void keep_first(double* scores, int vocabulary, double target, Key key, Weight weight) {
    const Last last = last_kept<64>(vocabulary, 0, target, key, weight);
    const auto rank = [](int i) { return static_cast<u64>(~static_cast<unsigned>(i)); };
    const auto of_equals = [&](int i) { return key(i) == last.key ? weight(i) : 0; };
    const u64 last_rank = last_kept<32>(vocabulary, last.before, target, rank, of_equals).key;
    for (int i = threadIdx.x; i < vocabulary; i += THREADS) {
        const u64 mine = key(i);
        if (mine < last.key || (mine == last.key && rank(i) < last_rank)) scores[i] = -infinity();
    }
}

// scores (rows, V) float64 of logits (rows, V); nan (rows,) becomes whether there is one in the row
extern "C" __global__ void __launch_bounds__(THREADS)
widen(const element* logits, double* scores, int* nan, int vocabulary) {
    const long long start = static_cast<long long>(blockIdx.x) * vocabulary;
    int found = 0;
    for (int i = threadIdx.x; i < vocabulary; i += THREADS) {
        const float logit = to_float(logits[start + i]);
        scores[start + i] = logit;
        found |= isnan(logit);
    }
    found = __syncthreads_or(found);
    if (threadIdx.x == 0) nan[blockIdx.x] = found;
}

extern "C" __global__ void __launch_bounds__(THREADS)
repetition_penalty(double* scores, u64* weights, const int* prompt, const int* written, int vocabulary, double value) {
    const long long start = static_cast<long long>(blockIdx.x) * vocabulary;
    for (int i = threadIdx.x; i < vocabulary; i += THREADS) {
        const double score = scores[start + i];
        if (prompt[start + i] > 0 || written[start + i] > 0) {
            scores[start + i] = score > 0.0 ? score / value : score * value;
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
presence_penalty(double* scores, u64* weights, const int* prompt, const int* written, int vocabulary, double value) {
    const long long start = static_cast<long long>(blockIdx.x) * vocabulary;
    for (int i = threadIdx.x; i < vocabulary; i += THREADS)
        if (written[start + i] > 0) scores[start + i] -= value;
}

extern "C" __global__ void __launch_bounds__(THREADS)
frequency_penalty(double* scores, u64* weights, const int* prompt, const int* written, int vocabulary, double value) {
    const long long start = static_cast<long long>(blockIdx.x) * vocabulary;
    for (int i = threadIdx.x; i < vocabulary; i += THREADS)
        scores[start + i] = __dsub_rn(scores[start + i], __dmul_rn(value, written[start + i]));
}

extern "C" __global__ void __launch_bounds__(THREADS)
top_k(double* scores, u64* weights, const int* prompt, const int* written, int vocabulary, double value) {
    if (value >= vocabulary) return;
    scores += static_cast<long long>(blockIdx.x) * vocabulary;
    const auto key = [&](int i) { return ordered(scores[i]); };
    keep_first(scores, vocabulary, value, key, [](int i) -> u64 { return 1; });
}

extern "C" __global__ void __launch_bounds__(THREADS)
top_p(double* scores, u64* weights, const int* prompt, const int* written, int vocabulary, double value) {
    if (value == 1.0) return;
    scores += static_cast<long long>(blockIdx.x) * vocabulary;
    weights += static_cast<long long>(blockIdx.x) * vocabulary;
    const double largest = best_of_row(scores, vocabulary).score;
    const double target = value * static_cast<double>(weigh(scores, weights, largest, vocabulary));
    const auto key = [&](int i) { return ordered(scores[i]); };
    keep_first(scores, vocabulary, target, key, [&](int i) { return weights[i]; });
}

extern "C" __global__ void __launch_bounds__(THREADS)
typical(double* scores, u64* weights, const int* prompt, const int* written, int vocabulary, double value) {
    if (value == 1.0) return;
    scores += static_cast<long long>(blockIdx.x) * vocabulary;
    weights += static_cast<long long>(blockIdx.x) * vocabulary;
    const double largest = best_of_row(scores, vocabulary).score;
    const double total = static_cast<double>(weigh(scores, weights, largest, vocabulary));
    double sum = 0.0;
    for (int i = threadIdx.x; i < vocabulary; i += THREADS)
        if (weights[i] > 0) sum += static_cast<double>(weights[i]) * below(scores[i], largest);
    const double expected = sum_of_block(sum) / total;
    const auto key = [&](int i) {
        return ~ordered(rint(fabs(below(scores[i], largest) - expected) * DISTANCE_STEPS));  // small distances first
    };
    keep_first(scores, vocabulary, value * total, key, [&](int i) { return weights[i]; });
}

// value: the least distance from the largest score
extern "C" __global__ void __launch_bounds__(THREADS)
min_p(double* scores, u64* weights, const int* prompt, const int* written, int vocabulary, double value) {
    scores += static_cast<long long>(blockIdx.x) * vocabulary;
    const double largest = best_of_row(scores, vocabulary).score;
    for (int i = threadIdx.x; i < vocabulary; i += THREADS)
        if (below(scores[i], largest) < value) scores[i] = -infinity();
}

extern "C" __global__ void __launch_bounds__(THREADS)
temperature(double* scores, u64* weights, const int* prompt, const int* written, int vocabulary, double value) {
    scores += static_cast<long long>(blockIdx.x) * vocabulary;
    const Best best = best_of_row(scores, vocabulary);
    if (best.score == -infinity()) return;  // no token is left: `choose_token` tells
    for (int i = threadIdx.x; i < vocabulary; i += THREADS) {
        const double distance = below(scores[i], best.score);
        if (value == 0.0) scores[i] = i == best.id ? 0.0 : -infinity();
        else scores[i] = isinf(distance) ? distance : distance / value;
    }
}

// tokens (rows,): the best score's or, with a key, that of the best sum of score and Gumbel noise: a draw. -1 where
// there is NaN, -2 where all scores are -infinity. written (rows, V), or null: counts the token.
// key (3,): the two 32-bit words of the Philox key in one, the site, and the row that the first row is in the whole
extern "C" __global__ void __launch_bounds__(THREADS)
choose_token(const double* scores, const int* nan, const u64* key, unsigned step, int* written, long long* tokens,
             int vocabulary) {
    const long long start = static_cast<long long>(blockIdx.x) * vocabulary;
    Best best = best_of_row(scores + start, vocabulary);
    const bool none_left = best.score == -infinity();
    if (key) {
        const unsigned key0 = static_cast<unsigned>(key[0]), key1 = static_cast<unsigned>(key[0] >> 32);
        const unsigned site = static_cast<unsigned>(key[1]);
        const u64 first = (key[2] + blockIdx.x) * vocabulary;  // the number of the row's first random number
        const double largest = best.score;
        best = {-infinity(), vocabulary - 1};
        for (int i = threadIdx.x; i < vocabulary; i += THREADS) {
            const u64 number = first + i, block = number / WORDS;
            const unsigned low = static_cast<unsigned>(block), high = static_cast<unsigned>(block >> 32);
            const Block drawn = philox({{low, high, step, site}}, key0, key1);
            unsigned word = drawn.word[0];
#pragma unroll
            for (int j = 1; j < WORDS; ++j)
                if (number % WORDS == j) word = drawn.word[j];
            const double uniform = (word >> 8) * 0x1p-24 + 0x1p-25;
            best.take(below(scores[start + i], largest) - log(-log(uniform)), i);
        }
        best = best_of_block(best);
    }
    if (threadIdx.x > 0) return;
    const int token = nan[blockIdx.x] ? -1 : none_left ? -2 : best.id;
    tokens[blockIdx.x] = token;
    if (written && token >= 0) ++written[start + token];
}
