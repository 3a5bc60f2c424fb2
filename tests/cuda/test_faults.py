"""Ids and labels that are none, and rows that do not count: the GPU tells and computes what the CPU does."""

import cupy
import ml_dtypes
import numpy as np
import pytest
from test_training import Run, config_of

from tinygrad_arith.autograd import Tensor
from tinygrad_arith.autograd import functions as F
from tinygrad_arith.backend.deferred import raise_deferred
from tinygrad_arith.cuda.adamw import adamw_update as on_gpu
from tinygrad_arith.cuda.graph import GraphedFunction
from tinygrad_arith.cuda.precision import float32_matmul_precision_as
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.ops.registry import reference_only
from tinygrad_arith.optim import AdamW
from tinygrad_arith.optim.adamw import Rates, adamw_update

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
EMBEDDING = r"embedding: ids must be 0 to 5; one was {found} \(a GPU met it, in this step or one before"
TARGETS = r"cross_entropy: targets must be 0 to 8, or ignore_index where there is none; one was {found} \(a GPU met it"


@pytest.fixture(autouse=True)
def nothing_is_left():
    """Each test raises what it has caused."""
    with float32_matmul_precision_as("float32"):
        yield
    cupy.cuda.Device().synchronize()
    raise_deferred()


def told(pattern, found):
    return pytest.raises(IndexError, match=pattern.format(found=found))


@pytest.mark.parametrize("found", [6, -1, -7, 2**31 - 1])
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_a_wrong_id_is_told_where_its_row_is_read(found, index):
    ids = cupy.asarray(np.array([0, found, 5], index))
    y = F.embedding(ids, Tensor(cupy.ones((6, 4), np.float32)))
    with told(EMBEDDING, found):
        y.numpy()
    np.testing.assert_array_equal(np.isnan(y.numpy()).all(axis=1), [False, True, False])


@pytest.mark.parametrize("vocabulary", [6, 300])
def test_a_wrong_id_gets_no_gradient(vocabulary):
    table = Tensor(cupy.ones((vocabulary, 4), np.float32), requires_grad=True)
    y = F.embedding(cupy.asarray([0, vocabulary, -1, 1, 0]), table)
    y.backward(np.ones(y.shape))
    with pytest.raises(IndexError, match="embedding: ids must be 0 to"):
        Tensor(table.grad).numpy()
    assert table.grad.get().sum() == 12.0


@pytest.mark.parametrize("vocabulary", [9, 3000])
@pytest.mark.parametrize("dtype", [np.dtype(np.float32), BFLOAT16], ids=str)
def test_a_wrong_target_is_told_where_the_loss_is_read(vocabulary, dtype):
    logits = Tensor(cupy.zeros((4, vocabulary), dtype))
    for found in (vocabulary, -2):
        loss = F.cross_entropy_sum(logits, cupy.asarray([0, 3, found, -1]))
        with pytest.raises(IndexError, match=f"targets must be 0 to {vocabulary - 1}.*; one was {found} "):
            loss.item()
        assert np.isnan(loss.item())


def test_a_wrong_target_is_told_even_where_it_has_no_weight():
    logits, weights = Tensor(cupy.zeros((2, 9), np.float32)), cupy.asarray(np.array([1, 0], np.float32))
    loss = F.cross_entropy_sum(logits, cupy.asarray([0, 99]), weights)
    with told(TARGETS, 99):
        loss.item()
    assert np.isfinite(loss.item())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("index", [np.int16, np.int32, np.int64])
def test_the_reference_tells_as_well(dtype, index):
    ids = np.array([0, 6, -1, 5, 0], index)
    with reference_only():
        y = F.embedding(cupy.asarray(ids), Tensor(cupy.ones((6, 4), dtype)))
        with pytest.raises(IndexError, match=r"embedding: ids must be 0 to 5; one was (6|-1) "):
            y.numpy()
        np.testing.assert_array_equal(np.isnan(y.numpy()).all(axis=1), [False, True, True, False, False])
        loss = F.cross_entropy_sum(Tensor(cupy.zeros((5, 6), dtype)), cupy.asarray(ids))  # -1 is ignored
        with pytest.raises(IndexError, match=r"targets must be 0 to 5.*; one was 6 "):
            loss.item()
        assert np.isnan(loss.item())


def test_the_mean_of_the_cross_entropy_tells():
    loss = F.cross_entropy(Tensor(cupy.zeros((2, 9), np.float32)), cupy.asarray([3, 99]))
    with told(TARGETS, 99):
        loss.item()


def test_good_ids_tell_nothing():
    ids = cupy.asarray([0, 5, 3])
    y = F.embedding(ids, Tensor(cupy.ones((6, 4), np.float32)))
    loss = F.cross_entropy_sum(y, cupy.asarray([0, 3, -1]))
    assert np.isfinite(loss.item())


