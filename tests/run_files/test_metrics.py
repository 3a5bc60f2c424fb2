import os
from pathlib import Path

import pytest

from tinygrad_arith.run_files.metrics import MetricsWriter, read_metrics, trim_metrics


def write(path, steps):
    writer = MetricsWriter(path)
    for step in steps:
        writer.append({"step": step, "loss": 1 / 3 / step})
    writer.sync()
    writer.close()


def test_rows_come_back_exactly(tmp_path):
    write(tmp_path / "m.jsonl", range(1, 4))
    assert read_metrics(tmp_path / "m.jsonl") == [{"step": s, "loss": 1 / 3 / s} for s in (1, 2, 3)]


def test_appending_goes_on_where_the_file_ends(tmp_path):
    write(tmp_path / "m.jsonl", (1, 2))
    write(tmp_path / "m.jsonl", (3,))
    assert [row["step"] for row in read_metrics(tmp_path / "m.jsonl")] == [1, 2, 3]


def test_nan_is_refused(tmp_path):
    writer = MetricsWriter(tmp_path / "m.jsonl")
    with pytest.raises(ValueError, match="JSON"):
        writer.append({"step": 1, "loss": float("nan")})
    writer.close()


@pytest.mark.parametrize("torn", [b"", b'{"step": 5, "lo', b'{"step": 5', b"{}\n", b"\x00\x00\n", b"7\n"])
def test_trimming_drops_later_rows_and_a_torn_line(tmp_path, torn):
    path = tmp_path / "m.jsonl"
    write(path, (1, 2, 3, 4))
    before = path.read_bytes()
    path.write_bytes(before + torn)
    assert [row["step"] for row in read_metrics(path)] == [1, 2, 3, 4]
    trim_metrics(path, last_step=4)
    assert path.read_bytes() == before
    trim_metrics(path, last_step=2)
    assert [row["step"] for row in read_metrics(path)] == [1, 2]
    assert [p.name for p in tmp_path.iterdir()] == ["m.jsonl"]


def test_no_file_is_no_rows(tmp_path):
    trim_metrics(tmp_path / "m.jsonl", last_step=3)
    assert read_metrics(tmp_path / "m.jsonl") == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_told_with_the_name_of_the_file():
    writer = MetricsWriter(Path("/dev/full"))
    with pytest.raises(OSError, match="No space left") as raised:
        writer.append({"step": 1})
    assert raised.value.filename == "/dev/full"
    with pytest.raises(OSError, match="No space left") as raised:
        writer.close()
    assert raised.value.filename == "/dev/full"
