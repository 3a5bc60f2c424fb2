"""The layout of samples, the loss, the answers, and what happens to text that people type."""

import itertools

import numpy as np
import pytest

from tinygrad_arith.tasks import Problem, build_task, task_options
from tinygrad_arith.tasks.arithmetic.digits import significant_lengths, to_integers

LAYOUTS = list(itertools.product(("reversed", "plain"), ("zero", "none"), ("answer", "all"), ("uniform", "by-length")))


def task_of(**changes):
    return build_task(task_options(**{"digits": 4, "validation_size": 9, "test_size": 25, **changes}))


@pytest.mark.parametrize(
    ("order", "padding", "problem"),
    [
        ("reversed", "none", Problem("1011+11=", "00001.")),
        ("reversed", "zero", Problem("1011+1100=", "00001.")),
        ("plain", "none", Problem("1101+11=", "10000.")),
        ("plain", "zero", Problem("1101+0011=", "10000.")),
    ],
)
def test_thirteen_and_three_in_each_layout(order, padding, problem):
    task = task_of(order=order, padding=padding)
    typed = "1011+110=" if order == "reversed" else "1101+011="
    assert task.text(task.parse(typed)) == [problem]
    assert task.statements(task.parse(typed)) == ["13 + 3 = 16"]


@pytest.mark.parametrize(("order", "padding", "loss", "operands"), LAYOUTS)
def test_every_row_of_a_batch_is_a_right_sum(order, padding, loss, operands):
    task = task_of(order=order, padding=padding, loss=loss, operands=operands, digits=5)
    batch = task.train_batch(7, 40, seed=3)
    direction = -1 if order == "reversed" else 1
    assert batch.tokens.shape == batch.targets.shape == (40, task.context)
    assert batch.tokens.dtype == batch.targets.dtype == np.int64
    for row in batch.tokens:
        sample = task.vocabulary.decode(row).rstrip("_")
        first, second, total = (int(number[::direction], 2) for number in sample[:-1].replace("+", "=").split("="))
        assert first + second == total
        assert sample.endswith(".")
        assert len(sample) == task.context or padding == "none"


@pytest.mark.parametrize(("order", "padding", "loss", "operands"), LAYOUTS)
def test_targets_are_the_next_tokens_where_the_loss_counts_and_nothing_elsewhere(order, padding, loss, operands):
    task = task_of(order=order, padding=padding, loss=loss, operands=operands)
    batch = task.train_batch(1, 30, seed=3)
    for tokens, targets in zip(batch.tokens, batch.targets, strict=True):
        sample = task.vocabulary.decode(tokens).rstrip("_")
        first = sample.index("=") + 1 if loss == "answer" else 1
        for place in range(task.context):
            counts = first <= place + 1 < len(sample)
            assert targets[place] == (tokens[place + 1] if counts else -1)


def test_the_key_mask_is_false_on_padding_and_absent_where_there_is_none():
    padded = task_of(padding="zero").train_batch(0, 20, seed=1)
    assert padded.key_mask is None
    assert padded.positions is None
    assert padded.weights is None
    ragged = task_of(padding="none").train_batch(0, 20, seed=1)
    assert ragged.key_mask.dtype == bool
    np.testing.assert_array_equal(ragged.key_mask, ragged.tokens != 0)


@pytest.mark.parametrize("bits", [4, 12])
def test_a_training_batch_is_a_pure_function_of_step_size_and_seed(bits):
    task = task_of(digits=bits)
    once = task.train_batch(5, 16, seed=2).tokens
    task.train_batch(6, 16, seed=2)
    np.testing.assert_array_equal(once, task_of(digits=bits).train_batch(5, 16, seed=2).tokens)
    for step, seed in ((6, 2), (5, 3)):
        assert not np.array_equal(once, task.train_batch(step, 16, seed=seed).tokens)


