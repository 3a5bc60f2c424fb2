"""Texts that a user hands in, as editors on Windows write them: with a byte order mark, or in UTF-16."""

import io
import json
import types

import pytest

from tinygrad_arith.cli import sample
from tinygrad_arith.cli.sample import answer_source, lines_of
from tinygrad_arith.files.reading import read_json
from tinygrad_arith.files.text import decoded, is_utf_16
from tinygrad_arith.gradcheck_suite.user_operations import user_subjects
from tinygrad_arith.options.errors import UserError
from tinygrad_arith.run_files.metrics import read_metrics
from tinygrad_arith.tasks.user_tasks import load_task_class
from tinygrad_arith.training.config_file import load_config_file

SAID = "it is in UTF-16, as PowerShell's > writes it; save it as UTF-8"
TASK = """
from tinygrad_arith.tasks import PairTask


class Doubling(PairTask):
    @classmethod
    def pairs(cls):
        return [(str(number), str(2 * number)) for number in range(100)]
"""
PAIR = """
def square_forward(x):
    return x * x, x

def square_backward(dy, x):
    return 2.0 * dy * x

def square_inputs(rng):
    return {"x": rng.normal(size=(3, 4))}
"""
UTF_16 = ["utf-16", "utf-16-le", "utf-16-be"]  # the first with a mark


def read_config(path):
    return load_config_file(path).config.task.digits


def read_task(path):
    return load_task_class(f"{path}:Doubling").__name__


def read_pair(path):
    return [subject.name for subject in user_subjects(str(path))]


def read_row(path):
    return read_metrics(path)[0]["step"]


READERS = [
    ("a.toml", "[task]\ndigits = 3\n", read_config, 3),
    ("a.py", TASK, read_task, "Doubling"),
    ("b.py", PAIR, read_pair, ["square"]),
    ("a.json", '{"a": 1}', read_json, {"a": 1}),
    ("metrics.jsonl", '{"step": 1, "loss": 1.0}\n', read_row, 1),
]


@pytest.mark.parametrize(("name", "text", "read", "found"), READERS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path, name, text, read, found, encoding):
    path = tmp_path / name
    path.write_text(text, encoding=encoding)
    assert read(path) == found


@pytest.mark.parametrize(("name", "text", "read", "found"), READERS[:4])
@pytest.mark.parametrize("encoding", UTF_16)
def test_a_text_in_utf_16_is_told_in_a_sentence(tmp_path, name, text, read, found, encoding):
    path = tmp_path / name
    path.write_text(text, encoding=encoding)
    with pytest.raises((UserError, ValueError)) as raised:
        read(path)
    assert str(raised.value).endswith(SAID)
    assert name in str(raised.value)


def test_other_bytes_are_not_taken_for_it():
    for data in (b"", b"a", b"\0\0\0\0", "ü".encode(), b"\xef\xbb\xbfa", b"\xff\xfb"):
        assert not is_utf_16(data)
    with pytest.raises(UnicodeDecodeError):
        decoded(b"\xff\xfb")


def lines(data, encoding="utf-8"):
    return list(lines_of(io.BytesIO(data), "stdin", encoding))


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_problems_come_line_by_line_whatever_they_begin_and_end_with(ending):
    text = f"1+1={ending}2+2={ending}"
    for data in (text.encode(), text.encode("utf-8-sig")):
        assert lines(data) == ["1+1=\n", "2+2=\n"]


def test_with_a_mark_they_are_in_utf_8_whatever_the_console_is():
    assert lines("é\né".encode("utf-8-sig"), "cp1252") == ["é\n", "é"]
    assert lines("é\né".encode("cp1252"), "cp1252") == ["é\n", "é"]
    assert lines(b"\xff\n1+1=\n") == ["\N{REPLACEMENT CHARACTER}\n", "1+1=\n"]


@pytest.mark.parametrize("encoding", UTF_16)
def test_problems_in_utf_16_are_told_in_a_sentence(encoding):
    with pytest.raises(UserError, match=f"^stdin: {SAID}$"):
        lines("1+1=\n2+2=\n".encode(encoding))


def test_stdin_and_files_are_read_so(tmp_path, monkeypatch):
    heard = []
    monkeypatch.setattr(sample, "answer_lines", lambda asked, lines: heard.extend(lines) or 0)
    stdin = types.SimpleNamespace(
        buffer=io.BytesIO("1+1=\n".encode("utf-8-sig")), encoding="cp1252", isatty=lambda: False
    )
    monkeypatch.setattr("sys.stdin", stdin)
    (tmp_path / "problems").write_text("2+2=\n", encoding="utf-8-sig")
    assert answer_source(None, None) == 0
    assert answer_source(None, tmp_path / "problems") == 0
    assert heard == ["1+1=\n", "2+2=\n"]


def test_an_answer_does_not_wait_for_the_end_of_the_problems():
    read = []

    def source():
        for line in (b"1+1=\n", b"2+2=\n"):
            read.append(line)
            yield line

    first = next(lines_of(source(), "stdin"))
    assert (first, len(read)) == ("1+1=\n", 1)


def test_what_is_written_is_in_utf_8_without_a_mark(tmp_path):
    from tinygrad_arith.files.writing import write_json

    write_json(tmp_path / "a", {"name": "ü"})
    data = (tmp_path / "a").read_bytes()
    assert (data[:1], json.loads(data.decode("utf-8"))) == (b"{", {"name": "ü"})
