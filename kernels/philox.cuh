// Philox4x32-10, bit for bit that of backend/random.py: a block of four random words from a counter of four and a key.
//
// Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", 2011, section 3.3,
// https://doi.org/10.1145/2063384.2063405.

#pragma once

constexpr int WORDS = 4;  // of a Philox block

struct Block {
    unsigned word[WORDS];
};

// Ten rounds; the key grows by the golden ratio and by sqrt(3) - 1 after each.
__device__ __forceinline__ Block philox(Block counter, unsigned key0, unsigned key1) {
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const unsigned low0 = 0xD2511F53u * counter.word[0], high0 = __umulhi(0xD2511F53u, counter.word[0]);
        const unsigned low1 = 0xCD9E8D57u * counter.word[2], high1 = __umulhi(0xCD9E8D57u, counter.word[2]);
        counter = {{high1 ^ counter.word[1] ^ key0, low1, high0 ^ counter.word[3] ^ key1, low0}};
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return counter;
}
