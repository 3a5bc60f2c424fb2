"""A model, a task with a metric of its own, an objective and an operation live in a package of someone else's.

All that is said to tinygrad_arith of them is a line in each registry; every command then knows them.
"""

import importlib
import json
import re
import shutil
import sys

import numpy as np
import pytest

from tinygrad_arith.backend import DtypePolicy
from tinygrad_arith.cli.compare import main as compare
from tinygrad_arith.cli.evaluate import main as evaluate
from tinygrad_arith.cli.peek import main as peek
from tinygrad_arith.cli.plot import main as plot
from tinygrad_arith.cli.sample import main as sample
from tinygrad_arith.cli.train import main as train
from tinygrad_arith.models.registry import MODELS
from tinygrad_arith.ops import OPERATIONS
from tinygrad_arith.options.errors import MisuseError, UserError
from tinygrad_arith.run_files.metrics import read_metrics
from tinygrad_arith.tasks import TASKS
from tinygrad_arith.training.runs import load_run

FILES = {  # of the package, and which example of CONTRIBUTING.md each is
    "softplus.py": "tinygrad_arith/ops/softplus.py",
    "bag.py": "tinygrad_arith/models/bag.py",
    "task.py": "tinygrad_arith/tasks/next_character.py",
    "smoothed.py": "tinygrad_arith/tasks/smoothed.py",
}
MODEL = '''
from tinygrad_arith.autograd import differentiable

from .bag import Bag
from .softplus import SOFTPLUS


class SoftplusBag(Bag):
    """A bag whose activation is an operation of this package."""

    activation = staticmethod(differentiable(SOFTPLUS))
'''
KINDS = ("--task", "next-character", "--architecture", "bag", "--window", "8", "--smoothing", "0.1", "--width", "8")
SHORT = ("--batch", "8", "--warmup", "0", "--schedule", "constant", "--eval-every", "5", "--eval-size", "20")
SHORT += ("--learning-rate", "0.01", "--steps", "20", "--checkpoint-every", "10", "--device", "cpu")


def outside(source, place):
    """A file of the package as one outside of it: of its own package are the files that come with it only."""
    package = place.rpartition("/")[0].replace("/", ".")
    source = re.sub(r"^from \.\.(?=\w)", "from tinygrad_arith.", source, flags=re.MULTILINE)
    ours = "|".join(name.removesuffix(".py") for name in FILES)
    return re.sub(rf"^from \.(?!(?:{ours}) )(?=\w)", f"from {package}.", source, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def extension(page, tmp_path_factory):
    """The package `extension`, and a line for it in each registry."""
    root = tmp_path_factory.mktemp("outside")
    (root / "extension").mkdir()
    for name, place in FILES.items():
        (root / "extension" / name).write_text(outside(page.file(place), place), encoding="utf-8")
    (root / "extension" / "__init__.py").write_text("", encoding="utf-8")
    (root / "extension" / "model.py").write_text(MODEL, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root))
        patch.setitem(MODELS.places, "bag", "extension.model:SoftplusBag")
        patch.setitem(TASKS.places, "next-character", "extension.task:NextCharacter")
        patch.setitem(OPERATIONS, "softplus", importlib.import_module("extension.softplus").SOFTPLUS)
        yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "extension"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def run(extension, tmp_path_factory):
    """A run of the task by the model, whose batches two processes shared."""
    directory = tmp_path_factory.mktemp("runs") / "run"
    assert train([*KINDS, *SHORT, "--workers", "2", "--out", str(directory)]) == 0
    return directory


