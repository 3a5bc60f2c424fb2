"""Training on the GPU: the losses and the answers of the CPU, the same bits with a graph, without, and every time."""

import dataclasses

import cupy
import numpy as np
import pytest

from tinygrad_arith.backend import RandomKey
from tinygrad_arith.cuda.decoding import decoder_of
from tinygrad_arith.cuda.precision import float32_matmul_precision_as
from tinygrad_arith.generation import generate
from tinygrad_arith.nn import first_nonfinite
from tinygrad_arith.ops import registry
from tinygrad_arith.options.errors import RunWarning
from tinygrad_arith.training.build import initialize, make_model, make_optimizer, make_task
from tinygrad_arith.training.config import Config
from tinygrad_arith.training.device_step import DeviceSteps
from tinygrad_arith.training.steps import training_step
from tinygrad_arith.training.workers import ThreadWorkers, loss_and_gradient

TINY = Config.from_dict(
    {
        "task": {"digits": 4, "validation_size": 20, "test_size": 40},
        "model": {"d_model": 32, "heads": 2, "layers": 2},
        "optimizer": {"warmup": 20, "learning_rate": 5e-3},
        "training": {"steps": 400, "batch": 64},
    }
)
# How far losses may be from the CPU's over the first 30 steps, as a share of the loss. Rounding errors grow from step
# to step; with float32 GEMM they start at 1e-7, with TF32 at 5e-4, in bfloat16 at 4e-3.
BANDS = {"float32": 1e-3, "tf32": 2e-2, "bfloat16": 1e-1}
MODELS = {
    "relu, pre-norm": {},
    "gelu, dropout": {"activation": "gelu", "dropout": 0.1},
    "post-norm, sinusoids, grouped heads": {"norm": "post", "positions": "sinusoidal", "heads": 4, "kv_heads": 2},
    "tied head": {"tied_head": True, "activation": "gelu"},
}


def config_of(kind="float32", steps=400, **model):
    training = {"dtype": "bfloat16" if kind == "bfloat16" else "float32", "tf32": kind == "tf32", "steps": steps}
    return dataclasses.replace(
        TINY,
        model=dataclasses.replace(TINY.model, **model),
        training=dataclasses.replace(TINY.training, **training),
    )


@pytest.fixture(autouse=True)
def full_float32():
    """`initialize` sets the precision for the whole process; each test leaves it as it was."""
    with float32_matmul_precision_as("float32"):
        yield


class Run:
    """A model with its optimizer on a device, and the results of the steps it made."""

    def __init__(self, config, device="cuda", capture=True):
        self.config, self.task = config, make_task(config.task)
        self.model = initialize(make_model(config, self.task), config, device)
        self.optimizer = make_optimizer(config, self.model)
        self.steps = DeviceSteps(self.model, self.optimizer, config, capture=capture) if device == "cuda" else None
        self.workers = ThreadWorkers(self.model, 1) if device == "cpu" else None
        self.done = []

    def go(self, steps):
        batch, seed = self.config.training.batch, self.config.training.seed
        for step in range(len(self.done), len(self.done) + steps):
            rows = self.task.train_batch(step, batch, seed)
            if self.workers is not None:
                self.done.append(training_step(self.workers, self.optimizer, rows, self.config, step))
            else:
                self.steps.enqueue(rows, step)
        if self.steps is not None:
            self.done += self.steps.results()
        return self

    def losses(self):
        return np.array([result.loss for result in self.done])

    def bits(self):
        return self.model.state_dict() | self.optimizer.state_dict() | {"losses": self.losses()}

    def exact_match(self):
        return self.task.evaluate(self.model, "test", 40).value


def on_the_cpu(config):
    return dataclasses.replace(config, training=dataclasses.replace(config.training, dtype="float32"))


