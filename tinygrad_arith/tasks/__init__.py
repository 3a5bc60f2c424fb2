"""What is learned: problems, their vocabulary, how they become batches, which are kept for testing, how answers score.

No model code. `build_task` makes a task from its options; `Task` says what every task offers.
"""

from ..objectives import Batch
from .arithmetic.numbers import NumberTask
from .batch import Problem, Problems
from .options import TaskOptions
from .pairs import PairTask
from .registry import TASKS, build_task, resolve, task_options
from .task import Task
from .vocabulary import Vocabulary

__all__ = [
    "TASKS",
    "Batch",
    "NumberTask",
    "PairTask",
    "Problem",
    "Problems",
    "Task",
    "TaskOptions",
    "Vocabulary",
    "build_task",
    "resolve",
    "task_options",
]
