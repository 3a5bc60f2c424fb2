"""The kinds of tasks: built-in ones by name, a user's own by `FILE.py:Class`."""

from typing import Any

from ..options.kinds import Kinds, field_names, foreign
from ..options.option import did_you_mean
from .options import TaskOptions
from .sizes import settled
from .user_tasks import build_user_task, class_to_add, count_problems, load_task_class

HERE = "tinygrad_arith.tasks"


class TaskKinds(Kinds):
    """The built-in kinds, and any `FILE.py:Class`."""

    def load_other(self, kind: str) -> Any:
        """A user's class. Raises ValueError, one sentence, if there is none, or the file cannot be run."""
        file, colon, name = kind.rpartition(":")
        if not name or kind.endswith(".py"):
            raise ValueError(f"--task {kind}: {class_to_add(kind.rstrip(':'))}")
        if not (colon and file.endswith(".py") and name.isidentifier()):
            meant = did_you_mean(kind, self.places)
            raise ValueError(f"--task {kind}: must be one of {', '.join(self.places)}, or FILE.py:Class{meant}")
        return load_task_class(kind)


TASKS = TaskKinds(
    "task",
    "--task",
    {
        "binary-addition": f"{HERE}.arithmetic.operations:BinaryAddition",
        "binary-subtraction": f"{HERE}.arithmetic.operations:BinarySubtraction",
        "binary-multiplication": f"{HERE}.arithmetic.operations:BinaryMultiplication",
        "decimal-addition": f"{HERE}.arithmetic.operations:DecimalAddition",
        "decimal-subtraction": f"{HERE}.arithmetic.operations:DecimalSubtraction",
        "decimal-multiplication": f"{HERE}.arithmetic.operations:DecimalMultiplication",
        "expressions": f"{HERE}.expressions:Expressions",
        "modular-addition": f"{HERE}.modular:ModularAddition",
    },
)


def task_options(kind: str = "binary-addition", **values: Any) -> Any:
    """The options of a kind of task. Raises ValueError for a kind or a value that is not allowed."""
    options = TASKS.options_of(kind)
    for name in values:
        if name not in field_names(options):
            raise ValueError(foreign(name, kind, TASKS))
    return options(kind=kind, **values)  # type: ignore[call-arg]


def resolve(options: TaskOptions) -> Any:
    """The options with every size that was left to the task as a number; raises ValueError where sizes do not fit."""
    task = TASKS.load(options.kind)
    if options.kind in TASKS.places:
        return task.settled(options)
    return settled(task, options, count_problems(options))


def build_task(options: TaskOptions) -> Any:
    """The task that these options describe.

    Raises ValueError with one sentence naming the flag if nothing is left to train on, or a sample does not fit.
    """
    if isinstance(options, str):
        raise TypeError(f"build_task takes options, not a name: build_task(task_options({options!r}))")
    options = resolve(options)
    if options.kind in TASKS.places:
        return TASKS.load(options.kind)(options)
    return build_user_task(options)
