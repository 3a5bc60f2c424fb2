"""The commands with --device cuda: training, going on after a stop, evaluating and sampling on both devices."""

import json
import re

import numpy as np
import pytest

from tinygrad_arith.cli import evaluate, sample, train
from tinygrad_arith.run_files.metrics import read_metrics
from tinygrad_arith.training.runs import load_run

FLAGS = ["--digits", "4", "--validation-size", "20", "--test-size", "40", "--d-model", "32", "--heads", "2"]
FLAGS += ["--learning-rate", "5e-3", "--batch", "64", "--warmup", "20"]
FLAGS += ["--eval-every", "50", "--checkpoint-every", "70"]


def trained(directory, *flags, steps=400):
    assert train.main([*FLAGS, "--steps", str(steps), "--device", "cuda", "--out", str(directory), *flags]) == 0
    return json.loads((directory / "result.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("flags", [(), ("--tf32",), ("--dtype", "bfloat16", "--dropout", "0.05")], ids=str)
def test_training_reaches_every_answer(tmp_path, flags, capsys):
    assert trained(tmp_path / "run", *flags)["test_exact_match"] == 1.0
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, 401))
    assert [row["step"] for row in rows if "exact_match" in row] == list(range(50, 401, 50))
    seconds = [row["seconds"] for row in rows]
    assert seconds == sorted(seconds)
    assert "GPU" in capsys.readouterr().out


def test_a_run_goes_on_to_the_same_bits(tmp_path):
    schedule = ("--schedule", "constant")
    trained(tmp_path / "whole", *schedule, steps=120)
    trained(tmp_path / "part", *schedule, steps=70)
    assert train.main(["--resume", str(tmp_path / "part"), "--steps", "120"]) == 0
    whole, part = (load_run(tmp_path / name).model.state_dict() for name in ("whole", "part"))
    assert all(np.array_equal(whole[name], part[name]) for name in whole)


def test_a_learning_rate_that_blows_up_names_step_and_tensor(tmp_path, capsys):
    from tinygrad_arith.options.errors import UserError

    with pytest.raises(UserError, match=r"^step \d+: .* is the first tensor that is not finite"):
        trained(tmp_path / "run", "--learning-rate", "1e30")
    assert all(np.isfinite(row["loss"]) for row in read_metrics(tmp_path / "run" / "metrics.jsonl"))


def test_evaluating_and_sampling_on_both_devices(tmp_path, capsys):
    trained(tmp_path / "run", "--dtype", "bfloat16")
    problems = tmp_path / "problems"
    problems.write_text("101+11=\n1+1=\n", encoding="utf-8")
    measured, answers = [], []
    for device in ("cpu", "cuda"):
        capsys.readouterr()
        assert evaluate.main([str(tmp_path / "run"), "--json", "--device", device]) == 0
        measured.append(json.loads(capsys.readouterr().out))
        assert sample.main([str(tmp_path / "run"), "--file", str(problems), "--device", device]) == 0
        answers.append(capsys.readouterr().out)
    losses = [values.pop("loss") for values in measured]
    assert losses[1] == pytest.approx(losses[0], rel=0.05, abs=1e-4)  # rounding; the answers are the same
    assert measured[0] == measured[1]
    assert answers[0] == answers[1]


def test_a_dry_run_names_the_kernels(capsys):
    assert train.main(["--dry-run", "--device", "cuda"]) == 0
    out = capsys.readouterr().out
    chosen = dict(re.findall(r"\| (\w+) +\| cuda +\| float32 +\| (\w+) ", out))
    assert chosen["linear"] == chosen["ffn"] == "cublaslt"
    operations = ("add", "cross_entropy_sum", "embedding", "layernorm", "packed_attention")
    assert "reference" not in {chosen[operation] for operation in operations}
