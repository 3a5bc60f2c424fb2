"""What a collapse is, and the sharpness that is measured around one."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import collapse
import collapse_replay
import collapse_replay_report
import collapse_report
import collapse_run
from collapse_sharpness import Sharpness, edge
from environment import RESULTS

from tinygrad_arith.training.config import Config


class Quadratic:
    """Stands for a model: the loss is half of wᵀ H w."""

    def __init__(self, hessian):
        self.hessian = hessian
        self.values = np.random.default_rng(1).standard_normal(len(hessian))
        self.gradients = np.zeros(len(hessian))

    def backward(self):
        self.gradients[...] = self.hessian @ self.values

    def mark_written(self):
        """Nothing looks."""


def run_with(exact_match):
    """A record of which only the accuracies matter."""
    steps = len(exact_match) * collapse_report.EVALUATE_EVERY
    nothing = np.zeros((0, 4, 0))
    values = np.array(exact_match)
    return collapse_report.Run("verbatim", 1, steps, 1.0, [], nothing, nothing, values, nothing, np.zeros(0), {})


def test_the_sharpness_is_the_largest_eigenvalue_in_the_preconditioners_coordinates():
    rng = np.random.default_rng(2)
    root = rng.standard_normal((7, 7))
    model = Quadratic(root @ root.T)
    preconditioner = rng.uniform(0.1, 3.0, 7)
    before = model.values.copy()
    sharpness = Sharpness(model, model.backward)
    scale = 1 / np.sqrt(preconditioner)
    expected = np.linalg.eigvalsh(scale[:, None] * model.hessian * scale).max()
    for _ in range(3):  # each goes on from the one before
        found = sharpness.measure(preconditioner)
    assert found == pytest.approx(expected, rel=1e-6)
    assert np.array_equal(model.values, before)


def test_the_edge_is_where_adamw_with_a_fixed_preconditioner_starts_to_diverge():
    rate, beta1 = 1e-3, 0.9
    for factor, grows in ((0.98, False), (1.02, True)):
        weight, mean, largest = 1.0, 0.0, []
        for _ in range(300):
            mean = beta1 * mean + (1 - beta1) * factor * edge(rate, beta1) * weight
            weight -= rate * mean
            largest.append(abs(weight))
        assert (largest[-1] > 1e3) == grows
        assert (max(largest[-10:]) < 1e-3) == (not grows)


def test_a_collapse_begins_below_90_percent_after_99_and_ends_at_99():
    assert run_with([0.5, 0.8, 0.5, 0.98]).collapses() == []  # it had not learned
    assert run_with([0.99, 0.95, 0.91]).collapses() == []
    assert run_with([0.99, 0.89, 0.2, 0.98, 0.99, 1.0]).collapses() == [(100, 150, 0.2)]
    assert run_with([0.99, 0.5, 0.3]).collapses() == [(100, 50, 0.3)]  # until the end


@pytest.fixture
def small(monkeypatch):
    """The configuration of a training that takes no time, instead of every variant's."""
    values = Config().to_dict()
    values["task"] |= {"digits": 4}
    values["model"] |= {"d_model": 16, "layers": 1, "heads": 2, "ffn": 32}
    values["optimizer"] |= {"schedule": "constant"}
    values["training"] |= {"steps": 100, "batch": 16, "workers": 1, "worker_kind": "threads"}
    config = Config.from_dict(values, source="test").validate().resolved()
    monkeypatch.setattr(collapse, "configuration", lambda variant, seed, steps: config)
    monkeypatch.setattr(collapse_run, "PROBLEMS", 16)
    return config


def test_a_short_training_is_recorded_and_reported(small, tmp_path, capsys):
    for directory in ("plain", "edge"):
        (tmp_path / directory).mkdir()
    collapse.train("verbatim", 1, None, tmp_path / "plain", False)
    collapse.train("verbatim", 1, None, tmp_path / "edge", True)
    (plain,), (edged,) = (collapse_report.load(tmp_path / name) for name in ("plain", "edge"))
    assert plain.losses.shape == (100,)
    assert plain.table.shape[:2] == (10, 4)
    assert plain.sharpness.shape == (0,)
    assert edged.sharpness.shape == (2,)
    assert (edged.sharpness > 0).all()
    assert np.array_equal(plain.losses, edged.losses)  # to measure it changes nothing
    assert plain.config == small.to_dict()
    collapse_report.report(tmp_path / "plain", tmp_path / "edge", "", write=False)
    assert "| nothing | never |" in capsys.readouterr().out


def test_a_replay_goes_the_same_way_with_the_same_batches_and_another_with_others(small, monkeypatch):
    monkeypatch.setattr(collapse_replay, "LEADS", (30, 5, 0))
    monkeypatch.setattr(collapse_replay, "AFTER", 20)
    monkeypatch.setattr(collapse_replay, "LOOKED_AT", (-4, 3))
    training = collapse_run.Training(small)
    run = collapse_replay.ReplayedRun(training)
    for step in range(400):
        training.runner.enqueue(training.task.train_batch(step, 16, 1), step)
        if (step + 1) % 50 == 0:
            run.evaluated()
    assert run.collapses == run.controls == []  # nothing was learned
    end = training.state()
    run.norms = [1.0] * 340 + [6.0] * 60  # as if a spike had begun there
    found = collapse_replay.replay(training, run.states, run.losses, run.norms, end)
    assert (found["seen"], found["onset"]) == (400, 340)
    assert [row["lead"] for row in found["replays"]] == list(collapse_replay.LEADS)
    assert all(len(row["others"]) == collapse_replay.DRAWS for row in found["replays"])
    assert len(found["looks"]) == 7
    assert all(np.isfinite(list(look.values())).all() and -1 <= look["turn"] <= 1 for look in found["looks"])
    with pytest.raises(SystemExit, match="not the same when they are made again"):
        collapse_replay.replay(training, run.states, [*run.losses[:340], 0.0, *run.losses[341:]], run.norms, end)


def newest(name):
    """The newest committed result of a name."""
    path = max(path for path in RESULTS.glob(f"{name}_2*.json"))
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_text_says_what_the_replays_say():
    page = (RESULTS.parents[1] / "docs" / "collapse.md").read_text(encoding="utf-8")
    replayed = newest("collapse_replays")
    at_half_rate = [collapse_replay_report.lost(replayed, "half_rate", lead) for lead in collapse_replay.LEADS]
    assert "{} of {} replays".format(*map(sum, zip(*at_half_rate, strict=True))) in page
    assert "({} of {}, within 180 steps)".format(*collapse_replay_report.lost_by_chance(replayed)) in page
