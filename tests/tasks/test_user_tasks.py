"""A task of one's own, from a file outside the package."""

import sys

import numpy as np
import pytest

from tinygrad_arith.tasks import build_task, task_options
from tinygrad_arith.tasks.registry import TASKS
from tinygrad_arith.tasks.user_tasks import fault_of_user_task

MAXIMUM = '''
import numpy as np
from tinygrad_arith.tasks import NumberTask

class DigitMaximum(NumberTask):
    """The larger digit at each place."""

    symbol = "|"
    base = 10

    def result(self, first, second):
        return np.maximum(first, second)

class Octal(DigitMaximum):
    base = 8

class Sum(NumberTask):
    symbol, base = "&", 8

    def result(self, first, second):
        return first  # for all that the draws know

    def chain_digits(self, first):
        return 7 - first

class Signed(DigitMaximum):
    signed = True

class NoSymbol(NumberTask):
    base = 10

class Digit(DigitMaximum):
    symbol = "7"

class Hexadecimal(DigitMaximum):
    base = 16

class Empty(NumberTask):
    symbol, base = "|", 10

class Flat(DigitMaximum):
    def result(self, first, second):
        return first.sum(axis=1)

class TooLarge(DigitMaximum):
    def result(self, first, second):
        return first + second

class Failing(DigitMaximum):
    def result(self, first, second):
        return first[:, 99]

class Writing(DigitMaximum):
    def result(self, first, second):
        first += second
        return first % 10

class Growing(DigitMaximum):
    def result(self, first, second):
        return np.pad(first, ((0, 0), (0, 7 - first.shape[1])))

class WrongSigns(DigitMaximum):
    signed = True

    def negative(self, first, second):
        return first < second

class Complement(DigitMaximum):
    def result(self, first, second):
        return 9 - first

class WrongChains(Sum):
    def chain_digits(self, first):
        return first + 1

class OneGroup(DigitMaximum):
    def groups(self, problems):
        return 5

class ShortGroups(DigitMaximum):
    def groups(self, problems):
        return {"parity": np.zeros(3, dtype=np.int64)}

class WordGroups(DigitMaximum):
    def groups(self, problems):
        return {"parity": np.array(["odd"] * len(problems))}

class FailingGroups(DigitMaximum):
    def groups(self, problems):
        return {"parity": problems.third}

class OwnInit(DigitMaximum):
    def __init__(self):
        self.seen = 0

class ForgetfulInit(DigitMaximum):
    def __init__(self, config, trained=None):
        self.seen = 0

class Late(DigitMaximum):
    def result(self, first, second):
        if len(first) == 20:
            raise RuntimeError("too many")
        return np.maximum(first, second)

number = 3
'''


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(MAXIMUM, encoding="utf-8")
    return path


def task_of(file, name="DigitMaximum", **changes):
    return build_task(task_options(**{"kind": f"{file}:{name}", "digits": 3, "test_size": 20, **changes}))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "190|032=192."),
        ({"padding": "none"}, "190|32=192._"),
        ({"padding": "longer", "digits": 5}, "190|032=192.______"),
        ({"spaces": True}, "190 | 032 = 192."),
        ({"order": "reversed"}, "091|230=291."),
    ],
)
def test_all_options_apply_to_it(file, changes, expected):
    task = task_of(file, **{"order": "plain", **changes})
    problem = task.parse("091|23" if changes.get("order") == "reversed" else "190|32=")
    assert task.vocabulary.decode(task.batch(problem).tokens[0]) == expected
    assert task.statements(problem) == ["190 | 32 = 192"]
    assert task.score(task.answers(problem), problem).all()
    assert task.groups(problem)["operand length"].tolist() == [3]


def test_it_trains_and_tests_like_the_others(file):
    task = task_of(file, position_ids="abacus", position_offset=5, longest=6, curriculum="1:10,2:20")
    assert task.train_batch(3, 16, seed=1).tokens.shape == (16, task.context)
    assert len(task.problems("test", 20)) == 20
    assert len(task.with_digits(6).problems("test", 20)) == 20
    assert task_of(file, "Octal").describe().startswith("a|b of up to 3 digits")
    with pytest.raises(ValueError, match="'8' at position 1 is not a digit of base 8: allowed are 0 to 7"):
        task_of(file, "Octal").parse("8|1")


def test_it_may_say_what_hands_a_carry_on(file):
    problems = task_of(file, "Sum", digits=9, carry_mix=1.0).train_problems(0, 3000, seed=1)
    assert 0.35 < (problems.first + problems.second == 7).mean() < 0.55
    with pytest.raises(ValueError, match=r"WrongChains.chain_digits: must return a digit from 0 to 7 for each digit"):
        task_of(file, "WrongChains", carry_mix=0.5)
    with pytest.raises(ValueError, match=r"--carry-mix: means nothing for --task .*own.py:DigitMaximum; it is an"):
        task_of(file, carry_mix=0.5)


