"""Metrics as CSV hold the numbers of `metrics.jsonl`, one line a step."""

import csv
import json

import pytest

from tinygrad_arith.options.errors import UserError
from tinygrad_arith.run_files.metrics_csv import as_csv, write_csv

ROWS = [
    {"step": 1, "loss": 0.1 + 0.2},
    {"step": 2, "loss": 1e-300, "exact_match": 0.5, "by_position": [0.25, 1.0], "in_fives": None},
    {"step": 3, "loss": 2, "=cmd()": 5},
]


def test_every_number_has_its_cell():
    table = list(csv.DictReader(as_csv(ROWS).splitlines()))
    assert list(table[0]) == ["step", "loss", "exact_match", "by_position_1", "by_position_2"]
    assert [float(line["loss"]) for line in table] == [0.1 + 0.2, 1e-300, 2]
    assert [line["by_position_2"] for line in table] == ["", "1.0", ""]
    assert as_csv(ROWS).endswith("3,2,,,\n")


def test_the_file_is_that_of_the_run(tmp_path, write_run):
    run = write_run(tmp_path / "run")
    path = write_csv(run, tmp_path / "new" / "a.csv")
    table = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [{name: float(cell) for name, cell in line.items() if cell} for line in table] == rows


def test_a_run_that_measured_nothing_is_told(tmp_path):
    with pytest.raises(UserError, match=r"run: has no metrics.jsonl yet, or nothing in it"):
        write_csv(tmp_path / "run", tmp_path / "a.csv")
    assert list(tmp_path.iterdir()) == []
