"""A run on disk: `runs/<name>/` with `config.json`, `metrics.jsonl`, `predictions.jsonl`, `checkpoints/`, `plots/`,
of a user's task `task_file.py`, and `result.json` when it is finished."""

import contextlib
import dataclasses
import difflib
import itertools
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import __version__
from ..files.locks import why_no_locks
from ..files.names import fault_of_name
from ..files.reading import expect, is_number, is_table_of_texts, is_whole, read_json, shown
from ..files.writing import TEMPORARY_SUFFIX, write_json
from ..models.model import Model
from ..options.calling import as_typed, command_words, from_python
from ..options.errors import MisuseError, UserError, as_user_error, naming, warn
from ..run_files.checkpoints import FOLDER as CHECKPOINTS
from ..run_files.checkpoints import load_best, load_newest
from ..run_files.machine import installed_versions
from ..run_files.metrics import Reached
from ..tasks import Task
from ..tasks.metrics import Goal, Metrics, goal_of
from ..tasks.registry import TASKS
from ..tasks.user_tasks import digest_of_user_task
from .build import choose_device, initialize, make_model, make_task
from .config import Config
from .presets import load_preset, preset_names
from .task_files import check_file, facts_of_file, is_own, keep_file, stated_options
from .upgrade import upgraded

RUNS = Path("runs")
CONFIG_FILE = "config.json"
RESULT_FILE = "result.json"
LOCK_FILE = "run.lock"
FORMAT = 2
IN_WORDS = {"products": "matrix multiplications", "blas": "NumPy's BLAS"}  # of `computed_by`
NOTED_LATER = ("blas",)  # what runs of older versions do not tell, so that nothing can be said of it
STATED = ("format", "preset", "until", "seed", "config")  # in `config.json`; all else tells how the run was made


@dataclass(frozen=True)
class RunRecord:
    """What `config.json` states: the resolved configuration, and how the run was started."""

    config: Config
    preset: str
    until: float | None = None  # goal metric on the validation examples at which to stop early
    made: dict[str, Any] = field(default_factory=dict, compare=False)  # when, and with what; all else in the file

    @property
    def goal(self) -> Goal:
        """The metric that the run is judged by."""
        kind = self.config.task.kind
        return goal_of(self.made) if is_own(kind) else TASKS.load(kind).goal

    @property
    def name(self) -> str:
        """What people call the run: its preset or, if it has another task than that, the task (its class)."""
        task = self.config.task.kind
        if self.preset not in preset_names() or task == load_preset(self.preset).config.task.kind:
            return self.preset
        return task.rpartition(":")[2]


@dataclass(frozen=True)
class LoadedRun:
    """A trained model with its task, as of the newest whole checkpoint."""

    config: Config
    task: Task
    model: Model
    step: int
    path: Path


def load_run(
    path: str | os.PathLike[str], device: str = "cpu", *, best: bool = False, gradients: bool = False
) -> LoadedRun:
    """The model of a run, with the weights of its newest whole checkpoint, on a device: "cpu", "cuda" or "auto".

    best:      with those of the checkpoint that did best at the goal of its task, if one was measured
    gradients: whether it can be trained on

    Raises UserError if `path` is no directory, holds no run, or has no whole checkpoint, or if there is no such device.
    """
    directory = Path(path)
    config = read_record(directory).config
    checkpoint = load_best(directory / CHECKPOINTS) if best else load_newest(directory / CHECKPOINTS)
    if checkpoint is None:
        raise UserError(f"{directory}: this run has no complete checkpoint yet")
    task = make_task(config.task)
    device = choose_device(device, config.training.dtype)
    model = initialize(make_model(config, task), config, device, draw=False, gradients=gradients)
    with as_user_error(f"{checkpoint.path}: does not fit the model of {CONFIG_FILE}: "):
        model.load_state_dict(checkpoint.model)
    return LoadedRun(config, task, model, checkpoint.progress.step, directory)


def read_record(directory: Path) -> RunRecord:
    """What a run's `config.json` states; raises UserError if this is no run, or not one this version can read.

    The file of a user's task is run: see `read_record_alone`.
    """
    path, values = directory / CONFIG_FILE, read_config(directory)
    check_file(directory, kind_of(values.get("config")), values.get("task_file"))
    sections = upgraded(values.get("config")) if values["format"] == 1 else values.get("config")
    config = Config.from_dict(sections, source=str(path)).resolved()
    with as_user_error(f"{path}: "):
        check_made(values)
        check_digest(values, config.task.kind)
    return record_of(config, values)


def read_record_alone(directory: Path) -> RunRecord:
    """The same, but the file of a user's task is not run and need not be there: for what a run has measured.

    The options of such a task are `StatedOptions`. The record is not to be written.
    """
    path, values = directory / CONFIG_FILE, read_config(directory)
    sections: Any = values.get("config")
    if values["format"] == 1 or not is_own(kind_of(sections)):
        return read_record(directory)
    with as_user_error(f"{path}: "):
        check_made(values)
        task = stated_options(sections["task"])
    others = {name: section for name, section in sections.items() if name != "task"}
    config = dataclasses.replace(Config.from_dict(others, source=str(path)), task=task)
    return record_of(config, values)


