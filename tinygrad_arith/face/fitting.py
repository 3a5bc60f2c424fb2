"""Training from a program: `tinygrad_arith.fit` and `.resume`."""

import dataclasses
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..options.arguments import ArgumentError, number, place, plain, require, shown, truth
from ..options.option import did_you_mean
from ..parallel.interrupts import open_closed_streams
from ..tasks.registry import TASKS
from ..training.config import Config, TrainingOptions
from ..training.presets import DEFAULT_PRESET, load_preset, preset_names
from ..training.runs import RunRecord, resume_command
from ..training.session import new_session, resumed_session
from ..training.task_files import is_own
from ..training.trainer import Session, Trainer, note_result
from .arguments import check_value, configured, for_programs
from .callbacks import Callback, Calling, as_callbacks
from .progress import reporters
from .run import Run

NOT_LONGER = 60  # characters of what could be the name of a preset


@for_programs
def fit(
    preset: str | Config = DEFAULT_PRESET,
    *,
    out: "str | os.PathLike[str] | None" = None,
    until: float | None = None,
    progress: bool = True,
    callbacks: Callback | Iterable[Callback] | None = (),
    **options: Any,
) -> Run:
    """Trains a model and tests it; returns the run, which lies in a directory of its own.

    preset:    the name of one (`python -m tinygrad_arith.train --list-presets`), or a `Config`
    out:       directory of the run; default: a new one in `runs/`
    until:     the goal metric on the validation examples at which to stop early, such as 0.999
    progress:  whether it is shown how the training goes: a bar on a terminal, lines elsewhere
    callbacks: each is called after each step with its row of `metrics.jsonl`, a dict with `step`, `loss`, ... and, on
               steps that were evaluated, the goal metric; one that returns True ends the training after that step, one
               that returns False or None lets it go on, and anything else is an error
    options:   those of the flags, with underscores: `steps=300, layers=3, optimizer="lion", lr=1e-3`; numbers of NumPy
               count as Python's

    Ctrl-C, and "interrupt" in a notebook, let the step finish and save; `KeyboardInterrupt` follows, and `resume` goes
    on. Raises UserError, one sentence, for arguments that will not do, before anything is made.
    """
    open_closed_streams()
    config, name = config_of(preset)
    until, shows, calling = goal(until), truth("progress", progress), Calling(as_callbacks(callbacks))
    record = RunRecord(configured(config, options).resolved(), name, until)
    with new_session(record, None if out is None else absolute(place("out", out))) as session:
        return finished(session, shows, calling)


@for_programs
def resume(
    run: "str | os.PathLike[str] | Run",
    *,
    steps: int | None = None,
    until: float | None = None,
    progress: bool = True,
    callbacks: Callback | Iterable[Callback] | None = (),
) -> Run:
    """Goes on with a run that was stopped, to the very bits of one that was not.

    steps: another number of steps, for a run whose learning rate is constant
    until: another goal; 0: none

    The other arguments and the errors are those of `fit`.
    """
    open_closed_streams()
    directory, shows, calling = place("run", run), truth("progress", progress), Calling(as_callbacks(callbacks))
    steps = None if steps is None else plain(steps)
    if steps is not None:
        check_value("steps", TrainingOptions.__dataclass_fields__["steps"], steps)
    until = plain(until)
    until = 0.0 if type(until) in (int, float) and until == 0 else goal(until)
    with resumed_session(directory, steps, until) as session:
        return finished(session, shows, calling)


def config_of(preset: Any) -> tuple[Config, str]:
    """The configuration to start from, and the name of its runs. Raises ArgumentError for what is none."""
    preset = plain(preset)
    if isinstance(preset, Config):
        return preset, "config"
    wanted = "the name of a preset, or a Config; model and task are made from these and from options"
    require("preset", preset, isinstance(preset, str), wanted)
    if preset in TASKS.places or is_own(preset):
        raise ArgumentError(f"preset={preset!r}: that is a task, task={preset!r}, and no preset")
    if preset.endswith(".toml"):
        raise ArgumentError(f"preset={shown(preset)}: a file is read by the command, train --config FILE, and not here")
    if len(preset) > NOT_LONGER or not preset.isprintable() or not preset.strip():
        raise ArgumentError(
            f"preset={shown(preset)}: no such preset{did_you_mean(preset[:NOT_LONGER], preset_names())}"
        )
    return load_preset(preset).config, preset


def goal(until: Any) -> float | None:
    """The goal at which to stop, or None for none. Raises ArgumentError for anything else."""
    return None if until is None else number("until", until, lambda v: 0 < v < math.inf, "a number above 0, or None")


def absolute(directory: Path) -> Path:
    """The path from the root, which stays that of the same directory when the program goes to another one."""
    return Path(os.path.abspath(directory))


def finished(session: Session, shows: bool, calling: Calling) -> Run:
    """Train, test, and note the result."""
    from ..training.threads import matrix_threads

    session = dataclasses.replace(session, directory=absolute(session.directory))
    reporter = reporters(calling, session.task.goal) if shows else calling
    with matrix_threads(session.record.config.training.blas_threads):
        trainer = Trainer(session, reporter)
        outcome = trainer.run()
        if outcome.signal is not None:
            go_on = resume_command(session.directory)
            raise KeyboardInterrupt(f"stopped after step {trainer.progress.step} and saved; go on with {go_on}")
        if outcome.output_error is not None:
            raise outcome.output_error
        if calling.error is not None:
            raise calling.error
        metrics = session.task.evaluate(session.model, "test")
        note_result(session, trainer.progress, metrics)
    return Run(session.directory)
