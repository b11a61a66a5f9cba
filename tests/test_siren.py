"""The example plugin without a kernel: what it is refused, and what can be studied."""

from pathlib import Path

import jax
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.study import read_study, run_study
from tests.conftest import InstallPlugins

FOLDER = Path(__file__).parent.parent / "examples" / "siren"
STUDY = (FOLDER / "siren.toml").read_text()
SMALL = (
    ("[8, 16, 32]", "[8, 16]"),
    ("num_draws = 5000", "num_draws = 2000"),
    ("-0.02, -0.01, 0.0, 0.01, 0.02", "-0.02, 0.0, 0.02"),
)


@pytest.fixture(autouse=True)
def _siren(install_plugins: InstallPlugins):
    install_plugins("nnft-siren", {"siren": (FOLDER / "siren.py").read_text()})


def shortened(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    """The example's study file with other numbers, in a folder of its own."""
    text = STUDY
    for old, new in (*changes, *SMALL):
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "siren.toml"
    path.write_text(text)
    return path


@pytest.mark.slow
def test_the_plugin_passes_the_contract():
    net = nnft.network("siren", width=16, input_dim=1)
    assert not net.has_kernel
    nnft.testing.check_architecture(net, num_draws=2000)


def test_an_effective_action_without_a_kernel_is_refused(tmp_path):
    path = shortened(tmp_path, ("kernel_draws = 2400", ""))
    with pytest.raises(
        nnft.UnavailableError, match=r"no GP kernel.*`ensemble.kernel_draws`"
    ):
        read_study(path)


def test_a_study_without_an_action_reports_the_approach(tmp_path):
    action = STUDY[STUDY.index("# Without this table") : STUDY.index("[output]")]
    path = shortened(tmp_path, ("kernel_draws = 2400", ""), (action, ""))
    run = run_study(read_study(path, directory=tmp_path / "run"))
    assert run.passed
    assert "At width 16 the 4-point function of siren is" in run.headline
    page = run.report.read_text()
    assert "How siren approaches its Gaussian process" in page
    assert "No kernel is known" in page
    assert "Couplings" not in page
    assert "fit alone" not in page
    # The 4-pt function of both widths as the correlators have it.
    for found in run.results.correlators:
        value = nnft.mean_deviation(found, 4).value
        assert f"{100 * value:.2g}" in page
        # What the 2-pt function is uncertain by, the Gaussian process is as well.
        ratio = found.connected_error(4) / found.connected(4)
        assert nnft.mean_deviation(found, 4).error < 2 * value * ratio.mean()
    again = run_study(read_study(path, directory=tmp_path / "run"))
    assert again.headline == run.headline


@pytest.mark.slow
def test_a_coupling_with_a_measured_kernel_describes_other_inputs_too():
    net = nnft.network("siren", width=16, input_dim=1)
    measured = nnft.measured_kernel(net, 600, key=jax.random.key(0))
    found = []
    for number, x in enumerate(([-0.01, 0.0, 0.01], [-0.02, 0.005, 0.015])):
        fit = nnft.fit_couplings(
            nnft.measure_correlators(
                measured, x, (2, 4), num_draws=1500, key=jax.random.key(number)
            ),
            nnft.Action(["lambda_0"]),
            [1.0],
            key=jax.random.key(9),
            sampler="conjugate",
        )
        draws = fit.dimensionless / fit.likelihood.scale
        found.append((draws.mean(), draws.std()))
    (one, its), (other, others) = found
    assert one < -4 * its  # heavier tails than Gaussian
    assert abs(one - other) < 3 * np.hypot(its, others)
