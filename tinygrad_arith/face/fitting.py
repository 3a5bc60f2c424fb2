"""Training from a program: `tinygrad_arith.fit` and `.resume`."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..cli.progress import make_reporter
from ..parallel.interrupts import open_closed_streams
from ..training.config import Config
from ..training.presets import DEFAULT_PRESET, load_preset
from ..training.reporter import Reporter, Reporters
from ..training.runs import RunRecord
from ..training.session import new_session, resumed_session
from ..training.trainer import Session, Trainer, note_result
from .arguments import configured, speaking_of_arguments
from .run import Run

Callback = Callable[[dict[str, Any]], object]


def fit(
    preset: str | Config = DEFAULT_PRESET,
    *,
    out: "str | os.PathLike[str] | None" = None,
    until: float | None = None,
    progress: bool = True,
    callbacks: Callback | Iterable[Callback] = (),
    **options: Any,
) -> Run:
    """Trains a model and tests it; returns the run, which lies in a directory of its own.

    preset:    the name of one (`python -m tinygrad_arith.train --list-presets`), or a `Config`
    out:       directory of the run; default: a new one in `runs/`
    until:     the goal metric on the validation examples at which to stop early, such as 0.999
    progress:  whether it is shown how the training goes: a bar on a terminal, lines elsewhere
    callbacks: each is called after each step with its row of `metrics.jsonl`, a dict with `step`, `loss`, ... and, on
               steps that were evaluated, the goal metric; one that returns True ends the training after that step
    options:   those of the flags, with underscores: `steps=300, layers=3, optimizer="lion", lr=1e-3`

    Ctrl-C, and "interrupt" in a notebook, let the step finish and save; `KeyboardInterrupt` follows, and `resume` goes
    on. Raises UserError, one sentence, for options that will not do.
    """
    open_closed_streams()
    with speaking_of_arguments():
        config, name = (preset, "config") if isinstance(preset, Config) else (load_preset(preset).config, preset)
        record = RunRecord(configured(config, options).resolved(), name, until)
        with new_session(record, None if out is None else Path(out)) as session:
            return finished(session, progress, callbacks)


def resume(
    run: "str | os.PathLike[str] | Run",
    *,
    steps: int | None = None,
    until: float | None = None,
    progress: bool = True,
    callbacks: Callback | Iterable[Callback] = (),
) -> Run:
    """Goes on with a run that was stopped, to the very bits of one that was not.

    steps: another number of steps, for a run whose learning rate is constant
    until: another goal; 0: none

    The other arguments and the errors are those of `fit`.
    """
    open_closed_streams()
    with speaking_of_arguments(), resumed_session(Path(run), steps, until) as session:
        return finished(session, progress, callbacks)


def finished(session: Session, progress: bool, callbacks: Callback | Iterable[Callback]) -> Run:
    """Train, test, and note the result."""
    from ..training.threads import matrix_threads

    calling = Calling((callbacks,) if callable(callbacks) else tuple(callbacks))
    reporter = Reporters([calling, make_reporter(session.task.goal)]) if progress else calling
    with matrix_threads(session.record.config.training.blas_threads):
        trainer = Trainer(session, reporter)
        outcome = trainer.run()
        if outcome.signal is not None:
            raise KeyboardInterrupt(f"stopped after step {trainer.progress.step} and saved in {session.directory}")
        if outcome.output_error is not None:
            raise outcome.output_error
        if calling.error is not None:
            raise calling.error
        metrics = session.task.evaluate(session.model, "test")
        note_result(session, trainer.progress, metrics)
    return Run(session.directory)


class Calling(Reporter):
    """Calls functions back; an error of one ends the training, which is saved first."""

    def __init__(self, callbacks: tuple[Callback, ...]):
        self.callbacks = callbacks
        self.error: Exception | None = None

    def stepped(self, row: dict[str, Any]) -> None:
        """A step is done."""
        for callback in self.callbacks:
            try:
                self.stop |= callback(dict(row)) is True
            except Exception as error:  # whatever a user's function may raise
                self.error, self.stop = error, True
