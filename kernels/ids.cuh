// Ids as rows of a table, and positions sorted by the row that stands at each (sort.cu).
//
// INDEX is the C type of the ids.

#pragma once

constexpr int TILE = 2048;  // positions that a block sorts

// The row of the table that an id means, or -1.
__device__ __forceinline__ int row_of(INDEX id, int vocabulary) {
    return id >= 0 && id < vocabulary ? static_cast<int>(id) : -1;
}

// How many of `length` sorted numbers are less than `bound`.
template <typename Size>
__device__ __forceinline__ Size count_below(const unsigned long long* sorted, Size length, unsigned long long bound) {
    Size low = 0, high = length;
    while (low < high) {
        const Size middle = (low + high) / 2;
        if (sorted[middle] < bound) low = middle + 1;
        else high = middle;
    }
    return low;
}
