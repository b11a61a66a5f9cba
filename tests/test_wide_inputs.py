"""The study of wide inputs runs, at toy size, and says what theory.md says."""

import re
import runpy
from pathlib import Path

EXAMPLE = Path(__file__).parent.parent / "examples" / "wide_inputs.py"


def test_the_study_of_wide_inputs_writes_its_tables(tmp_path, capsys):
    output = tmp_path / "table.md"
    main = runpy.run_path(str(EXAMPLE))["main"]
    arguments = ["--nets", "erf-net", "--cutoffs", "2", "100", "inf"]
    assert main([*arguments, "--output", str(output)]) == 0
    text = capsys.readouterr().out
    assert output.read_text() == text
    assert re.search(r"^\| erf-net \| (yes|no) \| lambda_", text, re.MULTILINE)
    # λ_0, λ_2 and λ_NL leave 30 % at Λ = 100 (theory.md §4).
    row = r"\| erf-net \| lambda_0 \+ lambda_2 \+ lambda_nl \| 100 \| (\S+) % \|"
    assert round(float(re.search(row, text)[1])) == 30
    assert "left out at cutoff inf: lambda_0" in text
