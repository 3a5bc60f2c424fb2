"""What `Task` promises, of every kind of task; and a task of another kind in training, evaluation and commands."""

import dataclasses

import numpy as np
import pytest

from tinygrad_arith.tasks import build_task, task_options

OPTIONS = {
    "whole": {"digits": 4},
    "offsets": {"digits": 4, "position_ids": "abacus", "position_offset": 5, "padding": "none"},
    "offsets in order": {"digits": 3, "position_offset": 4},
    "carry mix": {"digits": 6, "carry_mix": 0.7},
    "prefixes": {"kind": "decimal-addition", "digits": 2, "rows": "prefix", "padding": "none"},
    "epochs": {"kind": "decimal-addition", "digits": 2, "rows": "prefix", "draws": "epochs", "train_size": 300},
    "expressions": {"kind": "expressions", "depth": 1, "order": "plain"},
    "modular": {"kind": "modular-addition", "modulus": 11, "draws": "epochs"},
}


@pytest.mark.parametrize("rows", [slice(0, 5), slice(5, 6), slice(6, 13), slice(12, 20)])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_any_rows_are_those_of_the_whole_batch(options, rows):
    task = build_task(task_options(**options, validation_size=10, test_size=10))
    whole, part = task.train_batch(3, 13, 7), task.train_batch(3, 13, 7, rows)
    for name, field in whole._asdict().items():
        found = getattr(part, name)
        assert (found is None) == (field is None)
        assert field is None or np.array_equal(found, field[rows]), name


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_split_is_as_large_as_was_asked_for(options):
    config = task_options(**options, validation_size=9, test_size=8)
    task = build_task(config)
    assert (task.split_size("validation"), task.split_size("test")) == (9, 8)
    assert task.pure_batches
    assert dataclasses.is_dataclass(task.objective)
