"""docs/experiments.md says what the committed results say; gathering runs loses and invents nothing."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest

from tinygrad_arith.training.config import Config
from tinygrad_arith.training.presets import load_preset, preset_names

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import experiments  # noqa: E402  # they lie there
import experiments_page  # noqa: E402

MACHINE = {"date": "2026-11-20", "cpu": "a processor", "cores": 2, "gpus": [], "versions": {"numpy": "2.4"}}
PAGE = """By hand.

<!-- table: ours -->
old
<!-- end -->

Between.

<!-- table: commands -->
<!-- end -->
End.
"""


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A results folder and a page of their own."""
    folder, page = tmp_path / "results", tmp_path / "experiments.md"
    folder.mkdir()
    page.write_text(PAGE, encoding="utf-8")
    monkeypatch.setattr(experiments, "RESULTS", folder)
    monkeypatch.setattr(experiments, "PAGE", page)
    return folder


@pytest.fixture
def comparison(tmp_path, write_run):
    """Three tiny runs as compare leaves them: the second was trained in two sittings."""
    directory = tmp_path / "runs"
    for seed, shares in ((1, (0.0, 0.5, 0.99, 1.0)), (2, (0.0, 1.0, 1.0, 1.0)), (3, (0.0, 0.0, 0.1, 0.2))):
        write_run(directory / f"binary-reversed-seed{seed}", seed=seed, correct=9 - seed, shares=shares)
    runs = {f"binary-reversed-seed{s}": {"sittings": 1 + (s == 2), "whole_seconds": 10.0 + s} for s in (1, 2, 3)}
    journal = {"command": "python -m tinygrad_arith.compare ...", "jobs": 2, **MACHINE, "runs": runs}
    (directory / "journal.json").write_text(json.dumps(journal), encoding="utf-8")
    return directory


def gathered(results):
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.iterdir())]


def row_of(text, *words):
    rows = [line for line in text.splitlines() if line.startswith("| ") and all(word in line for word in words)]
    assert len(rows) == 1, rows
    return [cell.strip() for cell in rows[0].strip("|").split(" | ")]


def test_the_page_says_what_the_committed_results_say():
    assert experiments.main(["--check"]) == 0, "run: python benchmarks/experiments.py --write"


def test_gathering_a_comparison(results, comparison, capsys):
    assert experiments.main(["--gather", str(comparison)]) == 0
    (values,) = gathered(results)
    assert "3 runs in" in capsys.readouterr().out
    assert [run["seed"] for run in values["runs"]] == [1, 2, 3]
    assert [run["test_correct"] for run in values["runs"]] == [8, 7, 6]
    assert [run["steps_to"] for run in values["runs"]] == [
        {"0.99": 15, "0.999": 20},
        {"0.99": 10, "0.999": 10},
        {"0.99": None, "0.999": None},
    ]
    assert [run["whole_seconds"] for run in values["runs"]] == [11.0, None, 13.0]
    assert {name: values[name] for name in MACHINE} == MACHINE
    assert (values["machine"], values["jobs"]) == ("a processor, 2 cores", 2)
    assert values["command"] == "python -m tinygrad_arith.compare ..."
    assert values["config"]["task"]["digits"] == 3


def test_the_machine_can_be_named_and_gpus_are(results, comparison):
    journal = json.loads((comparison / "journal.json").read_text(encoding="utf-8"))
    (comparison / "journal.json").write_text(json.dumps(journal | {"gpus": ["A GPU", "A GPU"]}), encoding="utf-8")
    assert experiments.gather(comparison, None)[0]["machine"] == "2 A GPU"
    assert experiments.gather(comparison, "a box with 2 GPUs")[0]["machine"] == "a box with 2 GPUs"


def test_the_changed_options_are_in_the_name_but_no_size_that_follows_from_them(results, comparison):
    experiments.main(["--gather", str(comparison)])
    (path,) = results.iterdir()
    preset = "experiment_binary-reversed_digits-3-validation-size-8-test-size-8-d-model-16-layers-1-heads-2-warmup-5"
    assert path.name == f"{preset}-steps-20-batch-8_2026-11-20.json"


def test_runs_that_compare_did_not_make_need_a_machine(results, comparison, capsys):
    (comparison / "journal.json").unlink()
    assert experiments.main(["--gather", str(comparison)]) == 1
    assert "name it with --machine" in capsys.readouterr().err
    assert experiments.main(["--gather", str(comparison), "--machine", "a laptop"]) == 0
    (values,) = gathered(results)
    assert values["machine"] == "a laptop"
    assert values["command"].startswith("python -m tinygrad_arith.train --preset binary-reversed --digits=3 ")
    assert values["command"].endswith(" --seed {1,2,3}")
    assert (
        values["date"]
        == json.loads((comparison / "binary-reversed-seed1" / "config.json").read_text(encoding="utf-8"))["created"][
            :10
        ]
    )


def test_a_directory_without_finished_runs_is_refused(results, comparison, tmp_path, capsys):
    for result in comparison.glob("*/result.json"):
        result.unlink()
    assert experiments.main(["--gather", str(comparison)]) == 1
    assert "no run in it is finished" in capsys.readouterr().err
    assert experiments.main(["--gather", str(tmp_path / "none")]) == 1
    assert not list(results.iterdir())


