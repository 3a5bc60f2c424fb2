"""`ta.load` and `ta.save`: runs and directories, the same bits, one sentence for what is no model."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygrad_arith as ta
from tinygrad_arith import weights
from tinygrad_arith.autograd import BackwardError
from tinygrad_arith.backend import DtypePolicy
from tinygrad_arith.models import GPT, GPTConfig
from tinygrad_arith.nn import Linear, NotInitialized
from tinygrad_arith.options.errors import MachineError, UserError
from tinygrad_arith.reproductions.window import WindowConfig, WindowGPT, WindowNet

RUN = Path(__file__).parent / "fixtures" / "run_of_0_1_binary"
CONFIG = GPTConfig(vocabulary=11, context=9, d_model=12, heads=3, kv_heads=1, activation="relu", positions="rotary")
MODELS = {
    "gpt": lambda: GPT(CONFIG),
    "window-gpt": lambda: WindowGPT(WindowConfig(vocabulary=7, context=5, d_model=8, heads=2, padding=3)),
    "window-net": lambda: WindowNet(WindowConfig(vocabulary=7, context=5, d_model=8, layers=1)),
}


def bits(model):
    return {name: (array.dtype.name, array.tobytes()) for name, array in model.state_dict().items()}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shard_bytes", [10**9, 500])
def test_what_is_saved_is_loaded_to_the_same_bits(tmp_path, kind, dtype, shard_bytes):
    model = MODELS[kind]().initialize(3, DtypePolicy.uniform(dtype))
    ta.save(model, tmp_path / "model", shard_bytes=shard_bytes)
    loaded = ta.load(tmp_path / "model", device="cpu")
    assert type(loaded) is type(model)
    assert loaded.config == model.config
    assert bits(loaded) == bits(model)
    assert not loaded.flat.has_gradients
    ta.save(loaded, str(tmp_path / "again"))
    assert bits(ta.load(str(tmp_path / "again"), device="cpu")) == bits(model)


def test_the_logits_are_the_same_bits(tmp_path):
    model = MODELS["gpt"]().initialize(3)
    ids = np.random.default_rng(0).integers(0, 11, size=(2, 9))
    ta.save(model, tmp_path)
    np.testing.assert_array_equal(ta.load(tmp_path, device="cpu")(ids).numpy(), model(ids).numpy())


def test_a_run_is_loaded_and_saved_as_a_model(tmp_path):
    model = ta.load(RUN, device="cpu")
    assert not model.flat.has_gradients
    ta.save(model, tmp_path)
    assert bits(ta.load(tmp_path, device="cpu")) == bits(model)
    wide = ta.load(RUN, device="cpu", dtype="float64", gradients=True)
    assert wide.flat.gradients.dtype == np.float64
    np.testing.assert_array_equal(wide.flat.values, model.flat.values.astype(np.float64))


def test_with_gradients_a_model_can_be_trained_on(tmp_path):
    ta.save(MODELS["gpt"]().initialize(3), tmp_path)
    out = ta.load(tmp_path, device="cpu")(np.zeros((1, 2), int))
    with pytest.raises(BackwardError, match="gradients=False"):
        out.sum().backward()
    model = ta.load(tmp_path, device="cpu", gradients=True)
    model(np.zeros((1, 2), int)).sum().backward()
    assert model.flat.gradients.any()


@pytest.mark.parametrize(
    ("stored", "loaded"), [("float16", "float32"), ("bfloat16", "float32"), ("float64", "float64")]
)
def test_a_model_is_loaded_in_a_dtype_to_compute_in(tmp_path, stored, loaded):
    ta.save(MODELS["gpt"]().initialize(3), tmp_path, dtype=stored)
    assert ta.load(tmp_path, device="cpu").flat.values.dtype == loaded
    assert ta.load(tmp_path, device="cpu", dtype="float64").flat.values.dtype == np.float64


def test_a_model_that_is_there_is_replaced_only_if_asked(tmp_path):
    model = MODELS["gpt"]().initialize(3)
    ta.save(model, tmp_path, shard_bytes=500)
    with pytest.raises(UserError, match=f"^{tmp_path}: already holds a model: .*overwrite=True$"):
        ta.save(model, tmp_path)
    ta.save(MODELS["window-net"]().initialize(1), tmp_path, overwrite=True)
    assert type(ta.load(tmp_path, device="cpu")) is WindowNet
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_a_save_leaves_other_directories_alone(tmp_path):
    model = MODELS["gpt"]().initialize(3)
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    run = shutil.copytree(RUN, tmp_path / "run")
    for directory in (tmp_path, run):
        with pytest.raises(UserError, match=r"not empty, and no saved model"):
            ta.save(model, directory, overwrite=True)
    with pytest.raises(UserError, match="there is a file of that name"):
        ta.save(model, tmp_path / "notes.txt")
    assert ta.load(run, device="cpu")


@pytest.mark.parametrize("renamed", range(7))
@pytest.mark.parametrize("before", [10**9, 2000])
def test_a_save_that_was_killed_is_no_model_and_can_be_repeated(tmp_path, monkeypatch, renamed, before):
    model, count, replace = MODELS["gpt"]().initialize(3), [], os.replace
    ta.save(MODELS["gpt"]().initialize(1), tmp_path, shard_bytes=before)

    def killed(*args):
        if len(count) == renamed:
            raise KeyboardInterrupt
        count.append(replace(*args))

    monkeypatch.setattr("os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        ta.save(model, tmp_path, overwrite=True, shard_bytes=2000)
    with pytest.raises(UserError, match=r"neither a run nor a model: it has no config.json$"):
        ta.load(tmp_path)
    monkeypatch.undo()
    ta.save(model, tmp_path, overwrite=True)
    assert bits(ta.load(tmp_path, device="cpu")) == bits(model)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def full_disk(*args, **kwargs):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("before", [10**9, 2000])
@pytest.mark.parametrize("after", [10**9, 1000])
@pytest.mark.parametrize("fault", ["dtype", "shard_bytes", "too large", "config", "disk", "stopped"])
def test_a_save_that_fails_leaves_the_model_that_is_there(tmp_path, monkeypatch, before, after, fault):
    old, new = MODELS["gpt"]().initialize(3), MODELS["gpt"]().initialize(4)
    ta.save(old, tmp_path, shard_bytes=before)
    names = sorted(path.name for path in tmp_path.iterdir())
    options = {"dtype": "float16", "shard_bytes": after}
    if fault == "dtype":
        options["dtype"] = "fp16"
    elif fault == "shard_bytes":
        options["shard_bytes"] = "5GB"
    elif fault == "too large":  # in the last tensor
        new.head.bias.array[-1] = 1e6
    elif fault == "config":
        monkeypatch.setattr("tinygrad_arith.files.writing.Replacement.write_json", full_disk)
    else:
        stop = full_disk if fault == "disk" else lambda descriptor: (_ for _ in ()).throw(KeyboardInterrupt)
        monkeypatch.setattr("os.fsync", stop)
    with pytest.raises((UserError, OSError, KeyboardInterrupt)) as raised:
        ta.save(new, tmp_path, overwrite=True, **options)
    if isinstance(raised.value, OSError):
        assert str(tmp_path) in str(raised.value)
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert bits(ta.load(tmp_path, device="cpu")) == bits(old)


def test_what_a_killed_save_left_does_not_stop_the_next_one(tmp_path):
    model = MODELS["gpt"]().initialize(3)
    for name in ("model.safetensors.tmp", "model-00001-of-00002.safetensors.tmp", "config.json.tmp"):
        (tmp_path / name).write_text("half", encoding="utf-8")
    ta.save(model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_a_model_without_arrays_leaves_no_directory(tmp_path):
    for save in (ta.save, weights.save):
        with pytest.raises(NotInitialized):
            save(MODELS["gpt"](), tmp_path / "model")
        model = MODELS["gpt"]().initialize(3)
        model.head.bias.array[0] = 1e6
        with pytest.raises(UserError, match="too large for F16"):
            save(model, tmp_path / "model", dtype="float16")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", [None, 5, {"a": 1}])
def test_what_is_no_path_is_told(place):
    for call in (lambda: ta.load(place), lambda: ta.save(MODELS["gpt"]().initialize(3), place)):
        with pytest.raises(UserError, match=r"^path.*: must be a path$"):
            call()


def test_a_module_that_is_no_kind_of_model_is_told(tmp_path):
    with pytest.raises(UserError, match=r"^a Linear cannot be saved as a model: it is none of the kinds gpt, "):
        ta.save(Linear(3, 5).initialize(1), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def saved(tmp_path):
    ta.save(MODELS["gpt"]().initialize(3), tmp_path / "model")
    return tmp_path / "model"


def change(directory, **fields):
    path = directory / "config.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    values["model"] = {k: v for k, v in (values["model"] | fields).items() if v != "gone"}
    path.write_text(json.dumps(values), encoding="utf-8")


@pytest.mark.parametrize(
    "fields",
    [
        *({"kind": value} for value in ("gtp", 5, None, [], "../gpt", "gone")),
        *({"layers": value} for value in (0, -1, 3, 31, 10**9, 2**63, True, 1.5, "2", None)),
        *({"d_model": value} for value in (0, 13, 24, 2**24, 2**40, [], "gone")),
        *({"heads": value} for value in (0, 5, 12, 2**24)),
        *({"kv_heads": value} for value in (2, 3, -1, 2**24)),
        *({"vocabulary": value} for value in (0, 12, 2**24, "gone")),
        *({"context": value} for value in (0, "gone", 2**25)),
        *({"activation": value} for value in ("swish", 5, None)),
        *({"norm": value} for value in ("none", "post", 5)),
        *({"positions": value} for value in ("alibi", "learned", [])),
        *({"normalization": value} for value in ("batch-tensor", "none", {})),
        *({"tied_head": value} for value in (True, 1, "yes")),
        *({"rotary_base": value} for value in ("a", None, [1.0])),
        *({"dropout": value} for value in (1.5, -1, "a")),
        {"unknown": 1},
    ],
    ids=repr,
)
def test_a_strange_configuration_is_one_sentence(saved, fields):
    change(saved, **fields)
    with pytest.raises(UserError, match=f"^{saved}") as raised:
        ta.load(saved, device="cpu")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"5", b"[]", b"{}", b"\xff", b"[" * 10**5, b'{"model": 5, "format": 1}', b'{"model": {}}',
             b'{"model": {}, "format": 2}', b'{"model": {"kind": "gpt"}, "format": 1}', b'{"model_type": "gpt2"}',
             b'{"config": 5}', b'{"config": {}, "format": 9}'],
)  # fmt: skip
def test_a_configuration_that_is_none_is_one_sentence(saved, text):
    (saved / "config.json").write_bytes(text)
    with pytest.raises(UserError, match=f"^{saved}/config.json: "):
        ta.load(saved, device="cpu")


def test_weights_that_do_not_fit_are_told_at_once(saved):
    weights.save(GPT(GPTConfig(vocabulary=11, context=9, d_model=12, heads=3)).initialize(1), saved)
    with pytest.raises(UserError, match=r"model.safetensors: does not fit this GPT: unexpected .*; of another shape: "):
        ta.load(saved, device="cpu")
    (saved / "model.safetensors").write_bytes(b"1234")
    with pytest.raises(UserError, match=r"model.safetensors: not a safetensors file"):
        ta.load(saved, device="cpu")
    (saved / "model.safetensors").unlink()
    with pytest.raises(UserError, match="has no file"):
        ta.load(saved, device="cpu")


def test_what_is_asked_for_wrongly_is_told(saved, tmp_path):
    with pytest.raises(UserError, match=r"there is no such directory$"):
        ta.load(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"not a directory$"):
        ta.load(saved / "config.json")
    with pytest.raises(UserError, match=r"^device='gpu': must be one of auto, cpu, cuda; did you mean cuda\?$"):
        ta.load(saved, device="gpu")
    with pytest.raises(UserError, match=r"^dtype='int8': must be one of float32, float64, bfloat16$"):
        ta.load(saved, dtype="int8")
    with pytest.raises(MachineError, match=r'^dtype="bfloat16": computes on a GPU only'):
        ta.load(saved, device="cpu", dtype="bfloat16")
    with pytest.raises(UserError, match="best=True is for runs, and this is none"):
        ta.load(saved, best=True)


def test_the_face_is_lazy_and_says_what_it_has():
    assert {"load", "save"} <= set(dir(ta))
    with pytest.raises(AttributeError, match="module 'tinygrad_arith' has no attribute 'laod'"):
        ta.laod  # noqa: B018
    code = "import sys, tinygrad_arith; print('numpy' in sys.modules, len([m for m in sys.modules if 'tinygrad' in m]))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "1"]


def test_no_name_of_the_face_is_a_submodule():
    names = {path.stem for path in Path(ta.__file__).parent.iterdir()}
    assert not names & set(ta.PLACES)
