"""Does a collapse lie in the weights or in a batch? A run is taken back to shortly before one and goes on otherwise.

The *onset* of a collapse is the first step whose gradient is ONSET times as long as usual. From LEADS steps before it
the run goes on for as many steps and AFTER more: with the same batches, which must give the same losses to the bit,
with other batches, at half the rate, and with AdamW's second moment as it was when 99 % was first reached. Along the
way with the same batches each step is looked at (`Look`).
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from collapse.run import State, Training
from collapse.terms import COLLAPSED, EVALUATE_EVERY, LOOKED_AT, REACHED
from tinygrad_arith.backend import array_module
from tinygrad_arith.training.batches import make_batches

ONSET = 5.0  # times the usual norm of the gradient
CALM = 100  # steps before a collapse is seen in which it begins; the CALM steps before those tell what is usual
LEADS = (80, 40, 20, 10, 5, 2, 0)  # steps before the onset from which the run goes on otherwise
AFTER = 100  # steps that are watched from the onset on
WATCHED = 10  # steps between two evaluations of a replay
DRAWS = 4  # draws of other batches
CONTROL_EVERY = 500  # steps between two calm states from which a run goes on with other batches
KEPT = 5  # evaluations whose states are kept: the onset is up to CALM steps before the last, LEADS before that


@dataclasses.dataclass(frozen=True)
class Look:
    """What one step looks like, measured before it is made but for the last two, which are of its gradient.

    apart, batch: the sharpness over the edge of stability, of the loss on a batch that is the same for all looks, and
                  of the loss on the step's own
    spread:       the root of the mean of g² / v̂: 1 where a gradient is as long as those that v̂ remembers
    turn:         the cosine, in the preconditioner's coordinates, between this gradient and the one before: -1 where
                  a step is answered by one straight back
    """

    apart: float
    batch: float
    spread: float
    turn: float


class Replayer:
    """Replays from states of a training."""

    def __init__(self, training: Training):
        self.training, self.runner = training, training.runner
        self.size, self.seed = training.config.training.batch, training.config.training.seed
        self.made: dict[int, Any] = {}  # batches by step
        self.apart = training.sharpness_on(lambda: training.apart)
        self.own = training.sharpness_on(lambda: self.batch(self.step))
        self.step = 0  # the step that is looked at
        self.gradient: Any = None  # (N,), that of the step before

    def batch(self, step: int) -> Any:
        """The batch of a step, counted from 0; each is made once."""
        if step not in self.made:
            self.made[step] = self.training.task.train_batch(step, self.size, self.seed)
        return self.made[step]

    def other_batch(self, draw: int) -> Callable[[int], Any]:
        """Batches that the run never sees."""
        steps = self.training.config.training.steps
        return lambda step: self.batch((draw + 2) * steps + step)

    def lowest(self, state: State, steps: int, batch_of: Callable[[int], Any], rate: float = 1.0) -> float:
        """The lowest exact match within so many steps from a state; see `go_on`."""
        return min(self.go_on(state, steps, batch_of, rate)[0])

    def go_on(
        self, state: State, steps: int, batch_of: Callable[[int], Any], rate: float = 1.0
    ) -> tuple[list[float], list[float]]:
        """Exact match at every WATCHED-th step from a state, at `rate` times the learning rate; the steps' losses."""
        self.training.restore(state)
        options, shares = self.training.config.optimizer, []
        slower = dataclasses.replace(options, learning_rate=rate * options.learning_rate)
        self.runner.config = dataclasses.replace(self.training.config, optimizer=slower)
        for number in range(1, steps + 1):
            step = state.steps + number - 1
            self.runner.enqueue(batch_of(step), step)
            if number % WATCHED == 0 or number == steps:
                shares.append(self.training.exact_match())
        self.runner.config = self.training.config
        return shares, [result.loss for result in self.runner.results()]

    def retrace(self, start: State, onset: int, losses: list[float]) -> tuple[dict[int, State], list[Look]]:
        """The way from a state to the onset and beyond with the same batches: states by their lead, and the looks.

        losses: of the run's steps. Raises SystemExit if the way is another one.
        """
        self.training.restore(start)
        states: dict[int, State] = {}
        looks: list[Look] = []
        first, last = (onset + offset for offset in LOOKED_AT)
        for step in range(start.steps, last):
            if onset - step in LEADS:
                states[onset - step] = self.training.state()
            if step >= first:
                looks.append(self.look(step))
            else:
                self.make(step)
        again, known = [result.loss for result in self.runner.results()], losses[start.steps : last]
        if again[: len(known)] != known:
            raise SystemExit(f"the steps from {start.steps} on are not the same when they are made again")
        return states, looks

    def look(self, step: int) -> Look:
        """Makes a step and tells what it looks like."""
        root = self.training.preconditioner()
        xp, before = array_module(root), self.gradient
        self.step = step
        sharpness = [of.measure(root) / self.training.edge(step) for of in (self.apart, self.own)]
        gradient = self.make(step)
        scaled = gradient / root  # (N,)
        turn = scaled @ before / xp.sqrt((scaled @ gradient) * (before @ (before / root)))
        here = gradient != 0  # not the padding, nor what no example uses
        return Look(*sharpness, float(xp.sqrt((scaled[here] ** 2).mean())), float(turn))

    def make(self, step: int) -> Any:
        """Makes a step; returns its gradient, (N,)."""
        self.runner.enqueue(self.batch(step), step)
        self.gradient = self.training.flat.gradients.copy()
        return self.gradient


