"""The benchmark of answers on a few problems: what it compares before it times, and which presets it is for."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))  # scripts, not an installed package

import answers

RIGHT = np.array([[1, 2, 3], [4, 5, 6]])


def test_evaluation_must_say_what_generation_says_until_that_goes_wrong():
    written = np.array([[1, 9, 3], [4, 5, 6]])  # the first answer is wrong from its second token on
    seen = np.array([[1, 9, 8], [4, 5, 6]])  # what comes then is not to be compared
    assert answers.shared_tokens(seen, written, RIGHT) == 1.0
    seen[1, 2] = 0
    assert answers.shared_tokens(seen, written, RIGHT) == pytest.approx(4 / 5)


def test_the_ways_agree_and_are_timed(monkeypatch, capsys):
    monkeypatch.setattr(answers, "PROBLEMS", 40)
    monkeypatch.setattr(answers, "settle_process", lambda **_: None)
    result = answers.measure("binary-reversed", 1, "cpu")
    assert [len(rates) for rates in result["rates"].values()] == [1, 1, 1]
    assert all(rate > 0 for rates in result["rates"].values() for rate in rates)
    assert "binary-reversed, 40 problems" in answers.table(result)


@pytest.mark.parametrize(
    "preset", ["julia-gpt", "julia-dnn", "grokking-mod113", "coupled-10digit", "candle-binary-plain"]
)
def test_a_preset_that_it_is_not_for_is_one_sentence(preset, monkeypatch, capsys):
    monkeypatch.setattr(answers, "PROBLEMS", 40)
    monkeypatch.setattr(answers, "settle_process", lambda **_: None)
    assert answers.main(["--preset", preset]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        f"--preset {preset}: this is for a gpt that reads whole samples without padding, such as binary-reversed\n"
    )
