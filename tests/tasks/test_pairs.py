"""A user's task of listed pairs, from a file outside the package."""

import numpy as np
import pytest

from tinygrad_arith.tasks import build_task, task_options
from tinygrad_arith.tasks.user_tasks import digest_of_user_task

REVERSAL = '''
import itertools
import random
from tinygrad_arith.tasks import PairTask

class Reversal(PairTask):
    """abc= is answered by cba."""

    @staticmethod
    def pairs():
        for length in (1, 2, 3):
            for letters in itertools.product("zäb", repeat=length):
                word = "".join(letters)
                yield word, word[::-1]

class Parity(PairTask):
    @classmethod
    def pairs(cls):
        return [[f"{i:06b}", "odd" if bin(i).count("1") % 2 else ""] for i in range(64)]

    def groups(self, problems):
        return {"ones": (self.prompts(problems) == self.vocabulary.ids["1"]).sum(axis=1)}

class Backwards(Reversal):
    @staticmethod
    def pairs():
        return list(Reversal.pairs())[::-1]

class Random(PairTask):
    @staticmethod
    def pairs():
        return [(str(random.random())[2:], "x") for _ in range(50)]

class Leaving(PairTask):
    @staticmethod
    def pairs():
        raise SystemExit(0)

class Importing(PairTask):
    @staticmethod
    def pairs():
        import beside_the_pairs
        return beside_the_pairs.PAIRS

class Attribute(PairTask):
    pairs = [("a", "b")]

class Path(Reversal):
    def groups(self, problems):
        return {"../up": problems.indices}

class Taken(Reversal):
    def groups(self, problems):
        return {"answer position": problems.indices}

class Nothing(PairTask):
    pass

class Bound(PairTask):
    def pairs(self):
        return [("a", "b")]

class Failing(PairTask):
    @staticmethod
    def pairs():
        yield "a", "b"
        yield 1 / 0

def of(pairs):
    class Listed(PairTask):
        pass
    Listed.pairs = staticmethod(lambda: pairs)
    return Listed

Nowhere, Empty, Words, Three = of(None), of([]), of(["ab"]), of([("a", "b", "c")])
Twice, Blank, Reserved = of([("a", "b"), ("c", "d"), ("a", "c")]), of([("", "b")]), of([("a=b", "c")])
Space, Few = of([("a", "b c")]), of([("a", "b"), ("b", "a")])
Long = of([("a" * 10_001, "b")])
Many = of((str(i), "x") for i in range(10**9))
'''


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(REVERSAL, encoding="utf-8")
    return path


def task_of(file, name="Reversal", **changes):
    return build_task(task_options(**{"kind": f"{file}:{name}", "test_size": 9, "validation_size": 5, **changes}))


def test_prompts_and_answers_are_the_pairs_of_the_class(file):
    task = task_of(file)
    assert task.vocabulary.tokens == ("_", "=", ".", "b", "z", "ä")
    assert (task.context, task.answer_length, task.train_size) == (8, 4, 39 - 9 - 5)
    problem = task.parse(" bzä =")
    assert task.vocabulary.decode(task.batch(problem).tokens[0]) == "bzä=äzb."
    assert task.vocabulary.decode(task.batch(task.parse("ä")).tokens[0]) == "ä=ä.____"
    assert task.statements(problem) == ["bzä = äzb"]
    assert task.score(task.answers(problem), problem).all()
    everything = np.concatenate([task.split[name] for name in ("train", "validation", "test")])
    assert sorted(everything) == list(range(39))


def test_groups_are_lengths_or_the_classs_own(file):
    task = task_of(file)
    groups = task.groups(task.problems("test", 9))
    lengths = [len(text.prompt) - 1 for text in task.text(task.problems("test", 9))]
    assert groups["length of the prompt"].tolist() == groups["length of the answer"].tolist() == lengths
    parity = task_of(file, "Parity")
    assert parity.groups(parity.parse("011010"))["ones"].tolist() == [3]


def test_an_answer_may_be_empty(file):
    parity = task_of(file, "Parity")
    assert parity.text(parity.parse("011110"))[0] == ("011110=", ".")
    assert parity.text(parity.parse("011010"))[0] == ("011010=", "odd.")


def test_a_row_may_be_one_prefix(file):
    task = task_of(file, rows="prefix", prompt_width=5, draws="epochs")
    batch = task.batch(task.parse("zä"))
    assert [task.vocabulary.decode(row) for row in batch.tokens] == [
        "zä___=___",
        "zä___=ä__",
        "zä___=äz_",
        "zä___=äz.",
    ]
    assert batch.targets[:, 0].tolist() == [*task.vocabulary.encode("äz."), -1]


