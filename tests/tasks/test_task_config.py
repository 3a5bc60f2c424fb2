"""A value that is not allowed, or a split that leaves nothing, is told in one sentence that names the flag."""

import dataclasses

import pytest

from tinygrad_arith.tasks import TASKS, build_task, resolve, task_options


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"digits": 0}, "--digits 0: must be 1 to 1000"),
        ({"digits": 1001}, "--digits 1001: must be 1 to 1000"),
        (
            {"digits": 3, "operands": "by-length-positive"},
            (
                "--operands by-length-positive: needs more problems than the 64 of --digits 3, which are all listed, "
                "those with a 0 among them"
            ),
        ),
        ({"digits": "8"}, "--digits '8': must be a whole number"),
        ({"digits": True}, "--digits True: must be a whole number"),
        ({"order": "backwards"}, "--order backwards: must be one of reversed, plain, reversed-answer"),
        (
            {"kind": "subtraction"},
            (
                "--task subtraction: must be one of binary-addition, binary-subtraction, binary-multiplication, "
                "decimal-addition, decimal-subtraction, decimal-multiplication, expressions, modular-addition, "
                "or FILE.py:Class; did you mean binary-subtraction?"
            ),
        ),
        ({"split_seed": -1}, "--split-seed -1: must be 0 to 2**63"),
        ({"test_size": -1}, "--test-size -1: must be 0 to 1000000"),
        (
            {"digits": 4, "validation_size": 1000, "test_size": 10000},
            "--digits 4: has only 256 operand pairs, of which --validation-size 1000 and --test-size 10000 "
            "leave none for training: together they must be below 256",
        ),
        ({"digits": 10, "test_size": 16385}, "--test-size 16385: must be at most 16,384 for --digits 10"),
        ({"spaces": "yes"}, "--spaces 'yes': must be true or false"),
        ({"carry_mix": 1.5}, "--carry-mix 1.5: must be 0.0 to 1.0"),
        ({"carry_mix_steps": 100}, "--carry-mix-steps 100: is for --carry-mix only"),
        ({"longest": 7}, "--longest 7: must be 0 or at least --digits 8"),
        (
            {"curriculum": "3-2000"},
            "--curriculum 3-2000: must be written as DIGITS:STEP,DIGITS:STEP, such as 3:2000,6:7000",
        ),
        (
            {"curriculum": "3:2000,3:7000"},
            "--curriculum 3:2000,3:7000: digits and steps must rise from stage to stage, "
            "and digits stay below --digits 8",
        ),
        (
            {"curriculum": "3:2000,8:7000"},
            "--curriculum 3:2000,8:7000: digits and steps must rise from stage to stage, "
            "and digits stay below --digits 8",
        ),
        (
            {"position_ids": "coupled", "order": "plain", "padding": "none"},
            "--position-ids coupled: with --order plain and --padding none the ids would tell how long the answer is; "
            "choose another --order or --padding",
        ),
        ({"prompt_width": 30}, "--prompt-width 30: is for --rows prefix only"),
        ({"rows": "prefix", "loss": "all"}, "--loss all: must be answer with --rows prefix"),
        ({"rows": "prefix", "position_offset": 2}, "--position-offset 2: must be 0 with --rows prefix"),
        ({"rows": "prefix", "longest": 9}, "--longest 9: must be --digits 8 with --rows prefix"),
        (
            {"draws": "epochs", "digits": 12},
            "--draws epochs: --digits 12 has too many problems for that; give a --train-size",
        ),
        ({"draws": "epochs", "curriculum": "3:9"}, "--curriculum 3:9: needs --draws random"),
        (
            {"carry_mix": 0.5, "train_size": 100},
            "--carry-mix 0.5: makes new problems, which --train-size 100 does not allow",
        ),
        (
            {"carry_mix": 0.5, "draws": "epochs"},
            "--carry-mix 0.5: makes new problems, which --draws epochs does not allow",
        ),
        ({"digits": 4, "train_size": 200}, "--train-size 200: only 176 operand pairs are left for training"),
        ({"digits": 10, "train_size": 300_000}, "--train-size 300000: must be at most 229,376 for --digits 10"),
        (
            {"digits": 4, "validation": "test", "test_size": 20, "validation_size": 21},
            "--validation-size 21: larger than the --test-size 20, from which --validation test takes it",
        ),
        (
            {"digits": 4, "validation": "test", "test_size": 256},
            "--digits 4: has only 256 operand pairs, of which --test-size 256 leaves none for training: "
            "it must be below 256",
        ),
        ({"depth": 1}, "--depth: means nothing for --task binary-addition; it is an option of expressions"),
        (
            {"kind": "expressions", "modulus": 7},
            "--modulus: means nothing for --task expressions; it is an option of modular-addition",
        ),
        (
            {"kind": "binary-addition", "sign": "first"},
            "--sign: means nothing for --task binary-addition; it is an option of binary-subtraction, "
            "decimal-subtraction",
        ),
        (
            {"kind": "modular-addition", "order": "plain"},
            "--order: means nothing for --task modular-addition; it is an option of binary-addition, "
            "binary-subtraction, binary-multiplication, decimal-addition, decimal-subtraction, "
            "decimal-multiplication, expressions",
        ),
        ({"digits": 10, "validation_size": 16385}, "--validation-size 16385: must be at most 16,384 for --digits 10"),
    ],
)
def test_a_bad_option_is_one_sentence(changes, sentence):
    with pytest.raises(ValueError, match=r"^--") as caught:
        build_task(task_options(**changes))
    assert str(caught.value) == sentence


