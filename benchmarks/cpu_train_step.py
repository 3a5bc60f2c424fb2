"""Is a training step here cheaper than the same step in PyTorch and JAX, on the same cores?

    python benchmarks/cpu_train_step.py                               # everything
    python benchmarks/cpu_train_step.py --only 64/2/4/28/128 --rounds 3
    python benchmarks/cpu_train_step.py --write                       # dated JSON and table in benchmarks/results/

The same model, weights, batches and optimizer in float32, each contestant in a process of its own with the same number
of threads. First loss and all gradients must agree with ours (exit status 1 if not); then all are timed in turns,
round after round, compilation and warm-up not counted. Rivals that are not installed are skipped, and that is said.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from cpu_rivals import report as reporting
from cpu_rivals.configurations import CONFIGURATIONS, find_configuration
from cpu_rivals.rounds import Disagreement, measure
from cpu_rivals.variants import DEFAULT_VARIANTS, VARIANTS, Variant, find_variant
from cpu_rivals.worker import WorkerError
from environment import RESULTS, environment, in_words

from tinygrad_arith.backend import available_cores

BUSY = 0.5  # processes that want a core, in the mean over the last minute, before we start


def main(arguments: list[str] | None = None) -> int:
    """Parses, runs, prints, writes. Returns the exit status."""
    options = parse(arguments)

    def say(line: str) -> None:
        print(line, file=sys.stderr if options.json else sys.stdout, flush=True)

    report = describe(options)
    say(f"{in_words(report)}; {options.threads} threads each; load {report['load_before']}")
    if report["load_before"] and report["load_before"][0] > BUSY:
        say("the machine is busy: threads that wait for each other lose most (PyTorch's), so do not trust the ratios")
    try:
        for configuration in options.only:
            say(f"\n{configuration.name} ({configuration.activation}, vocabulary {configuration.vocabulary:,})")
            result = measure(
                configuration,
                options.variants,
                rounds=options.rounds,
                seconds=options.seconds,
                threads=options.threads,
                say=say,
            )
            add_ratios(result)
            report["configurations"].append(result)
            say("\n".join(reporting.configuration_lines(result)))
    except (Disagreement, WorkerError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    report["geometric_mean"] = reporting.geometric_mean(report["configurations"])
    say(f"\ngeometric mean of ours / best PyTorch: {reporting.in_ratio(report['geometric_mean'])}")
    if options.json:
        print(json.dumps(report, indent=2))
    if options.write:
        say(f"written to {write(report, RESULTS)}")
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line; ends the process with status 2 where it is misused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = ", ".join(configuration.name for configuration in CONFIGURATIONS)
    parser.add_argument("--only", action="append", metavar="CONFIG", help=f"repeatable; default all: {known}")
    parser.add_argument("--rounds", type=positive(int), default=5, help="turns for each contestant (default 5)")
    parser.add_argument("--seconds", type=positive(float), default=2.0, help="length of a turn, about (default 2)")
    parser.add_argument("--threads", type=positive(int), default=available_cores(), help="for each (default all cores)")
    parser.add_argument("--variants", nargs="+", metavar="NAME", default=DEFAULT_VARIANTS, help=", ".join(VARIANTS))
    parser.add_argument("--json", action="store_true", help="print the results as JSON, all else to stderr")
    parser.add_argument("--write", action="store_true", help="write JSON and table to benchmarks/results/")
    options = parser.parse_args(arguments)
    try:
        names = [configuration.name for configuration in CONFIGURATIONS] if options.only is None else options.only
        options.only = [find_configuration(name) for name in dict.fromkeys(names)]
        options.variants = ours_first(options.variants)
    except ValueError as error:
        parser.error(str(error))
    return options


def positive(kind: type) -> Any:
    """A type for argparse: a number above 0."""

    def convert(text: str) -> Any:
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"{text}: must be above 0")
        return value

    convert.__name__ = kind.__name__
    return convert


def ours_first(names: list[str]) -> list[Variant]:
    """The variants, ours in front: the others are compared with it."""
    if reporting.OURS not in names:
        raise ValueError(f"--variants: {reporting.OURS!r} must be among them, the others are compared with it")
    return [find_variant(name) for name in dict.fromkeys([reporting.OURS, *names])]


def describe(options: argparse.Namespace) -> dict[str, Any]:
    """The head of the report: what was measured where, and how busy the machine was with other things."""
    load = [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None
    return {
        "benchmark": "cpu_train_step",
        **environment(("numpy", "numba", "threadpoolctl", "torch", "jax", "jaxlib")),
        "threads": options.threads,
        "rounds": options.rounds,
        "load_before": load,
        "variants": {variant.name: {"describe": variant.describe} for variant in options.variants},
        "configurations": [],
    }


def add_ratios(result: dict[str, Any]) -> None:
    """Puts our ratios into the results of a configuration."""
    result["ratio_to_torch"] = reporting.ratios(result, "torch")
    result["ratio_to_jax"] = reporting.ratios(result, "jax")
    result["memory_ratio_to_torch"] = reporting.memory_ratio(result)


def write(report: dict[str, Any], folder: Path) -> Path:
    """Writes the dated JSON and the table; returns the path of the table."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"cpu_train_step_{report['date']}.md"
    path.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    path.write_text(
        reporting.markdown(report, f"{in_words(report)}; {report['threads']} threads each."), encoding="utf-8"
    )
    return path


if __name__ == "__main__":
    sys.exit(main())
