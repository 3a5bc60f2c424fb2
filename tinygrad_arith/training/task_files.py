"""The file of a user's task, as a run keeps it: its path, and a copy that people read and nothing runs.

The class of such a task is in that file alone. Whoever needs the task runs the file where it was; whoever needs only
what a run has measured takes the options as they are stated, and runs nothing.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files.reading import shown
from ..files.writing import atomic_path
from ..options.errors import UserError
from ..tasks.options import TaskOptions
from ..tasks.registry import TASKS

COPY_NAME = "task_file.py"
LARGEST_COPY = 2**20  # bytes


@dataclass(frozen=True)
class StatedOptions(TaskOptions):
    """The options of a user's task as a run's `config.json` states them: not checked, and not to be written again."""

    stated: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Which options there are, and what they may be, only the task's file knows."""

    def named_values(self) -> dict[str, Any]:
        """See `Options`."""
        return {"task": self.kind} | self.stated


def is_own(kind: Any) -> bool:
    """Whether a kind of task is `FILE.py:Class`."""
    if not isinstance(kind, str) or kind in TASKS.places or not kind.isprintable():
        return False
    file, _, name = kind.rpartition(":")
    return file.endswith(".py") and name.isidentifier()


def file_of(kind: str) -> Path:
    """The file of such a kind."""
    return Path(kind.rpartition(":")[0])


def facts_of_file(kind: str) -> dict[str, Any]:
    """What the `config.json` of a new run tells of its task, so that its file is not needed; nothing of a built-in."""
    return {"task_file": str(file_of(kind).resolve()), "goal": TASKS.load(kind).goal._asdict()} if is_own(kind) else {}


def keep_file(directory: Path, kind: str) -> None:
    """Copy the file of a user's task into the directory of a new run, unless it is larger than `LARGEST_COPY`."""
    if is_own(kind) and file_of(kind).stat().st_size <= LARGEST_COPY:
        with atomic_path(directory / COPY_NAME) as temporary:
            temporary.write_bytes(file_of(kind).read_bytes())


def has_changed(directory: Path, kind: str) -> bool:
    """Whether the file of a run's task is another than its copy in the run's directory."""
    copy = directory / COPY_NAME
    return is_own(kind) and copy.is_file() and copy.read_bytes() != file_of(kind).read_bytes()


def check_file(directory: Path, kind: Any, trained_with: Any) -> None:
    """Raise UserError, one sentence, where the file of a run's task must not be run, or is not there.

    trained_with: where it was when the run began, if that was noted
    """
    if not is_own(kind):
        return
    path = file_of(kind)
    if path.resolve().is_relative_to(directory.resolve()):
        raise UserError(
            f"{directory}: --task {kind}: lies in the run's own directory, from which nothing is run; put the file "
            "where the run was trained with it, if you trust it"
        )
    if not path.is_file() and isinstance(trained_with, str):
        copy = directory / COPY_NAME
        kept = f"; a copy of it, which is not run, is {copy}" if copy.is_file() else ""
        raise UserError(f"{directory}: --task {kind}: there is no file {path}; it was {trained_with}{kept}")


def stated_options(section: dict[str, Any]) -> StatedOptions:
    """The options of a user's task that a `config.json` states; ValueError, one sentence, for what can be none."""
    stated = {name: value for name, value in section.items() if name != "kind"}
    for name, value in stated.items():
        plain = isinstance(value, bool | int | float) or (isinstance(value, str) and value.isprintable())
        if not (name.isidentifier() and plain):
            raise ValueError(f"task: {shown(name)} is {shown(value)}, and no option of a task")
    return StatedOptions(section["kind"], stated)
