"""Runs are read, grouped by all options but the seed, and summed up in medians and ranges."""

import json

import pytest

from tinygrad_arith.cli.comparison_report import as_loss, as_seconds, comparison_row, in_words
from tinygrad_arith.comparisons.finished_runs import NEVER, Spread, group_runs, read_finished, run_directories, spreads
from tinygrad_arith.options.errors import UserError
from tinygrad_arith.plots.training_curve import comparison_picture
from tinygrad_arith.run_files.metrics import read_metrics


def test_the_figures_of_a_run(tmp_path, write_run):
    run = read_finished(write_run(tmp_path / "run", seed=3))
    assert run.reached(0.99) == (15, 1.5)
    assert run.reached(0.999) == (20, 2.0)
    assert run.values() == {
        "seed": 3,
        "step": 20,
        "test_exact_match": 1.0,
        "test_correct": 8,
        "test_count": 8,
        "best_exact_match": 1.0,
        "best_step": 20,
        "steps_to": {"0.99": 15, "0.999": 20},
        "seconds_to": {"0.99": 1.5, "0.999": 2.0},
        "final_loss": 13 / 20,
        "mean_of_last_losses": pytest.approx(sum(13 / s for s in range(1, 21)) / 20),
        "seconds": 5.0,
        "further": {},
    }


def test_the_loss_is_the_mean_of_the_last_steps_only(tmp_path, write_run, monkeypatch):
    monkeypatch.setattr("tinygrad_arith.comparisons.finished_runs.LAST_LOSSES", 5)
    run = read_finished(write_run(tmp_path / "run", seed=3))
    assert run.loss == pytest.approx(sum(13 / step for step in range(16, 21)) / 5)


def test_what_was_never_reached_is_null(tmp_path, write_run):
    run = read_finished(write_run(tmp_path / "run", shares=(0.0, 0.99, 0.5, 0.5)))
    assert run.reached(0.99) == (10, 1.0)
    assert run.reached(0.999) == (NEVER, NEVER)
    assert run.values()["steps_to"] == {"0.99": 10, "0.999": None}
    assert run.best() == (0.99, 10)
    json.dumps(run.values(), allow_nan=False)


def test_the_best_evaluation_is_the_first_of_equals(tmp_path, write_run):
    assert read_finished(write_run(tmp_path / "equals", shares=(0.5, 0.75, 0.75, 0.5))).best() == (0.75, 10)
    never = read_finished(write_run(tmp_path / "never", shares=(None, None, None, None))).values()
    assert (never["best_exact_match"], never["best_step"]) == (None, None)