@pytest.mark.parametrize(
    ("bits", "operands"),
    [(4, "uniform"), (4, "by-length"), (12, "uniform"), (12, "by-length"), (12, "by-length-positive")],
)
def test_no_training_batch_holds_a_held_out_pair(bits, operands):
    task = task_of(digits=bits, operands=operands)
    held_out = {
        text for split, size in (("test", 25), ("validation", 9)) for text in task.text(task.problems(split, size))
    }
    assert len(held_out) == 34
    for step in range(20):
        assert not held_out & set(task.text(task.train_problems(step, 64, seed=1)))


def test_operands_longer_than_any_machine_word_add_up():
    task = task_of(digits=64)
    problems = task.problems("test", 25)
    first, second = to_integers(problems.first, 2), to_integers(problems.second, 2)
    assert max(first) >= 2**60
    answers = [text.answer[:-1][::-1] for text in task.text(problems)]
    assert [int(answer, 2) for answer in answers] == [a + b for a, b in zip(first, second, strict=True)]


def test_problems_beyond_the_split_and_unknown_splits_are_refused():
    task = task_of()
    with pytest.raises(ValueError, match=r"^the test split holds 25 problems, not 26$"):
        task.problems("test", 26)
    with pytest.raises(ValueError, match="split 'train': must be one of test, validation"):
        task.problems("train", 1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("12+3=", "'2' at position 2 is not a binary digit: allowed are 0 and 1; {form}"),
        ("1 + x", "'x' at position 5 is not a binary digit: allowed are 0 and 1; {form}"),
        ("11111+1=", "the first operand has 5 digits: this model adds numbers of at most 4"),
        ("1+00000=", "the second operand has 5 digits: this model adds numbers of at most 4"),
        ("1011=", "there is no '+' in '1011=': {form}"),
        ("", "there is no '+' in '': {form}"),
        ("+1=", "the first operand is empty: {form}"),
        ("1+=", "the second operand is empty: {form}"),
        ("1+1+1=", "a second '+' at position 4: a problem has two operands"),
        ("1+1=01.", "'0' at position 5 stands behind the '=', which ends a problem"),
    ],
)
def test_what_is_no_problem_is_told_in_one_sentence(text, sentence):
    with pytest.raises(ValueError, match=r".") as caught:
        task_of().parse(text)
    form = "write 13 + 3 as 1011+11, least significant bit first"
    assert str(caught.value) == sentence.replace("{form}", form)


@pytest.mark.parametrize(
    ("options", "form"),
    [
        ({"order": "plain"}, "write 13 + 3 as 1101+11, most significant bit first"),
        ({"order": "reversed-answer"}, "write 13 + 3 as 1101+11, most significant bit first"),
        ({"digits": 1, "order": "plain", "test_size": 1, "validation_size": 1}, "write 1 + 1 as 1+1, most"),
        ({"kind": "decimal-addition"}, "write 13 + 3 as 31+3, least significant digit first"),
        ({"kind": "binary-subtraction"}, "write 13 - 3 as 1011-11, least significant bit first"),
    ],
)
def test_an_example_is_written_in_the_form_of_the_task(options, form):
    task = task_of(**options)
    assert task.form().startswith(form)
    if not options.get("digits"):
        assert task.statements(task.parse(task.form().split()[5].strip(",")))[0].startswith(form[6:12])


@pytest.mark.parametrize("text", ["11+1=", "11+1", " 11 + 1 = \n", "1100+1000="])
def test_spaces_and_the_equals_sign_are_optional_and_zeros_make_no_difference(text):
    assert task_of().statements(task_of().parse(text)) == ["3 + 1 = 4"]


@pytest.mark.parametrize("padding", ["zero", "none"])
def test_right_answers_score_and_each_wrong_token_fails(padding):
    task = task_of(padding=padding)
    problems = task.problems("test", 20)
    right = task.answers(problems)
    assert task.score(right, problems).all()
    for place in range(task.answer_length):
        wrong = right.copy()
        wrong[:, place] = 1 - (wrong[:, place] == 1)  # some other token
        counted = right[:, place] != task.vocabulary.padding
        np.testing.assert_array_equal(task.score(wrong, problems), ~counted)


