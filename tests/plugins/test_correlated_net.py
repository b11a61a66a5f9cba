"""`correlated-net`: exact 4-pt function at finite and infinite width."""

from functools import cache
from itertools import combinations_with_replacement

import jax
import numpy as np
import pytest
from oracles.kernels import erf_kernel, preactivation
from oracles.single_neuron import gauss_hermite
from scipy.special import erf

import nnft_ppl as nnft

X = ((0.3, -0.8), (1.1, 0.2), (-0.4, 0.9))
WEIGHT_STD, BIAS_STD = 1.0, 0.5
LEGS = list(combinations_with_replacement(range(len(X)), 4))
KERNEL = np.array([[erf_kernel(a, b, WEIGHT_STD, 0.5) for b in X] for a in X])
PROPAGATOR = KERNEL - BIAS_STD**2


def build(correlation, width=5, **changes):
    given = {"weight_std": WEIGHT_STD, "bias_std": BIAS_STD, "input_dim": 2} | changes
    return nnft.network("correlated-net", width=width, correlation=correlation, **given)


@cache
def four_moments(num_nodes=90):
    """E[φ1 φ2 φ3 φ4] of one neuron, by entry."""
    covariance = np.array(
        [[preactivation(a, b, WEIGHT_STD, BIAS_STD) for b in X] for a in X]
    )
    return [gauss_hermite(erf, covariance, legs, num_nodes) for legs in LEGS]


def four_point(correlation, width):
    """Σ_3 [c K_W K_W + (1 + c) C/N], C the covariance of φ1 φ2 and φ3 φ4 · σ_W⁴."""
    found = []
    for (i, j, k, m), moment in zip(LEGS, four_moments(), strict=True):
        pairings = [((i, j), (k, m)), ((i, k), (j, m)), ((i, m), (j, k))]
        found.append(
            sum(
                correlation * PROPAGATOR[a] * PROPAGATOR[b]
                + (1 + correlation)
                * (WEIGHT_STD**4 * moment - PROPAGATOR[a] * PROPAGATOR[b])
                / width
                for a, b in pairings
            )
        )
    return np.array(found)


def test_quadrature_of_the_oracle_has_converged():
    np.testing.assert_allclose(four_moments(90), four_moments(70), rtol=1e-6)


@pytest.mark.parametrize("correlation", [0.0, 0.3])
def test_kernel_does_not_depend_on_the_correlation(correlation):
    np.testing.assert_allclose(build(correlation).kernel(X), KERNEL, rtol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize(("correlation", "width"), [(0.05, 5), (0.3, 5), (1.0, 20)])
def test_sampled_correlators_are_the_exact_ones(correlation, width):
    found = nnft.measure_correlators(
        build(correlation, width), X, (2, 4), num_draws=50_000, key=jax.random.key(2)
    )
    assert found.estimator == "conditional"
    pairs = list(combinations_with_replacement(range(len(X)), 2))
    z = found.connected(2) - [KERNEL[pair] for pair in pairs]
    assert np.abs(z / found.connected_error(2)).max() < 4.5
    z = found.connected(4) - four_point(correlation, width)
    assert np.abs(z / found.connected_error(4)).max() < 4.5


@pytest.mark.slow
def test_four_point_function_survives_infinite_width():
    """At width 1000, 1/N is 0.1 % and the shared scale is all there is."""
    correlation = 0.3
    found = nnft.measure_correlators(
        build(correlation, 1000), X, (2, 4), num_draws=3_000, key=jax.random.key(5)
    )
    z = found.connected(4) - four_point(correlation, np.inf)
    assert np.abs(z / found.connected_error(4)).max() < 4.5
    # and it is seen: 0 is many standard errors away
    assert (found.connected(4) / found.connected_error(4)).max() > 10


def test_outputs_share_the_scale():
    """Cov(f_1², f_2²) of two outputs without bias is c K_W² + (1 + c) Var/N."""
    width, correlation, x = 5, 0.5, [[1.0, 1.0]]
    net = build(correlation, width, bias_std=0.0, output_dim=2)
    values = nnft.sample_ensemble(
        net, x, num_draws=100_000, key=jax.random.key(1)
    ).values
    squares = np.asarray(values[:, 0, :], np.float64) ** 2
    products = np.prod(squares - squares.mean(axis=0), axis=1)
    variance = preactivation(x[0], x[0], WEIGHT_STD, 0.0)
    fourth = WEIGHT_STD**4 * gauss_hermite(erf, np.array([[variance]]), (0,) * 4, 80)
    second = erf_kernel(x[0], x[0], WEIGHT_STD, 0.0)
    expected = correlation * second**2
    expected += (1 + correlation) * (fourth - second**2) / width
    error = products.std() / len(products) ** 0.5
    assert abs(products.mean() - expected) < 4.5 * error


def test_gaussian_limit_and_neuron_are_those_of_independent_weights_alone():
    independent, correlated = build(0.0), build(0.25)
    assert independent.no_gp_limit is None
    assert "0.25 times the sum" in correlated.no_gp_limit
    exact = nnft.exact_correlators(independent, X, (4,))
    np.testing.assert_allclose(exact.connected(4), four_point(0.0, 5), rtol=1e-6)
    with pytest.raises(nnft.UnavailableError, match=r"no i\.i\.d\. neuron"):
        nnft.exact_correlators(correlated, X, (4,))


@pytest.mark.slow
def test_contract():
    nnft.testing.check_architecture(build(0.3, 20), num_draws=4_000)


@pytest.mark.parametrize("correlation", [-0.1, np.inf])
def test_impossible_correlations_are_refused(correlation):
    with pytest.raises(nnft.SpecError, match=r"correlation.*between 0.0 and 10.0"):
        build(correlation)
