"""Is a training step on the GPU cheaper than the same step in PyTorch, at its best?

    python benchmarks/gpu_train_step.py                                   # the arithmetic models, each in its precision
    python benchmarks/gpu_train_step.py --only 48/3/4/19/64 --rounds 3
    python benchmarks/gpu_train_step.py --only 384/6/6/64/256 --precision tf32
    python benchmarks/gpu_train_step.py --write                           # JSON and table in benchmarks/results/

The same model, weights, batches and optimizer for ours (the whole step as one CUDA graph) and PyTorch: eager; compiled
with mode="reduce-overhead"; the whole step as one CUDA graph. First gradients and the losses of the first steps must
agree (exit status 1 if not); then all are timed in turns, round after round, from the host: so many steps, then the
wait for the GPU. Needs a GPU, CuPy and PyTorch.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from cpu_rivals.configurations import Configuration, from_shape
from environment import RESULTS, environment, in_words
from gpu_steps import report as reporting
from gpu_steps.agreement import Disagreement, check_exact, check_losses, check_rounded
from gpu_steps.contestants import DEFAULT_VARIANTS, OURS, VARIANTS

PRECISIONS = ("float32", "tf32", "bfloat16")
CONFIGURATIONS = {
    "48/3/4/19/64": (from_shape("48/3/4/19/64", prompt=9), "tf32"),
    "128/3/4/32/192": (from_shape("128/3/4/32/192", vocabulary=7, prompt=20), "tf32"),
    "384/6/6/64/256": (from_shape("384/6/6/64/256", prompt=32), "bfloat16"),
}
FIRST_STEPS = 10  # whose losses are compared
FEWEST_STEPS = 20  # a round


def main(arguments: list[str] | None = None) -> int:
    """Parses, runs, prints, writes. Returns the exit status."""
    options = parse(arguments)

    def say(line: str) -> None:
        print(line, file=sys.stderr if options.json else sys.stdout, flush=True)

    try:
        report = describe(options)
    except ImportError as error:
        print(f"needs CuPy, PyTorch and a GPU: {error}", file=sys.stderr)
        return 1
    say(heading(report))
    try:
        for name in options.only:
            configuration, precision = find(name)
            say(f"\n{name}, {options.precision or precision}")
            result = measure(configuration, options.precision or precision, options)
            report["configurations"].append(result)
            say("\n".join(reporting.lines(result)))
    except Disagreement as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(report, indent=2))
    if options.write:
        say(f"\nwritten to {write(report, RESULTS)}")
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line; ends the process with status 2 where it is misused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = ", ".join(CONFIGURATIONS)
    parser.add_argument("--only", action="append", metavar="CONFIG", help=f"repeatable; default: {known}")
    parser.add_argument("--precision", choices=PRECISIONS, help="default: tf32 for the small ones, else bfloat16")
    parser.add_argument("--rounds", type=int, default=7, help="turns for each contestant (default 7)")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a turn, about (default 0.5)")
    parser.add_argument("--variants", nargs="+", metavar="NAME", default=DEFAULT_VARIANTS, help=", ".join(VARIANTS))
    parser.add_argument("--json", action="store_true", help="print the results as JSON, all else to stderr")
    parser.add_argument("--write", action="store_true", help="write JSON and table to benchmarks/results/")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.variants if name not in VARIANTS]
    if unknown:
        parser.error(f"--variants {unknown[0]}: must be one of {', '.join(VARIANTS)}")
    if options.rounds < 1 or not options.seconds > 0:
        parser.error("--rounds and --seconds: must be above 0")
    options.variants = list(dict.fromkeys([OURS, *options.variants]))
    options.only = options.only or list(CONFIGURATIONS)
    try:
        for name in options.only:
            find(name)
    except ValueError as error:
        parser.error(f"--only {error}")
    return options


def find(name: str) -> tuple[Configuration, str]:
    """A configuration by its name, and the precision it is measured in; any other shape gets 17 tokens and bfloat16."""
    return CONFIGURATIONS.get(name) or (from_shape(name), "bfloat16")


def describe(options: argparse.Namespace) -> dict[str, Any]:
    """The head of the report: on which GPU, with which versions."""
    import cupy  # noqa: F401 -- so that its absence is told before anything is done
    import torch

    found = environment(("numpy", "cupy-cuda12x", "cupy-cuda13x", "nvmath-python", "torch"))
    found["versions"] |= {"CUDA": torch.version.cuda}
    return {
        "benchmark": "gpu_train_step",
        **found,
        "gpu": torch.cuda.get_device_name(),
        "rounds": options.rounds,
        "variants": {name: VARIANTS[name].describe for name in options.variants},
        "configurations": [],
    }


def heading(report: dict[str, Any]) -> str:
    """One line for the head of a page."""
    return f"{report['gpu']}; {in_words(report)}; {report['rounds']} rounds."


def measure(configuration: Configuration, precision: str, options: argparse.Namespace) -> dict[str, Any]:
    """One configuration from start to end, ready for JSON. Raises Disagreement."""
    from cpu_rivals.inputs import make_batches
    from cpu_rivals.ours import build_model

    weights = build_model(configuration).initialize(seed=1).state_dict()
    batches = list(zip(*make_batches(configuration), strict=True))  # (tokens, targets), (B, T) each
    agreement = agree(configuration, precision, weights, batches[0])
    contestants, skipped, first_losses = {}, {}, []
    for name in options.variants:
        try:
            contestant = VARIANTS[name].make(configuration, weights, precision)
            losses = first_steps(contestant, batches)
        except (RuntimeError, ImportError) as error:
            if name == OURS:
                raise
            skipped[name] = (str(error).splitlines() or [type(error).__name__])[0]
            continue
        first_losses = first_losses or losses
        check_losses(name, losses, first_losses, precision)
        contestants[name] = contestant
    times = take_turns(contestants, batches, options.rounds, options.seconds)
    result = {
        "configuration": configuration.name,
        "precision": precision,
        "agreement": agreement,
        "first_losses": first_losses,
        "contestants": {
            name: {"ms": reporting.spread(times[name]), "note": contestant.note}
            for name, contestant in contestants.items()
        },
        "skipped": skipped,
    }
    result["ratio_to_torch"] = reporting.ratio_to_torch(result["contestants"])
    for contestant in contestants.values():
        contestant.close()
    return result


def agree(configuration: Configuration, precision: str, weights: dict, batch: tuple) -> dict[str, float]:
    """Loss and gradients of one batch, ours and PyTorch's, in float32 and in the precision that is timed."""

    def compute(name: str, exactly: str) -> tuple[float, dict[str, np.ndarray]]:
        contestant = VARIANTS[name].make(configuration, weights, exactly)
        found = contestant.loss_and_gradients(*batch)
        contestant.close()
        return found

    reference = compute("torch-eager", "float32")
    exact = check_exact(compute("ours-eager", "float32"), reference)
    if precision == "float32":
        return {"float32": exact, "rounded": 1.0}
    rounded = check_rounded(compute("ours-eager", precision), compute("torch-eager", precision), reference)
    return {"float32": exact, "rounded": rounded}