@pytest.mark.parametrize("padding", ["zero", "none"])
@pytest.mark.parametrize("loss", ["answer", "all"])
def test_logits_that_point_at_the_next_token_answer_right(padding, loss):
    task = task_of(padding=padding, loss=loss)
    problems = task.problems("test", 20)
    batch = task.batch(problems)
    logits = np.zeros((*batch.tokens.shape, len(task.vocabulary)), dtype=np.float32)
    np.put_along_axis(logits[:, :-1], batch.tokens[:, 1:, None], 1.0, axis=2)
    predictions = task.answer_predictions(logits, batch)
    assert predictions.shape == (20, task.answer_length)
    assert task.score(predictions, problems).all()
    assert not task.score(task.answer_predictions(-logits, batch), problems).any()


def test_the_description_is_one_line():
    for order, padding, loss, operands in LAYOUTS:
        assert "\n" not in task_of(order=order, padding=padding, loss=loss, operands=operands).describe()
    assert task_of(digits=8).describe() == (
        "a+b of up to 8 bits, least significant bit first, zero-padded, loss on the answer, 65,502 training pairs"
    )


# What is drawn for training


def integers_of(problems, base=2):
    return list(zip(to_integers(problems.first, base), to_integers(problems.second, base), strict=True))


@pytest.mark.parametrize("bits", [6, 12])
@pytest.mark.parametrize("operands", ["uniform", "by-length"])
def test_a_curriculum_lets_operands_grow(bits, operands):
    task = task_of(digits=bits, operands=operands, curriculum="2:10,4:20")
    for step, most in ((0, 2), (9, 2), (10, 4), (19, 4), (20, bits), (500, bits)):
        problems = task.train_problems(step, 400, seed=1)
        assert problems.first.shape == (400, bits)
        assert max(map(max, integers_of(problems))).bit_length() == most
        assert task.train_batch(step, 5, seed=1).tokens.shape == (5, task.context)


def test_a_curriculum_without_a_pair_to_begin_with_is_told():
    with pytest.raises(ValueError, match="--curriculum: no training pair has operands of at most 1 digits"):
        task_of(digits=4, curriculum="1:10", train_size=3)


@pytest.mark.parametrize("digits", [2, 9])
def test_the_carry_mix_makes_long_chains_that_are_not_held_out(digits):
    def chains(share, steps=0, step=0):
        task = task_of(kind="decimal-addition", digits=digits, carry_mix=share, carry_mix_steps=steps)
        problems = task.train_problems(step, 3000, seed=1)
        assert task.split.members(problems, "train").all()
        nines = (problems.first + problems.second == 9).mean()
        return nines

    nines_alone, half, full = chains(0.0), chains(0.5), chains(1.0)
    assert abs(nines_alone - 0.1) < 0.01
    assert 0.35 < full < 0.47
    assert abs(half - (nines_alone + full) / 2) < 0.02
    assert abs(chains(1.0, steps=100, step=50) - half) < 0.02
    assert abs(chains(1.0, steps=100, step=100) - nines_alone) < 0.01
    assert abs(chains(1.0, steps=100, step=5000) - nines_alone) < 0.01


def test_without_a_mix_nothing_else_is_drawn():
    plain, mixed = task_of(digits=12), task_of(digits=12, carry_mix=1.0, carry_mix_steps=10)
    np.testing.assert_array_equal(plain.train_batch(10, 50, 1).tokens, mixed.train_batch(10, 50, 1).tokens)
    assert not np.array_equal(plain.train_batch(0, 50, 1).tokens, mixed.train_batch(0, 50, 1).tokens)