def test_a_replayed_graph_tells():
    ids, table = cupy.asarray([0, 5, 3]), Tensor(cupy.ones((6, 4), np.float32))
    out = cupy.zeros((3, 4), np.float32)

    def work():
        out[...] = F.embedding(ids, table).array

    run = GraphedFunction(work)
    for _ in range(4):
        run()
    assert run.graph is not None, run.reason
    ids[1] = 6
    run()
    cupy.cuda.Device().synchronize()
    with told(EMBEDDING, 6):
        run()
    ids[1] = 5
    run()


@pytest.mark.parametrize("when", [0, 5])  # as it is, and in a replay
def test_a_training_step_with_a_wrong_label_is_told_and_changes_nothing(when):
    run = Run(config_of())
    run.go(when)
    before = run.model.state_dict()
    batch = run.task.train_batch(when, 64, 1)
    targets = batch.targets.copy()
    targets[3, -1] = 99
    run.steps.enqueue(batch._replace(targets=targets), when)
    with pytest.raises(IndexError, match=r"cross_entropy: targets must be 0 to .*; one was 99"):
        run.steps.results()
    for name, array in run.model.state_dict().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_the_next_step_of_an_optimizer_tells():
    model = GPT(GPTConfig(7, 9, d_model=16, heads=2)).initialize(device="cuda")
    optimizer = AdamW(model.flat)
    F.cross_entropy_sum(model(cupy.asarray([[0, 1, 7]])), cupy.asarray([[1, 2, 3]])).backward()
    cupy.cuda.Device().synchronize()
    with pytest.raises(IndexError, match="embedding: ids must be 0 to 6; one was 7"):
        optimizer.step(1e-3)


# Rows that do not count


@pytest.mark.parametrize("vocabulary", [9, 3000])
@pytest.mark.parametrize("dtype", [np.dtype(np.float32), BFLOAT16], ids=str)
@pytest.mark.parametrize("without", ["target", "weight"])
def test_rows_that_do_not_count_may_hold_anything(vocabulary, dtype, without):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, vocabulary)).astype(dtype)
    logits[1], logits[2, 3] = np.nan, np.inf
    targets, weights = np.array([0, 1, 2, 3]), None
    if without == "target":
        targets[1:3] = -1
    else:
        weights = np.array([1, 0, 0, 0.5], np.float32)
    counted = [0, 3]
    their_weights = None if weights is None else weights[counted]
    exact = F.cross_entropy_sum(Tensor(logits[counted].astype(np.float64)), targets[counted], their_weights)
    leaf = Tensor(cupy.asarray(logits), requires_grad=True)
    loss = F.cross_entropy_sum(leaf, cupy.asarray(targets), None if weights is None else cupy.asarray(weights))
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)
    loss.backward()
    gradient = leaf.grad.get().astype(np.float64)
    np.testing.assert_array_equal(gradient[1:3], 0.0)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient[counted]).min(axis=1).max() > 0


def test_a_row_of_nan_that_counts_is_seen():
    leaf = Tensor(cupy.full((2, 9), np.nan, np.float32), requires_grad=True)
    loss = F.cross_entropy_sum(leaf, cupy.asarray([1, -1]))
    loss.backward()
    assert np.isnan(loss.item())
    np.testing.assert_array_equal(np.isnan(leaf.grad.get()).all(axis=1), [True, False])


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6, -1e6])
def test_a_large_offset_of_the_logits_takes_no_digits_of_the_gradient(offset):
    """One logarithm of a sum of exponentials a row would have lost them."""
    rng = np.random.default_rng(1)
    logits = (rng.integers(-3, 4, size=(5, 40)) + offset).astype(np.float32)  # exact with the offset
    targets = rng.integers(0, 40, 5)
    leaves = [Tensor(logits.astype(np.float64), requires_grad=True), Tensor(cupy.asarray(logits), requires_grad=True)]
    F.cross_entropy_sum(leaves[0], targets).backward()
    F.cross_entropy_sum(leaves[1], cupy.asarray(targets)).backward()
    np.testing.assert_allclose(leaves[1].grad.get(), leaves[0].grad, rtol=2e-6, atol=1e-7)


# AdamW


@pytest.mark.parametrize("betas", [(0.9, 0.95), (0.9, 0.99999), (0.99999, 0.999999)])
def test_adamw_takes_one_minus_beta_in_double(betas):
    rng = np.random.default_rng(2)
    size, steps = 64, 10
    state = [rng.normal(size=size), rng.normal(size=size), np.zeros(size), np.zeros(size)]
    there = [cupy.asarray(array.astype(np.float32)) for array in state]
    exact = [array.astype(np.float32).astype(np.float64) for array in state]
    for _ in range(steps):
        rates = Rates(*betas, 0.0, 1.0, 1e-8, 1.0, 1.0)
        on_gpu(*there, 0, rates)
        adamw_update(*exact, 0, rates)
    for mine, right in zip(there[2:], exact[2:], strict=True):
        np.testing.assert_allclose(mine.get(), right, rtol=3e-6)
