"""Why the accuracy of a run collapses: the same training with one thing changed at a time, and what happens inside.

    python benchmarks/collapse.py train --variant verbatim --seeds 1 2 3 --out DIR   # records into DIR
    python benchmarks/collapse.py train --sharpness --seeds 1 --out DIR2            # with the edge of stability
    python benchmarks/collapse.py replay --seeds 1 --out DIR3                       # collapses again, otherwise
    python benchmarks/collapse.py report DIR [--edge DIR2] [--write]                # tables, pictures, dated JSON
    python benchmarks/collapse.py report-replays DIR3 [--write]                     # the same of the replays

A *collapse*: exact match on the 500 validation problems was at least 0.99 at some evaluation (every 50 steps), and at a
later one it is below 0.9. It lasts until 0.99 is reached again. Beside the accuracy a run records, every 10 steps and
for each parameter: the norm of the gradient, the norm of the update, that of the weights, and the root of the mean of
AdamW's second moment. With --sharpness also, at every evaluation, the sharpness of `collapse_sharpness.py` over the
edge of stability. What `replay` does is told in `collapse_replay.py`.
"""

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from collapse_replay import train_and_replay
from collapse_replay_report import report_replays
from collapse_report import report
from collapse_run import Training, configuration
from collapse_terms import EVALUATE_EVERY, RECORD_EVERY, VARIANTS

from tinygrad_arith.backend import array_module
from tinygrad_arith.training.batches import make_batches
from tinygrad_arith.training.config import Config
from tinygrad_arith.training.step_result import rate_of


class Recorder:
    """Norms of each parameter's gradient, update and weights and the size of its second moment, where they lie."""

    def __init__(self, training: Training):
        self.training, self.flat, self.optimizer = training, training.flat, training.optimizer
        self.xp = array_module(self.flat.values)
        self.names = list(self.flat.slices)
        self.sizes = np.array([parameter.size for parameter in self.flat.parameters.values()])
        self.rows: list = []

    def record(self, step: int) -> None:
        """One row after `step` steps, without waiting for the GPU."""
        first, second = self.optimizer.first_moment, self.optimizer.second_moment
        rate = rate_of(self.training.config, step - 1) / (1.0 - self.optimizer.betas[0] ** step)
        update = rate * first / self.training.preconditioner()  # (N,)
        squares = (self.flat.gradients**2, update**2, self.flat.values**2, second)
        places = self.flat.slices.values()
        self.rows.append(self.xp.stack([self.xp.stack([x[here].sum() for here in places]) for x in squares]))

    def table(self) -> np.ndarray:
        """(rows, quantities, parameters): norms, and the root of the mean second moment."""
        rows = self.xp.stack(self.rows)  # (R, 4, P)
        rows = np.sqrt(rows if self.xp is np else rows.get())
        rows[:, 3] /= np.sqrt(self.sizes)
        return rows.astype(np.float32)


class EdgeRecorder:
    """The sharpness over the edge of stability, at every evaluation."""

    def __init__(self, training: Training):
        self.training = training
        self.sharpness = training.sharpness_on(lambda: training.apart)
        self.shares: list[float] = []

    def record(self, step: int) -> None:
        """After `step` steps."""
        self.shares.append(self.sharpness.measure(self.training.preconditioner()) / self.training.edge(step - 1))


def train(variant: str, seed: int, steps: int | None, out: Path, sharpness: bool) -> None:
    """One run, recorded into `out`."""
    config = configuration(variant, seed, steps)
    training = Training(config)
    runner, recorder = training.runner, Recorder(training)
    at_the_edge = EdgeRecorder(training) if sharpness else None
    batches = make_batches(training.task, config.training, ahead=runner.waits)
    losses, norms, evaluated, began = [], [], [], time.perf_counter()
    for step in range(1, config.training.steps + 1):
        runner.enqueue(batches.at(step - 1), step - 1)
        if step % RECORD_EVERY == 0:
            recorder.record(step)
        if step % EVALUATE_EVERY == 0:
            for result in runner.results():
                losses.append(result.loss)
                norms.append(result.gradient_norm)
            if not math.isfinite(losses[-1] + norms[-1]):
                raise SystemExit(f"{variant}, seed {seed}: not finite in the steps up to {step}")
            evaluated.append(training.exact_match())
            if at_the_edge:
                at_the_edge.record(step)
    runner.close()
    batches.close()
    about = {"variant": variant, "seed": seed, "steps": len(losses)}
    about |= {"seconds": round(time.perf_counter() - began, 1)}
    arrays = {"losses": losses, "norms": norms, "sharpness": at_the_edge.shares if at_the_edge else ()}
    arrays = {name: np.array(values, np.float32) for name, values in arrays.items()}
    arrays |= {"exact_match": np.array(evaluated), "table": recorder.table(), "parameters": recorder.names}
    save_record(out, about, config, arrays)


def save_record(out: Path, about: dict[str, Any], config: Config, arrays: dict[str, Any]) -> None:
    """A run's record as `VARIANT-seedSEED.npz`, which `collapse_report.load` reads; tells how it went."""
    name = f"{about['variant']}-seed{about['seed']}".replace(" ", "_")
    np.savez_compressed(out / f"{name}.npz", about=json.dumps(about), config=json.dumps(config.to_dict()), **arrays)
    shares = arrays["exact_match"]
    lowest = shares[len(shares) // 2 :].min()
    print(f"{name}: exact match {shares[-1]:.3f}, lowest of the last half {lowest:.3f}, {about['seconds']:.0f} s",
          flush=True)  # fmt: skip


def main() -> None:
    """Parses and does what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    trains = commands.add_parser("train", help="train and record")
    trains.add_argument("--variant", choices=VARIANTS, nargs="+", default=["verbatim"])
    trains.add_argument("--seeds", type=int, nargs="+", default=[1])
    trains.add_argument("--steps", type=int, help="of each run (default: those of the preset)")
    trains.add_argument("--sharpness", action="store_true", help="measure the sharpness too, which takes longer")
    trains.add_argument("--out", type=Path, required=True, metavar="DIR")
    replays = commands.add_parser("replay", help="train unchanged, and go on otherwise from before each collapse")
    replays.add_argument("--seeds", type=int, nargs="+", default=[1])
    replays.add_argument("--until", type=float, default=math.inf, metavar="SECONDS", help="of a run, which then ends")
    replays.add_argument("--out", type=Path, required=True, metavar="DIR")
    reports = commands.add_parser("report", help="what the records in DIR say")
    reports.add_argument("directory", type=Path, metavar="DIR")
    reports.add_argument("--edge", type=Path, metavar="DIR2", help="records made with --sharpness")
    replay_reports = commands.add_parser("report-replays", help="what the replays in DIR say")
    replay_reports.add_argument("directory", type=Path, metavar="DIR")
    for command in (reports, replay_reports):
        command.add_argument("--machine", default="", help="in words, for the result's file")
        command.add_argument("--write", action="store_true", help="write JSON and pictures")
    args = parser.parse_args()
    if args.command == "report":
        report(args.directory, args.edge, args.machine, args.write)
        return
    if args.command == "report-replays":
        report_replays(args.directory, args.machine, args.write)
        return
    args.out.mkdir(parents=True, exist_ok=True)
    if args.command == "replay":
        for seed in args.seeds:
            train_and_replay(Training(configuration("verbatim", seed, None)), args.out / f"seed{seed}.json", args.until)
        return
    for variant in args.variant:
        for seed in args.seeds:
            train(variant, seed, args.steps, args.out, args.sharpness)


if __name__ == "__main__":
    main()
