"""What a collapse is, and the sharpness that is measured around one."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from collapse import replay, replay_report, report
from collapse.record import train
from collapse.replay import ReplayedRun
from collapse.run import Training
from collapse.sharpness import Sharpness, edge
from environment import RESULTS

from tinygrad_arith.training.config import Config

EVERY = 20  # steps between two evaluations of a training with replays
SPIKE = [1.0] * 127 + [6.0] * 33  # norms of gradients


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
    steps = len(exact_match) * report.EVALUATE_EVERY
    nothing = np.zeros((0, 4, 0))
    values = np.array(exact_match)
    return report.Run("verbatim", 1, steps, 1.0, [], nothing, nothing, values, nothing, np.zeros(0), {})


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


def make_small(monkeypatch):
    """The configuration of a training that takes no time, instead of every variant's; a sharpness in few iterations."""
    values = Config().to_dict()
    values["task"] |= {"digits": 4}
    values["model"] |= {"d_model": 16, "layers": 1, "heads": 2, "ffn": 32}
    values["optimizer"] |= {"schedule": "constant"}
    values["training"] |= {"steps": 100, "batch": 16, "workers": 1, "worker_kind": "threads"}
    config = Config.from_dict(values, source="test").resolved()
    monkeypatch.setattr("collapse.record.configuration", lambda variant, seed, steps: config)
    for name, value in (("run.PROBLEMS", 16), ("run.SHARPNESS_ROWS", 24)):
        monkeypatch.setattr(f"collapse.{name}", value)
    for name, value in (("FIRST_ITERATIONS", 20), ("ITERATIONS", 3)):
        monkeypatch.setattr(f"collapse.sharpness.{name}", value)
    return config


@pytest.fixture
def small(monkeypatch):
    return make_small(monkeypatch)


def test_a_short_training_is_recorded_and_reported(small, tmp_path, capsys):
    for directory in ("plain", "edge"):
        (tmp_path / directory).mkdir()
    train("verbatim", 1, None, tmp_path / "plain", False)
    train("verbatim", 1, None, tmp_path / "edge", True)
    (plain,), (edged,) = (report.load(tmp_path / name) for name in ("plain", "edge"))
    assert plain.losses.shape == (100,)
    assert plain.table.shape[:2] == (10, 4)
    assert plain.sharpness.shape == (0,)
    assert edged.sharpness.shape == (2,)
    assert (edged.sharpness > 0).all()
    assert np.array_equal(plain.losses, edged.losses)  # to measure it changes nothing
    assert plain.config == small.to_dict()
    report.report(tmp_path / "plain", tmp_path / "edge", "", write=False)
    assert "| nothing | never |" in capsys.readouterr().out


def make_few(monkeypatch):
    """Replays of few steps."""
    few = {"LEADS": (15, 5, 0), "AFTER": 10, "LOOKED_AT": (-4, 3), "CALM": 40, "CONTROL_EVERY": 40, "WATCHED": 5}
    for name, value in (few | {"DRAWS": 3, "EVALUATE_EVERY": EVERY}).items():
        monkeypatch.setattr(replay, name, value)


@pytest.fixture
def few(monkeypatch):
    make_few(monkeypatch)


def run_to(training, steps):
    """Makes the steps of a training, evaluated as a run with replays; returns that run."""
    run = ReplayedRun(training)
    for step in range(steps):
        training.runner.enqueue(training.task.train_batch(step, 16, 1), step)
        if (step + 1) % EVERY == 0:
            run.evaluated()
    return run