def first_steps(contestant: Any, batches: list[tuple]) -> list[float]:
    """The losses of the first steps, which also compile and capture what is to be timed."""
    for number in range(FIRST_STEPS):
        contestant.enqueue(*batches[number % len(batches)])
    return contestant.losses()


def take_turns(
    contestants: dict[str, Any], batches: list[tuple], rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Milliseconds a step, A B C A B C ...: what disturbs the machine for a while disturbs everybody."""
    steps = {}
    for name, contestant in contestants.items():
        time_steps(contestant, batches, FEWEST_STEPS)
        took = time_steps(contestant, batches, FEWEST_STEPS)
        steps[name] = max(FEWEST_STEPS, math.ceil(1e3 * seconds / took))
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            found[name].append(time_steps(contestant, batches, steps[name]))
    return found


def time_steps(contestant: Any, batches: list[tuple], steps: int) -> float:
    """Milliseconds a step, from the first call until the GPU has done the last one."""
    import torch

    torch.cuda.synchronize()
    began = time.perf_counter()
    for number in range(steps):
        contestant.enqueue(*batches[number % len(batches)])
    torch.cuda.synchronize()
    elapsed = time.perf_counter() - began
    contestant.losses()
    return 1e3 * elapsed / steps


def write(report: dict[str, Any], folder: Path) -> Path:
    """Writes the dated JSON and the table; returns the path of the table."""
    folder.mkdir(parents=True, exist_ok=True)
    dated = folder / f"gpu_train_step_{report['date']}.json"
    dated.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    path = folder / "gpu_train_step.md"
    path.write_text(reporting.markdown(report, heading(report)), encoding="utf-8")
    return path


if __name__ == "__main__":
    sys.exit(main())
