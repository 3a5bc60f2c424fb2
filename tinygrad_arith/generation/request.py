"""What is to be written, and the arguments that say so, looked at."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend import RandomKey, require_numbers
from ..ops.ids import require_ids
from .choosing import require_key
from .prompts import Prompts, check_count, check_room, over_rows, padded_prompts, prompt_rows, require_known
from .readers import has_own_reader, require_generator
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
    samplers: Iterable[Sampler] | None,
    samples: int,
    key: RandomKey | None,
) -> Request:
    """The arguments of `generate`, looked at. Raises its errors."""
    require_generator(model)
    ids, lengths = prompt_rows(prompts)  # (P, Tp), (P,)
    check_count("samples", samples, 1)
    chain = as_samplers(samplers)
    require_key(chain, key)
    context, vocabulary = model.config.context, model.config.vocabulary
    if max_tokens is None:
        check_room(context, ids.shape[1], 1)
        rooms = context + 1 - lengths  # (P,)
    else:
        check_count("max_tokens", max_tokens, 0)
        check_room(context, ids.shape[1], int(max_tokens))
        rooms = np.full(len(ids), int(max_tokens))  # (P,)
    require_known(ids, lengths, vocabulary)
    if key is not None:
        require_numbers(key, (len(ids) * int(samples), vocabulary))
    new = int(rooms.max(initial=0))
    fed = ids.shape[1] + max(new, 1) - 1
    if (lengths == ids.shape[1]).all():
        given = (over_rows(name, a, len(ids), fed) for name, a in (("positions", positions), ("key_mask", key_mask)))
        whole = Prompts(ids, lengths, *given)
        require_places(model, whole.positions)
    else:
        whole = unequal(model, ids, lengths, fed, positions, key_mask)
    ended = "context" if max_tokens is None else "max_tokens"
    limits = np.repeat(rooms, samples)  # (B,)
    return Request(model, whole, limits, new, ended, int(samples), chain, key)


def unequal(model: Any, ids: np.ndarray, lengths: np.ndarray, fed: int, positions: Any, key_mask: Any) -> Prompts:
    """Prompts of unequal lengths with what hides their padding. Raises ValueError where that cannot be."""
    if positions is not None or key_mask is not None:
        raise ValueError("generate: positions and key_mask are for prompts of one length; others get theirs here")
    if has_own_reader(model):
        raise ValueError("generate: this model reads a window, and needs prompts of one length; ask for one at a time")
    return padded_prompts(ids, lengths, fed, model.config.context)


def require_places(model: Any, positions: np.ndarray | None) -> None:
    """Raise ValueError for position ids that are none, IndexError for those that a model's table does not have."""
    if positions is not None and positions.dtype.kind not in "iu":
        raise ValueError(f"generate: positions must be whole numbers, not {positions.dtype}")
    table = getattr(getattr(model, "position_embedding", None), "weight", None)
    if positions is not None and table is not None:
        require_ids(positions, table.shape[0], "generate: position ids")


def stop_tokens(given: StopTokens, vocabulary: int) -> np.ndarray:
    """One or several stop tokens, or none, as an array (n,). Raises ValueError for others than the model can write."""
    stops = np.atleast_1d(np.asarray([] if given is None else given, dtype=None if given is not None else np.int64))
    if stops.ndim != 1 or (stops.size and stops.dtype.kind not in "iu"):
        raise ValueError(f"generate: stop_token must be a whole number, or several, not {given!r}")
    if (stops < 0).any() or (stops >= vocabulary).any():
        raise ValueError(
            f"generate: a stop_token must be from 0 to {vocabulary - 1}, as the model's are, not {given!r}"
        )
    return stops.astype(np.int64)


def checked_strings(stop_strings: Iterable[str] | None, decode: Decode | None) -> list[str]:
    """The stop strings. Raises ValueError for what are none, or where there is no text to find them in."""
    strings: list[Any] = [stop_strings]
    if stop_strings is None or (isinstance(stop_strings, Iterable) and not isinstance(stop_strings, str)):
        strings = [] if stop_strings is None else list(stop_strings)
    if not all(isinstance(string, str) and string for string in strings):
        raise ValueError(f"generate: stop_strings must be texts that are not empty, not {stop_strings!r}")
    if strings and decode is None:
        raise ValueError("generate: stop_strings need `decode`, which makes text of token ids")
    return strings
