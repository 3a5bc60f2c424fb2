import pytest

from tinygrad_arith.cli.summary import print_preset, print_presets
from tinygrad_arith.options.errors import UserError
from tinygrad_arith.training.config import Config
from tinygrad_arith.training.presets import DEFAULT_PRESET, changed_options, load_preset, preset_names


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_valid_and_described(name):
    preset = load_preset(name)
    preset.config.resolved()
    assert preset.title
    assert preset.source
    assert preset.expected
    assert isinstance(preset.published, str)


def test_the_default_preset_is_the_default_of_every_option():
    assert preset_names()[0] == DEFAULT_PRESET
    assert load_preset(DEFAULT_PRESET).config == Config()


def test_changes_are_told():
    assert "task.digits = 12" in changed_options(load_preset("binary-reversed-12bit").config)
    assert changed_options(Config()) == []


def test_an_unknown_preset_names_the_nearest_and_all():
    with pytest.raises(UserError) as raised:
        load_preset("binary-revrsed")
    assert "did you mean binary-reversed" in str(raised.value)
    assert all(name in str(raised.value) for name in preset_names())


@pytest.mark.parametrize("name", preset_names())
def test_what_is_told_of_a_preset_has_the_published_figure_where_there_is_one(name, capsys):
    preset = load_preset(name)
    print_preset(preset)
    printed = " ".join(capsys.readouterr().out.split())
    assert (" published " in printed) == bool(preset.published)
    for told in (preset.title, preset.expected, preset.source, preset.published):
        assert " ".join(told.split()) in printed


def test_the_list_has_a_line_for_each_preset(capsys):
    print_presets()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:-2]] == preset_names()
    assert max(map(len, lines)) < 160
