"""What does it take to load a model: in time beside `safetensors.numpy.load_file`, in memory beside the model itself?

    python benchmarks/load_weights.py                     # GPT-2's size, 124 million parameters
    python benchmarks/load_weights.py --layers 2 --d-model 64 --vocabulary 500 --rounds 2
    python benchmarks/load_weights.py --write             # dated JSON and table in benchmarks/results/

The same weights lie on the disk in three forms: one file, one file with the matrices the other way round, several
files with an index. Each load runs in a process of its own, in turns, from files that are in the system's cache. Ours
begins without a model and ends with one that can compute: `GPT(config)`, arrays without gradients, all numbers in
their place. The library's `load_file` ends with arrays as they are in the file (of several files: of each of them).

Memory is what a process has for itself (RssAnon of Linux) above what it has after its imports, looked at every
millisecond; pages of mapped files belong to the system's cache and do not count. Who looks takes turns with who loads,
so the loads that are watched are others than those that are timed. All loads must give the same numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from environment import RESULTS, environment, in_words
from markdown_table import table as markdown

from tinygrad_arith import weights
from tinygrad_arith.models import GPT, GPTConfig

FORMS = ("single", "transposed", "sharded")
MOST_TIME, MOST_MEMORY = 2.0, 1.1  # what is aimed at: times that of load_file, times the model's bytes
STATUS = Path("/proc/self/status")


def main(arguments: list[str] | None = None) -> int:
    """Parses, runs, prints, writes. Returns the exit status: 1 if the loads differ."""
    options = parse(arguments)
    if options.load:
        print(json.dumps(load(options.load, Path(options.path), config_of(options), options.watched)))
        return 0
    try:
        result = measure(options)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(result, indent=2) if options.json else table(result))
    if options.write:
        path = RESULTS / f"load_weights_{result['date']}.json"
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        path.with_suffix(".md").write_text(table(result) + "\n", encoding="utf-8")
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("layers", 12), ("d-model", 768), ("heads", 12), ("vocabulary", 50_257), ("context", 1024)):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"of the model (default {default})")
    parser.add_argument("--rounds", type=int, default=7, help="turns for each load (default 7)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--write", action="store_true", help="write JSON and table to benchmarks/results/")
    parser.add_argument("--load", help=argparse.SUPPRESS)  # in a process of its own: "ours FORM" or "load_file FORM"
    parser.add_argument("--path", help=argparse.SUPPRESS)
    parser.add_argument("--watched", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def config_of(options: argparse.Namespace) -> GPTConfig:
    """The model, with its head tied to the embedding as GPT-2 has it."""
    return GPTConfig(
        vocabulary=options.vocabulary,
        context=options.context,
        d_model=options.d_model,
        layers=options.layers,
        heads=options.heads,
        tied_head=True,
    )


def is_matrix(name: str) -> bool:
    """Whether other programs have this one the other way round: (out, in)."""
    return name.startswith("blocks.") and name.endswith(".weight") and "norm" not in name


def write_forms(directory: Path, config: GPTConfig) -> int:
    """Writes a model in each form; returns how many bytes its numbers have."""
    model = GPT(config).allocate(gradients=False)
    model.flat.values[:] = np.random.default_rng(0).standard_normal(len(model.flat.values), dtype=np.float32)
    nbytes = 4 * model.parameter_count()
    weights.save(model, directory / "single")
    weights.save(model, directory / "transposed", transpose=is_matrix)
    weights.save(model, directory / "sharded", shard_bytes=nbytes // 3)
    return nbytes


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All loads, round after round. Raises ValueError if one gives other numbers than the others."""
    config = config_of(options)
    loads = [f"{who} {form}" for form in FORMS for who in ("load_file", "ours")]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in loads}
    with tempfile.TemporaryDirectory() as directory:
        nbytes = write_forms(Path(directory), config)
        for _ in range(options.rounds):
            for name in loads:
                found[name].append(in_own_process(name, Path(directory)))
        watched = {name: in_own_process(name, Path(directory), "--watched") for name in loads}
    digests = {one["digest"] for name in loads for one in (*found[name], watched[name]) if name.startswith("ours")}
    if len(digests) != 1:
        raise ValueError("the loads do not give the same numbers")
    seconds = {name: [one["seconds"] for one in of] for name, of in found.items()}
    memory = {name: one["memory"] for name, one in watched.items()}
    facts = environment(["tinygrad_arith", "numpy", "safetensors"])
    size = {"parameters": nbytes // 4, "bytes": nbytes, "load": os.getloadavg()}
    result = {"benchmark": "load_weights", **facts, **size, "seconds": seconds, "memory": memory}
    return result | {"ratios": ratios(seconds, memory, nbytes)}


def in_own_process(name: str, directory: Path, *how: str) -> dict[str, Any]:
    """One load, in a process that does nothing else."""
    given = [arg for arg in sys.argv[1:] if arg not in ("--write", "--json")]
    command = [sys.executable, __file__, *given, *how, "--load", name, "--path", str(directory / name.split()[1])]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def load(name: str, path: Path, config: GPTConfig, watched: bool = False) -> dict[str, Any]:
    """Loads once; seconds, a digest of the numbers and, if watched, how many bytes more the process had for itself."""
    who, form = name.split()
    ways: dict[str, Callable[[], Any]] = {
        "load_file": lambda: [safetensors.numpy.load_file(file) for file in sorted(path.glob("*.safetensors"))],
        "ours": lambda: ours(path, config, form),
    }
    memory = Memory() if watched else None
    began = time.perf_counter()
    held = ways[who]()
    seconds = time.perf_counter() - began
    most = memory.stop() if memory else None
    digest = zlib.crc32(held.flat.values) if who == "ours" else None
    return {"seconds": seconds, "memory": most, "digest": digest}


def ours(path: Path, config: GPTConfig, form: str) -> GPT:
    """A model that can compute."""
    model = GPT(config)
    weights.load(model, path, transpose=is_matrix if form == "transposed" else (), gradients=False)
    return model


class Memory:
    """Watches how much memory the process has for itself, in bytes, from now until `stop`."""

    def __init__(self) -> None:
        self.start = self.most = anonymous()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stopped.wait(0.001):
            self.most = max(self.most, anonymous())

    def stop(self) -> int:
        """How much more it was at most than at the start."""
        self._stopped.set()
        self._thread.join()
        return max(self.most, anonymous()) - self.start


def anonymous() -> int:
    """The bytes that this process has for itself, files not counted; 0 where the system does not say."""
    if not STATUS.exists():
        return 0
    line = next(line for line in STATUS.read_text(encoding="utf-8").splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024


def ratios(seconds: dict[str, list[float]], memory: dict[str, int], nbytes: int) -> dict[str, dict[str, float]]:
    """Of each form: time over load_file's in the same round (median), and memory over the model's bytes."""
    found = {}
    for form in FORMS:
        pairs = zip(seconds[f"ours {form}"], seconds[f"load_file {form}"], strict=True)
        times = statistics.median(one / other for one, other in pairs)
        found[form] = {"time": times, "memory": memory[f"ours {form}"] / nbytes}
    return found


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    rows = []
    for form, ratio in result["ratios"].items():
        seconds = [result["seconds"][f"{who} {form}"] for who in ("ours", "load_file")]
        told = [f"{statistics.median(of):.3f} ({min(of):.3f} to {max(of):.3f})" for of in seconds]
        rows.append([form, *told, f"{ratio['time']:.2f}", f"{ratio['memory']:.3f}"])
    size = f"{result['parameters']:,} parameters, {result['bytes'] / 2**20:,.0f} MiB"
    head = f"{in_words(result)}; a GPT of {size}; load of the machine {result['load'][0]:.1f}."
    columns = ["files", "ours, s", "load_file, s", f"ratio (at most {MOST_TIME})", f"memory (at most {MOST_MEMORY})"]
    return f"{head}\n\n{markdown(columns, rows)}"


if __name__ == "__main__":
    sys.exit(main())
