"""Choosing a device, without a GPU: what is refused and why; the master weights of a bfloat16 model; batches."""

import numpy as np
import pytest

from tinygrad_arith.backend import DtypePolicy, on_device_of
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.nn import Linear
from tinygrad_arith.ops.registry import reference_only
from tinygrad_arith.optim import AdamW
from tinygrad_arith.options.errors import UserError
from tinygrad_arith.tasks import Batch
from tinygrad_arith.training import build
from tinygrad_arith.training.build import choose_device, choose_training_device, policy_on
from tinygrad_arith.training.config import Config, TrainingOptions
from tinygrad_arith.training.steps import rate_of

ml_dtypes = pytest.importorskip("ml_dtypes", reason="bfloat16 in NumPy comes with the extras for GPUs")
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
NO_GPU = "CuPy finds no GPU that it can use"


def with_obstacle(monkeypatch, obstacle):
    monkeypatch.setattr(build, "obstacle_to_cuda", lambda: obstacle)


def test_auto_takes_the_gpu_if_there_is_one(monkeypatch):
    with_obstacle(monkeypatch, None)
    assert [choose_device(name) for name in ("auto", "cpu", "cuda")] == ["cuda", "cpu", "cuda"]
    assert choose_device("auto", "float64") == "cpu"
    with_obstacle(monkeypatch, NO_GPU)
    assert [choose_device(name) for name in ("auto", "cpu")] == ["cpu", "cpu"]


def test_without_a_gpu_cuda_is_refused_in_one_sentence(monkeypatch):
    with_obstacle(monkeypatch, NO_GPU)
    with pytest.raises(UserError, match=f"^--device cuda: {NO_GPU}$"):
        choose_device("cuda")


def test_bfloat16_is_for_gpus(monkeypatch):
    with_obstacle(monkeypatch, NO_GPU)
    with pytest.raises(UserError, match=f"^--dtype bfloat16: .*{NO_GPU}"):
        choose_training_device(TrainingOptions(dtype="bfloat16"))
    with_obstacle(monkeypatch, None)
    assert choose_training_device(TrainingOptions(dtype="bfloat16")) == "cuda"
    with pytest.raises(UserError, match="--device is cpu"):
        choose_training_device(TrainingOptions(dtype="bfloat16", device="cpu"))


def test_a_run_in_bfloat16_is_opened_on_the_cpu_in_its_masters_float32():
    assert policy_on("cpu", "bfloat16") == DtypePolicy.uniform("float32")
    assert policy_on("cuda", "bfloat16") == DtypePolicy(np.dtype(np.float32), BFLOAT16, np.dtype(np.float32))
    assert policy_on("cuda", "float64") == DtypePolicy.uniform("float64")


@pytest.fixture
def model():
    return Linear(5, 3).initialize(seed=2, policy=DtypePolicy.named("bfloat16"))


def test_parameters_are_copies_of_the_master_weights(model):
    exact = Linear(5, 3).initialize(seed=2)
    assert {p.dtype for p in model.named_parameters().values()} == {BFLOAT16}
    np.testing.assert_array_equal(model.flat.values, exact.flat.values)
    np.testing.assert_array_equal(model.weight.array, exact.weight.array.astype(BFLOAT16))
    np.testing.assert_array_equal(model.state_dict()["weight"], exact.weight.array)
    assert model.state_dict()["weight"].dtype == np.float32


def test_loading_and_updating_make_the_copy_anew(model):
    state = {name: array + 0.1234 for name, array in model.state_dict().items()}
    model.load_state_dict(state)
    np.testing.assert_array_equal(model.weight.array, state["weight"].astype(BFLOAT16))
    before = model.weight.array
    model.flat.gradients[:] = 1.0
    with reference_only():
        AdamW(model.flat).step(0.1)
    assert model.weight.array is before
    np.testing.assert_array_equal(before, model.flat.values[model.flat.slices["weight"]].reshape(5, 3).astype(BFLOAT16))
    assert np.abs(model.state_dict()["weight"] - state["weight"]).max() == pytest.approx(0.1, rel=0.1)


def test_gradients_of_bfloat16_parameters_are_float32(model):
    destination = model.weight.destination()
    assert destination.array is model.weight.grad
    assert destination.array.dtype == np.float32
    model.weight.accumulate_gradient(np.full((5, 3), 0.5, BFLOAT16))
    np.testing.assert_array_equal(model.weight.grad, 0.5)
    assert np.shares_memory(model.weight.grad, model.flat.gradients)


def test_generation_keeps_keys_in_what_the_model_computes_with():
    config = GPTConfig(vocabulary=5, context=6, d_model=8, layers=2, heads=2)
    caches = GPT(config).initialize(policy=DtypePolicy.named("bfloat16")).new_caches(3)
    assert {cache.keys.dtype for cache in caches} == {BFLOAT16}
    assert {cache.keys.dtype for cache in GPT(config).initialize().new_caches(3)} == {np.dtype(np.float32)}


def test_a_batch_stays_as_it_is_on_the_cpu():
    batch = Batch(np.zeros((2, 3), int), np.ones((2, 3), int))
    there = batch.on_device_of(np.zeros(1))
    assert all(mine is other for mine, other in zip(there, batch, strict=True))
    assert on_device_of(np.zeros(1), None) is None


def test_the_rate_follows_the_configuration():
    config = Config.from_dict({"optimizer": {"learning_rate": 0.4, "warmup": 4}, "training": {"steps": 9}})
    assert [rate_of(config, step) for step in (0, 3, 8)] == pytest.approx([0.1, 0.4, 0.0])
