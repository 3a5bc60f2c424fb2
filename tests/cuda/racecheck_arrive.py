"""What racecheck of compute-sanitizer thinks of a kernel in which a barrier separates every access from the others.

    compute-sanitizer --tool racecheck python tests/cuda/racecheck_arrive.py register arrive
    compute-sanitizer --tool racecheck python tests/cuda/racecheck_arrive.py register sync

Two pairs of warps; the first warp of a pair hands something to the second at a named barrier, whose number lies in a
register or is known to the compiler ("immediate"), and either goes on at once (bar.arrive) or waits as well (bar.sync).
`data` has two halves: a step writes one and reads the other, which the step before wrote, with __syncthreads between.
(The first step reads what nobody wrote, so that the sum is any number.) With bar.arrive racecheck reports races, with
bar.sync none; see benchmarks/results/gpu_tests_2026-11-22.md.
"""

import sys

import cupy

BARRIERS = {
    "immediate": 'if (pair == 0) asm volatile("bar.{0} 1, 64;" ::: "memory"); '
    'else asm volatile("bar.{0} 2, 64;" ::: "memory");',
    "register": 'asm volatile("bar.{0} %0, 64;" :: "r"(id) : "memory");',
}
KERNEL = r"""
extern "C" __global__ void micro(int* out, int steps, int first_id, int work) {
    __shared__ int data[2][128];
    __shared__ int given[64];
    const int t = threadIdx.x, pair = t / 32 % 2, lane = t % 32, id = first_id + pair;
    const bool second = t >= 64;
    int sum = 0;
    for (int step = 0; step < steps; ++step) {
        __syncthreads();  // what was written in the step before is there, what was read then is done with
        data[(step + 1) % 2][t] = step + t;
        int x = t;
        for (int i = 0; i < work * (1 + (t / 32 + step) % 4); ++i) x = x * 1664525 + 1013904223;  // warps drift apart
        if (!second) { given[32 * pair + lane] = step + x; GIVE }
        else { TAKE sum += given[32 * pair + lane]; }
        sum += data[step % 2][127 - t];
    }
    out[t] = sum;
}
"""


def main(number: str, giver: str) -> None:
    """Runs the kernel with little, some and much time between the warps of a block."""
    text = KERNEL.replace("GIVE", BARRIERS[number].format(giver)).replace("TAKE", BARRIERS[number].format("sync"))
    kernel = cupy.RawKernel(text, "micro")
    out = cupy.zeros(128, cupy.int32)
    for work in (0, 100, 1000):
        kernel((64,), (128,), (out, cupy.int32(12), cupy.int32(1), cupy.int32(work)))
    print(number, giver, int(out.sum()))


if __name__ == "__main__":
    main(*sys.argv[1:])
