"""The test at the end of a training, on examples never seen, and some of what the model does to look at."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files.writing import write_json
from ..nn import Module
from ..tasks import Task
from ..tasks.metrics import Metrics, Preview
from .runs import RESULT_FILE


@dataclass(frozen=True)
class FinalTest:
    """How the model did on the whole test split, and examples."""

    metrics: Metrics
    previews: list[Preview]


def final_test(model: Module, task: Task) -> FinalTest:
    """Test a model on the whole test split."""
    metrics = task.evaluate(model, "test")
    return FinalTest(metrics, task.preview(model, metrics))


def write_result(directory: Path, step: int, seconds: float, metrics: Metrics) -> None:
    """Write the test's result as `result.json` into the run's directory: `test_exact_match`, `test_count`, ...

    Of the metrics beside the goal those are there that are single numbers, but not the loss.
    """
    goal, interval = metrics.goal, metrics.interval
    result: dict[str, Any] = {"step": step, "seconds": round(seconds, 3), f"test_{goal.name}": metrics.value}
    result |= {"test_count": metrics.count}
    if interval is not None:
        result |= {"test_correct": metrics.correct, "interval_95": list(interval)}
    write_json(directory / RESULT_FILE, result | metrics.further | {"goal": goal._asdict()})
