"""What is learned: problems, their vocabulary, how they become batches, which are kept for testing, how answers score.

No model code. `build_task` makes a task from its configuration; `Task` says what every task offers.
"""

from typing import Any

from .arithmetic.numbers import NumberTask
from .arithmetic.operations import CLASSES
from .batch import Batch, Problem, Problems
from .config import TaskConfig
from .expressions import Expressions
from .modular import ModularAddition
from .pairs import PairTask
from .task import Task
from .user_tasks import build_user_task
from .vocabulary import Vocabulary

__all__ = ["Batch", "NumberTask", "PairTask", "Problem", "Problems", "Task", "TaskConfig", "Vocabulary", "build_task"]

TASK_CLASSES: dict[str, Any] = {**CLASSES, "expressions": Expressions, "modular-addition": ModularAddition}


def build_task(config: TaskConfig) -> Task:
    """The task that `config` describes.

    Raises ValueError with one sentence naming the flag if a value is not allowed or nothing is left to train on.
    """
    resolved = config.validate().resolved()
    if config.task in TASK_CLASSES:
        return TASK_CLASSES[config.task](resolved)
    return build_user_task(resolved)
