"""The example on digits runs, at toy size, and its two columns agree."""

import re
import runpy
from pathlib import Path

EXAMPLE = Path(__file__).parent.parent / "examples" / "digits_width.py"


def test_networks_sampled_at_the_required_width_have_the_tolerance(capsys):
    main = runpy.run_path(str(EXAMPLE))["main"]
    arguments = ["--activations", "relu", "--tolerance", "0.2", "--groups", "2"]
    assert main([*arguments, "--num-draws", "10000"]) == 0
    out, log = capsys.readouterr()
    number = r"([\d.]+)"
    row = rf"\| relu \| \d+ \((\d+) to (\d+)\) \| {number} ± {number} \|"
    low, high, distance, error = map(float, re.search(row, out).groups())
    # Beside the sampling error: what orders beyond the first may add, at this width.
    next_order = 0.2 * (high - low) / (high + low)
    assert abs(distance - 0.2) < 4 * error + 2 * next_order
    assert error < 0.01
    assert "'mlp' is within 0.2 of its Gaussian process" in log
