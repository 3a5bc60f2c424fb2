"""Training with each optimizer: it learns, resumes to the same bits, and is resumed by no other."""

import dataclasses
import json

import numpy as np
import pytest

from tinygrad_arith.cli.train import main as train
from tinygrad_arith.options.errors import UserError
from tinygrad_arith.run_files.checkpoints import load_newest
from tinygrad_arith.run_files.metrics import read_metrics
from tinygrad_arith.tasks.metrics import EXACT_MATCH
from tinygrad_arith.training.build import initialize, make_model, make_optimizer, make_task
from tinygrad_arith.training.config import Config
from tinygrad_arith.training.runs import RunRecord, write_record
from tinygrad_arith.training.session import resumed_session
from tinygrad_arith.training.trainer import Session, Trainer, start_steps

OPTIMIZERS = {
    "adamw": {},
    "sgd": {"learning_rate": 0.3, "weight_decay": 0.01},
    "sgd, nesterov": {"kind": "sgd", "nesterov": True, "coupled_decay": True, "weight_decay": 0.01},
    "sgd, dampening": {"kind": "sgd", "dampening": 0.5},
    "sgd, no momentum": {"kind": "sgd", "momentum": 0.0},
    "lion": {"learning_rate": 1e-3},
}
STATES = {"adamw": {"first_moment", "second_moment"}, "sgd": {"velocity"}, "lion": {"first_moment"}}
each_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def config_of(name, **training):
    return Config.from_dict(
        {
            "task": {"digits": 3, "validation_size": 8, "test_size": 8},
            "model": {"d_model": 16, "heads": 2, "layers": 1, "dropout": 0.1},
            "optimizer": {"kind": name.split(",")[0], "warmup": 3, **OPTIMIZERS[name]},
            "training": {
                "steps": 20,
                "batch": 8,
                "eval_every": 10,
                "checkpoint_every": 7,
                "workers": 1,
                "device": "cpu",
            }
            | training,
        }
    ).resolved()


def trainer_of(config, directory, checkpoint=None):
    directory.mkdir(exist_ok=True)
    task = make_task(config.task)
    model = initialize(make_model(config, task), config)
    record = RunRecord(config, "binary-reversed")
    session = Session(record, directory, task, model, make_optimizer(config, model), checkpoint=checkpoint)
    return Trainer(session)


def all_bits(trainer):
    return trainer.model.state_dict() | trainer.optimizer.state_dict()


