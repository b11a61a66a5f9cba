"""The running of a fit beside the theory's, both over the same intervals."""

import jax
import numpy as np
import pytest

import nnft_ppl as nnft

X = np.array([0.2, 0.6, 1.2])


def running(cutoffs, bias_std=1.0, x=X):
    net = nnft.network("relu-net", width=20, input_dim=1, bias_std=bias_std)
    return nnft.fit_couplings(
        nnft.exact_correlators(net, x, orders=(2, 4)),
        nnft.Action(["lambda_0"]),
        cutoffs,
        key=jax.random.key(0),
        num_samples=200,
        num_chains=1,
        sampler="conjugate",
    ).running()


def test_far_cutoffs_are_compared_with_the_mean_exponent_not_the_local_one():
    """The local exponent at Λ = 7 is −4.4; the couplings fall by −4.9 a decade on.

    Inputs so near each other that λ_0 misses the net by a seventh, not by half.
    """
    got = running([7.0, 700.0], x=np.array([0.8, 1.0, 1.2]))
    measured = got["exponent"].mean(("chain", "draw"))[0, 0].item()
    assert abs(measured - got["theory"][0, 0].item()) > 0.3
    assert measured == pytest.approx(got["theory_exponent"][0, 0].item(), abs=0.02)
    assert got["theory_slope"].item() == pytest.approx(
        got["theory_exponent"][0, 0].item(), rel=1e-12
    )


def test_differences_of_the_theory_are_exact_for_a_power_in_any_order_of_cutoffs():
    got = running([1e3, 7.0, 50.0], bias_std=0.0)
    np.testing.assert_allclose(got["theory_exponent"], -5.0, atol=1e-9)
    np.testing.assert_allclose(got["theory_slope"], -5.0, atol=1e-9)
    np.testing.assert_allclose(got["slope"], -5.0, atol=1e-7)


def test_one_cutoff_has_a_local_exponent_alone():
    got = running([7.0])
    assert np.isfinite(got["theory"]).all()
    for name in ("exponent", "theory_exponent", "slope", "theory_slope"):
        assert np.isnan(got[name]).all()


@pytest.mark.slow_but("2-0.5")
@pytest.mark.parametrize(("dim", "low"), [(2, 0.5), (3, 0.2)])
def test_the_homogeneous_net_runs_with_its_dimension(dim, low):
    """λ_0 ∝ Λ^−(d + 4) without biases, whatever the misfit (theory.md §5)."""
    corners = np.array(np.meshgrid(*[[low, 1.0]] * dim)).reshape(dim, -1).T[:4]
    net = nnft.network("relu-net", width=20, input_dim=dim, bias_std=0.0)
    fit = nnft.fit_couplings(
        nnft.exact_correlators(net, corners, (2, 4)),
        nnft.Action(["lambda_0"]),
        list(np.geomspace(7, 1e5, 21)),
        key=jax.random.key(0),
        sampler="conjugate",
        num_samples=20,
    )
    found = fit.running()
    np.testing.assert_allclose(found["slope"], -(dim + 4.0), rtol=1e-6)
    np.testing.assert_allclose(found["theory"], -(dim + 4.0), rtol=1e-6)
