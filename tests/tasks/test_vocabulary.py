"""Tokens to ids and back."""

import numpy as np
import pytest

from tinygrad_arith.tasks import Vocabulary

VOCABULARY = Vocabulary(("_", "0", "1", "+", "."))
WORDS = Vocabulary(("0", "1", "10", "="), separator=" ")


def test_there_and_back():
    ids = VOCABULARY.encode("10+_")
    assert ids.dtype == np.int64
    assert ids.tolist() == [2, 1, 3, 0]
    assert VOCABULARY.decode(ids) == "10+_"
    assert len(VOCABULARY) == 5
    assert VOCABULARY.encode("").shape == (0,)


def test_tokens_of_several_characters_are_separated_by_spaces():
    assert WORDS.encode("10 1 =").tolist() == [2, 1, 3]
    assert WORDS.encode("  1   0 ").tolist() == [1, 0]
    assert WORDS.decode(np.array([2, 1, 3])) == "10 1 ="


def test_padding_and_the_end_mark_are_there_or_not():
    assert (VOCABULARY.padding, VOCABULARY.end) == (0, 4)
    assert (WORDS.padding, WORDS.end) == (-1, None)


def test_an_unknown_token_or_id_is_named():
    with pytest.raises(ValueError, match=r"'2' at position 3 is not in the vocabulary: allowed are '_' '0' '1' '\+'"):
        VOCABULARY.encode("012")
    with pytest.raises(ValueError, match=r"'11' at position 2 is not in the vocabulary: allowed are '0' '1' '10' '='$"):
        WORDS.encode("1 11")
    with pytest.raises(ValueError, match="token id 5: ids are 0 to 4"):
        VOCABULARY.decode(np.array([1, 5]))
    with pytest.raises(ValueError, match="token id -1: ids are 0 to 3"):
        WORDS.decode(np.array([-1]))


def test_a_long_vocabulary_is_not_told_in_full():
    many = Vocabulary(tuple(map(str, range(200))), separator=" ")
    with pytest.raises(ValueError, match=r"allowed are '0' '1' '2' \.\.\. '197' '198' '199'$"):
        many.encode("200")


@pytest.mark.parametrize(
    ("tokens", "separator", "sentence"),
    [
        (("0", "0"), "", "distinct"),
        (("0", "10"), "", "single characters, or be separated by ' '"),
        (("0", ""), "", "single"),
        (("0", ""), " ", "must not be empty or hold a space"),
        (("0", "1 0"), " ", "must not be empty or hold a space"),
        (("0", "1"), ",", "the separator is ',', but must be '' or ' '"),
    ],
)
def test_tokens_that_a_text_could_not_be_cut_into_are_refused(tokens, separator, sentence):
    with pytest.raises(ValueError, match=sentence):
        Vocabulary(tokens, separator)
