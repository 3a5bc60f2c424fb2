"""A look in seconds, before each commit: two gradients, and a training of three steps in a temporary directory.

A GELU with a wrong sign must be rejected too. `.pre-commit-config.yaml` runs this; `nox` and the tests run everything.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # what is committed, whatever is installed
os.environ["TINYGRAD_ARITH_CPU"] = "numpy"  # Numba's first compilation alone would take longer than is allowed here

import numpy as np  # noqa: E402

from tinygrad_arith.ops import gelu_backward, gelu_forward, layernorm_backward, layernorm_forward  # noqa: E402
from tinygrad_arith.run_files.metrics import read_metrics  # noqa: E402
from tinygrad_arith.training.build import initialize, make_model, make_optimizer, make_task  # noqa: E402
from tinygrad_arith.training.config import Config  # noqa: E402
from tinygrad_arith.training.runs import RunRecord  # noqa: E402
from tinygrad_arith.training.trainer import Session, Trainer  # noqa: E402
from tinygrad_arith.verify import check_gradients, rejects_mutants  # noqa: E402

STEPS = 3
OPTIONS = {
    "task": {"digits": 3, "validation_size": 8, "test_size": 8},
    "model": {"d_model": 16, "heads": 2, "layers": 1},
    "optimizer": {"warmup": 1},
    "training": {"steps": STEPS, "batch": 8, "eval_size": 8, "device": "cpu", "workers": 1},
}


def check_two_gradients() -> None:
    """Raises `GradientFailure` where a backward is wrong, `AssertionError` where a wrong one passes."""
    rng = np.random.default_rng(0)
    x, weight, bias = rng.normal(size=(2, 3, 5)), rng.normal(size=5), rng.normal(size=5)
    check_gradients(layernorm_forward, layernorm_backward, (x, weight, bias))
    wrong = {"a wrong sign": lambda backward, dy, cache: -backward(dy, cache)}
    rejects_mutants(gelu_forward, gelu_backward, wrong, x)


def train_three_steps(directory: Path) -> None:
    """Trains a tiny model; its loss must be there for every step, and finite."""
    config = Config.from_dict(OPTIONS)
    task = make_task(config.task)
    model = initialize(make_model(config, task), config)
    record = RunRecord(config, "smoke", None)
    Trainer(Session(record, directory, task, model, make_optimizer(config, model))).run()
    losses = [row["loss"] for row in read_metrics(directory / "metrics.jsonl")]
    if len(losses) != STEPS or not np.isfinite(losses).all():
        raise AssertionError(f"{STEPS} steps have the losses {losses}")


def main() -> None:
    """Both, and how long they took."""
    start = time.perf_counter()
    check_two_gradients()
    with tempfile.TemporaryDirectory() as directory:
        train_three_steps(Path(directory))
    print(f"two gradients are right, {STEPS} steps were trained: {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
