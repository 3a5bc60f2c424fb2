"""A value that is not allowed, or a split that leaves nothing, is told in one sentence that names the flag."""

import pytest

from tinygrad_arith.tasks import TaskConfig, build_task


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"digits": 0}, "--digits 0: must be 1 to 64"),
        ({"digits": 65}, "--digits 65: must be 1 to 64"),
        ({"digits": "8"}, "--digits '8': must be a whole number"),
        ({"digits": True}, "--digits True: must be a whole number"),
        ({"order": "backwards"}, "--order backwards: must be one of reversed, plain"),
        ({"task": "subtraction"}, "--task subtraction: must be one of binary-addition"),
        ({"split_seed": -1}, "--split-seed -1: must be 0 to 9223372036854775808"),
        ({"test_size": -1}, "--test-size -1: must be 0 to 1000000"),
        (
            {"digits": 4, "validation_size": 1000, "test_size": 10000},
            "--digits 4: has only 256 operand pairs, of which --validation-size 1000 and --test-size 10000 "
            "leave none for training: together they must be below 256",
        ),
        ({"digits": 10, "test_size": 16385}, "--test-size 16385: must be at most 16,384 for --digits 10"),
        ({"digits": 10, "validation_size": 16385}, "--validation-size 16385: must be at most 16,384 for --digits 10"),
    ],
)
def test_a_bad_option_is_one_sentence(changes, sentence):
    with pytest.raises(ValueError, match=r"^--") as caught:
        build_task(TaskConfig(**changes))
    assert str(caught.value) == sentence


@pytest.mark.parametrize("bits", [1, 7, 9, 10, 64])
def test_every_size_builds(bits):
    sizes = {"validation_size": 1, "test_size": 2}
    task = build_task(TaskConfig(digits=bits, **sizes))
    assert task.train_size == (4**bits - 3 if bits <= 9 else None)
    assert task.train_batch(0, 3, seed=1).tokens.shape == (3, 3 * bits + 4)
    assert len(task.problems("test", 2)) == 2


def test_every_option_has_a_help_text():
    for option in TaskConfig.__dataclass_fields__.values():
        assert option.metadata["help"]
