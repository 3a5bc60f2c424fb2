"""The script that measures errors in float32: its unit, its verdict, and small cases beside PyTorch."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import float32_errors
from float32_cases import DRAWS, LARGE, cases, draw, ulps

ONE = np.float32(1.0)


def test_an_error_is_counted_in_steps_of_the_largest_entry_or_of_each():
    exact = np.array([1.0, 1e-3])
    found = exact + np.array([0.0, float(np.spacing(ONE))])
    assert ulps(found, exact, by_element=False) == pytest.approx(1.0)
    assert ulps(found, exact, by_element=True) == pytest.approx(np.spacing(ONE) / np.spacing(np.float32(1e-3)))
    assert ulps(np.zeros(2), np.zeros(2), by_element=True) == 0.0


def test_what_is_beyond_float32_is_infinite_on_both_sides():
    exact = np.array([1e39, 1.0])
    assert ulps(np.array([np.inf, 1.0]), exact, by_element=False) == 0.0
    assert ulps(np.array([-np.inf, 1.0]), exact, by_element=False) == math.inf
    assert ulps(np.array([np.inf, np.nan]), exact, by_element=False) == math.inf
    assert ulps(np.ones(3), exact, by_element=False) == math.inf


def test_draws_are_the_same_each_time():
    pytest.importorskip("torch")
    first, second = (next(iter(cases())) for _ in range(2))
    assert len(first) == DRAWS
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.arrays[0], other.arrays[0])
    assert (first[0].arrays[0] != first[1].arrays[0]).any()
    assert draw(np.random.default_rng(0), 3).dtype == np.float32


@pytest.mark.parametrize("operation", ["layernorm", "rmsnorm", "gelu", "cross_entropy_sum", "packed_attention"])
def test_no_small_case_of_these_is_beyond_the_limit(operation):
    pytest.importorskip("torch")
    chosen = (draws for draws in cases() if draws[0].operation == operation)
    small = [draws for draws in chosen if sum(array.size for array in draws[0].arrays) <= LARGE]
    assert small
    for draws in small:
        for row in float32_errors.measure(draws):
            assert not row["over"], float32_errors.described(row)


def test_a_wrong_operation_is_beyond_the_limit(monkeypatch):
    pytest.importorskip("torch")
    draws = next(draws for draws in cases() if draws[0].operation == "layernorm")[:1]
    ours = float32_errors.run_ours
    wrong = [1.000001, 1.0, 1.0, 1.0]

    def slightly_off(case, dy, path):
        return [array * np.float32(factor) for array, factor in zip(ours(case, dy, path), wrong, strict=True)]

    monkeypatch.setattr(float32_errors, "run_ours", slightly_off)
    rows = float32_errors.measure(draws)
    assert rows[0]["over"][:2] == ["reference", "NumPy"]
    assert not any(row["over"] for row in rows[1:])
    assert "layernorm, ordinary, y" in float32_errors.described(rows[0])
    assert float32_errors.number(None) == "not finite"
    assert "| layernorm, ordinary |" in float32_errors.markdown({"rows": rows})
