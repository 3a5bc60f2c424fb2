"""One configuration from start to end: everybody agrees with us, then everybody is timed in turns."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_arith.verify import assert_close, tolerance

from . import settings
from .configurations import Configuration
from .variants import Variant
from .worker import Worker, WorkerError, worker_environment

FEWEST_STEPS = 3
AGREEMENT = tolerance("torch", "float32", "cpu")


class Disagreement(AssertionError):
    """A contestant computes something else; its times would mean nothing."""


@dataclass
class Runner:
    """A contestant that takes part: its process and what was measured of it."""

    variant: Variant
    worker: Worker
    versions: dict[str, str]
    start_bytes: int | None  # with its libraries loaded, before there is a model
    steps: int = FEWEST_STEPS  # a round
    rounds: list[list[float]] = field(default_factory=list)  # seconds a step

    def summary(self) -> dict[str, Any]:
        """The figures, ready for JSON."""
        medians = [1e3 * statistics.median(seconds) for seconds in self.rounds]
        return {
            "round_ms": medians,
            "median_ms": statistics.median(medians),
            "steps_per_round": self.steps,
            "peak_bytes": self.worker.ask("memory")["bytes"],
            "start_bytes": self.start_bytes,
        }


def measure(
    configuration: Configuration,
    variants: Iterable[Variant],
    *,
    rounds: int,
    seconds: float,
    threads: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """The results of one configuration, ready for JSON; the first variant is ours, which the others must agree with.

    rounds, seconds: so many turns for each, of about so long
    say:             is told what happens, in lines

    Raises Disagreement, or WorkerError if ours fails; a rival that fails is under "skipped", with the reason.
    """
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        directory = Path(scratch)
        write_inputs(configuration, directory, threads)

        def ready(variant: Variant) -> tuple[Runner, dict[str, Any]]:
            """A contestant that has taken its first steps, and its answers."""
            runner = start(variant, configuration, directory, threads, stack)
            return runner, warm_up(runner)

        runners, skipped, parameters = gather(variants, ready, configuration.name, say)
        take_turns(runners, rounds, seconds)
        return {
            "configuration": configuration.to_dict(),
            "parameters": parameters,
            "variants": {runner.variant.name: runner.summary() for runner in runners},
            "skipped": skipped,
            "versions": {name: version for runner in runners for name, version in runner.versions.items()},
            "split": runners[0].worker.ask("profile", steps=max(FEWEST_STEPS, runners[0].steps // 2)),
        }


def gather(
    variants: Iterable[Variant],
    ready: Callable[[Variant], tuple[Runner, dict[str, Any]]],
    where: str,
    say: Callable[[str], None],
) -> tuple[list[Runner], dict[str, str], int]:
    """Those that take part, all of whom agree with the first; why the others do not; how many parameters there are.

    Raises Disagreement, or WorkerError if the first one fails.
    """
    runners: list[Runner] = []
    skipped: dict[str, str] = {}
    reference: dict[str, Any] = {}  # the first one's answers: as large as the model, so they end with this function
    for variant in variants:
        try:
            runner, answers = ready(variant)
        except WorkerError as error:
            if not runners:
                raise
            skipped[variant.name] = str(error)
            say(f"  {variant.name}: skipped, {error}")
            continue
        reference = reference or answers
        agree(variant.name, answers, reference, where)
        runners.append(runner)
    others = ", ".join(runner.variant.name for runner in runners[1:])
    gradients = reference["gradients"]
    say(f"  loss and all {len(gradients)} gradients agree: {others or 'nobody to compare with'}")
    return runners, skipped, sum(gradient.size for gradient in gradients.values())


def write_inputs(configuration: Configuration, directory: Path, threads: int) -> None:
    """Weights and batches, made in a process of their own."""
    subprocess.run(
        [sys.executable, "-m", "cpu_rivals.inputs", str(directory)],
        input=json.dumps(configuration.to_dict()),
        text=True,
        check=True,
        env=worker_environment(threads),
    )


def start(variant: Variant, configuration: Configuration, directory: Path, threads: int, stack: ExitStack) -> Runner:
    """Starts a contestant's process and has it build its model."""
    worker = stack.enter_context(Worker(variant.name, threads, variant.environment))
    hello = worker.ask("hello")
    worker.ask("prepare", configuration=configuration.to_dict(), directory=str(directory))
    return Runner(variant, worker, hello["versions"], hello["memory"])


def warm_up(runner: Runner) -> dict[str, Any]:
    """Loss and gradients before any update, and the losses of the first steps; compilation happens here."""
    found = runner.worker.ask("check")
    path = Path(found["gradients"])
    with np.load(path) as stored:
        gradients = dict(stored)
    path.unlink()
    losses = runner.worker.ask("time", steps=settings.WARM_UP_STEPS)["losses"]
    return {"loss": found["loss"], "gradients": gradients, "losses": losses}


def agree(name: str, answers: dict[str, Any], reference: dict[str, Any], where: str) -> None:
    """Raises Disagreement unless loss, every gradient, and the losses of the first steps are those of ours.

    The losses of later steps show that clipping and optimizer do the same.
    """
    theirs, ours = answers["gradients"], reference["gradients"]
    if theirs.keys() != ours.keys():
        raise Disagreement(f"{where}: {name} has other parameters: {sorted(theirs.keys() ^ ours.keys())}")
    try:
        assert_close(np.asarray(answers["loss"]), np.asarray(reference["loss"]), AGREEMENT, "loss")
        for parameter, gradient in ours.items():
            assert_close(theirs[parameter], gradient, AGREEMENT, f"gradient of {parameter}")
        assert_close(np.asarray(answers["losses"]), np.asarray(reference["losses"]), AGREEMENT, "losses of first steps")
    except AssertionError as error:
        raise Disagreement(f"{where}: {name} does not agree with ours: {error}") from error


def take_turns(runners: list[Runner], rounds: int, seconds: float) -> None:
    """A B C A B C ...: what disturbs the machine for a while disturbs everybody."""
    for runner in runners:
        took = statistics.median(runner.worker.ask("time", steps=FEWEST_STEPS)["seconds"])
        runner.steps = max(FEWEST_STEPS, math.ceil(seconds / took))
    for _ in range(rounds):
        for runner in runners:
            runner.rounds.append(runner.worker.ask("time", steps=runner.steps)["seconds"])
