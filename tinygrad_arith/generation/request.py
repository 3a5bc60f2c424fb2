"""What is to be written, and the arguments that say so, looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend import RandomKey
from ..ops.ids import require_ids
from .choosing import check_key
from .prompts import Prompts, check_count, check_room, over_rows, padded_prompts, prompt_rows
from .readers import has_own_reader
from .samplers import Sampler, as_samplers
from .text import Decode

StopTokens = int | Sequence[int] | None


@dataclass(frozen=True, eq=False)
class Request:
    """What is to be written: B = P * samples rows.

    limits: (B,) tokens that a row may have
    new:    the largest of them
    ended:  what ends a row at its limit
    key:    names the draws; None: always the likeliest token
    """

    model: Any
    prompts: Prompts
    limits: np.ndarray
    new: int
    ended: str
    samples: int
    samplers: tuple[Sampler, ...]
    key: RandomKey | None

    @property
    def rows(self) -> int:
        """How many rows are written."""
        return len(self.limits)


def make_request(
    model: Any,
    prompts: Any,
    max_tokens: int | None,
    positions: Any,
    key_mask: Any,
    samplers: Sequence[Sampler],
    samples: int,
    key: RandomKey | None,
) -> Request:
    """The arguments of `generate`, looked at. Raises its errors."""
    ids, lengths = prompt_rows(prompts)  # (P, Tp), (P,)
    check_count("samples", samples)
    if samples < 1:
        raise ValueError(f"generate: samples must be a whole number from 1 on, not {samples}")
    check_key(key)
    context = model.config.context
    if max_tokens is None:
        check_room(context, ids.shape[1], 1)
        rooms = context + 1 - lengths  # (P,)
    else:
        check_count("max_tokens", max_tokens)
        check_room(context, ids.shape[1], max(max_tokens, 0))
        rooms = np.full(len(ids), max(int(max_tokens), 0))  # (P,)
    require_ids(ids, model.config.vocabulary, "generate: tokens of a prompt")
    new = int(rooms.max(initial=0))
    fed = ids.shape[1] + max(new, 1) - 1
    if (lengths == ids.shape[1]).all():
        given = (over_rows(name, a, len(ids), fed) for name, a in (("positions", positions), ("key_mask", key_mask)))
        whole = Prompts(ids, lengths, *given)
    else:
        whole = unequal(model, ids, lengths, fed, positions, key_mask)
    ended = "context" if max_tokens is None else "max_tokens"
    limits = np.repeat(rooms, samples)  # (B,)
    return Request(model, whole, limits, new, ended, int(samples), as_samplers(samplers), key)


def unequal(model: Any, ids: np.ndarray, lengths: np.ndarray, fed: int, positions: Any, key_mask: Any) -> Prompts:
    """Prompts of unequal lengths with what hides their padding. Raises ValueError where that cannot be."""
    if positions is not None or key_mask is not None:
        raise ValueError("generate: positions and key_mask are for prompts of one length; others get theirs here")
    if has_own_reader(model):
        raise ValueError("generate: this model reads a window, and needs prompts of one length; ask for one at a time")
    return padded_prompts(ids, lengths, fed, model.config.context)


def stop_tokens(given: StopTokens) -> np.ndarray:
    """One or several stop tokens, or none, as an array (n,)."""
    stops = np.atleast_1d(np.asarray([] if given is None else given, dtype=None if given is not None else np.int64))
    if stops.ndim != 1 or (stops.size and stops.dtype.kind not in "iu"):
        raise ValueError(f"generate: stop_token must be a whole number, or several, not {given!r}")
    return stops.astype(np.int64)


def checked_strings(stop_strings: Sequence[str], decode: Decode | None) -> list[str]:
    """The stop strings. Raises ValueError for what are none, or where there is no text to find them in."""
    strings = [stop_strings] if isinstance(stop_strings, str) else list(stop_strings)
    if not all(isinstance(string, str) and string for string in strings):
        raise ValueError(f"generate: stop_strings must be texts that are not empty, not {stop_strings!r}")
    if strings and decode is None:
        raise ValueError("generate: stop_strings need `decode`, which makes text of token ids")
    return strings
