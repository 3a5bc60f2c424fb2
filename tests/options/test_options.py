"""Options are checked in one place, whatever they are options of."""

from dataclasses import dataclass, fields

import pytest

from tinygrad_arith.options.option import Options, complaint_about, flag_name, option, range_in_words


@dataclass(frozen=True)
class Some(Options):
    """Some of each type."""

    whole_number: int = option(3, "a number", range=(1, 8))
    rate: float = option(0.5, "a rate", range=(0.0, None))
    flag: bool = option(False, "yes or no")
    word: str = option("one", "a word", choices=("one", "two"))


def test_defaults_and_whole_numbers_for_floats_are_allowed():
    Some()
    Some(rate=1)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"whole_number": 9}, "--whole-number 9: must be 1 to 8"),
        ({"whole_number": 3.0}, "--whole-number 3.0: must be a whole number"),
        ({"whole_number": True}, "--whole-number True: must be a whole number"),
        ({"rate": -0.5}, "--rate -0.5: must be at least 0.0"),
        ({"rate": float("nan")}, "--rate nan: must be a finite number"),
        ({"rate": False}, "--rate False: must be a number"),
        ({"flag": 1}, "--flag 1: must be true or false"),
        ({"word": "three"}, "--word three: must be one of one, two"),
        ({"word": 1}, "--word 1: must be a word"),
    ],
)
def test_a_wrong_value_is_one_sentence_that_names_the_flag(changes, sentence):
    with pytest.raises(ValueError, match=r"^--") as raised:
        Some(**changes)
    assert str(raised.value) == sentence


def test_the_parts():
    assert flag_name("d_model") == "--d-model"
    assert range_in_words(None, 8) == "at most 8"
    assert [complaint_about(field, 2) for field in fields(Some)][:2] == [None, None]
