"""`ta.fit`, `ta.resume` and `ta.Run`: what programs get, and what they are told."""

import json

import numpy as np
import pytest

import tinygrad_arith as ta

TINY = {"digits": 2, "steps": 12, "warmup": 4, "d_model": 8, "heads": 2, "batch": 16, "eval_every": 4}
TINY |= {"test_size": 4, "validation_size": 4, "workers": 1, "progress": False, "device": "cpu"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return ta.fit(out=tmp_path_factory.mktemp("face") / "run", **TINY)


def test_a_run_tells_what_it_is(run):
    assert run.step == 12
    assert run.config.training.steps == 12
    assert [row["step"] for row in run.history] == list(range(1, 13))
    assert run.result["test_count"] == 4
    assert "steps=12" in repr(run)
    assert "<td>binary-addition</td>" in run._repr_html_()


def test_a_run_is_opened_again(run):
    again = ta.Run(run.path, device="cpu")
    ids = np.array([[2, 3, 2]])
    np.testing.assert_array_equal(again.model(ids).numpy(), ta.load(run, device="cpu")(ids).numpy())
    assert again.evaluate("test").value == run.result["test_exact_match"]
    with pytest.raises(ta.UserError, match="no such run directory"):
        ta.Run(run.path / "elsewhere")


def test_an_answer(run):
    answer = run.answer("3+2")
    assert answer.prompt == "11+01="
    assert answer.statement == "3 + 2 = 5"
    assert answer.right == (answer.text == answer.right_text == "101.") == (answer.value == 5)
    assert run.answer("11+01").statement == answer.statement
    with pytest.raises(ta.UserError, match="problem '3x2'"):
        run.answer("3x2")


def test_attention_of_a_problem(run):
    maps, tokens = run.attention("3+2")
    assert "".join(tokens[:6]) == "11+01="
    assert maps.shape == (2, 2, len(tokens), len(tokens))
    np.testing.assert_allclose(maps.sum(axis=-1), 1.0, rtol=1e-5)
    assert not np.triu(maps, k=1).any()  # causal


def test_the_numbers_are_those_of_the_command(run, tmp_path):
    from tinygrad_arith.cli.train import main

    flags = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items() if name != "progress"]
    assert main([*flags, "--out", str(tmp_path / "run")]) == 0
    first, second = (
        json.loads((path / "result.json").read_text(encoding="utf-8")) for path in (run.path, tmp_path / "run")
    )
    assert {**first, "seconds": 0} == {**second, "seconds": 0}
    of_command = ta.load(tmp_path / "run", device="cpu").state_dict()
    for name, array in ta.load(run, device="cpu").state_dict().items():
        np.testing.assert_array_equal(array, of_command[name])


def test_a_callback_stops_and_resume_goes_on_to_the_same_bits(run, tmp_path):
    rows = []

    def after_five(row):
        rows.append(row)
        return row["step"] == 5

    stopped = ta.fit(out=tmp_path / "run", callbacks=[after_five], **TINY)
    assert (len(rows), stopped.step) == (5, 5)
    whole = ta.resume(stopped, progress=False)
    for name, array in whole.model.state_dict().items():
        np.testing.assert_array_equal(array, run.model.state_dict()[name])


def test_an_error_of_a_callback_is_raised_after_the_run_is_saved(tmp_path):
    def fails(row):
        if row["step"] == 3:
            raise ZeroDivisionError("my own")

    with pytest.raises(ZeroDivisionError, match="my own"):
        ta.fit(out=tmp_path / "run", callbacks=fails, **TINY)
    assert ta.Run(tmp_path / "run").step == 3


def test_until_ends_it(tmp_path):
    run = ta.fit(out=tmp_path / "run", until=1e-9, **TINY | {"eval_every": 1, "steps": 400, "lr": 0.01})
    assert run.step < 400
    assert run.result["reached"]["step"] == run.step  # as the command notes it


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"laayers": 3}, r"^laayers=3: no option of that name; did you mean layers\?$"),
        ({"layers": 0}, "^layers=0: must be 1 to 10000$"),
        ({"depth": 2}, "^depth=2: an option of other kinds of task: expressions$"),
        ({"eval_size": 9}, "^eval_size=9: larger than the validation_size 4$"),
        ({"preset": "binary-reversd"}, "^preset=binary-reversd: no such preset; did you mean binary-reversed"),
        ({"optimizer": "adma"}, "^optimizer=adma: must be one of adamw, sgd, lion; did you mean adamw"),
        ({"until": 2.0}, "^until=2: must be at most 1"),
    ],
)
def test_errors_speak_of_arguments(options, sentence, tmp_path):
    with pytest.raises(ta.UserError, match=sentence):
        ta.fit(out=tmp_path / "run", **TINY | options)
    assert not (tmp_path / "run").exists()


def test_what_is_there_is_not_written_over(run):
    with pytest.raises(ta.UserError, match="already holds a run; choose another out"):
        ta.fit(out=run.path, **TINY)


def test_a_config_of_ones_own(tmp_path):
    config = ta.Config.from_dict({"task": {"digits": 2, "test_size": 4, "validation_size": 4}})
    assert ta.fit(config, out=tmp_path / "run", **TINY).result["step"] == 12
