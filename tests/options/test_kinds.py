"""Which options there are follows from the kind; each kind is loaded when it is asked for."""

import sys

import pytest

from tinygrad_arith.options.errors import UserError
from tinygrad_arith.options.kinds import changed_options, field_names, foreign, read_options
from tinygrad_arith.tasks.registry import TASKS, task_options
from tinygrad_arith.training.config import SECTIONS, Config
from tinygrad_arith.training.upgrade import upgraded


def test_every_kind_has_options_that_say_their_kind():
    for section, kinds in SECTIONS.items():
        for kind in filter(None, kinds.places):
            options = kinds.options_of(kind)
            assert field_names(options)[0] == "kind", (section, kind)
            assert read_options(kinds, {"kind": kind}, "a file").kind == kind


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(ValueError, match=r"^--architecture GPT: .*; did you mean gpt\?$"):
        SECTIONS["model"].load("GPT")
    with pytest.raises(ValueError, match=r"^--architecture gtp: must be one of gpt, .*; did you mean gpt\?$"):
        SECTIONS["model"].load("gtp")
    with pytest.raises(UserError, match=r"^a file: task.kind = 'expresions': .*; did you mean expressions\?$"):
        read_options(TASKS, {"kind": "expresions"}, "a file")


@pytest.mark.parametrize("kind", [3, None, ["gpt"]])
def test_a_kind_that_is_no_word_is_told(kind):
    with pytest.raises(UserError, match=r"^a file: model.kind = .*: must be a word$"):
        read_options(SECTIONS["model"], {"kind": kind}, "a file")
    with pytest.raises(UserError, match=r"^config: model.kind = .*: must be a word$"):
        Config.from_dict(upgraded({"model": {"architecture": kind, "d_model": 8}}))


def test_an_option_of_another_kind_is_answered_by_whose_it_is():
    assert foreign("attend_to", "gpt", SECTIONS["model"]) == (
        "--attend-to: means nothing for --architecture gpt; it is an option of window-gpt"
    )
    with pytest.raises(UserError, match="--modulus: means nothing for --task expressions; it is an option of modular"):
        changed_options(task_options("expressions"), TASKS, {"modulus": 5})


def test_another_kind_keeps_what_both_have_and_a_size_only_within_its_family():
    sums = task_options("decimal-addition", digits=3, order="plain", test_size=70, carry_mix=0.5)
    products = changed_options(sums, TASKS, {"kind": "decimal-multiplication"})
    assert (products.digits, products.order, products.test_size) == (3, "plain", 70)
    assert products.carry_mix == 0.0  # nothing is carried far
    expressions = changed_options(sums, TASKS, {"kind": "expressions"})
    assert (expressions.order, expressions.test_size, expressions.depth) == ("plain", 0, 2)


def test_a_model_of_another_package_is_not_loaded_before_it_is_asked_for():
    import subprocess

    code = "import sys, tinygrad_arith.training.config; print('tinygrad_arith.reproductions.window' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
