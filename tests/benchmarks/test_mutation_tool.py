"""The mutation tool itself: the slips it makes, the list of equivalent ones, one operation end to end."""

import functools
import importlib
import sys
from pathlib import Path

import pytest

from tinygrad_arith.ops import OPERATIONS

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def benchmarks_importable():
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def tool():
    return importlib.import_module("mutation_score")


def toy_backward(dy, cache):
    """A docstring is left alone."""
    x, weight = cache
    total = dy.sum(axis=-1, keepdims=True)
    return 0.5 * total - x @ weight.T


def toy_mutants(lines=None):
    return importlib.import_module("mutations").mutants_of(toy_backward, lines)


def test_expected_mutants_of_a_toy_function():
    slips = {(mutant.before, mutant.after) for mutant in toy_mutants()}
    sums, result = "total = dy.sum(axis=-1, keepdims=True)", "return 0.5 * total - x @ weight.T"
    assert slips >= {
        ("x, weight = cache", "weight, x = cache"),
        (sums, "total = dy.sum(axis=-1)"),
        (sums, "total = dy.sum(keepdims=True)"),
        (sums, "total = dy.sum(axis=-0, keepdims=True)"),
        (sums, "total = dy.sum(axis=-2, keepdims=True)"),
        (sums, "total = dy.sum(axis=-1, keepdims=False)"),
        (sums, "total = dy.mean(axis=-1, keepdims=True)"),
        (sums, "total = dy"),
        (sums, "total = dy.sum(axis=-1, keepdims=True) * 1.001"),
        (result, "return 0.5 * total + x @ weight.T"),
        (result, "return 0.5 * total"),
        (result, "return -(x @ weight.T)"),
        (result, "return 1.0 * total - x @ weight.T"),
        (result, "return 0.5 / total - x @ weight.T"),
        (result, "return total - x @ weight.T"),
        (result, "return 0.5 * total - weight.T @ x"),
        (result, "return 0.5 * total - x @ weight"),
        (result, "return x @ weight.T - 0.5 * total"),
        (result, "return -(0.5 * total - x @ weight.T)"),
    }


def test_mutants_are_distinct_functions_that_name_their_line():
    mutants, first = toy_mutants(), toy_backward.__code__.co_firstlineno
    assert len({mutant.source for mutant in mutants}) == len(mutants)
    assert {mutant.line - first for mutant in mutants} == {2, 3, 4}
    assert all("A docstring is left alone" in mutant.source for mutant in mutants)
    only = toy_mutants([first + 4])
    assert only == [mutant for mutant in mutants if mutant.line == first + 4]


def test_every_entry_of_the_equivalent_list_is_still_a_mutant(tool):
    judged = importlib.import_module("mutated_operations")
    mutants_of = functools.cache(judged.operation_mutants)
    for entry in tool.equivalents():
        assert len(entry.reason) > 20
        for name in entry.operations or [name for name in OPERATIONS if entry.concerns(name)]:
            assert any(entry.describes(name, mutant) for mutant in mutants_of(name)), (name, entry)


def test_a_slip_in_a_shared_helper_reaches_the_backward_only():
    judged = importlib.import_module("mutated_operations")
    mutants = judged.operation_mutants("dropout")
    slip = next(mutant for mutant in mutants if mutant.function == "_mask" and "<" in mutant.after)
    forward = OPERATIONS["dropout"].forward
    before = [check.arguments.call(forward)[0] for check in judged.operation_checks("dropout", "float64")]
    assert judged.judge("dropout", [slip]) == ["mismatch"]
    after = [check.arguments.call(forward)[0] for check in judged.operation_checks("dropout", "float64")]
    assert all((first == second).all() for first, second in zip(before, after, strict=True))


@pytest.mark.parametrize("name", ["relu", "linear", "max"])
def test_one_operation_end_to_end(tool, capsys, name):
    assert tool.main(["--op", name, "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert f"| {name} |" in printed
    assert "100.00%" in printed


def test_an_unexplained_survivor_and_a_stale_entry_fail(tool, monkeypatch, capsys):
    stale = tool.Equivalent("linear.linear_backward", "no such line", "nor this", "made up")
    monkeypatch.setattr(tool, "equivalents", lambda: [stale])
    assert tool.main(["--op", "linear", "--workers", "1"]) == 1
    printed = capsys.readouterr().out
    assert "SURVIVED linear tinygrad_arith/ops/linear.py" in printed
    assert "matches no survivor: linear.linear_backward: no such line" in printed
