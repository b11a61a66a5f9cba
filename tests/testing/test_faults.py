"""Every wrong plugin is rejected, with a message that points at the fault.

`python tests/testing/test_faults.py` prints the table of faults and messages.
"""

import re
import sys
from pathlib import Path

import pytest

import nnft_ppl as nnft
from nnft_ppl.testing import CheckResult, check_architecture, check_results

sys.path.insert(0, str(Path(__file__).parent.parent))
from testing.faulty import FAULTS, SCALE, Fault

SLOW = {
    "1/√N missing",
    "wrong σ in the hidden layer",
    "kernel twice too large",
    "readout without its bias",
    "wrong σ in the readout",
    "readout features without a factor",
    "readout of a wrong σ",
    "1/√N in the prior and in the forward pass",
    "1/√N missing, no kernel",
    "scale shared by all output weights",
    "output weights without a variance",
    "waves in equal pairs",
    "wrong rotation symmetry, of an image",
    "biased output beside a readout",
    "closed form of another kernel",
    "kernel with the output bias twice",
    "wrong translation symmetry, no kernel",
    "closed form right for pairs alone",
}
"""Faults for whose check a quicker one stands."""
assert set(FAULTS) >= SLOW


def row_of(fault: Fault) -> CheckResult:
    """The failed row that names the fault; `structure` goes before all else."""
    network = fault.network
    rows = check_results(network, num_draws=fault.num_draws, groups=[fault.group])
    failed = {row.check: row for row in rows if not row.passed}
    assert fault.check in failed, f"failed are {list(map(str, failed.values()))}"
    return failed[fault.check]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, id=name, marks=[pytest.mark.slow] * (name in SLOW))
        for name, fault in FAULTS.items()
    ],
)
def test_fault_is_found_and_named(fault):
    assert re.search(fault.message, str(row_of(fault)), re.DOTALL)


def test_check_architecture_raises_with_all_that_failed():
    network = FAULTS["kernel twice too large"].network
    with pytest.raises(
        nnft.PluginError,
        match=r"(?s)'relu-net' fails .*`kernel-two-point`.*; `neuron-kernel`: measured",
    ):
        check_architecture(network, num_draws=2000)


def test_default_of_an_option_outside_its_bounds_is_refused_at_once():
    with pytest.raises(
        nnft.PluginError, match=r"option `default` is 3\.0; expected a value between"
    ):
        nnft.Option(default=3.0, help=SCALE.help, minimum=0.0, maximum=2.0)


if __name__ == "__main__":
    for name, fault in FAULTS.items():
        print(f"| {name} | `{fault.check}` | {row_of(fault)} |")  # noqa: T201
