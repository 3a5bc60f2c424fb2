"""The CPU benchmark's machinery on a tiny shape, with our own step only: no rivals, no timing assertions."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))  # scripts, not an installed package

import cpu_train_step
from cpu_rivals.configurations import CONFIGURATIONS, find_configuration
from cpu_rivals.inputs import make_batches, near_kink, read_checked, write_inputs
from cpu_rivals.ours import build_model
from cpu_rivals.report import geometric_mean, markdown, ratios
from cpu_rivals.rounds import Disagreement, agree
from cpu_rivals.worker import Worker, WorkerError, worker_environment

TINY = "12/1/3/7/5"


def test_configurations_are_found_by_name_or_made_from_a_shape():
    preset = find_configuration("64/2/4/28/128")
    assert (preset.vocabulary, preset.activation, preset.hidden, preset.rows) == (7, "relu", 256, 28)
    tiny = find_configuration(TINY)
    assert (tiny.d_model, tiny.layers, tiny.heads, tiny.positions, tiny.batch) == (12, 1, 3, 7, 5)
    assert (find_configuration("gpt2").rows, find_configuration("gpt2").tied) == (1024, True)
    assert len(CONFIGURATIONS) == 6


@pytest.mark.parametrize("name", ["12/1/3/7", "12/1/5/7/5", "12/0/3/7/5", "gpt3"])
def test_a_wrong_configuration_is_a_sentence_that_names_the_known_ones(name):
    with pytest.raises(ValueError, match=r"(?s)" + name + r".*48/3/3/19/64.*gpt2"):
        find_configuration(name)


@pytest.mark.parametrize(
    "flags", [["--only", "x"], ["--variants", "torch-fused"], ["--variants", "ours", "tf"], ["--rounds", "0"]]
)
def test_misuse_exits_with_status_2(flags, capsys):
    with pytest.raises(SystemExit) as stopped:
        cpu_train_step.main(flags)
    assert stopped.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_batches_are_next_tokens_and_leave_the_prompt_out():
    configuration = find_configuration("48/3/3/19/64")
    tokens, targets = make_batches(configuration)
    assert tokens.shape == targets.shape == (8, 64, 19)
    assert (targets[..., : configuration.prompt] == -1).all()
    np.testing.assert_array_equal(targets[..., configuration.prompt : -1], tokens[..., configuration.prompt + 1 :])


def test_the_protocol_with_ours(tmp_path):
    configuration = find_configuration(TINY)
    write_inputs(configuration, tmp_path)
    with Worker("ours", threads=1) as worker:
        assert "numpy" in worker.ask("hello")["versions"]
        with pytest.raises(WorkerError, match="AttributeError"):
            worker.ask("no_such_command")
        worker.ask("prepare", configuration=configuration.to_dict(), directory=str(tmp_path))
        checked = worker.ask("check")
        with np.load(checked["gradients"]) as gradients:
            assert gradients["blocks.0.attention.qkv.weight"].shape == (12, 36)
            assert all(np.isfinite(gradients[name]).all() for name in gradients)
        timed = worker.ask("time", steps=4)
        assert len(timed["seconds"]) == len(timed["losses"]) == 4
        assert timed["losses"][0] == checked["loss"]  # the check updated nothing
        assert {"ffn", "optimizer", "norm", "rest"} <= {r["part"] for r in worker.ask("profile", steps=2)["rows"]}
        assert worker.ask("memory").keys() == {"bytes"}


def test_rivals_do_not_load_our_package():
    command = "import sys, cpu_rivals.protocol, cpu_rivals.variants; print('tinygrad_arith' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", command], env=worker_environment(1), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_a_worker_that_cannot_start_says_why():
    with Worker("no-such-variant", threads=1) as worker, pytest.raises(WorkerError, match="no such variant"):
        worker.ask("hello")


def test_the_script_with_ours_and_its_slower_forms(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cpu_train_step, "RESULTS", tmp_path)
    flags = ["--only", TINY, "--variants", "ours-reference", "ours-numpy", "ours", "--rounds", "2", "--seconds", "0.01"]
    assert cpu_train_step.main([*flags, "--threads", "1", "--json", "--write"]) == 0
    printed = capsys.readouterr()
    assert "gradients agree: ours-reference, ours-numpy" in printed.err
    report = json.loads(printed.out)
    result = report["configurations"][0]
    assert list(result["variants"]) == ["ours", "ours-reference", "ours-numpy"]
    assert all(len(figures["round_ms"]) == 2 for figures in result["variants"].values())
    assert result["ratio_to_torch"] is None
    assert report["geometric_mean"] is None
    files = sorted(tmp_path.iterdir())
    assert [file.suffix for file in files] == [".json", ".md"]
    assert json.loads(files[0].read_text(encoding="utf-8")) == report
    assert TINY in files[1].read_text(encoding="utf-8")


def answers(**changes):
    gradients = {"a": np.array([1.0, 2.0], np.float32)}
    return {"loss": 2.0, "gradients": gradients, "losses": [2.0, 1.5, 1.25]} | changes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"loss": 2.001}, "loss"),
        ({"gradients": {"a": np.array([1.0, 2.001], np.float32)}}, "gradient of a"),
        ({"gradients": {"b": np.array([1.0, 2.0], np.float32)}}, "other parameters"),
        ({"losses": [2.0, 1.5, 1.26]}, "first steps"),
    ],
)
def test_a_rival_that_computes_something_else_is_refused(changes, said):
    agree("same", answers(), answers(), TINY)
    with pytest.raises(Disagreement, match=f"{TINY}: other.*{said}"):
        agree("other", answers(**changes), answers(), TINY)


def test_ratios_are_against_the_fastest_of_each_round():
    times = {"ours": [8.0, 9.0], "torch-fused": [10.0, 20.0], "torch-default": [16.0, 10.0]}
    result = {"variants": {name: {"round_ms": values} for name, values in times.items()}}
    found = ratios(result, "torch")
    assert found["per_round"] == pytest.approx([0.8, 0.9])
    assert ratios(result, "jax") is None
    other = {"ratio_to_torch": {"per_round": [0.2, 0.4]}}
    assert geometric_mean([{"ratio_to_torch": found}, other])["per_round"] == pytest.approx([0.4, 0.6])
    assert "| configuration |" in markdown({"variants": {}, "configurations": [], "geometric_mean": None}, "here")


def test_examples_near_the_kink_of_relu_bear_no_loss_in_the_check(tmp_path):
    configuration = dataclasses.replace(find_configuration(TINY), activation="relu")
    model = build_model(configuration).initialize(seed=1)
    tokens, targets = make_batches(configuration)
    assert not near_kink(model, tokens[0]).any()
    model.blocks[0].ffn.up.weight.array[...] = 0.0
    model.blocks[0].ffn.up.weight.array[0, :] = 1.0
    model.blocks[0].ffn.up.weight.array[:, 1] = 0.0  # unit 1 sits on its kink, in every example
    assert near_kink(model, tokens[0]).all()
    write_inputs(configuration, tmp_path)
    np.testing.assert_array_equal(read_checked(tmp_path)[1], targets[0])