def test_training_draws_only_what_is_not_held_out(file):
    task = task_of(file)
    held_out = {*task.split["validation"], *task.split["test"]}
    drawn = np.concatenate([task.train_problems(step, 50, seed=3).indices for step in range(9)])
    assert set(drawn) == set(task.split["train"])
    assert not held_out & set(drawn)
    assert np.array_equal(task.train_batch(4, 16, 3).tokens, task.train_batch(4, 16, 3).tokens)


def test_the_order_in_which_they_are_listed_makes_no_difference(file):
    tasks = [task_of(file, name) for name in ("Reversal", "Backwards")]
    first, second = ([text.prompt for text in task.text(task.problems("test", 9))] for task in tasks)
    assert first == second


@pytest.mark.parametrize("typed", ["b_z", "z_", "zä_", "bzq", "bzäb", "", "bzäbzä"])
def test_what_is_none_of_the_prompts_is_told(file, typed):
    with pytest.raises(ValueError, match=r"none of the task's 39 prompts, such as b=|not in the vocabulary") as caught:
        task_of(file).parse(typed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Nothing", "it has no method `pairs`"),
        ("Bound", "Bound.pairs: must be a @staticmethod"),
        ("Failing", r"own.py, line \d+, in Failing.pairs: ZeroDivisionError: division by zero"),
        ("Attribute", "Attribute.pairs: must be a @staticmethod"),
        ("Leaving", r"own.py, line \d+, in Leaving.pairs: SystemExit: 0"),
        ("Long", "Listed.pairs: there must be at most 1,048,576, of at most 10,000 characters"),
        ("Random", "Random.pairs: must give the same pairs each time: seed what is drawn"),
        ("Empty", "Listed.pairs: there are none"),
        ("Nowhere", "Listed.pairs: must give pairs, one after another, not None"),
        ("Words", "Listed.pairs: must give pairs of two texts, prompt and answer, not 'ab'"),
        ("Three", r"must give pairs of two texts, prompt and answer, not \('a', 'b', 'c'\)"),
        ("Twice", "Listed.pairs: the prompt 'a' comes twice"),
        ("Blank", r"Listed.pairs: the prompt of \('', 'b'\) is empty"),
        ("Reserved", r"'=' in \('a=b', 'c'\): a text may hold all that is printed but white space and _ = \."),
        ("Space", r"' ' in \('a', 'b c'\): a text may hold all that is printed but white space"),
        ("Few", r"own.py:Few: has only 2 problems, of which --validation-size 5 and --test-size 9 leave none"),
    ],
)
def test_a_class_that_lists_no_pairs_is_told_in_one_sentence(file, name, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        task_of(file, name)
    assert str(caught.value).startswith("--task")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["Path", "Taken"])
def test_titles_of_groups_are_parts_of_file_names(file, name):
    with pytest.raises(ValueError, match=f"{name}.groups: .* must be a title of letters, digits, spaces and hyphens"):
        task_of(file, name)


def test_a_file_beside_it_can_be_imported_by_the_method(file):
    (file.parent / "beside_the_pairs.py").write_text("PAIRS = [(f'{i}', 'x') for i in range(40)]\n", encoding="utf-8")
    assert task_of(file, "Importing").train_size == 40 - 9 - 5


def test_the_digest_tells_other_pairs_and_not_another_order(file):
    digests = {name: digest_of_user_task(f"{file}:{name}") for name in ("Reversal", "Backwards", "Parity")}
    assert digests["Reversal"] == digests["Backwards"] != digests["Parity"]
    assert digest_of_user_task("binary-addition") is None


def test_endless_pairs_end(file, monkeypatch):
    monkeypatch.setattr("tinygrad_arith.tasks.pairs.MOST_PAIRS", 3000)  # reached sooner
    with pytest.raises(ValueError, match=r"^--task .*: Listed\.pairs: there must be at most 3,000, of"):
        task_of(file, "Many")


@pytest.mark.parametrize("changes", [{"digits": 3}, {"order": "plain"}, {"modulus": 7}, {"padding": "none"}])
def test_options_of_other_tasks_are_refused(file, changes):
    flag = "--" + next(iter(changes)).replace("_", "-")
    with pytest.raises(ValueError, match=f"{flag}: means nothing for --task .*own.py:Reversal; it is an option of "):
        task_of(file, **changes)
