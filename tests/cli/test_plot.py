"""The plot command: which pictures a run has, where they go, and that they show what the run measured."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from tinygrad_arith.cli.plot import folder_name, main
from tinygrad_arith.cli.train import main as train
from tinygrad_arith.plots.catalogue import PICTURES, find_train_sizes, short_labels
from tinygrad_arith.plots.run_data import Choices, RunData
from tinygrad_arith.plots.series import Curve
from tinygrad_arith.run_files.metrics import read_metrics
from tinygrad_arith.tasks import build_task
from tinygrad_arith.training.runs import load_run, read_record

SHARED = ["accuracy_steps", "accuracy_samples"]
EACH = ["length_heatmap_test", "by_operand_length", "by_longest_carry_chain", "answer_positions", "attention", "tokens"]
EACH += ["losses"]


@pytest.fixture
def draw(call_command):
    """A function from flags to (exit code, stdout, stderr)."""

    return lambda *flags: call_command(main, *map(str, flags))


@pytest.fixture
def plot(draw, blank_pictures):
    """The same, with blank pictures."""
    return draw


@pytest.fixture(scope="module")
def modular_run(tmp_path_factory):
    """A run of a task without digits, whose answers are one token."""
    directory = tmp_path_factory.mktemp("modular") / "run"
    flags = ["--task", "modular-addition", "--modulus", "7", "--batch", "8", "--validation-size", "5"]
    flags += ["--test-size", "5", "--eval-size", "5", "--d-model", "16", "--layers", "1", "--heads", "2"]
    assert train([*flags, "--warmup", "2", "--steps", "20", "--eval-every", "10", "--out", str(directory)]) == 0
    return directory


def stems(out):
    return [line.rsplit("/", 1)[1].removesuffix(".png") for line in out.splitlines()]


def available(out):
    """What a printed list says of each picture."""
    return {line.split("|")[1].strip(): line.split("|")[3].strip() for line in out.splitlines() if "|" in line}


def test_a_run_gets_all_the_pictures_that_it_has(draw, small_run, tmp_path):
    code, out, err = draw(small_run, "--out", tmp_path)
    assert (code, err) == (0, "")
    assert set(stems(out)) - {"accuracy_length"} == {*SHARED, *EACH}
    for line in out.splitlines():
        with open(line, "rb") as file:
            assert file.read(4) == b"\x89PNG"


def test_a_picture_of_one_run_has_its_name(small_run):
    run = RunData(small_run, Choices(count=10))
    figures = {
        name: draw() for p in PICTURES if p.name in ("heatmap", "attention") for name, draw in p.find(run).items()
    }
    assert len(figures) == 2
    assert all(figure.get_suptitle().endswith(small_run.name) for figure in figures.values())


def test_another_task_has_other_pictures(plot, modular_run):
    code, out, _ = plot(modular_run)
    assert code == 0
    assert {"grokking", "tokens", "losses", "attention"} <= set(stems(out))
    assert not {"length_heatmap", "accuracy_length", "answer_positions"} & set(stems(out))
    assert all(line.startswith(str(modular_run / "plots")) for line in out.splitlines())


def test_the_list_says_what_there_is_and_why_not(plot, modular_run):
    code, out, _ = plot("--list")
    assert code == 0
    assert all(picture.name in out and picture.shows.split()[0] in out for picture in PICTURES)
    out = plot(modular_run, "--list")[1]
    rows = available(out)
    assert rows["grokking"] == rows["tokens"] == "yes"
    assert rows["heatmap"].startswith("no: the task has not two operands")


def test_several_runs_share_a_picture_and_have_folders_of_their_own(plot, small_run, modular_run, tmp_path):
    twin = tmp_path / "runs" / "twin"
    shutil.copytree(small_run, twin)
    code, out, _ = plot(small_run, twin, modular_run, "--only", "steps", "--only", "tokens", "--out", tmp_path / "p")
    assert code == 0
    found = [line.removeprefix(f"{tmp_path / 'p'}/") for line in out.splitlines()]
    parents = [small_run.parent.name, modular_run.parent.name]
    assert found == [
        "accuracy_steps.png",
        f"{parents[0]}-run/tokens.png",
        "twin/tokens.png",
        f"{parents[1]}-run/tokens.png",
    ]


def test_csv_is_written_where_the_pictures_of_a_run_go(plot, write_run, tmp_path):
    runs = [write_run(tmp_path / name) for name in ("a", "b")]
    code, out, err = plot(*runs, "--csv")
    assert (code, err, out.splitlines()) == (0, "", [str(run / "plots" / "metrics.csv") for run in runs])
    assert (
        (runs[0] / "plots" / "metrics.csv")
        .read_text(encoding="utf-8")
        .startswith("step,loss,seconds,exact_match\n1,11.0,0.1,\n")
    )
    code, out, _ = plot(*runs, "--csv", "--out", tmp_path / "c")
    assert out.splitlines() == [str(tmp_path / "c" / name / "metrics.csv") for name in ("a", "b")]
    (runs[0] / "metrics.jsonl").write_text("", encoding="utf-8")
    code, out, err = plot(*runs, "--csv")
    assert (code, err) == (1, f"error: {runs[0]}: has no metrics.jsonl yet, or nothing in it\n")
    assert len(out.splitlines()) == 1
    assert plot(runs[1], "--csv", "--only", "steps")[0] == 2
    assert plot("--csv")[0] == 2


def test_folders_have_as_many_names_as_tell_runs_apart():
    paths = [Path("a/x/run"), Path("b/x/run"), Path("b/y/run"), Path("b/y/other")]
    assert [folder_name(path, paths) for path in paths] == ["a-x-run", "b-x-run", "y-run", "other"]


def test_the_numbers_are_those_of_the_run(small_run):
    data = RunData(small_run, Choices())
    run = load_run(small_run)
    evaluated = [row for row in read_metrics(small_run / "metrics.jsonl") if "exact_match" in row]
    curve = Curve.of(data.evaluated, "examples", data.goal.field)
    np.testing.assert_array_equal(curve.x, [row["step"] * 40 for row in evaluated])
    np.testing.assert_array_equal(curve.y, [row["exact_match"] for row in evaluated])
    everything = run.task.judge(run.model, run.task.problems("test", 16))
    assert data.metrics.correct == everything.correct
    lengths = np.maximum(*run.task.operand_lengths(everything.problems))
    for length, share in zip(data.by_length.x, data.by_length.y, strict=True):
        assert share == everything.right[lengths == length].mean()


def test_attention_is_drawn_of_the_problem_that_was_asked_for(small_run):
    maps, tokens, answer = RunData(small_run, Choices(problem="101+011=")).attention()
    assert "".join(tokens) == "101+011=1101."
    assert "".join(tokens[answer:]) == "1101."
    assert [layer.shape for layer in maps] == [(2, len(tokens), len(tokens))]
    np.testing.assert_allclose(maps[0].sum(axis=-1), 1.0, atol=1e-5)
    assert np.all(np.triu(maps[0], 1) == 0)


def test_attention_to_padding_is_drawn_with_the_padding(tmp_path, no_picture):
    flags = ["--task", "expressions", "--depth", "1", "--rows", "prefix", "--prompt-width", "9", "--batch", "8"]
    flags += ["--architecture", "window-gpt", "--attend-to", "padding", "--layers", "1", "--d-model", "8"]
    assert train([*flags, "--warmup", "1", "--steps", "2", "--eval-size", "2", "--out", str(tmp_path / "run")]) == 0
    maps, tokens, answer = RunData(tmp_path / "run", Choices(problem="1+2=")).attention()
    assert tokens == [*"1+2______=", *"___"[: len(tokens) - 10]]
    assert answer == 10
    assert [layer.shape for layer in maps] == [(4, len(tokens), len(tokens))]
    np.testing.assert_allclose(maps[0].sum(axis=-1), 1.0, atol=1e-5)


def test_runs_of_several_train_sizes_count_their_seeds_once(small_run, monkeypatch):
    runs = [RunData(small_run, Choices()) for _ in range(4)]
    for run, seed, size in zip(runs, (1, 2, 1, 2), (20, 20, 40, 40), strict=True):
        config = run.record.config
        task = dataclasses.replace(config.task, train_size=size)
        training = dataclasses.replace(config.training, seed=seed)
        run.record = dataclasses.replace(run.record, config=dataclasses.replace(config, task=task, training=training))
        run.task = build_task(task)
    (draw,) = find_train_sizes(runs).values()
    assert draw().axes[0].get_title(loc="left").endswith(": binary-reversed (2 seeds)")


def test_groups_are_told_apart_by_what_differs(small_run, modular_run):
    small, modular = read_record(small_run), read_record(modular_run)
    assert short_labels([small, modular]) == ["binary-reversed", "modular-addition"]
    faster = dataclasses.replace(small.config.optimizer, learning_rate=0.5)
    other = dataclasses.replace(small, config=dataclasses.replace(small.config, optimizer=faster))
    assert short_labels([small, other])[1] == "learning_rate 0.5"
    assert short_labels([small]) == ["binary-reversed"]


@pytest.mark.parametrize(
    ("flags", "code", "sentence"),
    [
        (["--only", "tokns"], 2, "--only tokns: no such picture; did you mean tokens?"),
        (["--only", "grokking"], 1, "--only grokking: its tokens are no numbers modulo p"),
        (["--only", "train-size"], 1, "--only train-size: needs finished runs with different --train-size"),
        (["--only", "attention", "--problem", "12+1="], 2, "--problem 12+1=: "),
        (["--only", "groups", "--count", "17"], 2, "--count 17: the test split holds 16 problems"),
        (["--count", "0"], 2, "--count: must be a whole number of at least 1, not 0"),
        (["--format", "xyz"], 2, "--format: invalid choice: 'xyz'"),
    ],
)
def test_bad_flags_are_one_sentence(plot, small_run, tmp_path, flags, code, sentence):
    found, out, err = plot(small_run, "--out", tmp_path, *flags)
    assert (found, out) == (code, "")
    assert err.startswith(f"error: {sentence}")
    assert err.count("\n") == 1


def test_a_sample_that_is_not_followed_is_misuse(plot, small_run, tmp_path):
    code, out, err = plot(small_run, "--out", tmp_path, "--sample", "9")
    assert (code, out) == (2, "")
    assert err == f"error: --sample 9: {small_run / 'predictions.jsonl'} follows 8 samples\n"
    assert plot(small_run, "--out", tmp_path, "--only", "losses", "--sample", "9")[0] == 0  # of no matter there
    assert plot(small_run, "--out", tmp_path, "--only", "tokens", "--sample", "8")[0] == 0


def test_a_picture_of_few_problems_does_not_replace_that_of_all(plot, small_run, tmp_path):
    only = [f for name in ("heatmap", "groups", "length") for f in ("--only", name)]
    full = plot(small_run, "--out", tmp_path, *only)[1]
    few = plot(small_run, "--out", tmp_path, *only, "--count", "4")[1]
    assert not set(stems(full)) & set(stems(few))
    assert all(stem.endswith("_4_problems") for stem in stems(few))
    assert "accuracy_length_4_problems" in stems(few)


def test_damaged_checkpoints_do_not_keep_the_other_pictures_back(plot, small_run, tmp_path):
    damaged = tmp_path / "run"
    shutil.copytree(small_run, damaged)
    for file in (damaged / "checkpoints").glob("*.safetensors"):
        file.write_bytes(b"")
    code, out, err = plot(damaged, "--out", tmp_path / "p")
    assert code == 1
    assert stems(out) == ["accuracy_steps", "accuracy_samples", "answer_positions", "tokens", "losses"]
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert errors[0].startswith(f"error: {damaged / 'checkpoints'}: no complete checkpoint: ")
    listed = available(plot(damaged, "--list")[1])
    for name in ("length", "heatmap", "groups", "attention"):
        assert listed[name].startswith(f"no: {damaged / 'checkpoints'}: no complete checkpoint")
    for name in ("steps", "positions", "tokens", "losses"):
        assert listed[name] == "yes"


def test_what_was_not_evaluated_yet_is_told_so(plot, small_run, tmp_path):
    young = tmp_path / "young"
    young.mkdir()
    shutil.copy(small_run / "config.json", young)
    first = (small_run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[0]
    (young / "metrics.jsonl").write_text(first + "\n", encoding="utf-8")
    assert available(plot(young, "--list")[1])["tokens"] == "no: it has no predictions.jsonl"
    (young / "predictions.jsonl").touch()
    listed = available(plot(young, "--list")[1])
    for name in ("positions", "tokens", "losses"):
        assert listed[name] == "no: it was not evaluated yet"


def test_no_run_is_one_sentence(plot, tmp_path):
    assert plot()[2].startswith("error: RUN: name the directory of a run, or several")
    assert plot(tmp_path / "gone") == (2, "", f"error: {tmp_path / 'gone'}: no such run directory\n")


def test_a_run_that_has_just_begun_has_few_pictures(plot, small_run, tmp_path):
    young = tmp_path / "young"
    young.mkdir()
    shutil.copy(small_run / "config.json", young)
    assert plot(young) == (0, "", "warning: there is nothing to draw yet; --list says why\n")
    code, _, err = plot(young, "--only", "heatmap")
    assert (code, err) == (1, "error: --only heatmap: it has no checkpoint yet\n")


@pytest.mark.parametrize(
    ("only", "file", "content", "sentence"),
    [
        ("train-size", "result.json", "{torn", "result.json: not a run's result: "),
        ("train-size", "result.json", "[1, 2]", "result.json: not a run's result: it lacks step"),
        ("steps", "metrics.jsonl", '{"step": 1, "loss": 1.0, "exact_match": 0.5}\n', "line 1 lacks examples"),
        ("steps", "metrics.jsonl", '{"step": 1, "examples": 40}\n', "line 1 lacks loss"),
        ("tokens", "predictions.jsonl", '{"tokens": [[1]]}\n{"step": 1}\n', "not a run's predictions: KeyError"),
    ],
)
def test_a_damaged_file_is_one_sentence(plot, small_run, tmp_path, only, file, content, sentence):
    damaged = tmp_path / "run"
    shutil.copytree(small_run, damaged)
    (damaged / file).write_text(content, encoding="utf-8")
    code, _, err = plot(damaged, "--out", tmp_path / "p", "--only", only)
    assert code == 1
    assert err.startswith(f"error: {damaged / file}: ")
    assert sentence in err
    assert err.count("\n") == 1
