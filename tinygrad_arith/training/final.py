"""The test at the end of a training: exact match on problems never seen, and some of the model's answers to look at."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .evaluation import Evaluation, evaluate_exact_match
from .files import write_json
from .runs import RESULT_FILE
from .sampling import Answer, sample_answer

SHOWN = 5  # problems, and mistakes, that are shown
FIVE = 5  # rows of a group in the Julia article's measure


@dataclass(frozen=True)
class FinalTest:
    """Exact match on the whole test split, with its 95 % interval (Wilson), and answers to look at.

    in_fives: where a row is a prefix, the Julia article's measure, see `share_in_fives`; else None
    """

    correct: int
    count: int
    interval: tuple[float, float]
    examples: list[Answer]
    mistakes: list[Answer]
    in_fives: float | None = None

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
        in_fives=in_fives_of(task, result),
    )


def in_fives_of(task: Any, result: Evaluation) -> float | None:
    """The measure of `share_in_fives`, where a row is a prefix; else None."""
    if task.rows != "prefix":
        return None
    return share_in_fives(result.predictions, task.answers(result.problems), task.vocabulary.padding)


def share_in_fives(predictions: np.ndarray, answers: np.ndarray, padding: int) -> float | None:
    """The accuracy that the Julia article states: of five consecutive rows, all must be right.

    A row is one token of an answer, given the right ones before it. An answer has two to four tokens, so that a group
    of five mixes answers: this is no exact match. What is left over is not counted; None where that is all.

    predictions, answers: int64 (n, answer_length), padded behind the end of an answer.
    """
    right = (predictions == answers)[answers != padding]  # (rows,)
    whole = len(right) // FIVE * FIVE
    if whole == 0:
        return None
    return float(right[:whole].reshape(-1, FIVE).all(axis=1).mean())


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
    if test.in_fives is not None:
        result["in_fives"] = test.in_fives
    write_json(directory / RESULT_FILE, result)
