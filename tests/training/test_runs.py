import dataclasses
import json
import os
import shlex
from pathlib import Path

import pytest

from tinygrad_arith.options.errors import MisuseError, UserError
from tinygrad_arith.training.config import Config
from tinygrad_arith.training.runs import (
    CONFIG_FILE,
    RunRecord,
    check_directory,
    check_unused,
    load_run,
    locked,
    make_directory,
    newest_run,
    read_record,
    resume_command,
    write_record,
    write_resumption,
)


def test_the_record_round_trips_and_names_versions(tmp_path):
    record = RunRecord(Config().resolved(), "binary-reversed", until=0.999)
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record
    facts = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert facts["versions"].keys() == {"tinygrad_arith", "python", "numpy", "platform"}
    assert facts["seed"] == Config().training.seed


def test_a_resumption_keeps_how_the_run_was_made(tmp_path):
    write_record(tmp_path, RunRecord(Config().resolved(), "binary-reversed"))
    path = tmp_path / "config.json"
    made = json.loads(path.read_text(encoding="utf-8")) | {
        "created": "2020-01-02T03:04:05+00:00",
        "versions": {"numpy": "1.0"},
    }
    path.write_text(json.dumps(made), encoding="utf-8")
    longer = RunRecord(Config().resolved(), "binary-reversed", until=0.5)
    for step in (4, 9):
        write_resumption(tmp_path, dataclasses.replace(read_record(tmp_path), until=0.5), step)
    assert read_record(tmp_path) == longer
    found = json.loads(path.read_text(encoding="utf-8"))
    assert (found["created"], found["versions"]) == (made["created"], made["versions"])
    assert [entry["step"] for entry in found["resumed"]] == [4, 9]
    assert all(entry["date"] > made["created"] and "python" in entry["versions"] for entry in found["resumed"])


def test_a_changed_goal_is_no_sitting(tmp_path):
    record = RunRecord(Config().resolved(), "binary-reversed", until=0.999)
    write_record(tmp_path, record, {"device": "a processor"})
    write_resumption(tmp_path, read_record(tmp_path), 4)
    before = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    write_record(tmp_path, dataclasses.replace(read_record(tmp_path), until=0.5))
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8")) == before | {"until": 0.5}


def test_what_is_no_run_is_explained(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    for name, sentence in [
        ("nowhere", "no such run directory"),
        ("file", "not a directory"),
        ("empty", "not a run: it lacks config.json"),
    ]:
        with pytest.raises(UserError, match=sentence):
            load_run(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a configuration of format 2 or 1"),
        ('{"format": 3}', "not a configuration of format 2 or 1"),
        ('{"format": 2}', "must be a table of options"),
        ('{"format": 1}', "must be a table of options"),
        ('{"format": 1, "config": {"task": {"digitz": 3}}}', r"unknown key task\.digitz; did you mean digits"),
    ],
)
def test_a_bad_config_file_is_explained(tmp_path, text, sentence):
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        load_run(tmp_path)


def test_a_run_without_checkpoints_is_explained(tmp_path):
    write_record(tmp_path, RunRecord(Config().resolved(), "binary-reversed"))
    with pytest.raises(UserError, match="no complete checkpoint yet"):
        load_run(tmp_path)


def test_new_runs_get_directories_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [make_directory(None, "binary-plain", 3).name for _ in range(3)]
    assert names == ["binary-plain-seed3", "binary-plain-seed3-2", "binary-plain-seed3-3"]


def test_a_used_directory_is_refused(tmp_path):
    check_unused(make_directory(tmp_path / "a" / "b", "x", 1))
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match=r"not empty \(it holds"):
        check_unused(tmp_path)
    write_record(tmp_path, RunRecord(Config(), "x"))
    with pytest.raises(UserError, match="already holds a run; choose another --out, or go on"):
        check_unused(tmp_path)
    with pytest.raises(UserError, match="there is a file of that name"):
        make_directory(tmp_path / "notes.txt", "x", 1)