def test_the_tables_are_written_and_checked_and_prose_stays(results, comparison, capsys):
    assert experiments.main(["--check"]) == 1
    assert experiments.main(["--gather", str(comparison)]) == 0
    assert experiments.main(["--write"]) == 0
    assert experiments.main(["--check"]) == 0
    text = experiments.PAGE.read_text(encoding="utf-8")
    assert text.startswith("By hand.\n\n<!-- table: ours -->")
    assert "\nBetween.\n" in text
    assert text.endswith("<!-- end -->\nEnd.\n")
    figures, commands = text.split("Between.")
    row = row_of(figures, "`--digits=3`")
    best = "best evaluation on the way 100.00% (20.00% to 100.00%)"
    assert row[1:3] == ["", f"87.50% (75.00% to 100.00%) of 8; 3 seeds; {best}"]
    assert row[3:5] == [
        "12 (10 to 15) steps; 1.2 s (1.0 s to 1.5 s); 2 of 3 seeds",
        "15 (10 to 20) steps; 1.5 s (1.0 s to 2.0 s); 2 of 3 seeds",
    ]
    assert row[6] == "20 steps; 4.0 s (3.0 s to 5.0 s)"
    assert row_of(commands, "--digits=3")[2:] == ["1, 2, 3", "a processor, 2 cores, 2 runs at a time", "2026-11-20"]
    for name in experiments_page.GROUPS["ours"]:
        published = load_preset(name).published or "–"
        assert row_of(figures, f"| `{name}` |")[1:3] == [published, "not yet run"]
    for name in preset_names():
        command = f"`python -m tinygrad_arith.compare --preset {name} --seeds 5`"
        assert row_of(commands, command)[1:4] == [load_preset(name).source, "", "not yet run"]

    path = next(results.iterdir())
    path.write_text(
        path.read_text(encoding="utf-8").replace('"test_exact_match": 0.875', '"test_exact_match": 0.9'),
        encoding="utf-8",
    )
    assert experiments.main(["--check"]) == 1


def put(results, date, share, **task):
    """The file of an experiment with one seed, of the default preset with other options of its task."""
    config = Config.from_dict({"task": task}).resolved().to_dict()  # that preset holds the default of every option
    run = {"seed": 1, "step": 600, "test_exact_match": share, "test_count": 1000, "mean_of_last_losses": 0.1}
    reached = {"0.99": None, "0.999": None}
    run |= {"seconds": 1.0, "steps_to": reached, "seconds_to": reached, "further": {"in_fives": 0.75}}
    values = {"preset": "binary-reversed", "config": config, "until": None, "machine": "a laptop", "jobs": 1}
    values |= {"command": "as typed", "date": date, "runs": [run]}
    experiments.result_path(values).write_text(json.dumps(values), encoding="utf-8")


def test_the_newest_is_shown_and_variants_follow_in_the_order_of_their_numbers(results):
    put(results, "2026-11-21", 1.0)
    put(results, "2026-11-20", 0.5)
    put(results, "2026-11-20", 0.25, train_size=10_000)
    put(results, "2026-11-20", 0.125, train_size=3000)
    assert len(list(results.iterdir())) == 4
    found = [(changes, values) for name, changes, values in experiments.entries() if name == "binary-reversed"]
    assert [changes for changes, _ in found] == [(), ("--train-size=3000",), ("--train-size=10000",)]
    assert [values["date"] for _, values in found] == ["2026-11-21", "2026-11-20", "2026-11-20"]
    row = row_of(experiments_page.table_named("ours", experiments.entries()), "`--train-size=3000`")
    assert row[0] == "`binary-reversed` `--train-size=3000`"
    assert row[2:5] == ["12.50% of 1,000; 1 seed; in fives 75.00%", "never", "never"]


def test_the_best_evaluation_is_told_where_the_run_lost_it(results):
    put(results, "2026-11-21", 0.8)
    (path,) = results.iterdir()
    values = json.loads(path.read_text(encoding="utf-8"))
    for best, told in ((0.9, True), (0.81, False)):
        values["runs"][0]["best_exact_match"] = best
        path.write_text(json.dumps(values), encoding="utf-8")
        text = experiments_page.table_named("ours", experiments.entries())
        assert ("best evaluation on the way 90.00%" in text) == told


def test_every_preset_has_its_place_on_the_page():
    assert sorted(name for group in experiments_page.GROUPS.values() for name in group) == sorted(preset_names())
    page = experiments.PAGE.read_text(encoding="utf-8")
    for group in (*experiments_page.GROUPS, "commands"):
        assert page.count(f"<!-- table: {group} -->") == 1


def test_lee_et_al_by_the_number_of_sums(results):
    for size, share in ((1000, 0.25), (10_000, 0.5)):
        config = load_preset("lee-plain-3digit").config
        task = dataclasses.replace(config.task, train_size=size)
        put(results, "2026-11-21", share)
        path = results / "experiment_binary-reversed_2026-11-21.json"
        values = json.loads(path.read_text(encoding="utf-8")) | {"preset": "lee-plain-3digit"}
        path.unlink()
        values["config"] = dataclasses.replace(config, task=task).resolved().to_dict()
        experiments.result_path(values).write_text(json.dumps(values), encoding="utf-8")
    text = experiments_page.table_named("lee", experiments.entries())
    assert row_of(text, "| 1,000 |") == ["1,000", "0.4 %", "25.00%", "1.6 %", "–"]
    assert row_of(text, "| 10,000 |") == ["10,000", "87.4 %", "50.00%", "100.0 %", "–"]


def test_a_preset_that_was_changed_later_does_not_keep_its_old_figures(results):
    put(results, "2026-11-20", 1.0, digits=9)  # as if the preset had had 9 digits then
    found = [(changes, values) for name, changes, values in experiments.entries() if name == "binary-reversed"]
    assert found[0] == ((), None)
    assert found[1][0] == ("--digits=9",)