def read_config(directory: Path) -> dict[str, Any]:
    """The table in a run's `config.json`; raises UserError if this is no run, or of a format that is not known, and
    MisuseError if there is no such directory.
    """
    if not directory.is_dir():
        if directory.exists():
            raise MisuseError(f"{directory}: not a directory")
        raise MisuseError(f"{directory}: no such run directory{meant_run(directory)}")
    path = directory / CONFIG_FILE
    if not path.is_file():
        raise UserError(f"{directory}: not a run: it lacks {CONFIG_FILE}")
    values = read_json(path)
    if not isinstance(values, dict) or not is_whole(values.get("format"), 1, FORMAT + 1):
        raise UserError(f"{path}: not a configuration of format {FORMAT} or 1, those that this version reads")
    return values


def meant_run(directory: Path) -> str:
    """`; did you mean runs/x?` about a directory that is not there, or nothing."""
    found = [path.parent.name for path in RUNS.glob(f"*/{CONFIG_FILE}")] if RUNS.is_dir() else []
    if directory.name in found:
        return f"; did you mean {RUNS / directory.name}?"
    here = directory.parent in (Path(), RUNS)
    nearest = difflib.get_close_matches(directory.name, found, n=1) if here else []
    return f"; did you mean {RUNS / nearest[0]}?" if nearest else ""


def kind_of(sections: Any) -> Any:
    """The kind of the task in what should be the sections of a configuration; None if there is none.

    In version 0.1 it had another name.
    """
    task = sections.get("task") if isinstance(sections, dict) else None
    return task.get("kind", task.get("task")) if isinstance(task, dict) else None


def record_of(config: Config, values: dict[str, Any]) -> RunRecord:
    """The record of a configuration, and of what else a `config.json` states."""
    made = {name: value for name, value in values.items() if name not in STATED}
    return RunRecord(config, values["preset"], values.get("until"), made)


def check_made(values: Any) -> None:
    """Raise ValueError unless what a `config.json` holds beside the options is of the right types."""
    preset, until, sittings = values.get("preset"), values.get("until"), values.get("resumed", [])
    is_name = isinstance(preset, str) and preset.isprintable() and preset not in ("", "..")
    expect("preset", preset, is_name and Path(preset).name == preset, "the name of a preset")
    expect("until", until, until is None or (is_number(until) and until > 0), "a number above 0 or null")
    are_tables = isinstance(sittings, list) and all(isinstance(sitting, dict) for sitting in sittings)
    expect("resumed", sittings, are_tables, "a list of tables")
    for found in (made.get("computed_by") for made in (values, *sittings)):
        expect("computed_by", found, found is None or is_table_of_texts(found), "a table of texts or null")
    file = values.get("task_file", "")
    expect("task_file", file, isinstance(file, str) and file.isprintable(), "the path of a file")
    goal_of(values)


def check_digest(values: dict[str, Any], kind: str) -> None:
    """Raise ValueError if the pairs of a user's task are others than those that a run was trained on."""
    digest = digest_of_user_task(kind)
    noted = values.get("task_digest", digest)
    if noted != digest and digest is None:
        raise ValueError(f"task_digest is {shown(noted)}, but --task {kind} lists no pairs: the file was changed")
    if noted != digest:
        raise ValueError(f"was trained on other pairs than --task {kind} lists now")


def write_record(directory: Path, record: RunRecord, computed_by: dict[str, str] | None = None) -> None:
    """Write the `config.json` of a run: every option, the seed and, of a new run, the date, and what it is made with.
    The file of a user's task is copied beside it.

    computed_by: see `what_computes`
    """
    made = record.made
    if not made:
        made = date_and_versions("created", computed_by)
        made |= {"task_digest": digest_of_user_task(record.config.task.kind)}
        made |= facts_of_file(record.config.task.kind)
    values = {"format": FORMAT, "preset": record.preset, "until": record.until, "seed": record.config.training.seed}
    write_json(directory / CONFIG_FILE, values | made | {"config": record.config.to_dict()})
    if not record.made:
        keep_file(directory, record.config.task.kind)


def write_resumption(
    directory: Path, record: RunRecord, step: int, computed_by: dict[str, str] | None = None
) -> list[str]:
    """Write the `config.json` of a run that goes on at a step: how it was made stays, this is added to `resumed`.

    Returns what computes now and did not in the last sitting, or the other way round: with it the run goes on to other
    bits. Nothing where that was not noted.
    """
    sittings = record.made.get("resumed", [])
    sitting = {"step": step} | date_and_versions("date", computed_by)
    made = record.made | {"resumed": [*sittings, sitting]}
    write_record(directory, dataclasses.replace(record, made=made))
    return differences((sittings or [record.made])[-1].get("computed_by") or {}, computed_by or {})


