"""The test at the end of a training: exact match on problems never seen, and some of the model's answers to look at."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .evaluation import evaluate_exact_match
from .files import write_json
from .runs import RESULT_FILE
from .sampling import Answer, sample_answer

SHOWN = 5  # sums, and mistakes, that are shown


@dataclass(frozen=True)
class FinalTest:
    """Exact match on the whole test split, with its 95 % interval (Wilson), and answers to look at."""

    correct: int
    count: int
    interval: tuple[float, float]
    examples: list[Answer]
    mistakes: list[Answer]

    @property
    def exact_match(self) -> float:
        """The share of problems answered right in full."""
        return self.correct / self.count


def final_test(model: Any, task: Any, test_size: int) -> FinalTest:
    """Test a model on the first `test_size` problems of the test split."""
    problems = task.problems("test", test_size)
    result = evaluate_exact_match(model, task, problems)
    wrong = np.flatnonzero(~result.right)[:SHOWN]
    return FinalTest(
        correct=result.correct,
        count=result.count,
        interval=result.interval,
        examples=[sample_answer(model, task, problems[i : i + 1]) for i in range(min(SHOWN, test_size))],
        mistakes=[sample_answer(model, task, problems[i : i + 1]) for i in wrong],
    )


def write_result(directory: Path, step: int, seconds: float, test: FinalTest) -> None:
    """Write the test's result as `result.json` into the run's directory."""
    low, high = test.interval
    result = {
        "step": step,
        "seconds": round(seconds, 3),
        "test_exact_match": test.exact_match,
        "test_correct": test.correct,
        "test_count": test.count,
        "interval_95": [low, high],
    }
    write_json(directory / RESULT_FILE, result)
