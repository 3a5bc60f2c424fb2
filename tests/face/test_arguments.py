"""What the functions of the face say of wrong arguments: one sentence, before anything is made or rewritten."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import tinygrad_arith as ta
from tinygrad_arith.face.arguments import of_arguments
from tinygrad_arith.face.callbacks import Calling, as_callbacks
from tinygrad_arith.options.arguments import ArgumentError, plain

RUN = Path(__file__).parents[1] / "fixtures" / "run_of_0_1_binary"
TINY = {"digits": 2, "steps": 4, "warmup": 1, "d_model": 8, "heads": 2, "batch": 8, "layers": 1}
TINY |= {"test_size": 4, "validation_size": 4, "workers": 1, "progress": False, "device": "cpu"}
NO_GOALS = [-1, True, float("nan"), float("inf"), "0.5", [0.5], b"1", 10**400, np.True_]


class Model:
    """What is none of the things that arguments may be."""


async def waits(row):
    return True


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return ta.fit(out=tmp_path_factory.mktemp("face") / "run", **TINY)


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run.path, tmp_path / "copy")


@pytest.mark.parametrize("until", [*NO_GOALS, 0], ids=str)
def test_a_goal_that_is_none_makes_no_run(until, tmp_path):
    with pytest.raises(ta.UserError, match=r"^until=.*: must be a number above 0, or None$"):
        ta.fit(out=tmp_path / "run", until=until, **TINY)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [{"until": v} for v in NO_GOALS] + [{"steps": v} for v in (5.5, "4", 0, True)])
def test_what_resume_refuses_leaves_the_run_as_it_is(wrong, copy):
    before = {path.name: path.read_bytes() for path in copy.iterdir() if path.is_file()}
    with pytest.raises(ta.UserError, match=r"^(until|steps)=.*: must be "):
        ta.resume(copy, progress=False, **wrong)
    assert {path.name: path.read_bytes() for path in copy.iterdir() if path.is_file()} == before


def test_numbers_of_numpy_are_numbers(tmp_path):
    options = {name: np.array(v) if isinstance(v, int) else v for name, v in TINY.items() if name != "progress"}
    options |= {"steps": np.int64(4), "lr": np.float32(1e-3), "tied_head": np.True_, "schedule": np.str_("constant")}
    run = ta.fit(out=tmp_path / "run", until=np.float64(1.0), progress=np.False_, **options)
    assert run.config.training.steps == 4
    assert run.config.optimizer.learning_rate == float(np.float32(1e-3))
    assert json.loads((run.path / "config.json").read_text(encoding="utf-8"))["config"]["model"]["tied_head"] is True
    assert ta.resume(run, steps=np.int64(5), progress=False).step == 5
    assert run.answer("1+1", top_k=np.int64(2), temperature=np.float32(1), seed=np.uint8(1)).statement == "1 + 1 = 2"
    assert run.evaluate("test", np.int64(3)).count == 3
    assert type(plain(np.longdouble(1))) is float
    assert ta.Config.from_dict({"training": {"steps": np.int64(700)}}).training.steps == 700


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"preset": None}, "^preset=None: must be the name of a preset, or a Config"),
        ({"preset": Model()}, "^preset=a Model: must be the name"),
        ({"preset": "x" * 100_000}, "^preset='xxx.{,40}: no such preset$"),
        ({"preset": ""}, "^preset='': no such preset"),
        ({"preset": "modular-addition"}, "that is a task, task='modular-addition', and no preset$"),
        ({"preset": "a.toml"}, "a file is read by the command, train --config FILE"),
        ({"out": 3}, "^out=3: must be a path$"),
        ({"out": "nul\0"}, "^out='nul.x00': must be a path, which holds no NUL$"),
        ({"out": " "}, "^out=' ': must be a path, and not empty$"),
        ({"out": "x" * 300}, "^out='x.*: "),
        ({"out": __file__ + "/x"}, " is no folder; choose another out$"),
        ({"callbacks": 3}, "^callbacks=3: must be a function"),
        ({"callbacks": {"a": 1}}, "^callbacks=a dict: must be a function"),
        ({"callbacks": [print, 3]}, "^callbacks: 3 is among them"),
        ({"callbacks": waits}, "^callbacks: waits is an async function"),
        ({"progress": "no"}, "^progress='no': must be True or False$"),
        ({"task": Path("x.py:Y")}, "^task=a .*Path: must be the name of a task, or 'FILE.py:Class'$"),
        ({"optimizer": Model}, "^optimizer=the class Model: must be a name$"),
        ({"device": "gpu"}, r"^device='gpu': must be one of auto, cpu, cuda; did you mean cuda\?$"),
        ({"lr": 1e-3, "learning_rate": 2e-3}, "^lr and learning_rate: two names of one option; give one of them$"),
        ({"lr": 10**400}, "^lr=1000.*: must be at most 1e.30$"),
        ({"lr": np.float64(-1)}, "^lr=-1.0: must be at least 0"),
        ({"ffn": 10**400}, "^ffn=1000.*: must be at most "),
        (
            {"d_model": 10**9},
            "^d_model=1000000000: the model would have .* parameters, more than any machine has memory for; ",
        ),
        ({"kind": 1}, "^kind=1: no option of that name; task, architecture, optimizer choose kinds$"),
        ({"epochs": 3}, r"^epochs=3: .* did you mean steps\? An epoch is .* divided by the batch$"),
        ({"verbose": 0}, r"did you mean progress\?$"),
        ({"random_state": 1}, r"did you mean seed\?$"),
    ],
)
def test_what_fit_refuses_is_told_before_anything_is_made(options, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ta.UserError, match=sentence):
        ta.fit(**{"out": "run", **TINY, **options})
    assert not list(tmp_path.iterdir())


def test_a_model_that_memory_does_not_hold_leaves_no_directory(tmp_path, monkeypatch):
    def too_large(*args):
        raise MemoryError("Unable to allocate 43.7 TiB")

    monkeypatch.setattr("tinygrad_arith.training.session.initialize", too_large)
    with pytest.raises(ta.UserError, match=r"^out of memory: Unable to allocate 43.7 TiB$"):
        ta.fit(out=tmp_path / "run", **TINY)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda run: ta.fit([1], [2]), r"^fit\(preset, out, .*\): too many positional arguments$"),
        (lambda run: ta.Run(3), "^path=3: must be a path$"),
        (lambda run: ta.resume(b"x"), "^run=b'x': must be a path$"),
        (lambda run: ta.load(run, best="no"), "^best='no': must be True or False$"),
        (lambda run: ta.load(run, gradients=1), "^gradients=1: must be True or False$"),
        (lambda run: ta.save(run.model, run.path / "model", overwrite="no"), "^overwrite='no': must be True or False$"),
        (lambda run: ta.save(run.model, "nul\0"), "^path='nul.x00': must be a path, which holds no NUL$"),
        (lambda run: ta.save(run.model, "x" * 300), "^path='xxx"),
        (lambda run: ta.Run(run, best="no"), "^best='no': must be True or False$"),
        (lambda run: ta.Run(run, device=None), "^device=None: must be one of auto, cpu, cuda$"),
        (lambda run: ta.Run(run, device="cuda:0"), r"did you mean cuda\?$"),
        (lambda run: run.answer(13), '^problem=13: must be a text, such as "13.3"$'),
        (lambda run: run.attention(None), "^problem=None: must be a text"),
        (lambda run: run.answer("1+1", temperature=-1), "^temperature=-1: must be a number, 0 or above$"),
        (lambda run: run.answer("1+1", temperature=True), "^temperature=True: must be a number"),
        (lambda run: run.answer("1+1", top_k=0), "^top_k=0: must be a whole number, at least 1$"),
        (lambda run: run.answer("1+1", top_p=2), "^top_p=2: must be a number above 0, and at most 1$"),
        (lambda run: run.answer("1+1", min_p="x"), "^min_p='x': must be a number from 0 to 1$"),
        (lambda run: run.answer("1+1", seed=-1), "^seed=-1: must be a whole number, 0 to 4294967295$"),
        (lambda run: run.evaluate("tset"), r"^split='tset': .* did you mean test\?$"),
        (lambda run: run.evaluate("test", 2.0), "^count=2.0: must be a whole number, at least 1$"),
    ],
)
def test_wrong_arguments_are_one_sentence(wrong, sentence, run):
    with pytest.raises(ta.UserError, match=sentence) as raised:
        wrong(run)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("answer", [1, 0, 1.5, "stop", [True]])
def test_a_callback_answers_true_false_or_nothing(answer):
    calling = Calling(as_callbacks(lambda row: answer))
    calling.stepped({"step": 1})
    assert calling.stop
    assert "must be True to end the training, False or None to go on" in str(calling.error)


def test_a_callback_may_answer_with_numpy_or_not_at_all():
    for answer, stops in ((np.True_, True), (True, True), (np.False_, False), (None, False)):
        calling = Calling(as_callbacks([lambda row, answer=answer: answer]))
        calling.stepped({"step": 1})
        assert (calling.stop, calling.error) == (stops, None)


def test_an_awaitable_answer_is_refused():
    calling = Calling(as_callbacks(lambda row: waits(row)))
    calling.stepped({"step": 1})
    assert isinstance(calling.error, ArgumentError)


def test_paths_with_dashes_stay_and_the_advice_is_for_python(tmp_path):
    place = tmp_path / "adamw --lr-1e3"
    place.mkdir()
    (place / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ta.UserError) as raised:
        ta.fit(out=place, **TINY)
    advice = f"choose another out, or go on with it: ta.resume({str(place)!r})"
    assert str(raised.value) == f"{place}: already holds a run; {advice}"
    with pytest.raises(ta.UserError, match=r"^runs/a --b: no such run directory$"):
        ta.resume("runs/a --b")
    assert of_arguments("--eval-size 5: larger than a--b", ()) == "eval_size=5: larger than a--b"


def test_a_run_stays_the_same_when_the_program_goes_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    run = ta.fit(out="run", callbacks=lambda row: os.chdir(tmp_path / "elsewhere"), **TINY)
    assert len(run.history) == 4
    assert run.result["step"] == 4
    os.chdir(tmp_path)
    opened = ta.Run("run")
    os.chdir(tmp_path / "elsewhere")
    assert opened.result == run.result
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_run_that_is_gone_says_so(copy):
    run = ta.Run(copy)
    shutil.rmtree(copy)
    assert "not there any more" in repr(run)
    for name in ("history", "result"):
        with pytest.raises(ta.UserError, match=r"the run is not there any more$"):
            getattr(run, name)


def test_the_error_of_a_device_speaks_of_the_argument(run, monkeypatch):
    monkeypatch.setattr("tinygrad_arith.training.build.obstacle_to_cuda", lambda: "there is none")
    with pytest.raises(ta.UserError, match=r"^device=cuda: there is none$"):
        ta.Run(run, device="cuda").answer("1+1")
