"""Labels and ids that are none, and rows that do not count: the same answer on every path of the CPU."""

import numpy as np
import pytest

from tinygrad_arith.autograd import Tensor
from tinygrad_arith.autograd import functions as F
from tinygrad_arith.cpu import cross_entropy, passes_numpy
from tinygrad_arith.generation import generate
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.nn import Embedding
from tinygrad_arith.ops import ShapeError, cross_entropy_sum_backward, cross_entropy_sum_forward
from tinygrad_arith.ops.registry import reference_only

DTYPES = ["float32", "float64"]
FORMS = ["cross_entropy", "cross_entropy_sum"]
PATHS = ["reference", "numpy", "numba"]


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    """Runs the test by the reference and by each set of passes."""
    if request.param == "numpy":
        monkeypatch.setattr(cross_entropy, "passes", passes_numpy)
    if request.param == "numba":
        monkeypatch.setattr(cross_entropy, "passes", pytest.importorskip("tinygrad_arith.cpu.passes_numba"))
    with reference_only(request.param == "reference"):
        yield request.param


def logits_of(rows, classes, dtype):
    return np.random.default_rng(rows + classes).normal(size=(rows, classes)).astype(dtype)


@pytest.mark.parametrize(
    ("classes", "label"),
    [
        *((7, label) for label in (-100, -2, -7, -8, 7, 12, 10**8, -(10**12))),
        *((200, n) for n in (-100, -2, -201, 200)),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
def test_a_label_that_is_none_is_refused(path, classes, label, dtype, form):
    logits = Tensor(logits_of(3, classes, dtype), requires_grad=True)
    expected = rf"targets must be 0 to {classes - 1}, or ignore_index \(-1\) where there is none; these go from"
    with pytest.raises(IndexError, match=expected):
        getattr(F, form)(logits, np.array([1, label, 2]))


@pytest.mark.parametrize("form", FORMS)
def test_pytorchs_ignored_label_is_given_by_name(path, form):
    logits = logits_of(3, 200, "float32")
    one, other = Tensor(logits, requires_grad=True), Tensor(logits, requires_grad=True)
    loss = getattr(F, form)(one, np.array([1, -100, 2]), ignore_index=-100)
    same = getattr(F, form)(other, np.array([1, -1, 2]))
    loss.backward()
    same.backward()
    assert loss.item() == same.item()
    np.testing.assert_array_equal(one.grad, other.grad)
    with pytest.raises(IndexError, match=r"or ignore_index \(-100\)"):
        getattr(F, form)(one, np.array([1, -1, 2]), ignore_index=-100)


@pytest.mark.parametrize("ignored", [0, 3])
def test_a_class_may_be_the_ignored_one(path, ignored):
    logits = Tensor(logits_of(4, 7, "float32"), requires_grad=True)
    F.cross_entropy_sum(logits, np.array([0, 3, 1, 6]), ignore_index=ignored).backward()
    np.testing.assert_array_equal(np.abs(logits.grad).sum(axis=-1) == 0, np.array([0, 3, 1, 6]) == ignored)


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "int32", "uint64"])
def test_labels_of_every_integer_type_count(path, kind):
    logits, targets = logits_of(3, 7, "float32"), np.array([1, 6, 2])
    expected = F.cross_entropy_sum(Tensor(logits), targets).item()
    assert F.cross_entropy_sum(Tensor(logits), targets.astype(kind)).item() == expected
    with pytest.raises(IndexError, match="these go from 1 to 7"):
        F.cross_entropy_sum(Tensor(logits), (targets + (targets == 6)).astype(kind))


@pytest.mark.parametrize("kind", ["float32", "bool"])
def test_labels_and_ids_are_integers(kind):
    with pytest.raises(ShapeError, match=f"targets must be integers, not {kind}"):
        F.cross_entropy(Tensor(logits_of(2, 3, "float32")), np.array([1, 0]).astype(kind))
    with pytest.raises(ShapeError, match=f"ids must be integers, not {kind}"):
        F.embedding(np.array([1, 0]).astype(kind), Tensor(np.ones((2, 3))))


