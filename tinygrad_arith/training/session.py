"""One sitting at a run: prepare a new run or take up an old one, then train."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .build import choose_training_device, initialize, make_model, make_optimizer, make_task
from .checkpoints import FOLDER as CHECKPOINTS
from .checkpoints import Checkpoint, clean_folder, load_newest
from .config import Config
from .errors import UserError
from .files import remove_temporaries
from .metrics import FILE_NAME as METRICS
from .metrics import trim_metrics
from .predictions import FILE_NAME as PREDICTIONS
from .predictions import trim_predictions
from .reporter import Reporter
from .runs import (
    RESULT_FILE,
    RunRecord,
    check_unused,
    locked,
    make_directory,
    read_record,
    write_record,
    write_resumption,
)
from .threads import resolve_threads
from .trainer import Trainer


@dataclass(frozen=True)
class Session:
    """A run that is ready to train: its directory is locked for as long as the session is open."""

    record: RunRecord
    directory: Path
    task: Any
    model: Any
    optimizer: Any
    checkpoint: Checkpoint | None  # where to go on from; None: from the start
    device: str = "cpu"

    def trainer(self, reporter: Reporter) -> Trainer:
        """The trainer, restored from the checkpoint if there is one. UserError if that belongs to another model."""
        trainer = Trainer(
            self.record.config,
            self.task,
            self.model,
            self.optimizer,
            self.directory,
            until=self.record.until,
            reporter=reporter,
        )
        if self.checkpoint is not None:
            try:
                trainer.restore(self.checkpoint)
            except (ValueError, KeyError) as error:
                raise UserError(f"{self.checkpoint.path}: does not fit the model of this run: {error}") from error
        return trainer


def plan(config: Config) -> tuple[Any, Any]:
    """Check a configuration down to the shapes of the model; returns (task, model without parameters).

    Raises UserError for whatever does not fit. Nothing of the model's size is made yet.
    """
    config.validate()
    task = make_task(config.task)
    config.validate(task.train_size)
    choose_training_device(config.training)
    return task, make_model(config, task)


@contextmanager
def new_session(record: RunRecord, out: Path | None) -> Iterator[Session]:
    """A new run in a directory of its own. Raises UserError if the configuration or the directory will not do."""
    task, model = plan(record.config)
    training = resolve_threads(record.config.training, model, task.context)
    record = dataclasses.replace(record, config=dataclasses.replace(record.config, training=training))
    directory = make_directory(out, record.preset, record.config.training.seed)
    with locked(directory):
        check_unused(directory)
        write_record(directory, record)
        yield ready(record, directory, task, model, None)


@contextmanager
def resumed_session(directory: Path, steps: int | None, until: float | None) -> Iterator[Session]:
    """An old run, taken up at its newest whole checkpoint (or at the start, if it was killed before its first one).

    `steps` and `until`, where given, replace those of the run. What the run wrote after the checkpoint is removed: it
    will be computed again, to the same bits. Raises UserError if this is no run, or `steps` would change its past.
    """
    read_record(directory)  # complain before a lock file is put into a directory that is no run
    with locked(directory):
        record = read_record(directory)
        task, model = plan(record.config)
        checkpoint = load_newest(directory / CHECKPOINTS)
        step = checkpoint.progress.step if checkpoint else 0
        changed = change_record(record, step, steps, until)
        if checkpoint is None or not checkpoint.progress.finished(changed.config.training.steps, changed.until):
            (directory / RESULT_FILE).unlink(missing_ok=True)  # of an end that is none any more
        write_resumption(directory, changed, step)
        remove_temporaries(directory)
        clean_folder(directory / CHECKPOINTS, step)
        trim_metrics(directory / METRICS, step)
        trim_predictions(directory / PREDICTIONS, step)
        yield ready(changed, directory, task, model, checkpoint)


def change_record(record: RunRecord, step: int, steps: int | None, until: float | None) -> RunRecord:
    """The record with another number of steps or another goal; raises UserError where the schedule forbids it."""
    training = record.config.training
    if until is not None:
        record = dataclasses.replace(record, until=until)
    if steps is None or steps == training.steps:
        return record
    if record.config.optimizer.schedule != "constant":
        raise UserError(
            f"--steps {steps}: the learning rate of this run ends its fall at step {training.steps}, and another end "
            "would change the rate of the steps already done; start a new run with that many steps"
        )
    if steps < step:
        raise UserError(f"--steps {steps}: this run has done {step} steps already")
    config = dataclasses.replace(record.config, training=dataclasses.replace(training, steps=steps)).validate()
    return dataclasses.replace(record, config=config)


def ready(record: RunRecord, directory: Path, task: Any, model: Any, checkpoint: Checkpoint | None) -> Session:
    """The session, with the parameters and the optimizer made where they are to live."""
    device = choose_training_device(record.config.training)
    initialize(model, record.config, device)
    return Session(record, directory, task, model, make_optimizer(record.config, model), checkpoint, device)
