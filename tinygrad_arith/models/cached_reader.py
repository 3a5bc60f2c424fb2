"""Reading on from what key/value caches hold: for generation."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .gpt import GPT


class CachedReader:
    """Calls a GPT with what is new; its caches hold what came before. positions, key_mask: (B, fed) or None."""

    def __init__(self, model: "GPT", batch: int, positions: Any, key_mask: Any):
        self.model, self.positions, self.key_mask = model, positions, key_mask
        self.caches = model.new_caches(batch)

    def __call__(self, ids: Any) -> Any:  # (B, T) -> (B, V)
        """The logits behind the last of the new tokens."""
        options = new_part(self.positions, self.key_mask, self.caches[0].length, ids.shape[1])
        return self.model(ids, **options, caches=self.caches).array[:, -1]


def new_part(positions: Any, key_mask: Any, start: int, count: int) -> dict[str, Any]:
    """What a model with caches that hold `start` tokens takes beside `count` new ones: their positions, and the mask of
    all tokens so far.
    """
    return {
        "positions": None if positions is None else positions[:, start : start + count],  # (B, count)
        "key_mask": None if key_mask is None else key_mask[:, : start + count],  # (B, start + count)
    }