def test_further_numbers_of_a_result_are_kept(tmp_path, write_run):
    directory = write_run(tmp_path / "run")
    result = json.loads((directory / "result.json").read_text(encoding="utf-8"))
    (directory / "result.json").write_text(
        json.dumps(result | {"in_fives": 0.999, "note": "text", "flag": True}), encoding="utf-8"
    )
    assert read_finished(directory).further_results() == {"in_fives": 0.999}
    rows = read_metrics(directory / "metrics.jsonl")
    for row, share in zip(rows[4::5], (0.2, 0.75, 0.7, 0.3), strict=True):
        row["in_fives"] = share
    (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert read_finished(directory).further_results() == {"in_fives": 0.999, "best_in_fives": 0.75}


def test_never_counts_as_later_than_all_others():
    assert Spread.of([5, NEVER, 3]) == Spread(5, 3, NEVER)
    assert Spread.of([5, NEVER, NEVER]).values() == {"median": None, "low": 5, "high": None}
    assert in_words(Spread.of([1.0, NEVER]), as_seconds) == "never (1.0 to never)"
    assert in_words(Spread.of([1.0, 1.0]), as_seconds) == "1.0"


def test_runs_that_differ_in_the_seed_only_are_a_group(tmp_path, write_run):
    paths = [
        write_run(tmp_path / "b", seed=2, correct=4, device="cpu", workers=1),
        write_run(tmp_path / "c", seed=1, batch=9),
        write_run(tmp_path / "a", seed=1, correct=7, keep_checkpoints=1),
        write_run(tmp_path / "d", seed=1, preset="binary-plain"),
        write_run(tmp_path / "e", seed=3, until=0.999),
    ]
    groups = group_runs(map(read_finished, paths))
    assert [[run.directory.name for run in group.runs] for group in groups] == [["a", "b"], ["c"], ["d"], ["e"]]
    assert [group.label for group in groups] == [
        "binary-reversed (batch 8, until None)",
        "binary-reversed (batch 9, until None)",
        "binary-plain",
        "binary-reversed (batch 8, until 0.999)",
    ]
    found = spreads(groups[0].runs)
    assert found["exact_match"] == Spread(5.5 / 8, 4 / 8, 7 / 8)
    assert found["seconds"] == Spread(3.5, 3.0, 4.0)
    assert found["steps_to_0.999"] == Spread(20, 20, 20)
    row = comparison_row(groups[0], wide=True)
    assert row[1:5] == ["2", "68.75%\n50.00% to\n87.50%", "15", "1.5"]
    assert row[-1] == "3.5\n3.0 to\n4.0"
    json.dumps(groups[0].values(), allow_nan=False)


def test_the_same_run_twice_is_refused(tmp_path, write_run):
    runs = [read_finished(write_run(tmp_path / name, seed=4)) for name in ("a", "b")]
    with pytest.raises(UserError, match=r"a and .*b: the same options and the same seed"):
        group_runs(runs)


def test_a_directory_of_runs_stands_for_all_of_them(tmp_path, write_run):
    runs = [write_run(tmp_path / "all" / name) for name in ("a", "b")]
    (tmp_path / "all" / "no-run").mkdir()
    assert run_directories([tmp_path / "all"]) == runs
    assert run_directories([runs[1], tmp_path / "all"]) == [runs[1], runs[0]]
    for path, complaint in ((tmp_path / "none", "no such run directory"), (tmp_path / "all" / "no-run", "not a run")):
        with pytest.raises(UserError, match=complaint):
            run_directories([path])


RESULT = (
    '{"step": 20, "seconds": 3.0, "test_exact_match": 1.0, "test_correct": 8, "test_count": 8, "interval_95": [0, 1]}'
)


METRICS = "".join(
    json.dumps({"step": step, "loss": 1.0} | ({"seconds": 3.0, "exact_match": 0.5} if step == 20 else {})) + "\n"
    for step in range(1, 21)
)


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("result.json", None, "not finished: it lacks result.json; go on with: .* --resume"),
        ("result.json", "{", "not a run's result"),
        ("result.json", '{"step": 20}', "it lacks seconds"),
        ("result.json", "[20]", "it lacks step"),
        ("result.json", RESULT.replace('"test_count": 8', '"test_count": 0'), "test_count is 0, not at least 1"),
        ("result.json", RESULT.replace('"test_count": 8', '"test_count": "8"'), "test_count is '8', not a number"),
        ("metrics.jsonl", '{"step": 20}\n', "metrics.jsonl: not a run's metrics: line 1 lacks loss"),
        ("metrics.jsonl", METRICS.replace("0.5}", '"half"}'), "line 20: exact_match is 'half', not a number"),
        ("metrics.jsonl", METRICS.replace("seconds", "s"), "line 20 lacks seconds"),
        ("metrics.jsonl", '{"step": 1, "loss": 1.0, "seconds": 0.1}\n', "does not end at step 20"),
        ("metrics.jsonl", "", "does not end at step 20"),
    ],
)
def test_a_run_with_a_broken_file_is_told(tmp_path, write_run, name, text, complaint):
    directory = write_run(tmp_path / "run")
    if text is None:
        (directory / name).unlink()
    else:
        (directory / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=complaint):
        read_finished(directory)


def test_the_picture_has_a_line_and_a_band_for_each_group(tmp_path, write_run):
    runs = [write_run(tmp_path / str(seed), seed=seed) for seed in (1, 2, 3)]
    runs.append(write_run(tmp_path / "plain", preset="binary-plain", shares=(0.0, 0.0, 0.0, 0.1)))
    figure = comparison_picture(group_runs(map(read_finished, runs)))
    losses, exact_match = figure.axes
    assert [line.get_label() for line in losses.lines] == ["binary-reversed (3 seeds)", "binary-plain"]
    assert losses.lines[0].get_ydata()[0] == 12.0
    assert list(exact_match.lines[1].get_ydata()) == [0.0, 0.0, 0.0, 0.1]
    assert list(exact_match.lines[1].get_xdata()) == [5, 10, 15, 20]


def test_losses_and_seconds_have_the_digits_that_matter():
    assert as_loss(0.19712) == "0.1971"
    assert as_loss(3.2e-7) == "3.2e-07"
    assert as_seconds(9.96) == "10"
    assert as_seconds(4440) == "4,440"
