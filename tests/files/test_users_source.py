"""A user's file is run as it is, not as Python once compiled it."""

import os

from tinygrad_arith.files.source import new_module, spec_of


def value_of(file):
    spec = spec_of("a_file_of_somebody", file)
    module = new_module(spec)
    spec.loader.exec_module(module)
    return module.value


def test_a_file_that_was_changed_within_a_second_is_read_again(tmp_path):
    """Its size and the second in which it was written stay the same, by which Python would know a file."""
    file = tmp_path / "mine.py"
    for sign in "+-":
        file.write_text(f"value = {sign}1\n", encoding="utf-8")
        os.utime(file, (1_000_000_000, 1_000_000_000))
        assert value_of(file) == int(f"{sign}1")
    assert list(tmp_path.iterdir()) == [file]  # nothing was left beside it


def test_what_is_no_source_has_no_spec(tmp_path):
    assert spec_of("a_file_of_somebody", tmp_path / "mine.pyc") is None
    assert spec_of("a_file_of_somebody", tmp_path / "mine") is None
