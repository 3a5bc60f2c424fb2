import errno

import pytest

from tinygrad_arith.training.console import as_bytes, as_duration, as_share, run_door
from tinygrad_arith.training.errors import UserError, did_you_mean


def raising(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("main", "code", "line"),
    [
        (lambda: None, 0, ""),
        (lambda: 3, 3, ""),
        (raising(UserError("--digits 0: no")), 1, "error: --digits 0: no\n"),
        (raising(KeyboardInterrupt()), 130, "interrupted\n"),
        (raising(OSError(errno.ENOSPC, "No space left", "runs/x")), 1, "error: runs/x: No space left\n"),
        (raising(MemoryError("Unable to allocate 9 TiB")), 1, "error: out of memory: Unable to allocate 9 TiB\n"),
    ],
)
def test_exit_codes(capsys, main, code, line):
    with pytest.raises(SystemExit) as raised:
        run_door(main)
    assert raised.value.code == code
    assert capsys.readouterr().err == line


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run_door(lambda: 1 // 0)


def test_words_for_sizes_and_times():
    assert [as_bytes(n) for n in (0, 1023, 1536, 3 * 2**30)] == ["0 bytes", "1,023 bytes", "1.5 KiB", "3.0 GiB"]
    assert [as_duration(s) for s in (0.25, 47.6, 185, 7800)] == ["0.2 s", "48 s", "3 min 05 s", "2 h 10 min"]


def test_nearest_words():
    assert did_you_mean("--digitz", ["--digits", "--seed"]) == "; did you mean --digits?"
    assert did_you_mean("--zzz", ["--digits", "--seed"]) == ""


def test_only_all_is_100_percent():
    assert as_share(0.99999) == "99.99%"
    assert as_share(999_960 / 1_000_000) == "99.99%"
    assert as_share(1.0) == "100.00%"
    assert as_share(0.29) == "29.00%"
