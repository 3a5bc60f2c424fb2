"""What is learned: problems, their vocabulary, how they become batches, which are kept for testing, how answers score.

No model code. `build_task` makes a task from its configuration; `Task` says what every task offers.
"""

from .batch import Batch, Problem, Problems
from .binary_addition import BinaryAddition
from .config import TaskConfig
from .task import Task
from .vocabulary import Vocabulary

__all__ = ["Batch", "BinaryAddition", "Problem", "Problems", "Task", "TaskConfig", "Vocabulary", "build_task"]


def build_task(config: TaskConfig) -> Task:
    """The task that `config` describes.

    Raises ValueError with one sentence naming the flag if a value is not allowed or nothing is left to train on.
    """
    return BinaryAddition(config.validate().resolved())
