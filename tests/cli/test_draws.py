"""`nnft correlators --from-draws`: a file of draws in, correlators out."""

import jax
import numpy as np
import pytest
from click.testing import CliRunner

import nnft_ppl as nnft
from nnft_ppl.cli import main

X = np.array([[-0.6], [0.3], [0.9]])


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def draws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0)
    ensemble = nnft.sample_ensemble(net, X, 3000, key=jax.random.key(0))
    np.save("x.npy", X)
    np.save("draws.npy", ensemble.values[:, :, 0] + 1.0)
    np.save("chains.npy", ensemble.values[:, :, 0].reshape(3, 1000, 3))
    ensemble.save("ens.nc")
    return ensemble


FROM = ("correlators", "--from-draws")
INPUTS = ("--inputs", "x.npy", "-o", "corr.nc")
EXIT_BAD_INPUT = 2


def test_draws_of_a_file_give_the_correlators_of_the_array(draws):
    result = run(*FROM, "draws.npy", *INPUTS)
    assert result.exit_code == 0, result.output
    assert "from 3,000 draws in corr.nc" in result.output
    assert "1      3        the same               -" in result.output
    assert "2      6        the same               -" in result.output
    assert "standard errors from zero" in result.output
    found = nnft.load("corr.nc")
    expected = nnft.correlators_from_draws(draws.values + np.float32(1.0), X)
    assert found.orders == (1, 2, 3, 4)
    for k in found.orders:
        np.testing.assert_array_equal(found.connected(k), expected.connected(k))


def test_an_ensemble_that_was_saved_is_read_beside_its_kernel(draws):
    network = ("correlators", "erf-net", "--width", 5, "--bias-std", 1)
    result = run(*network, "--from-draws", "ens.nc", "--order", 4, *INPUTS)
    assert result.exit_code == 0, result.output
    found = nnft.load("corr.nc")
    assert found.orders == (2, 4)
    assert found.network.width == 5
    np.testing.assert_allclose(found.network.kernel(X), draws.network.kernel(X))


def test_chains_and_a_width_reach_the_library(draws):
    result = run(*FROM, "chains.npy", "--chains", "--width", 7, *INPUTS, "--json")
    assert result.exit_code == 0, result.output
    found = nnft.load("corr.nc")
    assert found.network.width == 7
    assert found.autocorrelation[1] == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("draws.npy", *INPUTS, "--num-draws", 5), "`--from-draws` samples nothing"),
        (("draws.npy", *INPUTS, "--exact"), "are both given"),
        (("draws.csv", *INPUTS), "is neither .npy nor .nc"),
        (("none.npy", *INPUTS), "cannot read 'none.npy'"),
        (("x.npy", *INPUTS), "of 1 inputs, and `x` has 3"),
        (("corr2.nc", *INPUTS), "cannot read 'corr2.nc'"),
        (("draws.npy", "-o", "corr.nc"), "give --inputs or --points"),
    ],
)
def test_what_does_not_fit_is_bad_input(draws, arguments, match):
    result = run(*FROM, *arguments)
    assert result.exit_code == EXIT_BAD_INPUT
    assert match in result.output


def test_the_name_is_missed_where_there_are_no_draws(draws):
    result = run("correlators", *INPUTS)
    assert result.exit_code == EXIT_BAD_INPUT
    assert "Missing argument 'NAME'" in result.output
    result = run("correlators", "erf-net", *INPUTS)
    assert "Missing option '--width'" in result.output
    result = run("correlators", "erf-net", "--width", 5, "--chains", *INPUTS)
    assert "give them with --from-draws" in result.output