def assert_same_bits(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.mark.parametrize("kind", BANDS)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_losses_stay_with_those_of_the_cpu(kind, model):
    config = config_of(kind, **model)
    here, there = Run(on_the_cpu(config), "cpu").go(30), Run(config).go(30)
    assert there.steps.reason is None
    np.testing.assert_allclose(there.losses(), here.losses(), rtol=BANDS[kind])
    mine, other = (np.array([result.gradient_norm for result in run.done]) for run in (there, here))
    np.testing.assert_allclose(mine, other, rtol=10 * BANDS[kind])
    same = ("learning_rate", "examples")
    for a, b in zip(there.done, here.done, strict=True):
        assert all(getattr(a, name) == getattr(b, name) for name in same)


@pytest.mark.parametrize("kind", BANDS)
def test_a_tiny_task_is_learned_as_on_the_cpu(kind):
    config = config_of(kind)
    assert Run(config).go(400).exact_match() == Run(on_the_cpu(config), "cpu").go(400).exact_match() == 1.0


@pytest.mark.parametrize("kind", BANDS)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_graph_gives_the_bits_of_the_same_steps_without(kind, model):
    config = config_of(kind, **model)
    graphed, eager = Run(config).go(25), Run(config, capture=False).go(25)
    assert graphed.steps.reason is None
    assert all(slot.run.graph is not None for slots in graphed.steps._slots.values() for slot in slots)
    assert eager.steps.reason == "not asked for"
    assert_same_bits(graphed.bits(), eager.bits())


@pytest.mark.parametrize("kind", BANDS)
def test_the_same_bits_every_time(kind):
    config = config_of(kind, dropout=0.1)
    first = Run(config).go(60).bits()
    for _ in range(2):
        assert_same_bits(Run(config).go(60).bits(), first)


def test_looking_in_between_changes_nothing():
    config = config_of(dropout=0.1)
    looked = Run(config)
    for steps in (1, 1, 3, 15, 20):
        looked.go(steps)
        looked.exact_match()
        generate(looked.model, looked.task.batch(looked.task.problems("test", 4)).tokens[:, :10], 3)
    assert_same_bits(looked.bits(), Run(config).go(40).bits())


def test_more_steps_than_wait_on_the_device():
    run = Run(config_of()).go(600)
    assert len(run.done) == 600
    assert run.losses()[-1] < 0.01 < run.losses()[0]
    assert np.isfinite(run.losses()).all()


def test_going_on_from_a_checkpoint_gives_the_same_bits():
    config = config_of("bfloat16", dropout=0.1)
    whole = Run(config).go(30)
    first = Run(config).go(13)
    second = Run(config)
    second.model.load_state_dict(first.model.state_dict())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    second.done = first.done
    assert_same_bits(second.go(17).bits(), whole.bits())


def test_batches_of_another_shape_in_between():
    config = config_of()
    mixed, plain = Run(config), Run(config, capture=False)
    for run in (mixed, plain):
        for step in range(24):
            run.steps.enqueue(run.task.train_batch(step, 64 if step % 3 else 40, 1), step)
        run.done = run.steps.results()
    assert_same_bits(mixed.bits(), plain.bits())


@pytest.mark.parametrize("when", [1, 9])  # before the capture, and in a replay
def test_a_step_that_is_not_finite_is_held_back(when):
    run = Run(config_of()).go(when)
    poisoned = {name: array.copy() for name, array in run.model.state_dict().items()}
    poisoned["blocks.0.ffn.up.weight"][3, 5] = np.nan
    run.model.load_state_dict(poisoned)
    moments = run.optimizer.state_dict()
    run.go(4)
    assert not np.isfinite(run.losses()[when:]).any()
    for name, array in run.model.state_dict().items():
        np.testing.assert_array_equal(array, poisoned[name])
    np.testing.assert_array_equal(run.optimizer.state_dict()["first_moment"], moments["first_moment"])
    batch, key = run.task.train_batch(when, 64, 1), RandomKey(1, "dropout", when)
    batch = batch.on_device_of(run.model.flat.values)
    assert not np.isfinite(loss_and_gradient(run.model, run.task.objective, batch, key, normalizer=1))
    assert first_nonfinite(run.model) == "parameter blocks.0.ffn.up.weight"


def test_what_cannot_be_captured_runs_without_a_graph_and_says_why(monkeypatch):
    without = [found for found in registry._registered["ffn"] if found.device != "cuda"]
    monkeypatch.setitem(registry._registered, "ffn", without)  # the reference's matrix products cannot be captured
    registry.forget_plans()
    config = config_of(activation="gelu")
    with pytest.warns(RunWarning, match="training steps run kernel by kernel, without a CUDA graph") as told:
        run = Run(config).go(12)
    here = Run(config, "cpu").go(12)
    assert run.steps.reason.startswith("NotImplementedError in ")
    assert [str(warning.message).endswith(run.steps.reason) for warning in told] == [True]
    np.testing.assert_allclose(run.losses(), here.losses(), rtol=1e-3)


@pytest.mark.parametrize("padding", ["zero", "none"])
def test_evaluation_and_generation_agree_with_the_cpu(padding):
    config = config_of()
    config = dataclasses.replace(config, task=dataclasses.replace(config.task, padding=padding))
    here, there = Run(config, "cpu").go(60), Run(config)
    there.model.load_state_dict(here.model.state_dict())
    problems = here.task.problems("test", 40)
    answers = [run.task.judge(run.model, problems).predictions for run in (here, there)]
    np.testing.assert_array_equal(*answers)
    prompt = here.task.vocabulary.encode(here.task.text(problems[:1])[0].prompt)[None, :]
    drawn = {"temperature": 0.7, "top_k": 4, "key": RandomKey(3, "sample")}
    for options in ({}, {"stop_token": here.task.vocabulary.ids["."]}, drawn):
        for _ in range(4):  # greedy decoding: as it is, then captured, then replayed
            written = [generate(run.model, prompt, 5, **options) for run in (here, there)]
            np.testing.assert_array_equal(*written)


def test_an_answer_is_one_graph_that_follows_the_weights():
    run = Run(config_of())
    prompts = run.task.batch(run.task.problems("test", 6)).tokens[:, :10]
    for steps in (30, 30, 60, 80, 100):
        run.go(steps)
        decoder = decoder_of(run.model, 6, 10, 4)
        ids = prompts
        for _ in range(4):
            expected = run.model(ids).array[:, -1].astype(np.float32).argmax(axis=-1).get()
            ids = np.concatenate([ids, expected[:, None]], axis=1)
        np.testing.assert_array_equal(generate(run.model, prompts, 4), ids[:, 10:])
    assert decoder.run.graph is not None
    assert decoder is decoder_of(run.model, 6, 10, 4)


def test_the_same_initial_weights_as_on_the_cpu():
    config = config_of("bfloat16")
    assert_same_bits(Run(on_the_cpu(config), "cpu").model.state_dict(), Run(config).model.state_dict())
    assert Run(config).model.blocks[0].ffn.up.weight.array.dtype.name == "bfloat16"


def test_memory_does_not_grow_from_step_to_step():
    run = Run(config_of()).go(20)
    pools = run.steps.memory.pool, cupy.get_default_memory_pool()
    before = [pool.total_bytes() for pool in pools]
    run.go(200)
    assert [pool.total_bytes() for pool in pools] == before


def test_a_step_that_fails_does_not_count_and_training_goes_on(monkeypatch):
    config = config_of()
    expected, run = Run(config).go(12), Run(config).go(4)
    other = run.task.train_batch(4, 16, 1)  # of another size: it has no graph yet

    def fail(batch, numbers):
        raise MemoryError("half way")

    with monkeypatch.context() as patch:
        patch.setattr(run.steps, "compute", fail)
        for _ in range(3):
            with pytest.raises(MemoryError):
                run.steps.enqueue(other, 4)
    assert run.optimizer.steps == 4
    assert_same_bits(run.go(8).bits(), expected.bits())
