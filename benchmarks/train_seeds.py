"""Does a preset reach its accuracy on every seed, and in what time? Runs the train command itself, one seed at a time.

    python benchmarks/train_seeds.py [--preset binary-reversed] [--seeds 1 2 3 4 5] [--write]

Each seed is a fresh process with a fixed number of steps, tested once at its end on pairs never seen. With --write the
figures go to benchmarks/results/ as dated JSON, from which the README's table is taken.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results"


def run_seed(preset: str, seed: int, directory: Path) -> dict:
    """Trains one seed in a process of its own; returns what its `result.json` says."""
    command = [sys.executable, "-m", "tinygrad_arith.train", "--preset", preset, "--seed", str(seed)]
    subprocess.run([*command, "--out", str(directory)], check=True, stdout=subprocess.DEVNULL)
    return {"seed": seed} | json.loads((directory / "result.json").read_text(encoding="utf-8"))


def machine() -> dict:
    """What the figures were measured on."""
    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": platform.system(),
        "threads": os.environ.get("OPENBLAS_NUM_THREADS", "default"),
    }


def processor_name() -> str:
    """The processor's model where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main() -> None:
    """Parses, runs, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="binary-reversed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--write", action="store_true", help="write the figures to benchmarks/results/")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in args.seeds:
            row = run_seed(args.preset, seed, Path(scratch) / str(seed))
            rows.append(row)
            right, count = row["test_correct"], row["test_count"]
            print(f"seed {seed}: {right:,} of {count:,} right in {row['seconds']:.1f} s", flush=True)
    seconds = [row["seconds"] for row in rows]
    print(f"median {statistics.median(seconds):.1f} s, {min(seconds):.1f} to {max(seconds):.1f} s")
    if args.write:
        date = datetime.date.today().isoformat()
        path = RESULTS / f"train_seeds_{args.preset}_{date}.json"
        values = {"benchmark": "train_seeds", "preset": args.preset, "date": date, "machine": machine(), "runs": rows}
        path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        print(f"written to {path}")


if __name__ == "__main__":
    main()