@pytest.mark.parametrize("operands", ["uniform", "by-length", "by-length-positive"])
@pytest.mark.parametrize("name", ["binary-addition", "decimal-addition", "binary-subtraction", "decimal-subtraction"])
def test_the_carry_mix_leaves_every_operand_as_long_as_it_was_drawn(name, operands):
    options = {"kind": name, "digits": 12, "operands": operands}
    plain, mixed = (task_of(**options, carry_mix=share).train_problems(0, 5000, seed=1) for share in (0.0, 1.0))
    np.testing.assert_array_equal(mixed.first, plain.first)
    assert (mixed.second != plain.second).any()
    np.testing.assert_array_equal(significant_lengths(mixed.second), significant_lengths(plain.second))
    if operands == "by-length-positive":
        assert mixed.second.any(axis=1).all()


@pytest.mark.parametrize("base", ["binary", "decimal"])
@pytest.mark.parametrize("name", ["addition", "subtraction"])
def test_the_carry_mix_makes_long_chains_more_frequent_in_sums_and_in_differences(base, name):
    def share_of_long_ones(carry_mix):
        task = task_of(kind=f"{base}-{name}", digits=12, carry_mix=carry_mix)
        groups = task.groups(task.train_problems(0, 5000, seed=1))
        return (groups["longest carry chain" if name == "addition" else "longest borrow chain"] >= 5).mean()

    assert share_of_long_ones(1.0) > 1.5 * share_of_long_ones(0.0) + 0.02


@pytest.mark.parametrize(
    ("options", "flag"),
    [({"kind": "decimal-multiplication", "carry_mix": 0.5}, "--carry-mix"), ({"sign": "first"}, "--sign")],
)
def test_an_option_that_the_arithmetic_has_no_use_for_is_refused(options, flag):
    task = {"kind": "binary-addition", **options}["kind"]
    with pytest.raises(ValueError, match=f"^{flag}: means nothing for --task {task}; it is an option of "):
        task_of(digits=5, **options)


@pytest.mark.parametrize("bits", [4, 12])
def test_a_capped_training_set_has_so_many_problems_and_smaller_ones_are_part_of_larger(bits):
    def drawn(size):
        task = task_of(digits=bits, train_size=size)
        assert task.train_size == size
        return {pair for step in range(30) for pair in integers_of(task.train_problems(step, 200, seed=1))}

    small, large = drawn(10), drawn(100)
    assert len(small) == 10
    assert len(large) == 100
    assert small < large
    held_out = set(integers_of(task_of(digits=bits).problems("test", 25)))
    assert not large & held_out
    np.testing.assert_array_equal(  # the cap moves no problem into or out of the test
        task_of(digits=bits, train_size=10).problems("test", 25).first, task_of(digits=bits).problems("test", 25).first
    )


@pytest.mark.parametrize("bits", [4, 12])
def test_epochs_show_each_problem_once(bits):
    task = task_of(digits=bits, draws="epochs", train_size=90)
    batches = [integers_of(task.train_problems(step, 30, seed=1)) for step in range(6)]
    epochs = [sorted(pair for batch in part for pair in batch) for part in (batches[:3], batches[3:])]
    assert len(set(epochs[0])) == 90
    assert epochs[0] == epochs[1]
    orders = [integers_of(task.train_problems(step, 90, 1)) for step in range(2)]
    assert orders[0] != orders[1]
    assert integers_of(task.train_problems(0, 90, 2)) != orders[0]
    assert task.train_batch(0, 90, 1).tokens.shape == (90, task.context)


# Rows that are prefixes

PREFIX = {"kind": "decimal-addition", "digits": 2, "padding": "none", "order": "plain", "rows": "prefix"}


