"""Damaged files and those of strangers are one sentence that names the file."""

import json
import shutil
from pathlib import Path

import pytest

from tinygrad_arith.files.reading import BeyondLimits, parse_json, read_json
from tinygrad_arith.options.errors import UserError
from tinygrad_arith.run_files.checkpoints import DamagedCheckpoint, read_checkpoint
from tinygrad_arith.run_files.metrics import read_metrics, trim_metrics
from tinygrad_arith.run_files.predictions import read_predictions, trim_predictions
from tinygrad_arith.run_files.result import read_result_file
from tinygrad_arith.training.runs import read_record, write_record, write_resumption

FIXTURE = Path(__file__).parents[1] / "fixtures" / "run_of_0_1_binary"
GOAL = {"name": "exact_match", "rising": True, "share": True}
BEYOND = {
    "deep": "[" * 100_000,
    "deep and closed": "[" * 60 + "]" * 60,
    "deep tables": '{"a":' * 100_000,
    "an integer of 5,000 digits": "9" * 5_000,
    "an integer beyond 1e308": "1" + "0" * 400,
    "NaN": "NaN",
    "infinity": "-Infinity",
    "a float beyond 1e308": "1e999",
    "half a character": '"\\ud800"',
}


@pytest.fixture(params=["format 1", "format 2"])
def run(request, tmp_path):
    """A copy of a run of version 0.1, as it is or with its `config.json` as this version writes it."""
    directory = tmp_path / "run"
    shutil.copytree(FIXTURE, directory)
    if request.param == "format 2":
        write_record(directory, read_record(directory))
    return directory


def change(path, *keys, to):
    """Put a value into a JSON file."""
    values = json.loads(path.read_text(encoding="utf-8"))
    inner = values
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = to
    path.write_text(json.dumps(values), encoding="utf-8")


def change_line(path, line, name, to):
    """Put a value into a line, counted from 1, of a file of lines."""
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[line - 1] = json.dumps(json.loads(lines[line - 1]) | {name: to})
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def newest_checkpoint(run):
    return max((run / "checkpoints").glob("*.json"))


def read_result(run):
    return read_result_file(run / "result.json")


def read_whole(run):
    """Read every file of a run."""
    read_record(run)
    read_result(run)
    read_metrics(run / "metrics.jsonl")
    read_predictions(run / "predictions.jsonl")
    read_checkpoint(newest_checkpoint(run))


def test_the_run_is_read_where_nothing_is_wrong(run):
    read_whole(run)
    write_resumption(run, read_record(run), 30, {"numpy": "2.4.6"})
    read_whole(run)


@pytest.mark.parametrize("text", BEYOND.values(), ids=BEYOND)
def test_json_beyond_the_limits_is_told(run, text):
    with pytest.raises(BeyondLimits):
        parse_json(text.encode())
    for name, read in (("config.json", read_record), ("result.json", read_result)):
        (run / name).write_text(f'{{"format": 2, "step": {text}}}' if text[0] not in "[{" else text, encoding="utf-8")
        with pytest.raises(UserError, match=f"^{run / name}: not "):
            read(run)


@pytest.mark.parametrize("text", BEYOND.values(), ids=BEYOND)
@pytest.mark.parametrize("name", ["metrics.jsonl", "predictions.jsonl"])
def test_a_line_beyond_the_limits_is_told_and_nothing_is_lost(run, name, text):
    path = run / name
    path.write_text(path.read_text(encoding="utf-8") + f'{{"step": 31, "loss": {text}}}\n', encoding="utf-8")
    before, line = path.read_text(encoding="utf-8"), path.read_text(encoding="utf-8").count("\n")
    read, trim = (read_metrics, trim_metrics) if name[0] == "m" else (read_predictions, trim_predictions)
    for ask in (read, lambda path: trim(path, 10)):
        with pytest.raises(UserError, match=f"^{path}: line {line}: it "):
            ask(path)
    assert path.read_text(encoding="utf-8") == before


@pytest.mark.parametrize("text", BEYOND.values(), ids=BEYOND)
def test_a_checkpoint_beyond_the_limits_is_damaged(run, text):
    path = newest_checkpoint(run)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DamagedCheckpoint, match=path.name):
        read_checkpoint(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("tinygrad_arith.files.reading.LARGEST_JSON", 10)
    (tmp_path / "a").write_text("[1, 2, 3, 4]", encoding="utf-8")
    with pytest.raises(UserError, match="a: too large: 12 bytes, and at most 10 are read"):
        read_json(tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("until", value) for value in ("0.5", True, 0, -1, [], {})),
        *(("preset", value) for value in (None, "", 5, [], "../a", "..", "a\nb")),
        *(("resumed", value) for value in (None, 5, "a", {}, [5], [{"computed_by": 5}], [{"computed_by": {"a": 1}}])),
        *(("computed_by", value) for value in (5, "a", [], {"numpy": 2}, {"numpy": None})),
        *(("format", value) for value in (True, 2.0, 1.0, 0, 3, "2", None, [])),
        *(("task_digest", value) for value in ("abc", 5, False, [], {})),
        *(("config", value) for value in (None, 5, [], {"task": 5})),
    ],
)
def test_a_strange_config_is_told_and_not_rewritten(run, name, value):
    path = run / "config.json"
    change(path, name, to=value)
    before = path.read_text(encoding="utf-8")
    with pytest.raises(UserError, match=f"^{path}: "):
        read_record(run)
    assert path.read_text(encoding="utf-8") == before


