"""Words of a user's inside a sentence."""

import reprlib

LONGEST_SHOWN = 80  # characters


def shortened(text: object, longest: int = LONGEST_SHOWN) -> str:
    """The text as a sentence quotes it: of a very long one its begin, and how long it is."""
    words = str(text)
    return words if len(words) <= longest else f"{words[: longest // 2]}... ({len(words):,} characters)"


def in_short(value: object) -> str:
    """A value of a file as a sentence quotes it, as Python writes it: not all of a very large one."""
    if isinstance(value, int) and abs(value) >= 10**LONGEST_SHOWN:  # Python writes no number of thousands of digits
        return f"a whole number of {value.bit_length():,} bits"
    return shortened(reprlib.repr(value) if isinstance(value, dict | list) else repr(value))
