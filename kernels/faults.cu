// Checks ids for operations of which no kernel of ours reads them: those that the reference computes on a GPU.
//
// INDEX is the C type of the ids.

#include "faults.cuh"

// ids (size,), each to be 0 to count - 1; fault (2,)
extern "C" __global__ void check_ids(const INDEX* ids, long long* fault, long long count, long long size) {
    const long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < size && (ids[i] < 0 || ids[i] >= count)) tell_fault(fault, ids[i], count);
}
