"""`nnft check`: a table, the failures explained below it, exit code 1."""

import json

import pytest
from click.testing import CliRunner

from nnft_ppl.cli import main

WRONG = """
from dataclasses import replace
import nnft_ppl as nnft
from nnft_ppl_architectures import relu_net

@nnft.hookimpl
def nnft_ppl_architecture():
    right = relu_net.nnft_ppl_architecture()
    return replace(
        right,
        name="wrong",
        kernel=lambda hp, x, y: 2 * right.kernel(hp, x, y),
    )
"""


@pytest.mark.slow
def test_table_marks_what_fails_and_explains_it_below(install_plugins):
    install_plugins("wrong-plugin", {"wrong": WRONG})
    result = CliRunner().invoke(main, ["check", "wrong", "--num-draws", "1000"])
    assert result.exit_code == 1
    header, *lines = result.stdout.splitlines()
    assert header.split() == [
        "CHECK", "MEASURED", "EXPECTED", "STD.", "ERRORS", "PASS",
    ]  # fmt: skip
    end = lines.index("")
    failed = {line.split()[0] for line in lines[:end] if line.endswith(" NO")}
    assert "kernel-two-point" in failed
    assert all(line.endswith((" yes", " NO")) for line in lines[:end])
    assert "measured over expected is 0." in "\n".join(lines[end:])


@pytest.mark.slow
def test_json_holds_every_row_of_a_failure_too(install_plugins):
    install_plugins("wrong-plugin", {"wrong": WRONG})
    arguments = ["check", "wrong", "--num-draws", "1000", "--json"]
    document = json.loads(CliRunner().invoke(main, arguments).stdout)
    assert not document["passed"]
    passed = {row["check"]: row["passed"] for row in document["checks"]}
    assert passed["jit-vmap"]
    assert not passed["kernel-two-point"]
    assert document["message"].startswith("architecture 'wrong' fails `")
