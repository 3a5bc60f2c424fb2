"""What `train --list-presets` and `train --show` say of the presets."""

import dataclasses
import json
import shlex
from pathlib import Path

import pytest

import tinygrad_arith
from tinygrad_arith.cli.flags import presets_chosen
from tinygrad_arith.cli.summary import preset_lines, print_preset
from tinygrad_arith.cli.train import main, make_train_parser
from tinygrad_arith.training.config import with_options
from tinygrad_arith.training.presets import load_preset, preset_names

RESULTS = Path(tinygrad_arith.__file__).parents[1] / "benchmarks" / "results"
PRESETS = [load_preset(name) for name in preset_names()]


def test_each_has_a_line_of_at_most_80_columns(capsys):
    assert main(["--list-presets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    for preset, line in zip(PRESETS, lines[:-2], strict=True):
        assert line.startswith(f"{preset.name} ")
        assert f"  {preset.short}  " in line
        assert line.endswith(f" {preset.measured.seconds / 60:.1f} min  {preset.measured.device}")


@pytest.mark.parametrize("width", [40, 79])
def test_where_there_is_less_room_the_rest_stands_below(width):
    text = "\n".join(preset_lines(PRESETS, width))
    assert max(map(len, text.splitlines())) <= width
    assert "\ngrokking-mod113\n  sums modulo 113, grokking; 2.7 min" in text


def test_what_was_not_measured_says_so(capsys):
    preset = dataclasses.replace(PRESETS[0], measured=None)
    assert list(preset_lines([preset], 80)) == ["binary-reversed  8-bit sums, lowest bit first  not measured"]
    print_preset(preset)
    assert "training         not measured\n" in capsys.readouterr().out


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_the_times_are_those_of_the_newest_results(preset):
    if not RESULTS.is_dir():
        pytest.skip("the results of the benchmarks are not here")
    paths = sorted(RESULTS.glob(f"experiment_{preset.name}_20??-??-??.json"))
    values = json.loads(paths[-1].read_text(encoding="utf-8"))
    assert preset.measured.seconds == min(run["seconds"] for run in values["runs"])
    assert preset.measured.device in values["machine"]


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_the_flags_that_are_shown_make_the_preset(preset, capsys):
    assert main(["--show", preset.name]) == 0
    command = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert command[:3] == ["python", "-m", "tinygrad_arith.train"]
    base, config = presets_chosen(command[3:])[0]
    given = make_train_parser(config).parse_args(command[3:]).given
    assert with_options(base.config, given) == preset.config
    assert with_options(base.config, given).resolved() == preset.config.resolved()


def test_the_list_with_a_name_is_the_same(capsys):
    assert main(["--list-presets", "julia-gpt"]) == 0
    listed = capsys.readouterr().out
    assert main(["--show", "julia-gpt"]) == 0
    assert listed == capsys.readouterr().out


def test_an_unknown_preset_is_misuse(call_command):
    code, _, err = call_command(main, "--show", "grokking")
    assert code == 2
    assert "--show grokking: no such preset; did you mean grokking-mod113" in err
