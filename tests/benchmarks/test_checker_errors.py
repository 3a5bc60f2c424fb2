"""The corpus that gradient checkers are measured on: drawn alike from a seed, and true to mpmath's own derivatives."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

mpmath = pytest.importorskip("mpmath", reason="mpmath is not installed: pip install -e '.[bench]'")
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def benchmarks_importable():
    sys.path.insert(0, str(BENCHMARKS))
    with np.errstate(all="ignore"):
        yield
    sys.path.remove(str(BENCHMARKS))


def module(name):
    return importlib.import_module(f"checker_corpus.{name}")


def drawn(seed, count):
    """Problems of a seed, without their truth."""
    corpus = module("corpus")
    return [corpus.draw_problem(np.random.default_rng([seed, number]), seed, number) for number in range(count)]


def truth_of(problem, seed=0):
    with module("exact").precision():
        return module("truth").Truth(problem, np.random.default_rng(seed))


def judged(truth, backward):
    with module("exact").precision():
        return truth.judge(backward)


def elementwise(name, x, weights=1.0, **settings):
    """One formula at given x."""
    from checker_corpus import elementwise as package

    return package.problem_of(
        name, "element-wise", package.FORMULAS[name], package.Inputs(x), weights * np.ones(x.shape), **settings
    )


def all_makers():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return sorted(module("corpus").makers())
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_a_seed_draws_the_same_cases_again():
    first, second = (list(module("corpus").Corpus(seed=5, count=8)) for _ in range(2))
    assert [case.name for case in first] == [case.name for case in second]
    assert [case.truth for case in first] == [case.truth for case in second]
    for one, other in zip(first, second, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one.problem.arrays, other.problem.arrays, strict=True))
    assert [case.name for case in first] != [case.name for case in module("corpus").Corpus(seed=6, count=8)]


def test_each_right_case_has_a_wrong_one_beside_it():
    cases = list(module("corpus").Corpus(seed=4, count=10))
    expected = [case.expected for case in cases]
    assert expected.count("right") == expected.count("wrong") == 10
    for case in cases:
        assert case.truth.verdict == {"within": case.truth.verdict}.get(case.expected, case.expected)
        assert (case.truth.error > 1) == (case.expected == "wrong") or case.expected == "within"


@pytest.mark.parametrize("name", all_makers())
def test_each_function_agrees_with_its_right_backward_and_with_no_other(name):
    problem = module("corpus").makers()[name](np.random.default_rng(3))
    truth = truth_of(problem)
    assert truth.finite
    assert judged(truth, problem.backward).verdict == "right"
    off = module("faults").changed(problem, 0, lambda g: 1.01 * g)
    assert judged(truth, off).verdict == "wrong"


@pytest.mark.parametrize("name", ["x log x", "gelu exact", "arccos(1 - x)", "tanh", "x ** -0.5", "logit"])
def test_derivatives_are_those_of_mpmath(name):
    x = np.array([0.7, 1e-6, 0.3])
    problem = elementwise(name, x)
    with module("exact").precision():
        found = module("exact").slopes(problem, 0, problem.couplings[0])
        exact = module("elementwise").FORMULAS[name].exact
        for order, values in ((1, found.middle), (3, found.third), (5, found.fifth)):
            for at, value in zip(x, values, strict=True):
                expected = mpmath.diff(exact, mpmath.mpf(at), order)
                assert abs(value - expected) <= abs(expected) * mpmath.mpf(10) ** (-30 if order == 1 else -10)


def test_coupled_derivatives_are_those_of_mpmath():
    problem = module("operations").layernorm(np.random.default_rng(0))
    with module("exact").precision():
        found, number = module("exact").slopes(problem, 0, problem.couplings[0]), module("exact").number
        arrays = [number(array) for array in problem.arrays]

        def output(t, element, which):
            moved = arrays[0].copy()
            moved.flat[element] += t
            return problem.exact(moved, *arrays[1:])[0].flat[which]

        for owner, term, slope in list(zip(found.owner, found.output, found.middle, strict=True))[:12]:
            expected = mpmath.diff(lambda t, o=owner, k=term: output(t, o, k), 0)
            assert abs(slope - expected) <= abs(expected) * mpmath.mpf(10) ** -30


def test_every_split_of_a_tie_is_right_and_nothing_else():
    kinks = module("kinks")
    seeds = (seed for seed in range(50) if kinks.tied(np.random.default_rng(seed)).kind == "at a tie")
    problem = kinks.tied(np.random.default_rng(next(seeds)))
    truth = truth_of(problem)
    assert judged(truth, problem.backward).verdict == "right"
    assert len(problem.faults) == 4
    for name, backward in problem.faults.items():
        assert (name, judged(truth, backward).verdict) == (name, "wrong")


def test_between_the_slopes_of_a_kink_all_is_right():
    problem = elementwise("relu", np.array([0.7, 0.0, -0.4, 1.2]))
    problem.lengths[0][1] = 1.0
    truth = truth_of(problem)
    for slope, verdict in ((0.0, "right"), (0.3, "right"), (1.0, "right"), (-0.1, "wrong"), (1.1, "wrong")):
        assert judged(truth, lambda dy, c, s=slope: dy * np.array([1.0, s, 0.0, 1.0])).verdict == verdict


def test_what_rounding_hides_is_not_determined():
    x = np.array([0.3, 1.1, -0.7])
    problem, with_offset = elementwise("sin", x), module("problem").plus_outside
    cosine = problem.backward
    assert judged(truth_of(problem), cosine).determined
    hidden = truth_of(with_offset(problem, 1e12))
    assert not judged(hidden, cosine).determined
    assert not judged(hidden, lambda dy, cache: 1.001 * cosine(dy, cache)).determined
    assert judged(hidden, lambda dy, cache: 2 * cosine(dy, cache)).determined


def test_the_right_formula_may_lose_its_digits():
    problem = elementwise("tanh", np.array([18.0, 18.2]))  # 1 - y² of y = 1 - 2e-16
    assert judged(truth_of(problem), problem.backward).verdict != "right"


def test_a_round_covers_all_functions_and_a_corpus_all_strata():
    corpus, problems = module("corpus"), drawn(seed=1, count=400)
    assert len(corpus.makers()) >= 40
    assert len({problem.name for problem in problems}) >= 40
    strata = [corpus.strata_of(problem) for problem in problems]
    seen = {by: {each[by] for each in strata} for by in ("scale", "offset", "kind")}
    assert len(seen["scale"]) == len(corpus.DECADES) + 1
    assert len(seen["offset"]) == 7
    assert seen["kind"] == {
        "at a kink", "at a tie", "beside a kink", "beside a tie", "element-wise", "mixed scales in an array",
        "near an edge", "operation", "reduction", "several outputs", "sum of many terms", "function of k x", "at rest",
    }  # fmt: skip


def test_faults_are_of_all_sizes():
    cases = [case for case in module("corpus").Corpus(seed=2, count=30) if case.expected == "wrong"]
    assert {"one element", "all elements", "its own slip", "cotangent bent"} <= {c.strata["wrongness"] for c in cases}
    errors = [case.truth.error for case in cases]
    assert min(errors) < 1e4 < 1e6 < max(errors)


def test_the_tables_count_what_the_checkers_said():
    report = module("report")
    cases = list(module("corpus").Corpus(seed=1, count=3))
    says = {"right": "wrong", "wrong": "passed", "within": "passed"}
    contrary = [report.Answered("contrary", case, says[case.expected], "", 0.002) for case in cases]
    unsure = [report.Answered("unsure", case, "undecided", "noise", 0.001) for case in cases]
    first, second = report.results(contrary + unsure)["total"]
    assert (first["wrong_passed"], first["right_accused"], first["undecided"]) == (3, 3, 0)
    assert (second["wrong_passed"], second["right_accused"], second["undecided"]) == (0, 0, 6)
    assert second["unsure_of_determined"] == second["determined"]
    assert "| contrary | 3 | 3 | 0 |" in report.in_words(report.results(contrary + unsure))
