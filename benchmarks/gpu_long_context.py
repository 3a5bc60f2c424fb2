"""Training steps at lengths where a table of T x T would not fit: time, and the memory of the GPU that they take.

    python benchmarks/gpu_long_context.py [--write]

One GPT, d_model 256, 4 layers, 4 heads, one sequence of T tokens, whole steps as `train` runs them. For comparison: a
table of probabilities in bfloat16, T x T for each head, of one layer alone.
"""

import argparse
import dataclasses
import json
import statistics
import sys
import time

import numpy as np
from environment import RESULTS, environment

from tinygrad_arith.backend import DtypePolicy
from tinygrad_arith.cuda.precision import set_float32_matmul_precision
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.optim import AdamW
from tinygrad_arith.tasks import Batch
from tinygrad_arith.training.config import Config, TrainingOptions
from tinygrad_arith.training.device_step import DeviceSteps

LENGTHS = (16_384, 65_536)
CHANNELS, LAYERS, HEADS, VOCABULARY = 256, 4, 4, 64
WARM, TIMED = 4, 5  # steps


def measure(length: int, dtype: str) -> dict:
    """Milliseconds a step (median), the memory that the steps took, and losses of the first and last step.

    Pools give nothing back while steps run, so what is taken at the end is the most that ever was.
    """
    import cupy

    cupy.get_default_memory_pool().free_all_blocks()
    free = cupy.cuda.runtime.memGetInfo()[0]
    set_float32_matmul_precision("tf32")
    shape = GPTConfig(VOCABULARY, length, d_model=CHANNELS, layers=LAYERS, heads=HEADS, positions="sinusoidal")
    model = GPT(shape).initialize(seed=1, policy=DtypePolicy.named(dtype), device="cuda")
    config = Config(training=dataclasses.replace(TrainingOptions(), dtype=dtype))
    steps = DeviceSteps(model, AdamW(model.flat), config)
    ids = np.random.default_rng(0).integers(0, VOCABULARY, size=(1, length))  # (B, T)
    batch = Batch(ids, np.roll(ids, -1, axis=1))
    times, losses = [], []
    for step in range(WARM + TIMED):
        start = time.perf_counter()
        steps.enqueue(batch, step)
        losses += [result.loss for result in steps.results()]
        times.append(1e3 * (time.perf_counter() - start))
    if not (np.isfinite(losses[-1]) and losses[-1] < losses[0]):
        raise RuntimeError(f"T = {length}: the losses were {losses}")
    taken, graph = free - cupy.cuda.runtime.memGetInfo()[0], steps.reason is None
    steps.close()
    return {
        "positions": length,
        "dtype": dtype,
        "milliseconds": round(statistics.median(times[WARM:]), 2),
        "graph": graph,
        "memory_mib": round(taken / 2**20),
        "table_of_one_layer_mib": round(2 * HEADS * length**2 / 2**20),
        "loss": [round(losses[0], 4), round(losses[-1], 4)],
    }


def main() -> int:
    """Measures, prints, writes. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the figures to benchmarks/results/")
    args = parser.parse_args()
    try:
        import cupy
    except ImportError as error:
        print(f"needs CuPy and a GPU: {error}", file=sys.stderr)
        return 1
    rows = []
    for length in LENGTHS:
        for dtype in ("bfloat16", "float32"):
            rows.append(measure(length, dtype))
            print(rows[-1], flush=True)
    if args.write:
        measured = environment(["tinygrad_arith", "numpy", "cupy-cuda13x"])
        gpu = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
        values = {"benchmark": "gpu_long_context", **measured, "gpu": gpu, "rows": rows}
        path = RESULTS / f"gpu_long_context_{measured['date']}.json"
        path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        print(f"written to {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
