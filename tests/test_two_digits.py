"""The example on two digits runs, at toy size, and tells them apart."""

import re
import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent / "examples" / "two_digits.py"


@pytest.mark.slow
def test_networks_and_their_process_tell_digits_apart(capsys):
    main = runpy.run_path(str(EXAMPLE))["main"]
    arguments = ["--digits", "0", "1", "--widths", "3", "--num-data", "12"]
    assert main([*arguments, "--num-samples", "60"]) == 0
    number = r"([\d.]+)"
    rows = re.findall(
        rf"\| (\d+|∞) \| {number} \| {number} \|", capsys.readouterr().out
    )
    assert [width for width, *_ in rows] == ["3", "∞"]
    for _, accuracy, loss in rows:
        assert float(accuracy) > 0.9  # a guess has 0.5
        assert float(loss) < 0.5  # a guess has log 2 = 0.69
