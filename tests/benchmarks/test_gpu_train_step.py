"""The benchmark of training steps on the GPU, as far as it goes without one: its check, tables and command line."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import gpu_train_step
from gpu_steps import agreement, report
from gpu_steps.agreement import Disagreement
from gpu_steps.contestants import VARIANTS


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def gradients_of(rng, error=0.0, reference=None):
    shapes = {"head.weight": (6, 5), "head.bias": (5,)}
    if reference is None:
        return {name: rng.normal(size=shape) for name, shape in shapes.items()}
    return {name: right + error * rng.normal(size=right.shape) for name, right in reference.items()}


def test_float32_gradients_must_agree(rng):
    right = gradients_of(rng)
    assert agreement.check_exact((2.8, gradients_of(rng, 1e-6, right)), (2.8, right)) < 1e-5
    wrong = right | {"head.bias": 1.001 * right["head.bias"]}
    with pytest.raises(Disagreement, match=r"gradient of head\.bias is off by 1\.00e-03"):
        agreement.check_exact((2.8, wrong), (2.8, right))
    with pytest.raises(Disagreement, match="loss"):
        agreement.check_exact((2.9, right), (2.8, right))
    with pytest.raises(Disagreement, match="other parameters"):
        agreement.check_exact((2.8, {"head.bias": right["head.bias"]}), (2.8, right))


def test_rounding_is_measured_by_the_rivals(rng):
    right = gradients_of(rng)
    theirs = (2.8, gradients_of(rng, 1e-3, right))
    assert agreement.check_rounded((2.8, gradients_of(rng, 1e-3, right)), theirs, (2.8, right)) < 3.0
    with pytest.raises(Disagreement, match="PyTorch's by"):
        agreement.check_rounded((2.8, gradients_of(rng, 1e-2, right)), theirs, (2.8, right))
    nan = {name: np.full_like(array, np.nan) for name, array in right.items()}
    with pytest.raises(Disagreement):
        agreement.check_rounded((2.8, nan), theirs, (2.8, right))


def test_losses_must_stay_together():
    agreement.check_losses("torch-graph", [2.80, 2.79], [2.801, 2.79], "tf32")
    for losses in ([2.80, 2.70], [2.80, np.nan]):
        with pytest.raises(Disagreement, match="torch-graph: the losses of the first steps"):
            agreement.check_losses("torch-graph", losses, [2.8, 2.79], "tf32")


def result_of(ours, graph, eager):
    contestants = {"ours": ours, "torch-eager": eager, "torch-graph": graph}
    found = {name: {"ms": report.spread(times), "note": ""} for name, times in contestants.items()}
    return {
        "configuration": "48/3/4/19/64",
        "precision": "tf32",
        "agreement": {"float32": 1e-6, "rounded": 0.9},
        "contestants": found,
        "skipped": {"torch-compile": "no compiler"},
        "ratio_to_torch": report.ratio_to_torch(found),
    }


def test_ratios_are_against_the_fastest_of_the_round():
    result = result_of([0.3, 0.3, 0.3], [0.6, 0.5, 0.75], [6.0, 0.4, 6.0])
    assert result["ratio_to_torch"]["per_round"] == pytest.approx([0.5, 0.75, 0.4])
    shown = "\n".join(report.lines(result))
    assert "0.300 (0.300 to 0.300) ms a step" in shown
    assert "skipped: no compiler" in shown
    assert "ours / best PyTorch 0.50 (0.40 to 0.75)" in shown


def test_the_table_names_who_was_skipped_and_why():
    named = {name: variant.describe for name, variant in VARIANTS.items()}
    table = report.markdown(
        {"variants": named, "configurations": [result_of([0.3], [0.6], [6.0])]}, "one GPU; 1 round."
    )
    (row,) = [line for line in table.splitlines() if line.startswith("| 48/3/4/19/64")]
    assert row.count("|") == len(named) + 4
    assert "- 48/3/4/19/64 tf32: torch-compile skipped, no compiler" in table


def test_the_command_line(capsys):
    options = gpu_train_step.parse(["--only", "64/2/4/28/128", "--variants", "torch-graph"])
    assert options.variants == ["ours", "torch-graph"]
    assert gpu_train_step.find("64/2/4/28/128")[1] == "bfloat16"
    assert gpu_train_step.find("48/3/4/19/64")[1] == "tf32"
    for arguments in (["--only", "64/2/5/28/128"], ["--variants", "tensorflow"], ["--rounds", "0"]):
        with pytest.raises(SystemExit):
            gpu_train_step.parse(arguments)
    assert "must be one of ours" in capsys.readouterr().err


def test_without_a_gpu_it_says_what_it_needs(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert gpu_train_step.main([]) == 1
    assert "needs CuPy, PyTorch and a GPU" in capsys.readouterr().err
