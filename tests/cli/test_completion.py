"""The scripts by which a shell completes commands and flags."""

import shutil
import subprocess
import sys

import pytest

from tinygrad_arith.cli.completion import SHELLS
from tinygrad_arith.cli.program import COMMANDS, main
from tinygrad_arith.training.presets import preset_names


@pytest.fixture
def script_of(capsys):
    """A function from a shell to its script; skips where the extra is not installed."""
    pytest.importorskip("shtab", reason="shtab is not installed: pip install -e '.[completion]'")

    def script(shell):
        capsys.readouterr()
        assert main(["--print-completion", shell]) == 0
        return capsys.readouterr().out

    return script


def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch, call_command):
    monkeypatch.setitem(sys.modules, "shtab", None)
    sentence = 'shtab is not installed; install it with: pip install -e ".[completion]"'
    assert call_command(main, "--print-completion", "bash") == (1, "", f"error: --print-completion: {sentence}\n")


def test_another_shell_is_misuse(call_command):
    code, _, err = call_command(main, "--print-completion", "cmd")
    assert code == 2
    assert all(shell in err for shell in SHELLS)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_knows_commands_flags_and_values(shell, script_of):
    import shtab

    if shell not in shtab.SUPPORTED_SHELLS:
        pytest.skip(f"the installed shtab knows {', '.join(shtab.SUPPORTED_SHELLS)}")
    script = script_of(shell)
    for word in [*COMMANDS, "learning-rate", "depth", "window-net", "lion", *preset_names()]:
        assert word in script


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_script_is_one_for_its_shell(shell, script_of, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    (tmp_path / "script").write_text(script_of(shell), encoding="utf-8")
    subprocess.run([shell, "-n", str(tmp_path / "script")], check=True)


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["tr"], ["train"]),
        (["train", "--learn"], ["--learning-rate"]),
        (["train", "--preset", "grok"], ["grokking-mod113"]),
        (["compare", "--optimizer", "l"], ["lion"]),
        (["peek", "--task", "mod"], ["modular-addition"]),
    ],
)
def test_bash_completes(words, completed, script_of, tmp_path):
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    (tmp_path / "script").write_text(script_of("bash"), encoding="utf-8")
    line = f"COMP_WORDS=(tinygrad-arith {' '.join(words)}); COMP_CWORD={len(words)}"
    ask = 'source "$0"; ' + line + '; _shtab_tinygrad_arith; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", ask, str(tmp_path / "script")], capture_output=True, text=True, check=True)
    assert done.stdout.split() == completed