def test_a_changed_file_is_read_again(file):
    assert task_of(file).symbol == "|"
    file.write_text(MAXIMUM.replace('symbol = "|"', 'symbol = "&"') + "\n# longer\n", encoding="utf-8")
    assert task_of(file).symbol == "&"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Missing", "has no class Missing"),
        ("number", "must be a class made from tinygrad_arith.tasks.NumberTask or PairTask"),
        ("NoSymbol", "its symbol is None, but must be one character"),
        ("Digit", "its symbol is '7', but must be one character, none of"),
        ("Hexadecimal", "its base is 16, but must be a whole number from 2 to 10"),
        ("Empty", "it has no method `result`"),
        ("Signed", "it is signed, but has no method `negative`"),
        ("Flat", "Flat.result: must return an array of whole numbers, one row of digits for each problem"),
        ("TooLarge", "TooLarge.result: must return digits from 0 to 9"),
        ("Failing", r"Failing.result: IndexError: index 99 is out of bounds .* \(own.py, line 51\)"),
        ("Writing", r"Writing.result: ValueError: .*read-only \(own.py, line "),
        ("WrongSigns", "WrongSigns.negative: must return an array of bool, one for each problem"),
        ("OneGroup", "OneGroup.groups: must return a dictionary from titles to arrays, not int"),
        ("ShortGroups", "ShortGroups.groups: 'parity' must be an array of whole numbers, one for each problem"),
        ("WordGroups", "WordGroups.groups: 'parity' must be an array of whole numbers, one for each problem"),
        ("FailingGroups", r"FailingGroups.groups: AttributeError: .* 'third' \(own.py, line "),
        (
            "OwnInit",
            r"own.py:OwnInit: cannot be made from the options of a task: TypeError: OwnInit.__init__\(\) takes 1",
        ),
        ("ForgetfulInit", r"own.py:ForgetfulInit: cannot be made .*: AttributeError: 'ForgetfulInit' object has no"),
        ("Complement", "Complement.result: must not depend on zeros above the operands' digits"),
    ],
)
def test_a_class_that_is_no_task_is_told_in_one_sentence(file, name, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        task_of(file, name)
    assert "\n" not in str(caught.value)


def test_a_file_named_without_its_class_is_read_for_the_classes_that_it_has_but_not_run(tmp_path):
    own = tmp_path / "own.py"
    own.write_text("1 / 0\n", encoding="utf-8")
    for text, sentence in (
        ("", "add the name of a class, FILE:Class; there is none in FILE yet"),
        ("class One:\n    pass\n", "add the name of the class: FILE:One"),
        ("class One: pass\nclass Two: pass\n", "add the name of the class: FILE:One or FILE:Two"),
        ("class One\n", "add the name of a class, FILE:Class; there is none in FILE yet"),
    ):
        own.write_text("1 / 0\n" + text, encoding="utf-8")
        for kind in (f"{own}", f"{own}:"):
            with pytest.raises(ValueError, match=r".") as caught:
                TASKS.load(kind)
            assert str(caught.value) == f"--task {kind}: {sentence.replace('FILE', str(own))}"
    with pytest.raises(ValueError, match=r"there is no file none\.py \(and the name of a class is missing"):
        TASKS.load("none.py")


def test_the_nearest_class_of_a_file_is_named(file):
    with pytest.raises(ValueError, match=r"own\.py has no class DigitMaximun; did you mean DigitMaximum\?$"):
        task_of(file, "DigitMaximun")


def test_a_file_that_is_not_there_and_one_that_fails_are_told(tmp_path):
    with pytest.raises(ValueError, match=r"there is no file .*none\.py"):
        task_of(tmp_path / "none.py")
    broken = tmp_path / "broken.py"
    broken.write_text("import numpy\nx = 1 / 0\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"broken\.py cannot be run: ZeroDivisionError: division by zero"):
        task_of(broken)


def test_a_result_that_fails_for_longer_operands_is_told(file):
    with pytest.raises(ValueError, match=r"Growing\.result: ValueError: .* \(own\.py, line 60\)"):
        task_of(file, "Growing", longest=9)


def test_a_file_that_exits_does_not_end_the_program(tmp_path):
    leaving = tmp_path / "leaving.py"
    leaving.write_text("raise SystemExit(3)\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"leaving\.py cannot be run: SystemExit: 3"):
        task_of(leaving)


def test_two_files_of_one_name_and_dataclasses_in_them(file, tmp_path):
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / file.name
    with_class = "@dataclass\nclass Pair:\n    first: int\n"
    head = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    other.write_text(head + with_class + MAXIMUM.replace('symbol = "|"', 'symbol = "&"'), encoding="utf-8")
    assert task_of(other).symbol == "&"
    assert task_of(file).symbol == "|"


def test_results_are_those_of_the_class(file):
    task = task_of(file)
    problems = task.problems("test", 20)
    np.testing.assert_array_equal(
        task.answers(problems)[:, :3] - task.vocabulary.ids["0"], np.maximum(problems.first, problems.second)
    )


def test_a_file_beside_it_can_be_imported(file, tmp_path):
    (tmp_path / "beside_the_task.py").write_text("SYMBOL = '~'\n", encoding="utf-8")
    file.write_text(
        "from beside_the_task import SYMBOL\n" + MAXIMUM.replace('symbol = "|"', "symbol = SYMBOL"), encoding="utf-8"
    )
    before = list(sys.path)
    assert task_of(file).symbol == "~"
    assert sys.path == before


def test_an_error_that_comes_late_is_told_with_its_place(file):
    task = task_of(file, "Late")
    with pytest.raises(RuntimeError) as raised:
        task.answers(task.problems("test", 20))
    line = MAXIMUM[: MAXIMUM.index('RuntimeError("too many")')].count("\n") + 1
    assert fault_of_user_task(raised.value) == f"own.py, line {line}, in Late.result: RuntimeError: too many"
    with pytest.raises(ZeroDivisionError) as raised:
        _ = 1 / 0
    assert fault_of_user_task(raised.value) is None
