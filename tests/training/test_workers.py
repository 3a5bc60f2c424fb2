"""Workers: the parts of a batch add up to the whole, the same bits every time; the choice of threads."""

import os

import numpy as np
import pytest

from tinygrad_arith.backend import DtypePolicy, RandomKey
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.optim import AdamW
from tinygrad_arith.options.errors import UserError
from tinygrad_arith.parallel.interrupts import STOP_SIGNALS
from tinygrad_arith.parallel.shared_arrays import SharedArrays, map_arrays
from tinygrad_arith.reproductions import WindowConfig, WindowGPT
from tinygrad_arith.tasks import Batch
from tinygrad_arith.training.threads import Threads, choose_threads
from tinygrad_arith.training.workers import ProcessWorkers, ThreadWorkers, start_workers
from tinygrad_arith.verify import assert_close, tolerance

KEY = RandomKey(1, "dropout")
posix = pytest.mark.skipif(os.name == "nt", reason="Windows cannot send these signals to a child alone")


def model_of(dtype="float64", **changes):
    config = GPTConfig(**{"vocabulary": 7, "context": 9, "d_model": 12, "layers": 2, "heads": 3, **changes})
    return GPT(config).initialize(seed=1, policy=DtypePolicy.uniform(dtype))


def batch_of(examples=5):
    rng = np.random.default_rng(2)
    tokens, targets = rng.integers(0, 7, (examples, 9)), rng.integers(-1, 7, (examples, 9))
    return Batch(tokens, targets, key_mask=np.arange(9) < rng.integers(1, 10, (examples, 1)))


def gradient(model, count, batch, key=KEY):
    workers = ThreadWorkers(model, count)
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


@pytest.mark.parametrize("count", [2, 3, 5, 8])
@pytest.mark.parametrize("examples", [5, 16])
def test_dropout_does_not_depend_on_the_number_of_workers(count, examples):
    batch = batch_of(examples)
    loss, _, whole = gradient(model_of(dropout=0.3), 1, batch)
    shared_loss, _, shared = gradient(model_of(dropout=0.3), count, batch)
    assert shared_loss == pytest.approx(loss, rel=1e-12)
    assert_close(shared, whole, tolerance("half_batches", "float64"))


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_the_optimizer_finds_the_parameters_of_a_model_with_workers(numpy_alone, kind):
    model = model_of("float32")
    workers, before = start_workers(model, 2, kind), model.flat.values.copy()
    workers.forward_backward(batch_of(), KEY)
    AdamW(model.flat).step(0.1)
    workers.close()
    assert (model.flat.values != before).any()


def test_dropout_of_probabilities_does_not_depend_on_the_number_of_workers():
    shape = {"vocabulary": 7, "context": 9, "d_model": 12, "layers": 2, "heads": 3, "padding": 0, "dropout": 0.3}
    batch, losses = batch_of(5), []
    batch = batch._replace(targets=batch.targets[:, :1])
    for count in (1, 2, 3):
        model = WindowGPT(WindowConfig(**shape)).initialize(seed=1, policy=DtypePolicy.uniform("float64"))
        losses.append(gradient(model, count, batch)[0])
    assert losses == pytest.approx(losses[:1] * 3, rel=1e-12)


def test_the_same_bits_every_time():
    runs = [gradient(model_of("float32", dropout=0.3), 2, batch_of(16))[2] for _ in range(5)]
    for run in runs[1:]:
        np.testing.assert_array_equal(run, runs[0])


def test_each_part_has_dropout_masks_of_its_own():
    rows = batch_of(1)
    twice = Batch(*(np.concatenate([field, field]) if field is not None else None for field in rows))
    workers = ThreadWorkers(model_of(dropout=0.5), 2)
    workers.forward_backward(twice, KEY)
    workers.close()
    first, second = workers.model.flat.gradients, workers.replicas[0].flat.gradients
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
    workers = ThreadWorkers(model_of(), 2)
    batch = batch_of()
    batch.tokens[-1, 0] = 99
    with pytest.raises(IndexError, match="ids must be 0 to 6"):
        workers.forward_backward(batch, KEY)
    workers.close()


def three_process_workers():
    """Workers over a model with dropout."""
    return ProcessWorkers(model_of("float32", dropout=0.3, tied_head=True), 3)


@pytest.fixture(scope="module")
def three_processes():
    """Such workers, closed again; to be left as they are."""
    workers = three_process_workers()
    yield workers
    workers.close()


