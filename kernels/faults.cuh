// How a kernel tells of an id that is none: nobody waits for it, so the host learns it when it next waits anyway.
//
// A fault is two numbers in memory of the host that the GPU can write to: how many ids there are, 0 for no fault, and
// the id that is none of them. Of several one stays, whichever. cuda/faults.py reads it and makes it a sentence.

#pragma once

// Rare: a call, so that the kernels around it need no registers for it.
__device__ __noinline__ void tell_fault(volatile long long* fault, long long id, long long count) {
    if (fault == nullptr) return;
    fault[1] = id;
    __threadfence_system();  // whoever sees the count sees the id
    fault[0] = count;
}
