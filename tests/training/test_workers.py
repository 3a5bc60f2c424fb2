"""Workers: the parts of a batch add up to the whole, the same bits every time; the choice of threads."""

import numpy as np
import pytest

from tinygrad_arith.backend import DtypePolicy, RandomKey
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.tasks import Batch
from tinygrad_arith.training.threads import Threads, choose_threads
from tinygrad_arith.training.workers import Workers
from tinygrad_arith.verify import assert_close, tolerance

KEY = RandomKey(1, "dropout")


def model_of(dtype="float64", **changes):
    config = GPTConfig(**{"vocabulary": 7, "context": 9, "d_model": 12, "layers": 2, "heads": 3, **changes})
    return GPT(config).initialize(seed=1, policy=DtypePolicy.uniform(dtype))


def batch_of(examples=5):
    rng = np.random.default_rng(2)
    tokens, targets = rng.integers(0, 7, (examples, 9)), rng.integers(-1, 7, (examples, 9))
    return Batch(tokens, targets, key_mask=np.arange(9) < rng.integers(1, 10, (examples, 1)))


def gradient(model, count, batch, key=KEY):
    workers = Workers(model, count)
    loss, counted = workers.forward_backward(batch, key)
    workers.close()
    return loss, counted, model.flat.gradients.copy()


@pytest.mark.parametrize("count", [2, 3, 5, 8])
@pytest.mark.parametrize("tied", [False, True])
def test_parts_add_up_to_the_whole_batch(count, tied):
    batch = batch_of()
    loss, counted, whole = gradient(model_of(tied_head=tied), 1, batch)
    shared_loss, shared_counted, shared = gradient(model_of(tied_head=tied), count, batch)
    assert shared_counted == counted
    assert shared_loss == pytest.approx(loss, rel=1e-12)
    assert_close(shared, whole, tolerance("half_batches", "float64"))


def test_the_same_bits_every_time():
    runs = [gradient(model_of("float32", dropout=0.3), 2, batch_of(16))[2] for _ in range(5)]
    for run in runs[1:]:
        np.testing.assert_array_equal(run, runs[0])


def test_each_part_has_dropout_masks_of_its_own():
    rows = batch_of(1)
    twice = Batch(*(np.concatenate([field, field]) if field is not None else None for field in rows))
    workers = Workers(model_of(dropout=0.5), 2)
    workers.forward_backward(twice, KEY)
    workers.close()
    first, second = (replica.flat.gradients for replica in workers.replicas)
    assert np.abs(first - 2 * second).max() > 0.01  # `first` holds the sum of both


def test_a_replica_shares_weights_and_not_gradients():
    model = model_of(tied_head=True)
    replica = model.replica()
    assert np.shares_memory(replica.flat.values, model.flat.values)
    assert not np.shares_memory(replica.flat.gradients, model.flat.gradients)
    assert list(replica.named_parameters()) == list(model.named_parameters())
    assert [m.attribute_name for m in replica.blocks] == [m.attribute_name for m in model.blocks]


def test_a_batch_without_targets_has_loss_zero():
    batch = batch_of()._replace(targets=np.full((5, 9), -1))
    loss, counted, gradients = gradient(model_of(), 2, batch)
    assert (loss, counted) == (0.0, 0)
    assert not gradients.any()


def test_an_error_in_a_worker_reaches_the_caller():
    workers = Workers(model_of(), 2)
    batch = batch_of()
    batch.tokens[-1, 0] = 99
    with pytest.raises(IndexError, match="ids must be 0 to 6"):
        workers.forward_backward(batch, KEY)
    workers.close()


@pytest.mark.parametrize(
    ("batch_size", "flop", "cores", "expected"),
    [
        (128, 2e9, 2, Threads(2, 1)),
        (128, 2e9, 1, Threads(1, 1)),
        (64, 7e8, 2, Threads(1, 2)),  # too little work to share
        (8, 1e12, 4, Threads(1, 4)),  # too few examples
        (64, 1e12, 16, Threads(8, 2)),
    ],
)
def test_threads_follow_the_size_of_a_step(batch_size, flop, cores, expected):
    assert choose_threads(batch_size, flop, cores) == expected
