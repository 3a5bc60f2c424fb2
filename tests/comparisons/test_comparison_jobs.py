"""Runs of a comparison are planned before any is started, trained side by side, and a failure stays alone."""

import io
import os
import signal
import sys
from types import SimpleNamespace

import pytest

from tinygrad_arith.cli.comparison_progress import BarJobsReporter, LineJobsReporter
from tinygrad_arith.comparisons import jobs as comparison_jobs
from tinygrad_arith.comparisons.finished_runs import is_finished
from tinygrad_arith.comparisons.jobs import (
    JobsReporter,
    Journal,
    MetricsFollower,
    SideBySide,
    flags_of,
    make_slots,
    one_core_flags,
    plan_jobs,
    read_journal,
    visible_gpus,
)
from tinygrad_arith.options.errors import UserError
from tinygrad_arith.run_files.metrics import read_metrics
from tinygrad_arith.tasks.metrics import EXACT_MATCH
from tinygrad_arith.training.config import TrainingOptions
from tinygrad_arith.training.presets import load_preset
from tinygrad_arith.training.runs import load_run

PRESETS = [load_preset("binary-reversed"), load_preset("binary-plain")]
TINY = {
    "task": {"digits": 3, "validation_size": 8, "test_size": 8},
    "model": {"d_model": 16, "layers": 1, "heads": 2},
    "optimizer": {"warmup": 5},
    "training": {"steps": 20, "batch": 8, "eval_size": 8, "eval_every": 10, "device": "cpu", "blas_threads": 1},
}
ON_CPU = [TrainingOptions(device="cpu")] * 3
posix = pytest.mark.skipif(os.name == "nt", reason="Windows cannot send these signals to a child alone")


WITHOUT_PICTURE = """
import sys
from tinygrad_arith.cli import console, train

train.plot_training_curve = lambda directory, goal: None
console.run_command(lambda: train.main(sys.argv[1:]))
"""


@pytest.fixture
def quick_runs(monkeypatch):
    """The processes load no more than a short run needs: NumPy alone computes in them, and they draw no curves."""
    monkeypatch.setenv("TINYGRAD_ARITH_CPU", "numpy")
    real = comparison_jobs.python_module

    def command(module, *words):
        assert module == "tinygrad_arith.train"
        return [sys.executable, "-c", WITHOUT_PICTURE, *words], real(module)[1]

    monkeypatch.setattr(comparison_jobs, "python_module", command)


def with_training(**options):
    return TINY | {"training": TINY["training"] | options}


def side_by_side(jobs, slots, reporter=None):
    journal = Journal(jobs[0].directory.parent, "the command", len(slots), {"cpu": "a processor"})
    return SideBySide(jobs, slots, reporter or JobsReporter(), journal)


def test_seeds_take_turns_and_begin_with_that_of_the_preset_or_the_flag(tmp_path):
    jobs = plan_jobs(PRESETS, TINY, 2, tmp_path)
    names = ["binary-reversed-seed1", "binary-plain-seed1", "binary-reversed-seed2", "binary-plain-seed2"]
    assert [job.name for job in jobs] == names
    assert [job.config.training.seed for job in jobs] == [1, 1, 2, 2]
    assert [job.name for job in plan_jobs(PRESETS[:1], with_training(seed=7), 2, tmp_path)] == [
        "binary-reversed-seed7",
        "binary-reversed-seed8",
    ]


def test_given_options_become_flags_but_for_the_seed():
    given = {"training": {"seed": 3, "steps": 20, "tf32": True}, "model": {"tied_head": False, "norm": "post"}}
    assert flags_of(given) == ["--steps=20", "--tf32", "--no-tied-head", "--norm=post"]


