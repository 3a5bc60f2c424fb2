"""The peek command shows the very batch that training would use."""

from pathlib import Path

import numpy as np
import pytest

from tinygrad_arith.cli.peek import main
from tinygrad_arith.tasks import build_task, task_options


@pytest.fixture
def peek(call_command):
    """A function from flags to (exit code, stdout, stderr)."""

    return lambda *flags: call_command(main, *flags)


def cells(out):
    """The cells of all table rows that begin with a position, as lists of text."""
    lines = (line.strip().replace("│", "|")[1:-1] for line in out.splitlines())
    rows = ([cell.strip() for cell in line.split("|")] for line in lines)
    return [row for row in rows if row[0].isdecimal() and len(row) > 1]


def test_the_columns_are_those_of_the_batch(peek):
    code, out, err = peek("--show", "2", "--step", "7", "--seed", "3", "--padding", "none", "--loss", "all")
    assert (code, err) == (0, "")
    task = build_task(task_options(padding="none", loss="all"))
    batch = task.train_batch(7, 128, seed=3)
    rows = cells(out)
    assert len(rows) == 2 * task.context
    tokens, targets = batch.tokens[:2].reshape(-1), batch.targets[:2].reshape(-1)
    mask = batch.key_mask[:2].reshape(-1)
    for place, (position, token, identity, target, loss, attended) in enumerate(rows):
        assert int(position) == place % task.context
        assert token == task.vocabulary.tokens[tokens[place]]
        assert int(identity) == tokens[place]
        assert target == (task.vocabulary.tokens[targets[place]] if targets[place] >= 0 else "")
        assert loss == ("yes" if targets[place] >= 0 else "")
        assert attended == ("yes" if mask[place] else "no")
    for text, statement in zip(
        task.text(task.train_problems(7, 128, seed=3)[:2]),
        task.statements(task.train_problems(7, 128, seed=3)[:2]),
        strict=True,
    ):
        assert f"{text.prompt}{text.answer}   {statement}\n" in out


def test_of_a_prefix_the_last_token_has_the_target(peek):
    flags = ["--task", "expressions", "--rows", "prefix", "--prompt-width", "14", "--show", "20"]
    code, out, err = peek(*flags)
    assert (code, err) == (0, "")
    task = build_task(task_options("expressions", rows="prefix", prompt_width=14))
    batch = task.train_batch(0, 128, seed=1)
    rows = np.array(cells(out)).reshape(20, task.context, 6)  # position, token, id, target, loss, attended to
    for row, tokens, target in zip(rows, batch.tokens, batch.targets[:, 0], strict=False):
        place = np.flatnonzero(tokens != task.vocabulary.padding)[-1]
        assert row[:, 2].tolist() == list(map(str, tokens))
        assert np.flatnonzero(row[:, 4] == "yes").tolist() == [place]
        assert row[place, 3] == task.vocabulary.tokens[target]


def test_positions_are_those_that_training_gives(peek):
    rows = cells(peek("--task", "modular-addition", "--position-offset", "9")[1])
    batch = build_task(task_options("modular-addition", position_offset=9)).train_batch(0, 128, seed=1)
    assert [int(row[0]) for row in rows] == batch.positions[0].tolist()


def test_the_preset_decides_what_is_not_given(peek):
    reversed_out, plain_out = peek()[1], peek("--preset", "binary-plain")[1]
    assert "least significant bit first, zero-padded, loss on the answer" in reversed_out
    assert "most significant bit first, zero-padded, loss on the answer" in plain_out
    assert len(cells(reversed_out)) == 28
    assert all(len(row) == 5 for row in cells(reversed_out))  # no padding: no column for it


def test_the_seeds_are_those_that_training_takes(peek):
    code, out, err = peek("--seed", str(2**63))
    assert (code, err) == (0, "")
    assert f"seed {2**63} " in " ".join(out.split())


def test_the_first_row_can_be_drawn(peek, tmp_path):
    path = tmp_path / "mask.png"
    code, out, _ = peek("--picture", str(path))
    assert code == 0
    assert str(path) in out
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("flags", "code", "sentence"),
    [
        (["--digits", "0"], 2, "--digits: must be 1 to 1000, not 0"),
        (["--digitz", "3"], 2, "unknown flag --digitz; did you mean --digits?"),
        (["--preset", "binary-reverse"], 2, "--preset binary-reverse: no such preset; did you mean binary-reversed?"),
        (["--show", "0"], 2, "--show 0: must be 1 to 128"),
        (["--show", "129"], 2, "--show 129: must be 1 to 128"),
        (["--step", "-1"], 2, "--step: must be a whole number from 0 to 2**32 - 1, not -1"),
        (["--seed", str(2**63 + 1)], 2, f"--seed: must be 0 to 2**63, not {2**63 + 1}"),
        (["--digits", "4", "--test-size", "300"], 2, "--digits 4: has only 256 operand pairs"),
        (["--picture", "."], 2, "--picture .: is a folder; name a file, such as mask.png"),
        (["--picture", f"{__file__}/x.png"], 2, f"--picture {Path(__file__) / 'x.png'}: {__file__} is no folder"),
        (["--picture", ""], 2, "--picture: must be a path, but is empty"),
        (["--picture", "mask.xyz"], 2, "--picture mask.xyz: Format 'xyz' is not supported"),
    ],
)
def test_bad_flags_are_one_sentence(peek, flags, code, sentence):
    found, _, err = peek(*flags)
    assert found == code
    assert err.startswith(f"error: {sentence}")
    assert err.count("\n") == 1