def test_prefix_rows_of_an_epoch_are_all_prefixes_of_all_training_problems():
    task = task_of(**PREFIX, draws="epochs", test_size=7500, validation="test", prompt_width=14, context=19)
    pairs = task.split.listed.pairs
    assert task.train_size == len(pairs) == 2500
    everything = task.batch(pairs)
    counted = everything.targets[:, 0] >= 0
    expected = np.concatenate([everything.tokens, everything.targets], axis=1)[counted]
    assert 8_500 < len(expected) < 8_900  # the anchors say about 8,724 of another draw of pairs
    epoch = task.train_batch(0, len(expected), seed=1)
    assert epoch.tokens.shape == (len(expected), 19)
    assert epoch.targets.shape == (len(expected), 1)
    found = np.concatenate([epoch.tokens, epoch.targets], axis=1)
    np.testing.assert_array_equal(np.unique(found, axis=0), np.unique(expected, axis=0))
    assert len(np.unique(found, axis=0)) == len(found)
    np.testing.assert_array_equal(epoch.key_mask, epoch.tokens != task.vocabulary.padding)


@pytest.mark.parametrize("draws", ["random", "epochs"])
def test_a_prefix_row_belongs_to_its_problem(draws):
    task = task_of(**PREFIX, draws=draws)
    batch, problems = task.train_batch(3, 200, seed=4), task.train_problems(3, 200, seed=4)
    places = set()
    for tokens, target, text in zip(batch.tokens, batch.targets[:, 0], task.text(problems), strict=True):
        prompt, _, begun = task.vocabulary.decode(tokens).partition("=")
        begun = begun.rstrip("_")
        assert prompt.rstrip("_") + "=" == text.prompt
        assert text.answer.startswith(begun + task.vocabulary.tokens[target])
        places.add(len(begun))
    assert places == {0, 1, 2, 3}


@pytest.mark.parametrize("digits", [1, 4])
def test_every_prefix_of_every_problem_is_drawn_equally_often(digits):
    """Of one digit all pairs are listed, of four they are not."""
    task = task_of(**{**PREFIX, "digits": digits}, test_size=20)
    batch, problems = task.train_batch(0, 60_000, seed=1), task.train_problems(0, 60_000, seed=1)
    lengths = task.answer_token_counts(problems)
    prompts = np.add(*task.operand_lengths(problems)) + 2  # (n,): the digits of both, the sign and the `=`
    places = np.count_nonzero(batch.tokens != task.vocabulary.padding, axis=1) - prompts  # (n,)
    for length in np.unique(lengths):
        drawn = np.bincount(places[lengths == length], minlength=length)  # (length,)
        assert len(drawn) == length
        np.testing.assert_allclose(drawn / drawn.mean(), 1.0, atol=5 / np.sqrt(drawn.mean()))
    whole = task_of(**{**PREFIX, "digits": digits, "rows": "whole"}, test_size=20)
    counts = np.bincount(whole.answer_token_counts(whole.train_problems(0, 60_000, seed=1)))  # (L,), of problems
    expected = counts * np.arange(len(counts))
    found = np.bincount(lengths, minlength=len(counts))
    np.testing.assert_allclose(found / found.sum(), expected / expected.sum(), atol=0.01)


@pytest.mark.parametrize("changes", [{"curriculum": "2:10"}, {"carry_mix": 1.0}, {"operands": "by-length"}])
def test_prefixes_are_drawn_with_all_that_problems_are_drawn_with(changes):
    task = task_of(**{**PREFIX, "digits": 6}, **changes)
    problems = task.train_problems(3, 500, seed=1)
    assert task.split.members(problems, "train").all()
    batch = task.train_batch(3, 500, seed=1)
    assert (batch.targets >= 0).all()
    assert batch.targets.shape == (500, 1)
    if "curriculum" in changes:
        assert not problems.first[:, 2:].any()


def test_predictions_of_prefixes_are_put_together_again():
    task = task_of(**PREFIX)
    problems = task.problems("test", 25)
    batch = task.batch(problems)
    assert len(batch.tokens) == 25 * task.answer_length
    logits = np.eye(len(task.vocabulary), dtype=np.float16)[batch.targets]  # a target of -1 points at the last token
    predictions = task.answer_predictions(logits, batch)
    assert predictions.shape == (25, task.answer_length)
    assert task.score(predictions, problems).all()
    assert not task.score(task.answer_predictions(-logits, batch), problems).any()