@pytest.fixture
def numpy_alone(monkeypatch):
    """NumPy alone computes in further processes, which are sooner ready; the bits are others than here, maybe."""
    monkeypatch.setenv("TINYGRAD_ARITH_CPU", "numpy")


def test_processes_compute_the_bits_of_threads(three_processes):
    model, threads = three_processes.model, ThreadWorkers(model_of("float32", dropout=0.3, tied_head=True), 3)
    for examples in (16, 2, 5):  # fewer examples than workers, too
        batch = batch_of(examples)
        found, expected = (workers.forward_backward(batch, KEY) for workers in (three_processes, threads))
        assert found == expected
        np.testing.assert_array_equal(model.flat.gradients, threads.model.flat.gradients)
        for flat in (model.flat, threads.model.flat):  # a step: the others must see it
            flat.values -= 0.1 * flat.gradients
            flat.mark_written()
    threads.close()


def test_an_error_in_a_process_reaches_the_caller_and_the_next_batch_works(three_processes):
    expected = three_processes.forward_backward(batch_of(), KEY)
    for row in (0, 2, 4):  # of the first, the second and the third part
        wrong = batch_of()
        wrong.tokens[row, 0] = 99
        with pytest.raises(IndexError, match="ids must be 0 to 6"):
            three_processes.forward_backward(wrong, KEY)
        assert three_processes.forward_backward(batch_of(), KEY) == expected


def test_a_process_that_is_gone_is_told_in_one_sentence(numpy_alone):
    workers = three_process_workers()
    workers.others[1].process.kill()
    with pytest.raises(
        UserError, match=r"a process of this training ended with status -?[0-9]+; --worker-kind threads"
    ):
        workers.forward_backward(batch_of(), KEY)
    workers.close()


@posix
def test_processes_hear_no_stop_signal(numpy_alone):
    workers = three_process_workers()
    for other in workers.others:  # they are starting still
        for number in STOP_SIGNALS:
            other.process.send_signal(number)
    expected = workers.forward_backward(batch_of(), KEY)
    for other in workers.others:
        for number in STOP_SIGNALS:
            other.process.send_signal(number)
    assert workers.forward_backward(batch_of(), KEY) == expected
    workers.close()


def test_closed_workers_leave_a_model_that_works(numpy_alone):
    model = model_of("float32")
    before = model.flat.values.copy()
    workers = start_workers(model, 2)
    loss, _ = workers.forward_backward(batch_of(), KEY)
    workers.close()
    assert all(other.process.returncode == 0 for other in workers.others)
    np.testing.assert_array_equal(model.flat.values, before)
    assert all(np.shares_memory(p.array, model.flat.values) for p in model.named_parameters().values())
    assert gradient(model, 1, batch_of())[0] == pytest.approx(loss, rel=1e-6)


def test_what_is_asked_for_is_started():
    model = model_of()
    assert isinstance(start_workers(model, 1), ThreadWorkers)
    threads = start_workers(model, 2, "threads")
    assert isinstance(threads, ThreadWorkers)
    threads.close()


def test_shared_arrays_are_seen_through_their_location(monkeypatch, tmp_path):
    for elsewhere in (False, True):
        if elsewhere:  # as on a system without such a folder
            monkeypatch.setattr("tinygrad_arith.parallel.shared_arrays.IN_MEMORY", tmp_path / "none")
        shared = SharedArrays(2, 3, np.float32)
        map_arrays(shared.location)[1] = [1, 2, 3]
        np.testing.assert_array_equal(shared.rows, [[0, 0, 0], [1, 2, 3]])
        shared.close()


@pytest.mark.parametrize(
    ("batch_size", "flop", "cores", "expected"),
    [
        (128, 2e9, 2, Threads(2, 1)),
        (128, 2e9, 1, Threads(1, 1)),
        (64, 7e8, 2, Threads(2, 1)),
        (64, 2e8, 2, Threads(1, 1)),  # too little work to share, between threads too
        (64, 2e8, 16, Threads(1, 1)),
        (8, 1e12, 4, Threads(1, 4)),  # too few examples
        (64, 1e12, 16, Threads(8, 2)),
    ],
)
def test_threads_follow_the_size_of_a_step(batch_size, flop, cores, expected):
    assert choose_threads(batch_size, flop, cores) == expected
