// Several neighbouring elements at a time, as floats: a pack where rows start at multiples of 16 bytes, else one.
//
// SINGLE, a macro of the build, is 1 where a row's length is no multiple of a pack.

#pragma once

#include "common.cuh"

#ifndef SINGLE
#define SINGLE 0
#endif

constexpr int WIDTH = SINGLE ? 1 : PACK;

// OUT, a macro of the build, is what a `result` is stored as where that is not what is read: f32 or bf16. Gradients of
// parameters are; they have the dtype of the buffer that they go to.
#ifndef OUT
#define OUT f32
#endif
#define TYPE_OF_f32 float
#define TYPE_OF_bf16 __nv_bfloat16
using result = JOIN(TYPE_OF_, OUT);

// INDEX, a macro of the build, is the C type of token ids, targets and positions.
#ifndef INDEX
#define INDEX long long
#endif

__device__ __forceinline__ void put(float* address, float x) { *address = x; }
__device__ __forceinline__ void put(__nv_bfloat16* address, float x) { *address = __float2bfloat16_rn(x); }

// What one instruction loads.
template <int BYTES> struct Word;
template <> struct Word<2> { using type = short; };
template <> struct Word<4> { using type = int; };
template <> struct Word<8> { using type = int2; };
template <> struct Word<16> { using type = int4; };

// N floats in registers, N a power of 2. Loads and stores take up to 16 bytes at once: the address is a multiple of as
// many bytes as there are, or of 16.
template <int N>
struct Floats {
    static constexpr int SIZE = N;
    float at[N];

    template <typename T>
    __device__ __forceinline__ void load(const T* address) {
        constexpr int STEP = N < PackOf<T>::SIZE ? N : PackOf<T>::SIZE;
        using Access = typename Word<STEP * sizeof(T)>::type;
#pragma unroll
        for (int first = 0; first < N; first += STEP) {
            PackOf<T> pack;
            *reinterpret_cast<Access*>(&pack) = *reinterpret_cast<const Access*>(address + first);
#pragma unroll
            for (int i = 0; i < STEP; ++i) at[first + i] = to_float(pack.at[i]);
        }
    }

    // Each number is rounded once, to the nearest.
    template <typename T>
    __device__ __forceinline__ void store(T* address) const {
        constexpr int STEP = N < PackOf<T>::SIZE ? N : PackOf<T>::SIZE;
        using Access = typename Word<STEP * sizeof(T)>::type;
#pragma unroll
        for (int first = 0; first < N; first += STEP) {
            PackOf<T> pack;
#pragma unroll
            for (int i = 0; i < STEP; ++i) put(&pack.at[i], at[first + i]);
            *reinterpret_cast<Access*>(address + first) = *reinterpret_cast<const Access*>(&pack);
        }
    }

    __device__ __forceinline__ void add(const Floats& other) {
#pragma unroll
        for (int i = 0; i < N; ++i) at[i] += other.at[i];
    }
};

// A pass over all elements. The first `packs` packs are taken whole, neighbours by neighbouring threads; the elements
// behind them (fewer than a pack, or all of them where an address is no multiple of 16 bytes) one by one.
// each(index, x) is called with the index of a pack and a Floats<PACK>, or of an element and a Floats<1>: x has space
// for the numbers that start at element index * x.SIZE.
template <typename Each>
__device__ __forceinline__ void for_all(int packs, long long size, Each each) {
    const unsigned first = blockIdx.x * blockDim.x + threadIdx.x, stride = gridDim.x * blockDim.x;
    for (unsigned pack = first; pack < static_cast<unsigned>(packs); pack += stride) each(pack, Floats<PACK>{});
    for (long long i = static_cast<long long>(packs) * PACK + first; i < size; i += stride) each(i, Floats<1>{});
}

__device__ __forceinline__ long long start_of(long long index, int group) { return index * group; }

// y = of(x), all (size,)
template <typename Of>
__device__ __forceinline__ void map(const element* x, element* y, int packs, long long size, Of of) {
    for_all(packs, size, [&](auto index, auto value) {
        value.load(x + start_of(index, value.SIZE));
#pragma unroll
        for (int i = 0; i < value.SIZE; ++i) value.at[i] = of(value.at[i]);
        value.store(y + start_of(index, value.SIZE));
    });
}

// y = of(a, b), all (size,)
template <typename Of>
__device__ __forceinline__ void combine(const element* a, const element* b, element* y, int packs, long long size,
                                        Of of) {
    for_all(packs, size, [&](auto index, auto value) {
        auto other = value;
        value.load(a + start_of(index, value.SIZE));
        other.load(b + start_of(index, value.SIZE));
#pragma unroll
        for (int i = 0; i < value.SIZE; ++i) value.at[i] = of(value.at[i], other.at[i]);
        value.store(y + start_of(index, value.SIZE));
    });
}

// y = of(x, row) in every row; x, y (rows, columns), row (columns,). `columns` is a number of packs unless packs is 0.
template <typename Of>
__device__ __forceinline__ void combine_row(const element* x, const element* row, element* y, int packs, long long size,
                                            int columns, Of of) {
    for_all(packs, size, [&](auto index, auto value) {
        auto other = value;
        value.load(x + start_of(index, value.SIZE));
        other.load(row + index % (columns / value.SIZE) * value.SIZE);
#pragma unroll
        for (int i = 0; i < value.SIZE; ++i) value.at[i] = of(value.at[i], other.at[i]);
        value.store(y + start_of(index, value.SIZE));
    });
}