def test_a_configuration_that_will_not_do_is_told_before_anything_is_made(tmp_path):
    too_large = {"task": {"draws": "epochs"}, "training": {"batch": 10**6}}
    for bad, complaint in (({"model": {"heads": 3}}, "--heads 3"), (too_large, "--batch 1000000")):
        with pytest.raises(UserError, match=complaint):
            plan_jobs(PRESETS, bad, 1, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_with_other_options_is_not_taken_for_one_of_these(tmp_path, write_run):
    write_run(tmp_path / "binary-reversed-seed2", seed=2)  # evaluated at every 50th step
    with pytest.raises(UserError, match=r"binary-reversed-seed2: was trained with --eval-every 50, not 10; .* --out"):
        plan_jobs(PRESETS, TINY, 2, tmp_path)


def test_slots_on_the_cpu(monkeypatch):
    monkeypatch.setattr(comparison_jobs, "available_cores", lambda: 2)
    assert make_slots(ON_CPU, None) == [{}] * 2
    assert make_slots(ON_CPU[:1], None) == [{}]
    assert make_slots(ON_CPU, 1) == [{}]
    assert make_slots(ON_CPU, 4) == [{}] * 3
    assert make_slots(ON_CPU[:1], 4) == [{}]
    assert make_slots([*ON_CPU, TrainingOptions(device="cpu", workers=2)], None) == [{}] * 2


def test_a_run_has_one_core_where_several_share_the_cpu(tmp_path):
    jobs = plan_jobs(PRESETS, TINY, 2, tmp_path)
    assert side_by_side(jobs, [{}] * 2).one_core
    assert not side_by_side(jobs, [{}]).one_core
    assert not side_by_side(jobs, [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in "01"]).one_core


def test_a_run_has_one_core_unless_its_own_options_say_otherwise():
    assert one_core_flags(TrainingOptions()) == ["--workers=1", "--blas-threads=1"]
    assert one_core_flags(TrainingOptions(workers=2)) == ["--blas-threads=1"]
    assert one_core_flags(TrainingOptions(workers=1, blas_threads=2)) == []


def test_gpus_are_shared_out_in_turn(monkeypatch):
    monkeypatch.setattr(comparison_jobs, "choose_training_device", lambda options: "cuda")
    monkeypatch.setattr(comparison_jobs, "library_of", lambda device: cupy_with_gpus(2))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert make_slots(ON_CPU, 3) == [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in "010"]
    assert len(make_slots(ON_CPU, None)) == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    assert visible_gpus() == ["3", "5"]


def cupy_with_gpus(count):
    return SimpleNamespace(cuda=SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=lambda: count)))


def test_runs_are_trained_beside_each_other_and_none_twice(tmp_path, quick_runs):
    jobs = plan_jobs(PRESETS, TINY, 1, tmp_path)
    stream = io.StringIO()
    outcome = side_by_side(jobs, [{}] * 2, LineJobsReporter(stream)).run()
    assert (outcome.failures, outcome.signal) == ({}, None)
    assert all(is_finished(job.directory) for job in jobs)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "2 runs"
    assert sorted(line.split()[0] for line in lines[1:]) == ["binary-plain-seed1", "binary-reversed-seed1"]
    assert all("done" in line and "exact match" in line for line in lines[1:])
    journal = read_journal(tmp_path)
    assert (journal["command"], journal["jobs"], journal["cpu"]) == ("the command", 2, "a processor")
    assert {entry["sittings"] for entry in journal["runs"].values()} == {1}

    before = (tmp_path / "journal.json").read_bytes()
    again = io.StringIO()
    assert side_by_side(jobs, [{}], LineJobsReporter(again)).run().failures == {}
    assert again.getvalue() == "2 runs, 2 of them finished before\n"
    assert (tmp_path / "journal.json").read_bytes() == before


def test_a_run_that_fails_is_told_by_its_last_error_line_and_the_others_go_on(tmp_path, quick_runs):
    jobs = plan_jobs(PRESETS, TINY, 1, tmp_path)
    jobs[0].directory.mkdir()
    (jobs[0].directory / "stranger").touch()
    stream = io.StringIO()
    outcome = side_by_side(jobs, [{}], LineJobsReporter(stream)).run()
    assert list(outcome.failures) == ["binary-reversed-seed1"]
    assert outcome.failures["binary-reversed-seed1"].endswith("not empty (it holds stranger); choose another --out")
    assert "binary-reversed-seed1  failed: " in stream.getvalue()
    assert is_finished(jobs[1].directory)


class StopsAfter(JobsReporter):
    """Sends a signal to this process as soon as every run has made a step."""

    def __init__(self, runs, number=signal.SIGINT):
        self.missing, self.number, self.told = runs, number, set()

    def stepped(self, job, row):
        self.told.add(job.name)
        if self.missing and len(self.told) >= self.missing:
            self.missing = 0
            signal.raise_signal(self.number)


@posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_a_signal_stops_all_runs_which_save_and_can_go_on(tmp_path, monkeypatch, quick_runs, hears_hang_up, name):
    monkeypatch.setattr("tinygrad_arith.parallel.interrupts.leave_terminal", lambda: None)
    given = with_training(steps=50_000, checkpoint_every=50_000, eval_every=50_000)
    jobs = plan_jobs(PRESETS[:1], given, 3, tmp_path)
    number = signal.Signals[name]
    outcome = side_by_side(jobs, [{}] * 2, StopsAfter(2, number)).run()
    assert (outcome.failures, outcome.signal) == ({}, number)
    assert not any(is_finished(job.directory) for job in jobs)
    assert not jobs[2].directory.exists()  # nothing new was started
    for job in jobs[:2]:
        steps = load_run(job.directory).step  # a checkpoint was saved, of the last step that was measured
        assert steps == len(read_metrics(job.directory / "metrics.jsonl"))
        assert "--resume" in job.command()


@posix
def test_a_second_ctrl_c_ends_the_processes_at_once(tmp_path, quick_runs):
    jobs = plan_jobs(PRESETS[:1], with_training(steps=50_000, eval_every=50_000), 1, tmp_path)

    class Impatient(StopsAfter):
        def stepped(self, job, row):
            super().stepped(job, row)
            signal.raise_signal(signal.SIGINT)

    both = side_by_side(jobs, [{}], Impatient(1))
    children = []
    both.reporter.begun = lambda job: children.append(both.running[-1].process)
    with pytest.raises(KeyboardInterrupt):
        both.run()
    assert children[0].poll() is not None


def test_a_run_killed_from_outside_is_a_failure_and_goes_on_at_the_next_start(tmp_path, quick_runs, monkeypatch):
    monkeypatch.setattr(comparison_jobs, "LOOK_EVERY", 0.01)  # so that the run is not over before it is looked at
    jobs = plan_jobs(PRESETS[:1], with_training(steps=200, checkpoint_every=20, eval_every=200), 1, tmp_path)

    class Kills(JobsReporter):
        def stepped(self, job, row):
            if row["step"] >= 25 and not killed:
                killed.append(row["step"])
                both.running[0].process.kill()

    killed = []
    both = side_by_side(jobs, [{}], Kills())
    assert list(both.run().failures) == ["binary-reversed-seed1"]
    assert side_by_side(jobs, [{}]).run().failures == {}
    assert [row["step"] for row in read_metrics(jobs[0].directory / "metrics.jsonl")] == list(range(1, 201))
    assert read_journal(tmp_path)["runs"]["binary-reversed-seed1"]["sittings"] == 2


def test_metrics_are_followed_while_they_are_written(tmp_path):
    path = tmp_path / "metrics.jsonl"
    follower = MetricsFollower(path)
    assert follower.newest() is None
    path.write_text('{"step": 1, "exact_match": 0.5}\n{"step": 2}\n{"st', encoding="utf-8")
    assert follower.newest() == {"step": 2, "exact_match": 0.5}
    assert follower.newest() is None
    with open(path, "a", encoding="utf-8") as file:
        file.write('ep": 3}\n')
    assert follower.newest() == {"step": 3}
    path.write_text('{"step": 1}\n', encoding="utf-8")  # trimmed by a run that was resumed
    assert follower.newest() == {"step": 1}


def test_a_journal_that_cannot_be_read_is_told(tmp_path):
    for text, complaint in (("{", "not valid JSON"), ("[]", "not a journal"), ('{"runs": {"a": 5}}', "not a journal")):
        (tmp_path / "journal.json").write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=complaint):
            read_journal(tmp_path)


@pytest.mark.parametrize("reporter", [LineJobsReporter, BarJobsReporter])
def test_reporters_tell_how_every_run_ended(reporter, monkeypatch):
    monkeypatch.setattr("tinygrad_arith.cli.comparison_progress.STATUS_EVERY", 0.0)
    stream = io.StringIO()
    one = reporter(stream)
    jobs = [SimpleNamespace(name=name, steps=20, goal=EXACT_MATCH) for name in ("good", "bad", "late")]
    one.started(jobs, 1)
    for job in jobs:
        one.begun(job)
        one.stepped(job, {"step": 4, "loss": 1.5, "exact_match": 0.25})
    one.stepped(jobs[2], {"step": 5, "loss": 1.25})
    one.ended(jobs[0], None, False)
    one.ended(jobs[1], "no [more] memory", False)
    one.ended(jobs[2], "exit code 130", True)
    one.closed()
    text = stream.getvalue()
    assert "3 runs, 1 of them finished before" in text
    assert "good  done (2 of 3)  loss  1.5000  exact match  25.00%" in text
    assert "bad   failed: no [more] memory" in text
    assert "late  stopped at step 5 of 20" in text
