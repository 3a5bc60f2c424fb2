"""SGD and Lion on the GPU: the bits of the reference on the CPU, in every mode; and whole steps as CUDA graphs."""

import cupy
import ml_dtypes
import numpy as np
import pytest

from tinygrad_arith.cuda import lion, sgd
from tinygrad_arith.cuda.precision import float32_matmul_precision_as
from tinygrad_arith.nn import Linear
from tinygrad_arith.ops.registry import choose, reference_only
from tinygrad_arith.optim import SGD, clip_gradient_norm, clip_scale
from tinygrad_arith.optim.lion import LION, LionRates, lion_update
from tinygrad_arith.optim.registry import OPTIMIZERS
from tinygrad_arith.optim.sgd import SGD_UPDATE, SGDRates, sgd_update
from tinygrad_arith.training.build import initialize, make_model, make_optimizer, make_task
from tinygrad_arith.training.config import Config
from tinygrad_arith.training.device_step import DeviceSteps
from tinygrad_arith.training.steps import training_step
from tinygrad_arith.training.workers import ThreadWorkers

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
SIZES = [1, 3, 4, 32, 1023, 4096, 70_001]
SGD_RATES = SGDRates(rate=0.013, kept=0.999, fresh=0.7, gradient_scale=0.37, momentum=0.9, penalty=0.0)
MODES = {
    "plain": {"momentum": 0.0},
    "momentum": {},
    "nesterov": {"nesterov": True},
    "coupled decay": {"penalty": 0.1, "kept": 1.0},
    "nesterov, coupled decay": {"penalty": 0.1, "kept": 1.0, "nesterov": True},
}
LION_RATES = LionRates(rate=0.013, kept=0.999, gradient_scale=0.37, beta1=0.9, beta2=0.99)
PLACES = pytest.mark.parametrize("where", ["host", "device"])


@pytest.fixture
def rng():
    return np.random.default_rng(31)


@pytest.fixture(autouse=True)
def full_float32():
    """`initialize` sets the precision for the whole process; each test leaves it as it was."""
    with float32_matmul_precision_as("float32"):
        yield


def draw(rng, size):
    """Normal numbers, every fifth of them 0."""
    return (rng.normal(size=size) * (rng.random(size) > 0.2)).astype(np.float32)


def placed(array, offset):
    """A copy on the device that starts `offset` elements behind a multiple of 16 bytes."""
    padded = np.zeros(array.size + offset, dtype=array.dtype)
    padded[offset:] = array
    return cupy.asarray(padded)[offset:]


def rates_at(rates, where, names):
    """The rates, those of these names as arrays () on the device."""
    if where == "host":
        return rates
    return rates._replace(**{name: cupy.asarray(np.float32(getattr(rates, name))) for name in names})


def check(operation, reference, arrays, rates, where, offset, copied, options):
    """Both on the same numbers: the same bits, twice, in every array."""
    size = len(arrays["values"])
    expected = {name: array.copy() for name, array in arrays.items()}
    shared = {"decayed": size * 2 // 3, **options}
    reference(**expected, rates=rates, **shared)
    changing = ("rate", "kept", "gradient_scale", *(["fresh"] if operation is SGD_UPDATE else []))
    for _ in range(2):
        there = {name: placed(array, offset) for name, array in arrays.items()}
        arguments = there | shared | {"rates": rates_at(rates, where, changing)}
        working = {"working": cupy.zeros(size, dtype=BFLOAT16)} if copied else {}
        with reference_only(False):
            update, _ = choose(operation, arguments)
        assert update is not reference
        update(**arguments, **working)
        for name, array in there.items():
            np.testing.assert_array_equal(array.get(), expected[name], err_msg=name)
        for array in working.values():
            assert array.get().tobytes() == expected["values"].astype(BFLOAT16).tobytes()


@PLACES
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_sgd(size, where, offset, copied, mode, rng):
    arrays = {name: draw(rng, size) for name in ("values", "gradients", "velocity")}
    rates = SGD_RATES._replace(**{name: value for name, value in mode.items() if name != "nesterov"})
    options = {"nesterov": mode.get("nesterov", False)}
    if rates.momentum == 0.0:
        del arrays["velocity"]
        options["velocity"] = None
    check(SGD_UPDATE, sgd_update, arrays, rates, where, offset, copied, options)


@PLACES
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("copied", [False, True])
def test_lion(size, where, offset, copied, rng):
    arrays = {name: draw(rng, size) for name in ("values", "gradients", "first")}
    check(LION, lion_update, arrays, LION_RATES, where, offset, copied, {})


def test_what_is_not_finite_is_not_lost():
    gradients = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], np.float32)
    for operation, reference, state, rates in (
        (SGD_UPDATE, sgd_update, "velocity", SGD_RATES),
        (LION, lion_update, "first", LION_RATES),
    ):
        arrays = {"values": np.ones(5, np.float32), "gradients": gradients, state: np.zeros(5, np.float32)}
        check(operation, reference, arrays, rates, "host", 0, False, {})


def test_a_gradient_scale_of_nan_changes_nothing(rng):
    for scale in (np.nan, cupy.asarray(np.float32(np.nan))):
        arrays = [cupy.asarray(draw(rng, 37)) for _ in range(3)]
        working = cupy.zeros(37, dtype=BFLOAT16)
        before = [array.get().tobytes() for array in (*arrays, working)]
        sgd.sgd_update(*arrays, 20, SGD_RATES._replace(gradient_scale=scale), working=working)
        lion.lion_update(*arrays, 20, LION_RATES._replace(gradient_scale=scale), working)
        assert [array.get().tobytes() for array in (*arrays, working)] == before