@pytest.fixture(scope="module")
def undisturbed():
    """A training of 160 steps that has learned nothing, its run, its state at the end, and a replay of a spike."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        make_few(monkeypatch)
        training = Training(make_small(monkeypatch))
        run, end = run_to(training, 160), training.state()
        return training, run, end, replay.replay_collapse(training, run.states, run.losses, SPIKE, end)


def test_each_way_to_go_on_is_another_and_the_same_batches_give_the_same_losses(small, few):
    training = Training(small)
    early = training.state()
    run = run_to(training, 60)
    state = run.states[1]  # after 40 steps
    assert state.steps == 40
    replayer = replay.Replayer(training)
    learned = dataclasses.replace(state, second_moment=run.states[0].second_moment, steps=20)
    ways = {
        "same": replayer.go_on(state, 15, replayer.batch),
        "others": replayer.go_on(state, 15, replayer.other_batch(0)),
        "another draw": replayer.go_on(state, 15, replayer.other_batch(1)),
        "half rate": replayer.go_on(state, 15, replayer.batch, rate=0.5),
        "moment": replayer.go_on(replay.with_second_moment(state, learned, replayer), 15, replayer.batch),
    }
    losses = {name: losses for name, (_, losses) in ways.items()}
    assert losses["same"] == run.losses[40:55]
    assert len({tuple(way) for way in losses.values()}) == len(ways)
    assert losses["half rate"][0] == losses["moment"][0] == losses["same"][0]  # the first is of the same weights
    assert [len(shares) for shares, _ in ways.values()] == [3] * len(ways)
    assert replayer.go_on(early, 5, replayer.batch)[1] == run.losses[:5]  # nothing of the replays is left


def test_a_collapse_is_replayed_from_before_its_onset(undisturbed, small, few):
    training, run, end, found = undisturbed
    assert run.collapses == run.controls == []  # nothing was learned
    assert (found["seen"], found["onset"]) == (160, 127)
    assert [row["lead"] for row in found["replays"]] == list(replay.LEADS)
    assert all(len(row["others"]) == replay.DRAWS for row in found["replays"])
    assert len(found["looks"]) == 7
    assert all(np.isfinite(list(look.values())).all() and -1 <= look["turn"] <= 1 for look in found["looks"])
    losses = [*run.losses[:127], 0.0, *run.losses[128:]]
    with pytest.raises(SystemExit, match="not the same when they are made again"):
        replay.replay_collapse(training, run.states, losses, SPIKE, end)
    assert replay.replay_collapse(training, run.states, run.losses, [1.0] * 160, end) is None


def test_a_look_measures_before_its_step_is_made(small):
    training = Training(small)
    run_to(training, 30)
    replayer = replay.Replayer(training)
    replayer.make(30)
    root, batch = training.preconditioner(), replayer.batch(31)
    here = [training.sharpness_on(lambda data=data: data).measure(root) for data in (training.apart, batch)]
    look = replayer.look(31)
    assert [look.apart, look.batch] == [sharpness / training.edge(31) for sharpness in here]
    after = training.sharpness_on(lambda: training.apart).measure(training.preconditioner()) / training.edge(32)
    assert after != look.apart


def test_the_onset_is_the_first_long_gradient():
    norms = [1.0, 3.0] * 100 + [1.0] * 100
    norms[230], norms[250] = 10.1, 99.0  # usual are 2.0
    assert replay.onset_of(norms, 300) == 230
    assert replay.onset_of([*norms[:230], 9.9, *norms[231:]], 300) == 250
    assert replay.onset_of([1.0] * 300, 300) is None


def test_a_run_goes_on_as_if_nothing_had_been_replayed_and_is_reported(undisturbed, small, few, tmp_path, monkeypatch):
    runs = []
    monkeypatch.setattr(replay, "ReplayedRun", lambda training: runs.append(ReplayedRun(training)) or runs[-1])
    monkeypatch.setattr(replay, "REACHED", 0.0)
    monkeypatch.setattr(replay, "COLLAPSED", -1.0)
    long = dataclasses.replace(small, training=dataclasses.replace(small.training, steps=160))
    replay.train_and_replay(Training(long), tmp_path / "seed1.json", until=1e9)
    written = json.loads((tmp_path / "seed1.json").read_text(encoding="utf-8"))
    assert (written["steps"], written["skipped"]) == (160, [])
    assert [control["step"] for control in written["controls"]] == [120, 160]
    _, run, _, found = undisturbed
    assert runs[0].losses == run.losses
    (tmp_path / "seed1.json").write_text(json.dumps(written | {"collapses": [found]}), encoding="utf-8")
    values = replay_report.gather(tmp_path)
    lowest = next(row["others"] for row in found["replays"] if row["lead"] == 5)
    assert replay_report.lost(values, "others", 5) == (sum(share < 0.9 for share in lowest), 3)
    assert replay_report.lost_by_chance(values)[1] == 6
    assert replay_report.replays_table(values).count(" of 3 ") == 3
    assert len(replay_report.replays_picture(values).axes) == 2
    (tmp_path / "seed1.json").write_text(json.dumps(written), encoding="utf-8")
    with pytest.raises(SystemExit, match="there are no collapses"):
        replay_report.gather(tmp_path)


def test_the_text_says_what_the_replays_say():
    page = (RESULTS.parents[1] / "docs" / "collapse.md").read_text(encoding="utf-8")
    replayed = json.loads(max(RESULTS.glob("collapse_replays_2*.json")).read_text(encoding="utf-8"))

    def of(way, *leads):
        counts = [replay_report.lost(replayed, way, lead) for lead in leads]
        return "{} of {}".format(*map(sum, zip(*counts, strict=True)))

    assert of("half_rate", *replay.LEADS) + " replays" in page
    assert of("others", 80) + " collapse (60 %)" in page
    assert of("others", 0) + " collapse as well" in page
    assert f"{of('second_moment', 5, 2, 0)} collapse; with other batches {of('others', 5, 2, 0)}" in page
    assert "{} of {} (43 %)".format(*replay_report.lost_by_chance(replayed)) in page
    assert f"the {len(replayed['collapses'])} collapses" in page
    assert f"{sum(run['steps'] for run in replayed['runs']):,} steps" in page
    sharpness = np.array([collapse["looks"]["apart"] for collapse in replayed["collapses"]])  # (collapses, steps)
    onset = -replayed["looked_at"][0]
    assert (
        f"{(sharpness[:, onset] >= 1).sum()} of 18 at the edge or beyond, {(sharpness[:, onset] < 0.5).sum()} " in page
    )
    assert f"it is at {np.median(sharpness[:, onset]):.2f}" in page
    assert f"the sharpness is at {np.median(sharpness[:, : onset - 5]):.2f} of the edge" in page
    assert f"the median is {np.median(sharpness[:, onset + 2 :]):.2f}" in page
