"""Characters to ids and back."""

import numpy as np
import pytest

from tinygrad_arith.tasks import Vocabulary

VOCABULARY = Vocabulary(("_", "0", "1", "+"))


def test_there_and_back():
    ids = VOCABULARY.encode("10+_")
    assert ids.dtype == np.int64
    assert ids.tolist() == [2, 1, 3, 0]
    assert VOCABULARY.decode(ids) == "10+_"
    assert len(VOCABULARY) == 4
    assert VOCABULARY.encode("").shape == (0,)


def test_an_unknown_character_or_id_is_named():
    with pytest.raises(ValueError, match=r"'2' at position 3 is not in the vocabulary: allowed are '_' '0' '1' '\+'"):
        VOCABULARY.encode("012")
    with pytest.raises(ValueError, match="token id 4: ids are 0 to 3"):
        VOCABULARY.decode(np.array([1, 4]))


def test_tokens_are_distinct_characters():
    with pytest.raises(ValueError, match="distinct"):
        Vocabulary(("0", "0"))
    with pytest.raises(ValueError, match="single"):
        Vocabulary(("0", "10"))