# Whole steps

OPTIMIZER_OPTIONS = {
    "sgd": {"learning_rate": 0.1, "weight_decay": 0.01},
    "sgd, nesterov": {"nesterov": True, "coupled_decay": True, "weight_decay": 0.01},
    "sgd, dampening": {"dampening": 0.5},
    "sgd, no momentum": {"momentum": 0.0},
    "lion": {"learning_rate": 1e-3},
}
each_optimizer = pytest.mark.parametrize("name", OPTIMIZER_OPTIONS)


def config_of(name, dtype="float32"):
    return Config.from_dict(
        {
            "task": {"digits": 4, "validation_size": 20, "test_size": 40},
            "model": {"d_model": 32, "heads": 2, "layers": 2},
            "optimizer": {"kind": name.split(",")[0], "warmup": 20, **OPTIMIZER_OPTIONS[name]},
            "training": {"steps": 400, "batch": 64, "dtype": dtype},
        }
    )


class Run:
    """A model with its optimizer on the GPU, and the results of the steps it made."""

    def __init__(self, config, capture=True):
        self.config, self.task, self.done = config, make_task(config.task), []
        self.model = initialize(make_model(config, self.task), config, "cuda")
        self.optimizer = make_optimizer(config, self.model)
        self.steps = DeviceSteps(self.model, self.optimizer, config, capture=capture)

    def go(self, steps):
        for step in range(self.optimizer.steps, self.optimizer.steps + steps):
            self.steps.enqueue(self.task.train_batch(step, 64, 1), step)
        self.done += self.steps.results()
        return self

    def bits(self):
        return self.model.state_dict() | self.optimizer.state_dict()


def assert_same_bits(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@each_optimizer
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_graph_gives_the_bits_of_the_same_steps_without(name, dtype):
    graphed, eager = Run(config_of(name, dtype)).go(25), Run(config_of(name, dtype), capture=False).go(25)
    assert graphed.steps.reason is None
    assert_same_bits(graphed.bits(), eager.bits())
    working, values = graphed.model.flat.working, graphed.model.flat.values
    np.testing.assert_array_equal(working.get(), values.get().astype(working.dtype))


@each_optimizer
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("before", [1, 13])  # of the first step's velocity nothing is dampened, of a later one's part
def test_going_on_from_a_checkpoint_gives_the_same_bits(name, dtype, before):
    config = config_of(name, dtype)
    whole, first, second = Run(config).go(30), Run(config).go(before), Run(config)
    second.model.load_state_dict(first.model.state_dict())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    assert_same_bits(second.go(30 - before).bits(), whole.bits())


@pytest.mark.parametrize("name", [name for name in OPTIMIZER_OPTIONS if name != "lion"])
def test_losses_stay_with_those_of_the_cpu(name):
    config = config_of(name)
    there = Run(config).go(30)
    model = initialize(make_model(config, there.task), config)
    workers, optimizer = ThreadWorkers(model, 1), make_optimizer(config, model)
    here = [training_step(workers, optimizer, there.task.train_batch(s, 64, 1), config, s) for s in range(30)]
    losses = [[result.loss for result in results] for results in (there.done, here)]
    np.testing.assert_allclose(*losses, rtol=1e-3)


@pytest.mark.parametrize("name", ["sgd", "lion"])
def test_a_tiny_task_is_learned(name):
    run = Run(config_of(name)).go(400)
    assert run.done[-1].loss < 0.1 * run.done[0].loss


@each_optimizer
def test_a_step_that_is_not_finite_is_held_back(name):
    run = Run(config_of(name)).go(9)
    poisoned = {key: array.copy() for key, array in run.model.state_dict().items()}
    poisoned["blocks.0.ffn.up.weight"][3, 5] = np.nan
    run.model.load_state_dict(poisoned)
    state = run.optimizer.state_dict()
    run.go(4)
    assert not np.isfinite([result.loss for result in run.done[9:]]).any()
    assert_same_bits(run.model.state_dict(), poisoned)
    assert_same_bits(run.optimizer.state_dict() | {"steps": state["steps"]}, state)


def test_every_kind_is_tried_here():
    kinds = {name.split(",")[0] for name in OPTIMIZER_OPTIONS} | {"adamw"}  # adamw: test_training.py
    assert kinds == set(OPTIMIZERS.places)


@pytest.mark.parametrize("size", [1.0, 1e30, np.inf])
def test_clipping_does_as_on_the_cpu_where_squares_are_no_numbers(size):
    found = []
    for device in ("cpu", "cuda"):
        layer = Linear(2, 2, bias=False).initialize(seed=0, device=device)
        layer.flat.gradients[:] = 0.0
        layer.flat.gradients[0], layer.flat.gradients[1] = 3.0 * size, 4.0
        norm = clip_gradient_norm(layer.flat, 1.0)
        found.append([float(norm), *layer.flat.gradients.tolist()])
        if not np.isfinite(size):
            with pytest.raises(
                ValueError, match=r"^SGD: the gradient_scale of a step must be a finite number, not nan$"
            ):
                SGD(layer.flat).step(0.1, clip_scale(norm, 1.0))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)
    assert np.isfinite(found[0]).all() == np.isfinite(size)
