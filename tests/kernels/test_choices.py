"""What a choice of an implementation depends on beside shapes and dtypes. Needs no GPU."""

import numpy as np
import pytest

from tinygrad_arith.ops import registry
from tinygrad_arith.ops.registry import Implementation, Operation


@pytest.fixture
def operation(monkeypatch):
    """An operation whose fast implementation takes positive scales only, and counts how often it is asked."""
    asked = []

    def accepts(x, scale):
        asked.append(scale)
        return bool(scale > 0)

    made = Operation("scaled", lambda x, scale: (x * scale, None), lambda dy, cache: dy, ("x",))
    fast = Implementation("scaled", "fast", "cpu", (np.dtype(np.float64),), made.forward, made.backward, accepts)
    monkeypatch.setitem(registry._registered, "scaled", [fast])
    monkeypatch.setattr(registry, "_chosen", {})
    registry.forget_plans()
    yield made, asked
    registry.forget_plans()


def chosen(operation, scale):
    registry.plan(operation, {"x": np.ones(3), "scale": scale})
    return registry._chosen["scaled", "cpu", np.dtype(np.float64)]


def test_a_number_of_numpy_counts_by_its_value(operation):
    made, _ = operation
    for kind in (float, np.float32, np.float64):
        assert chosen(made, kind(0.5)) == "fast"
        assert chosen(made, kind(-0.5)) == "reference"


def test_devices_have_choices_of_their_own(operation, monkeypatch):
    made, asked = operation
    device = [0]
    monkeypatch.setattr(registry, "_current_device", lambda: device[0])
    for number, count in ((0, 1), (0, 1), (1, 2), (1, 2), (0, 2)):
        device[0] = number
        chosen(made, 0.5)
        assert len(asked) == count
