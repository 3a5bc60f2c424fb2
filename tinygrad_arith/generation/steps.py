"""The tokens of all rows, one step after the other: with a key/value cache, or as one CUDA graph."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..autograd import no_grad
from ..backend import array_module, repeat_rows, to_numpy
from .choosing import HostChooser
from .readers import has_own_reader, reader_of
from .request import Request
from .samplers import counts_of

MOST_AT_ONCE = 256  # tokens that a GPU writes as one graph; longer texts are written token by token


def written(request: Request, token_by_token: bool = False) -> Iterator[np.ndarray]:
    """The tokens of all rows, (B,) at each step, as long as somebody asks; with the marks of `choosing.choose`.

    On a GPU a whole answer is written at once, without a wait for each token, unless somebody wants to see them come.
    """
    if request.new == 0 or request.rows == 0:
        return
    flat = getattr(request.model, "flat", None)
    on_gpu = flat is not None and array_module(flat.values) is not np
    if on_gpu and not token_by_token and fits_graph(request):
        yield from at_once(request).T
    else:
        yield from step_by_step(request)


def step_by_step(request: Request) -> Iterator[np.ndarray]:
    """One token after another. Gradients are off inside only: between two tokens others may record some."""
    model, (ids, _, positions, key_mask), samples = request.model, request.prompts, request.samples
    with no_grad():
        reader = reader_of(model, len(ids), ids.shape[1] + request.new - 1, positions, key_mask)
        logits = repeat_rows(reader(ids), samples)  # (B, V)
        if samples > 1:
            reader.repeat(samples)
    choose = chooser_of(request, logits)
    for step in range(request.new):
        tokens = choose(logits, step)  # (B,)
        yield tokens
        if step + 1 < request.new:
            with no_grad():
                logits = reader(np.maximum(tokens, 0)[:, None])  # (B, V)


def chooser_of(request: Request, logits: Any) -> Any:
    """What chooses tokens where the logits are; a user's own sampler is called on the CPU."""
    ids, seen = repeat_rows(request.prompts.ids, request.samples), repeat_rows(request.prompts.seen, request.samples)
    vocabulary = logits.shape[1]
    if array_module(logits) is np or not have_kernels(request.samplers):
        return HostChooser(request.samplers, request.key, ids, seen, vocabulary)
    from ..cuda.sampling import DeviceSampling  # loads what only a GPU needs

    sampling = DeviceSampling(request.samplers, request.key is not None, len(ids), vocabulary)
    sampling.start(counts_of(ids, seen, vocabulary).prompt if sampling.needs_counts else None, request.key)
    return lambda logits, step: to_numpy(sampling.choose(logits, step))


def have_kernels(samplers: Sequence[Any]) -> bool:
    """Whether all samplers are this package's own."""
    return all(getattr(sampler, "kernel", "") for sampler in samplers)


def fits_graph(request: Request) -> bool:
    """Whether an answer can be written as one CUDA graph; it is kept with the modules and weights that are in it."""
    model = request.model
    cached = hasattr(model, "new_caches") and hasattr(model, "named_modules") and not has_own_reader(model)
    return cached and have_kernels(request.samplers) and request.new <= MOST_AT_ONCE


def at_once(request: Request) -> np.ndarray:
    """All tokens, (B, new), by one CUDA graph; nobody looks at stop tokens meanwhile."""
    from ..cuda.decoding import decoder_of  # loads what only a GPU needs

    ids, _, positions, key_mask = request.prompts
    decoder = decoder_of(
        request.model,
        len(ids),
        ids.shape[1],
        request.new,
        positions is not None,
        key_mask is not None,
        request.samples,
        request.samplers,
        request.key is not None,
    )
    counts = None
    if decoder.sampling.needs_counts:
        rows, seen = repeat_rows(ids, request.samples), repeat_rows(request.prompts.seen, request.samples)
        counts = counts_of(rows, seen, request.model.config.vocabulary).prompt
    return decoder(ids, positions, key_mask, counts, request.key)
