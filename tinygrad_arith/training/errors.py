"""The one exception that is meant for the person at the keyboard."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can put right. Its text is one clear sentence: what is wrong, where, and what is allowed.

    The doors print it as `error: <sentence>` and exit with code 1; a traceback would only hide it.
    """


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` most resembles, or None if it resembles none."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` for the end of a sentence about an unknown word, or nothing."""
    match = nearest(word, known)
    return f"; did you mean {match}?" if match else ""