BAD_ROWS = {
    "NaN": [np.nan, 1.0, 2.0],
    "infinity": [np.inf, 1.0, 2.0],
    "infinities": [np.inf, np.inf, -np.inf],
    "minus infinities": [-np.inf, -np.inf, -np.inf],
    "the largest": [3.4e38, -3.4e38, 3.4e38],
}


@pytest.mark.parametrize("bad", BAD_ROWS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.filterwarnings("ignore:overflow")
def test_what_stands_in_an_ignored_row_does_not_matter(path, bad, dtype, form):
    logits = logits_of(4, 3, dtype)
    clean = Tensor(logits.copy(), requires_grad=True)
    logits[1] = BAD_ROWS[bad]
    dirty = Tensor(logits, requires_grad=True)
    targets = np.array([2, -1, 0, 1])
    losses = [getattr(F, form)(tensor, targets) for tensor in (clean, dirty)]
    assert losses[0].item() == losses[1].item()
    for loss in losses:
        loss.backward()
    np.testing.assert_array_equal(dirty.grad, clean.grad)
    assert not dirty.grad[1].any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_nor_in_a_row_of_weight_zero(path, dtype):
    logits = logits_of(3, 3, dtype)
    logits[1] = np.nan
    tensor, weights = Tensor(logits, requires_grad=True), np.array([0.5, 0.0, 2.0], dtype)
    loss = F.cross_entropy_sum(tensor, np.array([2, 1, 0]), weights)
    loss.backward()
    assert np.isfinite(loss.item())
    assert np.isfinite(tensor.grad).all()
    assert not tensor.grad[1].any()


def test_a_bad_row_that_counts_is_not_hidden(path):
    logits = logits_of(3, 3, "float32")
    logits[1, 0] = np.nan
    tensor = Tensor(logits, requires_grad=True)
    loss = F.cross_entropy_sum(tensor, np.array([2, 1, -1]))
    loss.backward()
    assert np.isnan(loss.item())
    assert np.isnan(tensor.grad[1]).all()
    assert np.isfinite(tensor.grad[[0, 2]]).all()


def test_classes_that_are_ruled_out_by_infinity_get_no_gradient(path):
    logits = np.array([[0.0, -np.inf, 1.0]], np.float32)
    tensor = Tensor(logits, requires_grad=True)
    F.cross_entropy_sum(tensor, np.array([2])).backward()
    assert tensor.grad[0, 1] == 0.0
    assert np.isfinite(tensor.grad).all()


@pytest.mark.parametrize("offset", [0.0, 100.0, -1e4, 1e4, 1e6])
def test_the_gradient_keeps_its_digits_beside_a_large_offset(path, offset):
    logits = (logits_of(5, 9, "float32") + np.float32(offset)).astype(np.float32)
    targets = np.array([1, 8, 0, 3, 3])
    exact = cross_entropy_sum_backward(1.0, cross_entropy_sum_forward(logits.astype(np.float64), targets)[1])
    tensor = Tensor(logits, requires_grad=True)
    F.cross_entropy_sum(tensor, targets).backward()
    assert np.abs(tensor.grad - exact).max() < 1.2e-7


IDS = {"negative": [0, -1], "the count": [0, 5], "far off": [10**9, 1]}


@pytest.mark.parametrize("ids", IDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_id_that_is_no_row_is_refused(path, ids, dtype):
    ids = np.array(IDS[ids])
    expected = rf"embedding: ids must be 0 to 4; these go from {ids.min()} to {ids.max()}"
    with pytest.raises(IndexError, match=expected):
        F.embedding(ids, Tensor(np.ones((5, 3), dtype), requires_grad=True))
    with pytest.raises(IndexError, match=expected):
        Embedding(5, 3).initialize()(Tensor(ids))


def test_a_model_names_a_token_that_it_does_not_know():
    model = GPT(GPTConfig(vocabulary=5, context=6, d_model=8, heads=2)).initialize()
    with pytest.raises(IndexError, match="ids must be 0 to 4; these go from 0 to 5"):
        model(np.array([[0, 5]]))
    with pytest.raises(IndexError, match="tokens of a prompt must be 0 to 4; these go from -1 to 0"):
        generate(model, np.array([[0, -1]]), 2)
    with pytest.raises(IndexError, match="ids must be 0 to 5"):
        model(np.array([[0, 1]]), positions=np.array([[0, 6]]))
