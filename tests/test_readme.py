"""The README's Python runs as it stands and prints what it says."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def code_blocks(path, language):
    text = (ROOT / path).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.S)


def test_the_ten_lines(capsys):
    (code,) = code_blocks("README.md", "python")
    names = {}
    exec(compile(code, "README.md", "exec"), names)  # our own file
    *_, slope, misfit, verdict = capsys.readouterr().out.splitlines()
    assert float(slope) == pytest.approx(-5, abs=1e-3)
    assert float(misfit) == pytest.approx(0.06, abs=0.015)
    assert verdict.startswith("this action describes this network")
    table = names["fit"].summary()
    invariant = table["mean"] * 20 * table["cutoff"] ** 5
    assert invariant.tolist() == pytest.approx([-12.5, -12.5], rel=0.03)