def test_a_locked_run_is_refused_until_it_is_free(tmp_path):
    with locked(tmp_path):
        with pytest.raises(UserError, match="another process is training this run"), locked(tmp_path):
            pass
        check_unused(tmp_path)  # the lock's own file is no stranger
    with locked(tmp_path):
        pass


def test_the_newest_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="there is no run in runs"):
        newest_run()
    for seed in (1, 2):
        write_record(make_directory(None, "x", seed), RunRecord(Config(), "x"))
    (tmp_path / "runs" / "x-seed1" / "metrics.jsonl").write_text("", encoding="utf-8")
    times = {"x-seed1": 2_000_000_000, "x-seed2": 1_000_000_000}
    for name, time in times.items():
        for path in (tmp_path / "runs" / name).iterdir():
            os.utime(path, (time, time))
    assert newest_run().name == "x-seed1"
    (tmp_path / "runs" / "x-seed2" / "metrics.jsonl.tmp").write_text(
        "", encoding="utf-8"
    )  # may be gone when it is looked at
    (tmp_path / "runs" / "x-seed2" / "gone").symlink_to("nowhere")
    assert newest_run().name == "x-seed1"


def test_the_command_that_goes_on_is_one_for_a_shell():
    command = resume_command(Path("runs/ü c's"))
    assert shlex.split(command) == ["python", "-m", "tinygrad_arith.train", "--resume", "runs/ü c's"]
    assert resume_command(Path("runs/a")).endswith("--resume runs/a")


def test_what_computes_now_and_did_not_before_is_told(tmp_path):
    before = {"device": "a processor", "passes": "numpy 2.0"}
    now = {"device": "a processor", "passes": "numba 0.60", "products": "mkl 2025"}
    record = RunRecord(Config().resolved(), "binary-reversed")
    write_record(tmp_path, record, before)
    assert write_resumption(tmp_path, read_record(tmp_path), 3, before) == []
    differing = ["passes: numpy 2.0 before, numba 0.60 now", "matrix multiplications: none before, mkl 2025 now"]
    assert write_resumption(tmp_path, read_record(tmp_path), 4, now) == differing
    assert write_resumption(tmp_path, read_record(tmp_path), 5, now) == []
    write_record(tmp_path, record)  # of an older version, which did not note it
    assert write_resumption(tmp_path, read_record(tmp_path), 3, now) == []


@pytest.mark.parametrize(
    ("preset", "task", "name"),
    [
        ("binary-reversed", "binary-addition", "binary-reversed"),
        ("binary-reversed", "expressions", "expressions"),
        ("binary-reversed", "folder/own.py:Sorting", "Sorting"),
        ("of-another-version", "expressions", "of-another-version"),
    ],
)
def test_a_run_of_another_task_than_its_presets_is_called_after_that(preset, task, name):
    config = Config()
    config = dataclasses.replace(config, task=dataclasses.replace(config.task, kind=task))
    assert RunRecord(config, preset).name == name


def test_a_run_that_is_not_there_is_told_with_the_one_that_was_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("binary-seed1", "grokking-seed2"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / CONFIG_FILE).write_text("{}", encoding="utf-8")
    for typed, meant in {
        "binary-seed1": "binary-seed1",
        "binary-sed1": "binary-seed1",
        "runs/grokking-seed3": "grokking-seed2",
        "elsewhere/grokking-seed2": "grokking-seed2",
    }.items():
        with pytest.raises(MisuseError, match="no such run directory; did you mean ") as told:
            read_record(Path(typed))
        assert str(told.value).endswith(f"did you mean {Path('runs', meant)}?")
    for typed in ("nothing-like-it", "elsewhere/grokking-seed3"):
        with pytest.raises(MisuseError, match=r"no such run directory$"):
            read_record(Path(typed))


def test_a_directory_below_a_file_is_misuse(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(MisuseError, match=r"file is no folder; choose another --out$"):
        check_directory(tmp_path / "file" / "run")
    check_directory(tmp_path / "new" / "run")