def differences(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """`passes: numpy 2.1.0 before, numba 0.61.0 now` for each thing that differs; nothing if one of them is empty."""
    names = [name for name in before | now if before.get(name) != now.get(name)] if before and now else []
    names = [name for name in names if name not in NOTED_LATER or (name in before and name in now)]
    found = [(IN_WORDS.get(name, name), before.get(name, "none"), now.get(name, "none")) for name in names]
    return [f"{name}: {there} before, {here} now" for name, there, here in found]


def date_and_versions(date: str, computed_by: dict[str, str] | None) -> dict[str, Any]:
    """Now (UTC), under the name `date`, and what computes."""
    versions = {"tinygrad_arith": __version__} | installed_versions(["numpy"]) | {"platform": platform.platform()}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {date: now, "versions": versions, "computed_by": computed_by}


def write_result(directory: Path, step: int, seconds: float, metrics: Metrics, reached: Reached | None = None) -> None:
    """Write the test's result as `result.json` into the run's directory: `test_exact_match`, `test_count`, ...

    Of the metrics beside the goal those are there that are single numbers, but not the loss. When the run reached its
    `until` is there as `reached`, where it did.
    """
    goal, interval = metrics.goal, metrics.interval
    result: dict[str, Any] = {"step": step, "seconds": round(seconds, 3), f"test_{goal.name}": metrics.value}
    result |= {"test_count": metrics.count}
    if interval is not None:
        result |= {"test_correct": metrics.correct, "interval_95": list(interval)}
    found = {"reached": dataclasses.asdict(reached)} if reached is not None else {}
    write_json(directory / RESULT_FILE, result | metrics.further | found | {"goal": goal._asdict()})


def resume_command(directory: Path) -> str:
    """What goes on with a run: the command, as a shell reads it; for a program, the call."""
    if from_python():
        return f"ta.resume({os.path.abspath(directory)!r})"
    return as_typed([*command_words("train"), "--resume", str(directory)])


def make_directory(out: Path | None, name: str, seed: int) -> Path:
    """Make the directory of a new run: `out`, or `runs/<name>-seed<seed>`, with a number if that is taken."""
    if out is not None:
        check_directory(out)
        make_folder(out)
        return out
    make_folder(RUNS)
    for attempt in itertools.count(1):
        directory = RUNS / (f"{name}-seed{seed}" + (f"-{attempt}" if attempt > 1 else ""))
        with contextlib.suppress(FileExistsError):
            directory.mkdir()  # atomic: of two trainers started together, each gets a directory of its own
            break
    return directory


def make_folder(path: Path) -> None:
    """Make a directory, with those that it lies in. Raises UserError where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: no directory can be made there: {error.strerror}; choose another --out") from error


def check_directory(out: Path) -> None:
    """Raise MisuseError if what is to be a directory is a file, or has a name that this system does not take."""
    fault = fault_of_name(out)
    if fault is not None:
        raise MisuseError(f"--out {out}: {fault}")
    if out.exists() and not out.is_dir():
        raise MisuseError(f"{out}: there is a file of that name; choose another --out")
    above = next((folder for folder in out.parents if os.path.lexists(folder)), None)
    if above is not None and not above.is_dir():
        raise MisuseError(f"{out}: {above} is no folder; choose another --out")


def check_unused(directory: Path) -> None:
    """Raise UserError if the directory of a new run already holds a run, or anything else."""
    if (directory / CONFIG_FILE).exists():
        raise UserError(
            f"{directory}: already holds a run; choose another --out, or go on with it: {resume_command(directory)}"
        )
    strangers = [p.name for p in directory.iterdir() if p.name != LOCK_FILE and p.suffix != TEMPORARY_SUFFIX]
    if strangers:
        raise UserError(f"{directory}: not empty (it holds {min(strangers)}); choose another --out")


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a run directory against a second trainer; raises UserError if another one has it.

    The operating system drops the lock when its holder ends, however it ends; the file itself stays. On a file system
    that has no locks, which is warned of, nothing keeps a second trainer out.
    """
    from filelock import FileLock, Timeout

    path = directory / LOCK_FILE
    why = why_no_locks(path)
    if why is not None:
        warn(f"{directory}: its file system has no locks ({why}), so nothing keeps a second trainer out of it")
        yield
        return
    with contextlib.ExitStack() as held:
        try:
            with naming(path):  # in full: a callback may go to another directory meanwhile
                held.enter_context(FileLock(os.path.abspath(path), timeout=0))
        except Timeout:
            raise UserError(
                f"{directory}: another process is training this run; wait for it, or choose another --out"
            ) from None
        yield


def newest_run(asked_by: str = "--resume") -> Path:
    """The run in `runs/` that was written to last; raises UserError, which begins with `asked_by`, if there is none."""
    runs = [path.parent for path in RUNS.glob(f"*/{CONFIG_FILE}")]
    if not runs:
        raise UserError(f"{asked_by}: there is no run in {RUNS}/; name the run's directory")
    return max(runs, key=last_written)


def last_written(run: Path) -> float:
    """When a run was written to last, in seconds; a file that its trainer deletes just now tells nothing."""
    times = [0.0]
    for path in run.iterdir():
        if path.suffix != TEMPORARY_SUFFIX:
            with contextlib.suppress(OSError):
                times.append(path.stat().st_mtime)
    return max(times)
