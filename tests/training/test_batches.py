"""Batches made ahead by other processes are those that would have been made here."""

import copy
import os

import numpy as np
import pytest

from tinygrad_arith.options.errors import UserError
from tinygrad_arith.parallel.interrupts import STOP_SIGNALS
from tinygrad_arith.tasks import build_task, task_options
from tinygrad_arith.training.batches import Batches

SEED, SIZE = 3, 6
CONFIG = task_options(digits=3, validation_size=4, test_size=4, padding="none")


@pytest.fixture(scope="module")
def task():
    return build_task(CONFIG)


def take(batches, steps):
    for step in steps:
        batches.at(step)


def same(first, second):
    for mine, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_batches_come_in_the_order_of_the_steps(task):
    first, makers = 5, 3
    here, ahead = Batches(task, SIZE, SEED), Batches(task, SIZE, SEED, first, makers)
    try:
        for step in range(first, first + 8):
            same(ahead.at(step), here.at(step))
    finally:
        ahead.close()
    assert all(maker.process.returncode is not None for maker in ahead.makers)


def test_an_error_of_a_maker_is_raised_here(task):
    broken = copy.copy(task.config)
    object.__setattr__(broken, "position_ids", "no such ids")  # as no options are made
    ahead = Batches(type("Broken", (), {"config": broken}), SIZE, SEED, 0, 1)
    with pytest.raises((ValueError, KeyError)):
        ahead.at(0)
    ahead.close()


LATE = """
import numpy as np
from tinygrad_arith.tasks import NumberTask

class Late(NumberTask):
    symbol, base = "|", 10

    def result(self, first, second):
        if len(first) == 6:
            raise RuntimeError("too many")
        return np.maximum(first, second)
"""


def test_an_error_in_a_users_task_is_told_with_its_place(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(LATE, encoding="utf-8")
    config = task_options(f"{file}:Late", digits=3, validation_size=4, test_size=4)
    ahead = Batches(build_task(config), SIZE, SEED, 0, 1)
    with pytest.raises(UserError, match=r"own.py, line 10, in Late.result: RuntimeError: too many"):
        ahead.at(0)
    ahead.close()


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot send these signals to a child alone")
def test_makers_hear_no_stop_signal(task):
    here, ahead = Batches(task, SIZE, SEED), Batches(task, SIZE, SEED, 0, 1)
    try:
        for steps in (range(2), range(2, 40)):  # while they start, and later
            for maker in ahead.makers:
                for number in STOP_SIGNALS:
                    maker.process.send_signal(number)
            for step in steps:
                same(ahead.at(step), here.at(step))
    finally:
        ahead.close()


def test_a_maker_that_died_is_told(task):
    ahead = Batches(task, 4096, SEED, 0, 1)
    ahead.at(0)
    ahead.makers[0].process.kill()
    with pytest.raises(UserError, match="--batch-makers 0 does without"):
        take(ahead, range(1, 5))  # the first of them may be on its way already
    ahead.close()
