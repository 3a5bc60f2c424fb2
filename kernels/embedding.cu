// A table lookup and its backward, the sum of the gradients of all positions at which an id stands. Atomics would add
// in any order; here the order is fixed by the positions, and every run gives the same bits. Two ways:
//
// - A small vocabulary (embedding_small): each block keeps the sums of its rows for every id in shared memory, one set
//   for each of its warps; column_sum.cu adds the blocks' sums. Reads dy once whatever the ids are.
// - Any vocabulary (sort.cu, then embedding_segments): the positions are sorted by id in tiles that fit into
//   shared memory; each row of the table then finds its positions in every tile by bisection and sums them in order.
//   Loses where one id makes up most of a long batch: its positions are summed by one block.
//
// INDEX is the C type of the ids. An id that is no row, a negative one too, is told (faults.cuh), gives a row of NaN
// forward and nothing backward: nothing is read or written out of bounds.

#include "faults.cuh"
#include "groups.cuh"
#include "ids.cuh"

constexpr int AHEAD = 8;     // positions that a thread of embedding_small loads before it adds them
constexpr int TILES = WARP;  // that embedding_segments looks at: one a lane
constexpr int WARPS = 8;     // of a block of embedding_segments

// y[n] = table[ids[n]]; ids (rows,), table (vocabulary, channels), y (rows, channels), fault (2,) or null. One thread a
// group of channels; there may be more than 2^32.
extern "C" __global__ void embedding_forward(const INDEX* ids, const element* table, element* y, long long* fault,
                                             int rows, int vocabulary, int channels) {
    const unsigned groups = channels / WIDTH;
    const unsigned long long index = static_cast<unsigned long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    const unsigned long long position = index / groups;
    if (position >= rows) return;
    const INDEX id = ids[position];
    const int channel = static_cast<int>(index - position * groups) * WIDTH, row = row_of(id, vocabulary);
    if (row < 0 && channel == 0) tell_fault(fault, id, vocabulary);
    Floats<WIDTH> value;
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) value.at[i] = not_a_number();
    if (row >= 0) value.load(table + static_cast<long long>(row) * channels + channel);
    value.store(y + position * channels + channel);
}

// partial[chunk][v] = the sum of dy over the positions of a chunk with id v; ids (rows,), dy (rows, channels), partial
// (gridDim.y, vocabulary, channels). With a single chunk and `out` (vocabulary, channels), not null, the sums go there
// instead: in place of what is there or, with `add`, on top. Block (32, W): 32 channels side by side, W positions at a
// time. Shared memory: W * vocabulary * 32 floats.
extern "C" __global__ void embedding_small(const INDEX* ids, const element* dy, float* partial, result* out, int rows,
                                           int vocabulary, int channels, int chunk, int add) {
    extern __shared__ float sums[];  // [W][vocabulary][32]: a lane has a bank of its own
    const int channel = blockIdx.x * WARP + threadIdx.x;
    const int first = blockIdx.y * chunk, last = min(first + chunk, rows);
    float* mine = sums + threadIdx.y * vocabulary * WARP + threadIdx.x;
    for (int v = 0; v < vocabulary; ++v) mine[v * WARP] = 0.0f;
    const int step = AHEAD * blockDim.y;
    for (int position = first + threadIdx.y; channel < channels && position < last; position += step) {
        int v[AHEAD];
        float value[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; ++i) {
            const int that = position + i * blockDim.y;
            v[i] = that < last ? row_of(ids[that], vocabulary) : -1;
            value[i] = that < last ? to_float(dy[static_cast<long long>(that) * channels + channel]) : 0.0f;
        }
#pragma unroll
        for (int i = 0; i < AHEAD; ++i)
            if (v[i] >= 0) mine[v[i] * WARP] += value[i];
    }
    __syncthreads();
    if (channel >= channels) return;
    for (int v = threadIdx.y; v < vocabulary; v += blockDim.y) {
        float sum = 0.0f;
        for (int warp = 0; warp < blockDim.y; ++warp) sum += sums[(warp * vocabulary + v) * WARP + threadIdx.x];
        const long long place = (static_cast<long long>(blockIdx.y) * vocabulary + v) * channels + channel;
        if (!out) partial[place] = sum;
        else put(out + place, add ? to_float(out[place]) + sum : sum);
    }
}

// dtable[v] = the sum of dy over the positions with id v, or is added to. sorted (tiles, TILE), at most 32 tiles;
// dy (rows, channels), dtable (vocabulary, channels). A block has 8 rows of the table: each of its warps looks for one
// row's positions, a lane in each tile; then all warps sum row after row together, each every eighth position.
extern "C" __global__ void __launch_bounds__(WARPS * WARP)
embedding_segments(const unsigned long long* sorted, const element* dy, result* dtable, int tiles, int vocabulary,
                   int channels, int add) {
    __shared__ int begin[WARPS][TILES], end[WARPS][TILES];
    __shared__ float sums[WARPS][WIDTH][WARP];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const unsigned long long wanted = blockIdx.x * WARPS + warp;
    const unsigned long long* tile = sorted + lane * TILE;
    begin[warp][lane] = lane < tiles ? count_below(tile, TILE, wanted << 32) : 0;
    end[warp][lane] = lane < tiles ? count_below(tile, TILE, (wanted + 1) << 32) : 0;
    __syncthreads();

    for (int turn = 0; turn < WARPS; ++turn) {
        const long long v = static_cast<long long>(blockIdx.x) * WARPS + turn;
        if (v >= vocabulary) return;  // the whole block
        result* out = dtable + v * channels;
        const unsigned found = __ballot_sync(WHOLE_WARP, begin[turn][lane] < end[turn][lane]);  // a bit for each tile
        if (found == 0) {
            for (int c = threadIdx.x; !add && c < channels; c += WARPS * WARP) put(out + c, 0.0f);
            continue;
        }
        for (int first = 0; first < channels; first += WARP * WIDTH) {
            const int channel = first + lane * WIDTH;
            Floats<WIDTH> sum = {};
            for (unsigned left = found; left != 0; left &= left - 1) {
                const int t = __ffs(left) - 1;
#pragma unroll 4
                for (int i = begin[turn][t] + warp; i < end[turn][t]; i += WARPS) {
                    const unsigned position = static_cast<unsigned>(sorted[t * TILE + i]);
                    Floats<WIDTH> value = {};
                    if (channel < channels) value.load(dy + static_cast<long long>(position) * channels + channel);
                    sum.add(value);
                }
            }
#pragma unroll
            for (int i = 0; i < WIDTH; ++i) sums[warp][i][lane] = sum.at[i];
            __syncthreads();
            for (int c = threadIdx.x; c < WARP * WIDTH && first + c < channels; c += WARPS * WARP) {
                float total = 0.0f;
                for (int w = 0; w < WARPS; ++w) total += sums[w][c % WIDTH][c / WIDTH];
                put(out + first + c, add ? to_float(out[first + c]) + total : total);
            }
            __syncthreads();  // nobody writes `sums` again before all have read it
        }
    }
}
