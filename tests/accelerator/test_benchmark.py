"""The benchmark of accelerators runs, with small sizes, wherever JAX does."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_benchmark_prints_its_ceilings_and_all_stages():
    program = Path(__file__).parents[2] / "benchmarks" / "accelerator.py"
    done = subprocess.run(
        [sys.executable, program, "--quick"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for what in ("bare normals", "memory", "wick", "conv-net", "kernel", "NUTS"):
        assert what in done.stdout
    assert done.stdout.splitlines()[-1].startswith("all of it")