def command_fails(call, capsys, *words):
    """The exit code of a command and the last line that it says on stderr."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        call(list(words))
    return ended.value.code, capsys.readouterr().err.splitlines()[-1]


def test_the_run_is_of_these_kinds_and_learns(run):
    loaded = load_run(run)
    assert type(loaded.model).__module__ == "extension.model"
    assert type(loaded.task).__module__ == "extension.task"
    assert type(loaded.task.objective).__module__ == "extension.smoothed"
    assert loaded.task.objective.share == 0.1
    bits = [row["bits_per_character"] for row in read_metrics(run / "metrics.jsonl") if "bits_per_character" in row]
    assert len(bits) == 4
    assert bits[-1] < bits[0] < 5
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    assert result["goal"] == {"name": "bits_per_character", "rising": False, "share": False}
    assert 0 < result["accuracy"] < 1


def test_the_gradient_is_that_of_the_objective_through_the_operation(run):
    """Along a random direction, in float64."""
    loaded = load_run(run)
    model, objective, batch = loaded.model, loaded.task.objective, loaded.task.train_batch(0, 4, seed=1)
    model.initialize(seed=2, policy=DtypePolicy.uniform("float64"))
    with model.flat.fresh_gradients():
        objective.loss(model, batch).total.backward()
    direction = np.random.default_rng(3).normal(size=model.flat.values.shape)
    slope, step, values = model.flat.gradients @ direction, 1e-6, model.flat.values.copy()
    losses = []
    for sign in (1, -1):
        model.flat.values[:] = values + sign * step * direction
        losses.append(objective.loss(model, batch).total.item())
    np.testing.assert_allclose(slope, (losses[0] - losses[1]) / (2 * step), rtol=1e-6)


def test_a_resumed_run_comes_to_the_same_bits(run, no_picture, tmp_path, capsys):
    directory = tmp_path / "resumed"
    shutil.copytree(run, directory)
    for path in (directory / "checkpoints").glob("step-00000020.*"):  # as if it had ended before this one
        path.unlink()
    assert train(["--resume", str(directory)]) == 0
    assert "going on from step 10" in capsys.readouterr().out
    assert np.array_equal(load_run(directory).model.flat.values, load_run(run).model.flat.values)


def test_a_goal_that_falls_ends_the_training(extension, no_picture, tmp_path, capsys):
    directory = tmp_path / "stopped"
    assert train([*KINDS, *SHORT, "--workers", "1", "--until", "4.5", "--out", str(directory)]) == 0
    assert "or until validation bits per character reaches 4.5" in capsys.readouterr().out
    assert json.loads((directory / "result.json").read_text(encoding="utf-8"))["step"] == 5


def test_a_goal_that_is_a_share_is_at_most_1(capsys, tmp_path):
    with pytest.raises(MisuseError, match=r"^--until 4\.5: must be at most 1, for exact match is a share of 1"):
        train(["--until", "4.5", "--out", str(tmp_path / "none")])


def test_evaluate_tells_what_the_task_measures(run, capsys):
    assert evaluate([str(run), "--count", "30"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"bits per character +\d\.\d+ on 30 test rows", out)
    assert re.search(r"accuracy +0\.\d+", out)
    assert evaluate([str(run), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert {"bits_per_character", "accuracy", "loss"} <= set(values)


def test_what_needs_answers_says_so_in_one_sentence(run):
    for command in (lambda: sample([str(run)]), lambda: evaluate([str(run), "--show", "3"])):
        with pytest.raises(UserError, match=r"needs a task of problems with answers, and this one is none: the next"):
            command()


def test_peek_shows_rows(extension, capsys):
    assert peek(["--task", "next-character", "--window", "4", "--show", "2"]) == 0
    out = capsys.readouterr().out
    assert "row 1" in out
    assert "row 2" in out
    assert "row 3" not in out


def test_a_dry_run_names_the_operation(extension, capsys):
    assert train([*KINDS, *SHORT, "--dry-run"]) == 0
    assert re.search(r"softplus[ |]+cpu[ |]+float32[ |]+reference", capsys.readouterr().out)


def test_plot_draws_what_there_is_and_says_what_there_is_not(run, tmp_path, capsys):
    assert plot([str(run), "--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"accuracy_steps.png", "accuracy_samples.png", "losses.png"}
    capsys.readouterr()
    assert plot([str(run), "--list"]) == 0
    assert re.search(r"groups .* no: its task breaks an evaluation down", capsys.readouterr().out)


def test_compare_puts_it_beside_a_run_of_sums(run, write_run, tmp_path, capsys):
    sums = write_run(tmp_path / "sums")
    assert compare([str(run), str(sums), "--out", str(tmp_path / "compared")]) == 0
    out = capsys.readouterr().out
    assert "goal metric" in out
    assert re.search(r"next-character[ |]+1[ |]+\d\.\d{4}[ |]+-[ |]", out)
    assert (tmp_path / "compared" / "comparison.png").is_file()
    assert compare([str(run), "--out", str(tmp_path / "alone")]) == 0
    assert "bits per character" in capsys.readouterr().out


def test_help_shows_the_flags_of_the_kinds(extension, capsys):
    with pytest.raises(SystemExit):
        train(["--task", "next-character", "--architecture", "bag", "--help"])
    shown = capsys.readouterr().out
    assert all(flag in shown for flag in ("--window", "--smoothing", "--width"))
    assert not any(flag in shown for flag in ("--digits", "--heads", "--train-size", "--position-offset"))


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--window", "8"), "--window: means nothing for --task binary-addition; it is an option of next-character"),
        (("--width", "8"), "--width: means nothing for --architecture gpt; it is an option of bag"),
        (
            ("--architecture", "bag", "--heads", "2"),
            "--heads: means nothing for --architecture bag; it is an",
        ),
        (("--task", "next-character", "--train-size", "9"), "--train-size: means nothing for --task next-character"),
        (("--task", "next-character", "--window", "0"), "--window: must be 1 to 500, not 0"),
    ],
)
def test_a_wrong_flag_is_one_sentence(extension, capsys, flags, sentence):
    code, told = command_fails(train, capsys, *flags)
    assert code == 2
    assert sentence in told


def test_more_examples_than_there_are_is_one_sentence(extension, tmp_path):
    with pytest.raises(MisuseError, match=r"^--eval-size 5000: the validation split holds [\d,]+ examples only$"):
        train([*KINDS, *SHORT, "--eval-size", "5000", "--out", str(tmp_path / "none")])