@pytest.mark.parametrize("bits", [1, 7, 9, 10, 64])
def test_every_size_builds(bits):
    sizes = {"validation_size": 1, "test_size": 2}
    task = build_task(task_options(digits=bits, **sizes))
    assert task.train_size == (4**bits - 3 if bits <= 9 else None)
    assert task.train_batch(0, 3, seed=1).tokens.shape == (3, 3 * bits + 4)
    assert len(task.problems("test", 2)) == 2


def test_every_option_has_a_help_text():
    for kind in TASKS.places:
        assert all(field.metadata["help"] for field in dataclasses.fields(TASKS.options_of(kind)))


def test_sizes_left_open_are_those_of_the_task():
    def sizes(**changes):
        resolved = resolve(task_options(**changes))
        return resolved.validation_size, resolved.test_size, getattr(resolved, "longest", 0)

    assert sizes(digits=4) == (16, 64, 4)
    assert sizes(digits=12, longest=20) == (1_000, 10_000, 20)
    assert sizes(kind="decimal-addition", digits=2) == (625, 2_500, 2)
    assert sizes(kind="expressions", depth=1) == (25, 100, 0)
    assert sizes(kind="modular-addition", modulus=10) == (6, 25, 0)
    assert sizes(digits=4, test_size=9, validation="test") == (9, 9, 4)
    assert sizes(digits=4, test_size=9, validation_size=3, validation="test") == (3, 9, 4)


@pytest.mark.parametrize(
    "changes", [{}, {"longest": 12}, {"rows": "prefix", "prompt_width": 30}, {"kind": "expressions"}]
)
def test_resolving_twice_changes_nothing_and_stays_valid(changes):
    resolved = resolve(task_options(**changes))
    assert resolve(resolved) == resolved


def test_a_whole_number_may_stand_for_a_share():
    assert task_options(carry_mix=1).carry_mix == 1


@pytest.mark.parametrize(("kind", "digits"), [("binary-addition", 1000), ("decimal-multiplication", 1000)])
def test_more_problems_than_a_float_can_count(kind, digits):
    settled = resolve(task_options(kind, digits=digits))
    assert (settled.train_size, settled.test_size, settled.longest) == (0, 10_000, 1000)


def test_a_share_of_the_problems_is_what_it_was_in_floats():
    for modulus in range(3, 251):
        options = task_options("modular-addition", modulus=modulus, test_size=1, validation_size=1)
        assert resolve(options).train_size == int(modulus**2 * 0.3)