def test_the_prompt_of_a_prefix_task_has_a_mask_that_reaches_over_the_answer():
    task = task_of(**PREFIX, prompt_width=14)
    prompt = task.prompt(task.parse("4+53"))
    assert task.vocabulary.decode(prompt.tokens[0]) == "4+53__________="
    assert prompt.key_mask.tolist() == [[True] * 4 + [False] * 10 + [True] * (1 + task.answer_length)]
    assert prompt.positions is None


# Other options


def test_padding_too_counts_every_position():
    task = task_of(padding="none", loss="padding-too", context=20)
    batch = task.train_batch(0, 30, seed=1)
    assert batch.key_mask is None
    np.testing.assert_array_equal(batch.targets[:, :-1], batch.tokens[:, 1:])
    assert (batch.targets[:, -1] == task.vocabulary.padding).all()


def test_a_context_wider_than_the_samples_is_padding():
    batch = task_of(context=20).train_batch(0, 30, seed=1)
    assert batch.tokens.shape == (30, 20)
    assert (batch.tokens[:, 16:] == 0).all()
    np.testing.assert_array_equal(batch.key_mask, batch.tokens != 0)


@pytest.mark.parametrize("bits", [4, 12])
def test_validation_problems_may_be_the_first_of_the_test(bits):
    task = task_of(digits=bits, validation="test")
    np.testing.assert_array_equal(task.problems("validation", 9).first, task.problems("test", 9).first)
    assert bits == 12 or task.train_size == 256 - 25
    with pytest.raises(ValueError, match=r"^the validation split holds 9 problems, not 10$"):
        task.problems("validation", 10)


def test_other_lengths_are_written_as_in_training_and_were_never_trained_on():
    task = task_of(kind="decimal-addition", digits=3, longest=6, operands="by-length", test_size=500, context=0)
    shorter, same, longer = task.with_digits(2), task.with_digits(3), task.with_digits(6)
    assert same is task
    assert shorter.with_digits(3) is task
    assert (shorter.context, longer.context) == (task.context, task.longest_context) == (13, 22)
    held_out = set(integers_of(shorter.problems("test", shorter.config.test_size), 10))
    assert max(map(max, held_out)) == 99
    trained = {pair for step in range(40) for pair in integers_of(task.train_problems(step, 500, seed=1), 10)}
    assert not trained & held_out
    problems = longer.problems("test", 500)
    assert problems.first.shape == (500, 6)
    assert not trained & set(integers_of(problems, 10))
    assert longer.groups(problems)["operand length"].max() == 6
    assert longer.describe().endswith("for a model trained on up to 3")
    with pytest.raises(ValueError, match=r"--digits 7: this model has room for 1 to 6 \(--longest"):
        task.with_digits(7)
    with pytest.raises(ValueError, match="is for evaluation"):
        longer.train_batch(0, 4, seed=1)


def test_lengths_with_few_problems_say_how_many_they_hold():
    task = task_of(digits=4, longest=5)
    one = task.with_digits(1)
    held = one.config.test_size
    assert 0 <= held < 4
    assert len(one.problems("test", held)) == held
    with pytest.raises(ValueError, match=f"the test split holds {held} problems"):
        one.problems("test", held + 1)
    assert task.with_digits(5).config.test_size == 25


def test_a_model_has_room_for_the_longest_operands():
    task = task_of(kind="decimal-multiplication", digits=2, longest=5, spaces=True)
    assert task.context == 2 * 2 + 2 + 3 + (1 + 4 + 1)
    assert task.longest_context == task.with_digits(5).context == 2 * 5 + 2 + 3 + (1 + 10 + 1)
    assert task.position_count == task.longest_context
    assert task_of(context=64, longest=5).longest_context == 64
