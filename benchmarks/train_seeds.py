"""Does a preset reach its accuracy on every seed, and in what time? Runs the train command itself, one seed at a time.

    python benchmarks/train_seeds.py [--preset binary-reversed] [--seeds 1 2 3 4 5] [--write] [FLAGS OF TRAIN ...]

Each seed is a fresh process with a fixed number of steps, tested once at its end on pairs never seen. Flags that this
script does not know go to the train command. With --write the figures go to benchmarks/results/ as dated JSON, with the
flags and with environment variables such as TINYGRAD_ARITH_CPU.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from environment import RESULTS, environment


def run_seed(preset: str, seed: int, directory: Path, flags: list[str]) -> dict:
    """Trains one seed in a process of its own; returns what its `result.json` says."""
    command = [sys.executable, "-m", "tinygrad_arith.train", "--preset", preset, "--seed", str(seed), *flags]
    subprocess.run([*command, "--out", str(directory)], check=True, stdout=subprocess.DEVNULL)
    return {"seed": seed} | json.loads((directory / "result.json").read_text(encoding="utf-8"))


def main() -> None:
    """Parses, runs, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="binary-reversed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--write", action="store_true", help="write the figures to benchmarks/results/")
    parser.add_argument("--name", help="of the result's file (default: the preset)")
    args, flags = parser.parse_known_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in args.seeds:
            row = run_seed(args.preset, seed, Path(scratch) / str(seed), flags)
            rows.append(row)
            right, count = row["test_correct"], row["test_count"]
            print(f"seed {seed}: {right:,} of {count:,} right in {row['seconds']:.1f} s", flush=True)
    seconds = [row["seconds"] for row in rows]
    print(f"median {statistics.median(seconds):.1f} s, {min(seconds):.1f} to {max(seconds):.1f} s")
    if args.write:
        measured = environment(["tinygrad_arith", "numpy", "numba"])
        path = RESULTS / f"train_seeds_{args.name or args.preset}_{measured['date']}.json"
        values = {"benchmark": "train_seeds", **measured, "preset": args.preset, "flags": flags, "runs": rows}
        path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        print(f"written to {path}")


if __name__ == "__main__":
    main()