def assert_same_bits(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@each_optimizer
def test_a_resumed_run_has_the_bits_of_one_that_was_not_stopped(name, tmp_path):
    config = config_of(name)
    whole = trainer_of(config, tmp_path / "whole")
    whole.run()
    first = trainer_of(config, tmp_path / "first")
    first.finished = lambda: first.progress.step >= 7
    first.run()
    checkpoint = load_newest(tmp_path / "first" / "checkpoints")
    assert checkpoint.progress.step == 7
    wanted = set() if name == "sgd, no momentum" else STATES[name.split(",")[0]]
    assert set(checkpoint.optimizer) == wanted | {"steps"}
    second = trainer_of(config, tmp_path / "first", checkpoint)
    second.run()
    assert_same_bits(all_bits(second), all_bits(whole))


@pytest.mark.parametrize(("kind", "name"), [("threads", "sgd"), ("threads", "lion"), ("processes", "lion")])
def test_workers_of_either_kind_give_the_same_bits(kind, name, tmp_path):
    found = []
    for number, worker_kind in enumerate(("threads", kind)):
        config = config_of(name, workers=2, worker_kind=worker_kind, steps=6)
        trainer = trainer_of(config, tmp_path / str(number))
        trainer.run()
        found.append(all_bits(trainer))
    assert_same_bits(*found)


@each_optimizer
@pytest.mark.parametrize("other", ["adamw", "sgd", "lion"])
def test_a_run_is_resumed_by_no_other_optimizer(name, other, tmp_path):
    directory, mine = tmp_path / "run", config_of(name)
    trainer = trainer_of(mine, directory)
    write_record(directory, RunRecord(mine, "binary-reversed"))
    trainer.finished = lambda: trainer.progress.step >= 7
    trainer.run()
    record = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    record["config"]["optimizer"] = config_of(other).to_dict()["optimizer"]
    (directory / "config.json").write_text(json.dumps(record), encoding="utf-8")
    with resumed_session(directory, None, None) as session:
        if trainer.optimizer.state_dict().keys() == session.optimizer.state_dict().keys():
            Trainer(session, trainer.reporter)
            return
        before = {path: path.read_bytes() for path in (directory / "checkpoints").iterdir()}
        with pytest.raises(UserError) as raised:
            Trainer(session, trainer.reporter)
    sentence = str(raised.value)
    assert "\n" not in sentence
    assert sentence.startswith(f"{directory / 'checkpoints' / 'step-00000007.safetensors'}: does not fit this run: the")
    assert sentence.endswith(": a run goes on with the optimizer that it began with")
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(("name", "rate"), [("sgd", 0.3), ("lion", 2e-3)])
def test_each_learns(name, rate, tmp_path):
    config = config_of(name, steps=300, batch=32, eval_every=300, checkpoint_every=300)
    optimizer = dataclasses.replace(config.optimizer, learning_rate=rate)
    model = dataclasses.replace(config.model, d_model=32, dropout=0.0)
    trainer = trainer_of(dataclasses.replace(config, optimizer=optimizer, model=model), tmp_path)
    trainer.run()
    losses = [row["loss"] for row in read_metrics(tmp_path / "metrics.jsonl")]
    assert np.mean(losses[-10:]) < 0.2 * np.mean(losses[:10])
    assert trainer.progress.goal == EXACT_MATCH


def test_held_biases_stay_with_every_optimizer(tmp_path):
    for name in OPTIMIZERS:
        config = config_of(name, steps=4)
        held = dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, train_biases=False))
        trainer = trainer_of(held, tmp_path / name.replace(",", ""))
        before = {key: array for key, array in trainer.model.state_dict().items() if array.ndim == 1}
        trainer.run()
        after = trainer.model.state_dict()
        assert all(np.array_equal(after[key], array) for key, array in before.items()), name


def test_on_a_gpu_only_what_a_graph_can_read_is_taken(monkeypatch, tmp_path):
    from tinygrad_arith.training import trainer

    class Own:
        def __repr__(self):
            return "my optimizer"

    config = config_of("adamw")
    model = initialize(make_model(config, make_task(config.task)), config)
    monkeypatch.setattr(trainer, "array_module", lambda array: None)  # as if it were CuPy's
    with pytest.raises(TypeError, match=r"on a GPU an optimizer is a FlatOptimizer, .*: not my optimizer"):
        start_steps(model, Own(), config)


def test_the_command_trains_resumes_and_refuses(tmp_path, no_picture, monkeypatch, capsys, digest_of_arrays):
    monkeypatch.chdir(tmp_path)
    tiny = ["--digits=3", "--validation-size=8", "--test-size=8", "--d-model=16", "--heads=2", "--layers=1"]
    tiny += ["--batch=8", "--workers=1", "--device=cpu", "--schedule=constant", "--checkpoint-every=5"]
    tiny += ["--optimizer=lion", "--warmup=5"]
    assert train([*tiny, "--steps", "5", "--out", "parts"]) == 0
    assert train([*tiny, "--steps", "10", "--out", "whole"]) == 0
    assert train(["--resume", "parts", "--steps", "10"]) == 0
    last = "checkpoints/step-00000010.safetensors"
    assert digest_of_arrays(tmp_path / "parts" / last) == digest_of_arrays(tmp_path / "whole" / last)
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        train(["--resume", "parts", "--optimizer", "sgd"])
    sentence = "error: --optimizer: not with --resume, which takes every option from the run"
    assert capsys.readouterr().err.startswith(sentence)
    record = json.loads((tmp_path / "parts" / "config.json").read_text(encoding="utf-8"))
    record["config"]["optimizer"] = {"kind": "adamw", "schedule": "constant", "warmup": 5}
    (tmp_path / "parts" / "config.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(UserError, match=r"^.*does not fit this run: the optimizer's state is that of Lion") as raised:
        train(["--resume", "parts", "--steps", "12"])
    assert "that of Lion (first_moment, steps)" in str(raised.value)
    assert "\n" not in str(raised.value)
