"""The GPU attention benchmark's shapes, tables and picture, from made-up times: no GPU, no CuPy."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))  # scripts, not an installed package

import gpu_attention
from gpu_rivals import report as reporting
from gpu_rivals.shapes import QUICK, SHAPES, Shape, find_shape


def figures(ours, forward, backward):
    return {"ours": ours, "errors": {}, "forward": {"ms": forward}, "backward": {"ms": backward}}


REPORT = {
    "gpu": "some GPU",
    "date": "2026-11-22",
    "cpu": "some CPU",
    "cores": 2,
    "versions": {"python": "3.12"},
    "samples": 30,
    "shapes": [
        {
            "shape": "16/12/1024/64 bfloat16",
            "contestants": {
                "blockwise": figures(True, 2.0, 8.0),
                "mma": figures(True, 0.130, 0.500),
                "mma, atomics": figures(True, 0.131, 0.450),
                "FlashAttention-2": figures(False, 0.134, 0.467),
                "cuDNN": figures(False, 0.085, 0.297),
            },
            "skipped": {"naive": "too slow"},
            "failed": [],
        },
        {
            "shape": "16/12/1024/64 float32",
            "contestants": {
                "mma, tf32": figures(True, 0.400, 1.100),
                "memory-efficient": figures(False, 0.899, 2.317),
            },
            "skipped": {},
            "failed": [],
        },
    ],
}


def test_shapes_are_found_by_their_names():
    assert [find_shape(shape.name) for shape in SHAPES] == list(SHAPES)
    assert find_shape("2/3/5/8") == Shape(2, 3, 5, 8, "bfloat16")
    assert set(QUICK) <= set(SHAPES)


@pytest.mark.parametrize("name", ["2/3/5", "2/3/0/8", "2/3/5/8 float16", "a/b/c/d", "1/1/65536/64"])
def test_a_wrong_shape_is_refused(name, capsys):
    with pytest.raises(SystemExit, match="2"):
        gpu_attention.parse(["--only", name])
    assert f"--only {name!r}: " in capsys.readouterr().err


def test_operations_are_counted_as_the_papers_do():
    assert reporting.teraflops("16/12/1024/64", "forward", 0.134) == pytest.approx(192, abs=1)
    assert reporting.teraflops("16/12/1024/64", "backward", 0.467) == pytest.approx(138, abs=1)


def test_lines_and_tables_say_what_was_measured():
    large, exact = REPORT["shapes"]
    lines = reporting.lines(large)
    assert any(re.search(r"mma +130 us +198 +500 us +129 +0\.97 / 1\.07", line) for line in lines), lines
    assert "  naive                          left out: too slow" in lines
    assert reporting.base_of(exact) == "memory-efficient"
    page = reporting.markdown(REPORT, gpu_attention.heading(REPORT))
    assert "| **mma** | 130 us | 198 | 500 us | 129 | 0.97 / 1.07 | 1.53 / 1.68 |" in page
    table = reporting.variants_and_rivals_table(REPORT).splitlines()
    assert table[0] == "|  | 16/12/1024/64 bfloat16 | 16/12/1024/64 float32 |"
    assert "| **blockwise** | 2.00 ms / 8.00 ms |  |" in table


def test_the_fastest_of_ours_is_deterministic():
    large = REPORT["shapes"][0]
    assert reporting.fastest_of_ours(large, "backward") == "mma"
    assert reporting.fastest_of_ours(large, "backward", relaxed=True) == "mma, atomics"
    assert reporting.speed(large, "mma", "forward") == pytest.approx(0.134 / 0.130)


def test_writes_json_tables_and_picture(tmp_path):
    path = gpu_attention.write(REPORT, tmp_path)
    assert path.read_text(encoding="utf-8").startswith("# Attention on the GPU\n\nsome GPU; 2026-11-22")
    assert json.loads((tmp_path / "gpu_attention_2026-11-22.json").read_text(encoding="utf-8")) == REPORT
    assert (tmp_path / "gpu_attention.png").stat().st_size > 10_000


def test_says_what_is_missing():
    code = "import sys; sys.modules['cupy'] = None; import gpu_attention; sys.exit(gpu_attention.main(['--quick']))"
    folder = Path(gpu_attention.__file__).parent
    result = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.startswith("needs CuPy, PyTorch and a GPU: ")
