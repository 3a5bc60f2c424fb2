"""Samplers beside those of transformers, where it is installed."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[parity]'")
process = pytest.importorskip(
    "transformers.generation.logits_process", reason="transformers is not installed: pip install -e '.[parity]'"
)

from tinygrad_arith.generation import (  # noqa: E402
    MinP,
    RepetitionPenalty,
    Temperature,
    TopK,
    TopP,
    Typical,
)
from tinygrad_arith.generation.samplers import counts_of  # noqa: E402

ROWS, SIZE = 1000, 31
PAIRS = {
    "top-k": (TopK(7), lambda: process.TopKLogitsWarper(7)),
    "top-p": (TopP(0.8), lambda: process.TopPLogitsWarper(0.8)),
    "min-p": (MinP(0.07), lambda: process.MinPLogitsWarper(0.07)),
    "typical": (Typical(0.7), lambda: process.TypicalLogitsWarper(0.7)),
    "temperature": (Temperature(0.6), lambda: process.TemperatureLogitsWarper(0.6)),
    "repetition": (RepetitionPenalty(1.4), lambda: process.RepetitionPenaltyLogitsProcessor(1.4)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_sampler_leaves_what_theirs_leaves(name):
    ours, theirs = PAIRS[name]
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(ROWS, SIZE)) * np.exp(rng.uniform(-2, 2, size=(ROWS, 1)))  # no two are equal
    prompts = rng.integers(0, SIZE, size=(ROWS, 9))
    found = ours(logits, counts_of(prompts, None, SIZE))
    expected = theirs()(torch.tensor(prompts), torch.tensor(logits)).numpy()
    np.testing.assert_array_equal(np.isinf(found), np.isinf(expected))
    kept = np.isfinite(found)
    apart = np.full(found.shape, np.nan)
    apart[kept] = found[kept] - expected[kept]  # of one row all the same: a softmax does not see it
    np.testing.assert_allclose(np.nanmax(apart, axis=1), np.nanmin(apart, axis=1), atol=1e-12)
