"""One sitting at a run: prepare a new run or take up an old one, then train."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..backend import available_cores
from ..files.writing import remove_temporaries
from ..models.model import Model
from ..options.errors import MisuseError, UserError, as_misuse, warn
from ..run_files import checkpoints, metrics, predictions
from ..run_files.machine import what_computes
from ..tasks import Task
from .build import choose_training_device, initialize, make_model, make_optimizer, make_task
from .config import Config, TrainingOptions
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
from .task_files import COPY_NAME, file_of, has_changed
from .threads import resolve_threads
from .trainer import Session


def plan(config: Config) -> tuple[Task, Model]:
    """Check a configuration down to the shapes of the model; returns (task, model without parameters).

    Raises UserError for whatever does not fit. Nothing of the model's size is made yet.
    """
    task = make_task(config.task)
    batch, count = config.training.batch, config.training.eval_size
    in_epochs = task.config.draws == "epochs" and task.config.rows == "whole"
    if in_epochs and (size := task.train_size) is not None and batch > size:
        raise UserError(
            f"--batch {batch}: larger than the {size:,} training problems of this task, which come once an "
            "epoch each (--draws random draws with replacement)"
        )
    if count > (size := task.config.validation_size or task.split_size("validation")):
        raise UserError(f"--eval-size {count}: the validation split holds {size:,} examples only")
    model = make_model(config, task)
    choose_training_device(config.training)
    return task, model


def check_goal(task: Task, until: float | None) -> None:
    """Raise MisuseError if the goal metric can never have the value at which to stop."""
    if until is not None and task.goal.share and until > 1:
        raise MisuseError(f"--until {until:g}: must be at most 1, for {task.goal.title} is a share of 1, or none")


@contextmanager
def new_session(record: RunRecord, out: Path | None) -> Iterator[Session]:
    """A new run in a directory of its own, with a configuration from flags.

    Raises MisuseError if the configuration will not do, UserError if the directory or the machine will not.
    """
    with as_misuse():
        task, model = plan(record.config)
    check_goal(task, record.until)
    training = resolve_threads(record.config.training, model, task.context)
    record = dataclasses.replace(record, config=dataclasses.replace(record.config, training=training))
    session = ready(record, Path(), task, model)  # first what may want too much memory, then the directory
    directory = make_directory(out, record.name, record.config.training.seed)
    with locked(directory):
        check_unused(directory)
        write_record(directory, record, what_computes(choose_training_device(training)))
        yield dataclasses.replace(session, directory=directory)


@contextmanager
def resumed_session(directory: Path, steps: int | None, until: float | None) -> Iterator[Session]:
    """An old run, taken up at its newest whole checkpoint (or at the start, if it was killed before its first one).

    `steps` and `until`, where given, replace those of the run. What the run wrote after the checkpoint is removed: it
    will be computed again, to the same bits; if something else computes than did before, to others, with a warning. A
    run that is finished is only tested again, which is no sitting. An `until` of 0 stands for none. Raises UserError if
    this is no run, or its checkpoints are gone, and MisuseError if `steps` would change its past.
    """
    read_record(directory)  # complain before a lock file is put into a directory that is no run
    with locked(directory):
        record = read_record(directory)
        task, model = plan(record.config)
        check_goal(task, record.until if until is None else until)
        rows = metrics.read_metrics(directory / metrics.FILE_NAME)  # damage is told before anything is rewritten
        predictions.read_predictions(directory / predictions.FILE_NAME)
        checkpoint = checkpoints.load_newest(directory / checkpoints.FOLDER)
        if checkpoint is None:
            check_nothing_is_lost(directory, record.config.training, rows)
        step = checkpoint.progress.step if checkpoint else 0
        record = change_record(record, step, steps, until)
        if checkpoint is None or not checkpoint.progress.finished(record.config.training.steps, record.until):
            begin_sitting(directory, record, step)
        else:
            write_record(directory, record)
        remove_temporaries(directory)
        checkpoints.clean_folder(directory / checkpoints.FOLDER, step)
        metrics.trim_metrics(directory / metrics.FILE_NAME, step)
        predictions.trim_predictions(directory / predictions.FILE_NAME, step)
        yield dataclasses.replace(ready(record, directory, task, model), checkpoint=checkpoint)


def begin_sitting(directory: Path, record: RunRecord, step: int) -> None:
    """Note in a run's files that it goes on at a step; warn if something else computes than did before, or the file of
    its task was changed.
    """
    kind = record.config.task.kind
    if has_changed(directory, kind):
        copy = directory / COPY_NAME
        warn(f"{directory}: {file_of(kind)} was changed since the run began; {copy} is what it was then")
    (directory / RESULT_FILE).unlink(missing_ok=True)  # of an end that is none any more
    computed_by = what_computes(choose_training_device(record.config.training))
    differing = write_resumption(directory, record, step, computed_by)
    if differing:
        warn(f"{directory}: goes on, but not to the bits that it would have come to: {'; '.join(differing)}")


def check_nothing_is_lost(directory: Path, training: TrainingOptions, rows: list[dict[str, Any]]) -> None:
    """Raise UserError if a run without a checkpoint had saved one: to begin anew would wipe out what is left."""
    done = max((row["step"] for row in rows), default=0)
    if (directory / RESULT_FILE).is_file() or done > training.checkpoint_every:
        raise UserError(
            f"{directory}: its {checkpoints.FOLDER}/ is gone or empty, though {metrics.FILE_NAME} reaches step "
            f"{done:,}, so there is nothing to go on from (nothing was changed); train a new run in another directory"
        )


def change_record(record: RunRecord, step: int, steps: int | None, until: float | None) -> RunRecord:
    """The record with another number of steps or another goal (0: none); MisuseError where the schedule forbids it."""
    training = record.config.training
    if until is not None:
        record = dataclasses.replace(record, until=until or None)
    if steps is None or steps == training.steps:
        return record
    if record.config.optimizer.schedule != "constant":
        raise MisuseError(
            f"--steps {steps}: the learning rate of this run ends its fall at step {training.steps}, and another end "
            "would change the rate of the steps already done; start a new run with that many steps"
        )
    if steps < step:
        raise MisuseError(f"--steps {steps}: this run has done {step} steps already")
    if steps < record.config.optimizer.warmup:
        raise MisuseError(f"--steps {steps}: fewer than the {record.config.optimizer.warmup} of this run's warm-up")
    config = dataclasses.replace(record.config, training=dataclasses.replace(training, steps=steps))
    return dataclasses.replace(record, config=config)


def ready(record: RunRecord, directory: Path, task: Task, model: Model) -> Session:
    """The session of a new run, with the parameters and the optimizer made where they are to live."""
    training = record.config.training
    device, cores = choose_training_device(training), available_cores()
    if device == "cpu" and training.workers > cores:
        warn(f"--workers {training.workers}: more than the {cores} cores that this process may use; they will wait")
    initialize(model, record.config, device)
    return Session(record, directory, task, model, make_optimizer(record.config, model), device)
