import pytest

from tinygrad_arith.training.config import Config
from tinygrad_arith.training.errors import UserError
from tinygrad_arith.training.presets import DEFAULT_PRESET, changed_options, load_preset, preset_names


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_valid_and_described(name):
    preset = load_preset(name)
    preset.config.validate()
    assert preset.title
    assert preset.source
    assert preset.expected


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