def onset_of(norms: list[float], seen: int) -> int | None:
    """The first step, counted from 0, of the spike before a collapse that was first seen after `seen` steps."""
    usual = float(np.median(norms[seen - 2 * CALM : seen - CALM]))
    high = np.flatnonzero(np.array(norms[seen - CALM : seen]) > ONSET * usual)
    return None if not high.size else seen - CALM + int(high[0])


def replay_collapse(
    training: Training, states: deque, losses: list, norms: list, learned: State
) -> dict[str, Any] | None:
    """All replays of the collapse that has just been seen; None if no state is kept from so long before it."""
    onset = onset_of(norms, len(losses))
    if onset is None:
        return None
    start = max((state for state in states if state.steps <= onset - max(LEADS)), key=lambda s: s.steps, default=None)
    if start is None:
        return None
    replayer = Replayer(training)
    by_lead, looks = replayer.retrace(start, onset, losses)
    rows = [replays_from(replayer, state, lead, learned) for lead, state in by_lead.items()]
    return {"seen": len(losses), "onset": onset, "replays": rows, "looks": [dataclasses.asdict(look) for look in looks]}


def replays_from(replayer: Replayer, state: State, lead: int, learned: State) -> dict[str, Any]:
    """The lowest exact match of each way to go on from a state, `lead` steps before the onset."""
    steps = lead + AFTER
    return {
        "lead": lead,
        "same": replayer.lowest(state, steps, replayer.batch),
        "others": [replayer.lowest(state, steps, replayer.other_batch(draw)) for draw in range(DRAWS)],
        "half_rate": replayer.lowest(state, steps, replayer.batch, rate=0.5),
        "second_moment": replayer.lowest(with_second_moment(state, learned, replayer), steps, replayer.batch),
    }


def with_second_moment(state: State, learned: State, replayer: Replayer) -> State:
    """A state with the second moment of another, brought to the same bias correction."""
    beta2 = replayer.training.optimizer.betas[1]
    bias = (1.0 - beta2**state.steps) / (1.0 - beta2**learned.steps)
    return dataclasses.replace(state, second_moment=bias * learned.second_moment)


class ReplayedRun:
    """A run of which every collapse out of a calm, and every CONTROL_EVERY-th calm step, is replayed."""

    def __init__(self, training: Training):
        self.training, self.learned = training, None
        self.losses: list[float] = []
        self.norms: list[float] = []
        self.shares: list[float] = []  # exact match at every evaluation
        self.states: deque[State] = deque(maxlen=KEPT)  # at the evaluations before
        self.collapses: list[dict[str, Any]] = []
        self.skipped: list[
            int
        ] = []  # steps at which a collapse was seen for which `replay_collapse` finds no beginning
        self.controls: list[dict[str, Any]] = []

    def evaluated(self) -> None:
        """To be called every EVALUATE_EVERY steps; the training goes on afterwards as if nothing had been replayed."""
        for result in self.training.runner.results():
            self.losses.append(result.loss)
            self.norms.append(result.gradient_norm)
        self.shares.append(self.training.exact_match())
        here = self.training.state()
        if self.learned is None and self.shares[-1] >= REACHED:
            self.learned = here
        if self.learned and len(self.shares) >= KEPT and min(self.shares[-KEPT:-1]) >= REACHED:
            self.replay(here)
            self.training.restore(here)
        self.states.append(here)

    def replay(self, here: State) -> None:
        """Replays after a calm: the collapse that ended it, or from the calm itself."""
        if self.shares[-1] < COLLAPSED:
            found = replay_collapse(self.training, self.states, self.losses, self.norms, self.learned)
            if found:
                self.collapses.append(found)
            else:
                self.skipped.append(here.steps)
        elif self.shares[-1] >= REACHED and here.steps % CONTROL_EVERY == 0:
            replayer = Replayer(self.training)
            others = [replayer.lowest(here, max(LEADS) + AFTER, replayer.other_batch(draw)) for draw in range(DRAWS)]
            self.controls.append({"step": here.steps, "others": others})


def train_and_replay(training: Training, out: Path, until: float) -> None:
    """A run with its replays, ended by its last step or after `until` seconds; `out` is written anew on the way."""
    run, config = ReplayedRun(training), training.config
    batches = make_batches(training.task, config.training, ahead=training.runner.waits)
    began, seconds = time.perf_counter(), 0.0
    for step in range(1, config.training.steps + 1):
        training.runner.enqueue(batches.at(step - 1), step - 1)
        if step % EVALUATE_EVERY == 0:
            run.evaluated()
            seconds = time.perf_counter() - began
            values = {"config": config.to_dict(), "steps": step, "seconds": round(seconds, 1)}
            values |= {"collapses": run.collapses, "skipped": run.skipped, "controls": run.controls}
            out.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
            if seconds > until:
                break
    training.runner.close()
    batches.close()
    print(f"seed {config.training.seed}: {len(run.collapses)} collapses, {len(run.controls)} controls replayed in "
          f"{step} steps, {seconds:.0f} s", flush=True)  # fmt: skip