def test_a_digest_of_a_built_in_task_says_that_the_file_was_changed(run):
    change(run / "config.json", "task_digest", to="abc")
    with pytest.raises(UserError, match=r"but --task .* lists no pairs: the file was changed"):
        read_record(run)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("goal", value) for value in (None, 5, [], {}, "exact_match", GOAL | {"more": 1}, GOAL | {"rising": 1})),
        *(("goal", GOAL | {"name": value}) for value in (5, "", "a\nb", [])),
        *(("step", value) for value in (1.5, True, -1, 10**9, "30", None, [])),
        *(("seconds", value) for value in ("1", True, -1, 1e300, None)),
        *(("test_exact_match", value) for value in ("1", True, None, [])),
        *(("test_count", value) for value in (0, 1.5, -3, True, "8")),
        *(("test_correct", value) for value in (17, -1, 0.5, True, None)),
        *(("interval_95", value) for value in (5, None, [], [0.1], [0.1, "a"], [0.1, None], [0, 1, 2], {})),
    ],
)
def test_a_strange_result_is_told(run, name, value):
    path = run / "result.json"
    change(path, name, to=value)
    with pytest.raises(UserError, match=f"^{path}: not a run's result: "):
        read_result(run)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("step", value) for value in (1.5, True, -1, 10**9, "3", None, [])),
        *(("loss", value) for value in ("a", True, 1e300, None, [], {})),
        *(("in_fives", value) for value in ("a", True, None, [0.1], {})),
        *(("by_position", value) for value in (5, "a", {}, [[0.1]], ["a"], [None])),
        *(("examples", value) for value in ("a", None, [], False)),
        *(("exact_match", value) for value in ("a", {}, True, ["a"])),
    ],
)
def test_strange_metrics_are_told_with_the_line(run, name, value):
    path = run / "metrics.jsonl"
    change_line(path, 3, name, value)
    for ask in (read_metrics, lambda path: trim_metrics(path, 10)):
        with pytest.raises(UserError, match=f"^{path}: not a run's metrics: line 3: {name} is "):
            ask(path)


def test_places_that_change_are_told(run):
    change_line(run / "metrics.jsonl", 10, "by_position", [0.5])
    with pytest.raises(UserError, match="by_position is not of the same places in every line"):
        read_metrics(run / "metrics.jsonl")


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        *((1, "vocabulary", value) for value in ("_ 01+=.", [], ["_", 5], {}, None)),
        *((1, "tokens", value) for value in (5, [], [[]], [[1], [1, 2]], [["a"]], [[1.0]], [[True]], [[2**64]], None)),
        *((1, "tokens", [[value] * 13] * 4) for value in (-1, 0, 7)),
        *((1, "counted", value) for value in (5, [], [[1]], [[True]], "a", None)),
        *((2, "step", value) for value in (1.5, True, -1, 10**9, "3", None, [])),
        *((2, "predicted", value) for value in (5, [], [[1]], "a", {}, [[2**63]], None)),
        *((2, "predicted", [[value] * 13] * 4) for value in (-2, 7, 1.5)),
    ],
)
def test_strange_predictions_are_told(run, line, name, value):
    path = run / "predictions.jsonl"
    change_line(path, line, name, value)
    with pytest.raises(UserError, match=f"^{path}: not a run's predictions: "):
        read_predictions(path)
    if name == "step":
        with pytest.raises(UserError, match=f"^{path}: not a run's predictions: line 2: step is "):
            trim_predictions(path, 10)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("step", value) for value in (1.5, True, -1, 10**9, "30", None, [], 29)),
        *(("examples", value) for value in (1.5, True, -1, "a", None)),
        *(("seconds", value) for value in ("a", True, -1, 1e300, None)),
        *(("bytes", value) for value in ("a", True, -1, None, 5)),
        *(("sha256", value) for value in (5, None, "a")),
        *(("exact_match", value) for value in ("a", True, [])),
        *(("goal", value) for value in (5, None, {}, GOAL | {"name": "gone"})),
    ],
)
def test_a_strange_checkpoint_is_damaged(run, name, value):
    path = newest_checkpoint(run)
    change(path, name, to=value)
    with pytest.raises(DamagedCheckpoint):
        read_checkpoint(path)
