import errno

import pytest

from tinygrad_arith.files.writing import atomic_path, remove_temporaries, write_json, write_text
from tinygrad_arith.options.errors import naming


def test_a_file_appears_whole(tmp_path):
    write_text(tmp_path / "a", "one\n")
    write_text(tmp_path / "a", "two\n")
    assert (tmp_path / "a").read_bytes() == b"two\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    write_text(tmp_path / "a", "old")
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "a") as temporary:  # noqa: PT012  # it must fail midway
        temporary.write_text("ne", encoding="utf-8")
        raise RuntimeError("disk on fire")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_json_without_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a", {"loss": float("inf")})
    assert list(tmp_path.iterdir()) == []


def test_leftovers_are_removed(tmp_path):
    for name in ("a.tmp", "b"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    remove_temporaries(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_an_error_without_a_name_gets_that_of_the_file(tmp_path):
    with pytest.raises(OSError, match="No space") as raised, naming(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert raised.value.filename == str(tmp_path / "a")
    with pytest.raises(OSError, match="No space") as raised, naming(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left on device", "b")
    assert raised.value.filename == "b"
