"""How many threads a matrix multiplication takes where nobody says it by a flag."""

import pytest

from tinygrad_arith.training import threads
from tinygrad_arith.training.build import make_model, make_task
from tinygrad_arith.training.config import Config


@pytest.mark.parametrize(
    ("said", "workers", "expected"),
    [
        (None, 1, 6),  # of six cores
        (None, 2, 3),
        ("1", 1, 1),
        ("2", 1, 2),
        (" 4,2", 1, 4),
        ("4", 3, 2),  # no more than the workers leave
        ("0", 1, 6),
        ("many", 1, 6),
    ],
)
def test_the_environment_may_allow_fewer_threads_than_the_workers_leave(monkeypatch, said, workers, expected):
    monkeypatch.setattr(threads, "available_cores", lambda: 6)
    monkeypatch.setattr(threads, "LEAST_FLOP", 0)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if said is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    config = Config.from_dict({"task": {"digits": 2}, "training": {"workers": workers, "batch": 8}}).resolved()
    task = make_task(config.task)
    resolved = threads.resolve_threads(config.training, make_model(config, task), task.context)
    assert (resolved.workers, resolved.blas_threads) == (workers, expected)


def test_a_step_that_is_too_small_to_share_takes_one_thread_of_the_one_worker(monkeypatch):
    monkeypatch.setattr(threads, "available_cores", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    config = Config.from_dict({"task": {"digits": 2}, "training": {"batch": 8}}).resolved()
    task = make_task(config.task)
    resolved = threads.resolve_threads(config.training, make_model(config, task), task.context)
    assert (resolved.workers, resolved.blas_threads) == (1, 1)


def test_threads_that_were_asked_for_are_given(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    config = Config.from_dict({"task": {"digits": 2}, "training": {"blas_threads": 3}}).resolved()
    task = make_task(config.task)
    assert threads.resolve_threads(config.training, make_model(config, task), task.context).blas_threads == 3
