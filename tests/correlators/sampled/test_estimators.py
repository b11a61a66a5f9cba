"""Estimators where the kernel is not the 2-pt function, and weights of any law."""

from dataclasses import replace
from functools import cache

import jax
import numpy as np
import pytest
from scipy.special import erf

import nnft_ppl as nnft

ESTIMATORS = ("conditional", "wick", "moments")


def deep(activation, width, **options):
    return nnft.network(
        "mlp", width=width, input_dim=1, depth=2, activation=activation, **options
    )


def off_its_kernel(net, factor):
    """The net with a kernel that its 2-pt function does not have at this width."""
    kernel = net.architecture.kernel
    wrong = replace(net.architecture, kernel=lambda hp, x, y: factor * kernel(hp, x, y))
    return replace(net, architecture=wrong)


def linear_cumulants(width):
    """Of two hidden linear layers at one input, K = 1: E(χ²_n/n)^k per layer."""
    four = 3 * (1 + 2 / width) ** 2
    six = 15 * ((1 + 2 / width) * (1 + 4 / width)) ** 2
    return {2: 1.0, 4: four - 3, 6: six - 15 * four + 30}


def relu_kurtosis(width):
    return 3 * (1 + 5 / width) ** 2 - 3


@cache
def ensembles(activation, width, estimator, num_draws, orders, count):
    """Connected functions and errors of `count` ensembles, (ensemble, order)."""
    net = off_its_kernel(deep(activation, width), 1.6)
    found = [
        nnft.measure_correlators(
            net,
            [1.0],
            orders,
            num_draws=num_draws,
            key=jax.random.key(seed),
            estimator=estimator,
        )
        for seed in range(count)
    ]
    return np.array(
        [
            [[c.connected(k)[0], c.connected_error(k)[0]] for k in c.orders]
            for c in found
        ]
    )


def test_a_sample_without_the_exact_two_point_function_is_not_trusted():
    """Off by 2 %, many standard errors: a tail was missed, or the kernel is wrong."""
    net = nnft.network("erf-net", width=20, input_dim=1, bias_std=1.0)
    for factor, trusted in ((1.02, False), (1.0, True)):
        found = nnft.measure_correlators(
            off_its_kernel(net, factor),
            [0.3, 1.0],
            (2, 4),
            num_draws=20_000,
            key=jax.random.key(0),
        )
        gap = np.abs(found.connected(2) - net.kernel([0.3, 1.0])[np.triu_indices(2)])
        assert (gap < 4 * found.connected_error(2)).all()
        for order in (2, 4):
            assert (found.heavy_tailed(order) != trusted).all()


def test_products_of_averages_are_corrected_by_their_covariance():
    """Of 300 networks at one input, written out: ⟨f⁴⟩ − 3 ⟨f²⟩² + 3 Var ⟨f²⟩."""
    net, options = off_its_kernel(deep("identity", 12), 1.6), {"generator": "jax"}
    found = nnft.measure_correlators(
        net,
        [1.0],
        (2, 4),
        num_draws=300,
        key=jax.random.key(0),
        estimator="wick",
        **options,
    )
    drawn = nnft.sample_ensemble(net, [1.0], 300, key=jax.random.key(0), **options)
    square = drawn.values.ravel().astype(float) ** 2
    batch = 300 // found.num_batches
    means = square[: batch * found.num_batches].reshape(-1, batch).mean(axis=1)
    variance = means.var(ddof=1) * batch / 300
    plain = np.mean(square**2) - 3 * square.mean() ** 2
    np.testing.assert_allclose(found.connected(4), plain + 3 * variance, rtol=1e-4)
    assert 3 * variance > 0.01 * plain


@pytest.mark.slow
@pytest.mark.parametrize(("estimator", "width"), [("conditional", 4), ("wick", 12)])
def test_small_ensembles_are_unbiased_whatever_the_reference_kernel(estimator, width):
    """Cumulants of first order in G2 − K would be off by 3·0.6² and more."""
    found = ensembles("identity", width, estimator, 300, (2, 4), 100)[:, :, 0]
    true = linear_cumulants(width)
    for column, order in enumerate((2, 4)):
        error = found[:, column].std() / 10
        assert abs(found[:, column].mean() - true[order]) < 3.5 * error
        assert error < 0.15


@pytest.mark.slow_but("moments")
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_errors_are_the_spread_over_ensembles_of_deep_nets(estimator):
    found = ensembles("identity", 30, estimator, 3000, (2, 4, 6), 20)
    true = linear_cumulants(30)
    # Products of twelve outputs have too heavy a tail for ensembles of this size.
    orders = (2, 4, 6) if estimator == "conditional" else (2, 4)
    for column, order in enumerate(orders):
        value, error = found[:, column].T
        chi_squared = np.sum(((value - true[order]) / error) ** 2)
        # 0.1 % and 99.9 % points of chi-squared with 20 degrees of freedom.
        assert 5.9 < chi_squared < 45.3


@pytest.mark.slow_but("20")
@pytest.mark.parametrize("width", [4, 20])
def test_deep_relu_has_its_exact_kurtosis(width):
    net = deep("relu", width)
    found = nnft.measure_correlators(
        net, [0.7], (2, 4), num_draws=100_000, key=jax.random.key(2)
    )
    assert found.estimator == "conditional"
    k = 0.7**2 / 4
    for order, true in ((2, k), (4, relu_kurtosis(width) * k**2)):
        gap = found.connected(order)[0] - true
        assert abs(gap) < 4 * found.connected_error(order)[0]
    assert found.connected_error(4)[0] < 0.1 * relu_kurtosis(width) * k**2


def simulated_kernel(width, num_draws, x):
    """The random kernel of two hidden erf layers, σ_W = 2, σ_b = 0.2, in NumPy."""
    rng = np.random.default_rng(1)
    normal = rng.normal
    z = 2 * normal(size=(num_draws, width, 1)) * x
    z = z + 0.2 * normal(size=(num_draws, width, 1))
    weights = 2 * normal(size=(num_draws, width, width)) / np.sqrt(width)
    phi = erf(weights @ erf(z) + 0.2 * normal(size=(num_draws, width, 1)))
    return 4 * np.einsum("mjx,mjy->mxy", phi, phi) / width


@pytest.mark.slow_but("conditional")
@pytest.mark.parametrize("estimator", ["conditional", "wick"])
def test_where_the_two_point_function_is_not_the_kernel_nothing_is_flagged(estimator):
    # Of 400,000 the Wick products of one run in sixteen rest on few networks.
    x, num_simulated = np.array([0.3, 2.0]), 400_000
    num_draws = num_simulated if estimator == "conditional" else 1_600_000
    net = deep("erf", 3, weight_std=2.0, bias_std=0.2)
    found = nnft.measure_correlators(
        net,
        x,
        (2, 4),
        num_draws=num_draws,
        key=jax.random.key(0),
        estimator=estimator,
    )
    assert not found.heavy_tailed(2).any()
    assert not found.heavy_tailed(4).any()
    kernel = net.kernel(x)[np.triu_indices(2)]
    off = np.abs(found.connected(2) - kernel) / found.connected_error(2)
    assert off.max() > 6  # or the case would show nothing
    simulated = simulated_kernel(3, num_simulated, x)
    pairs = simulated[:, *np.triu_indices(2)]
    error = np.hypot(found.connected_error(2), pairs.std(axis=0) / num_simulated**0.5)
    assert (np.abs(found.connected(2) - 0.04 - pairs.mean(axis=0)) < 4.5 * error).all()
    for entry, (a, b, c, d) in enumerate(found.entries(4)):
        terms = [
            (simulated[:, p, q] - simulated[:, p, q].mean())
            * (simulated[:, r, s] - simulated[:, r, s].mean())
            for p, q, r, s in ((a, b, c, d), (a, c, b, d), (a, d, b, c))
        ]
        total = np.sum(terms, axis=0)
        error = np.hypot(
            found.connected_error(4)[entry], total.std() / num_simulated**0.5
        )
        assert abs(found.connected(4)[entry] - total.mean()) < 4.5 * error


@pytest.mark.slow
def test_a_kernel_that_is_unknown_need_not_be_measured_on_all_networks():
    """The cumulants do not depend on the reference, known or measured."""
    net = deep("relu", 5, bias_std=1.0)
    blind = replace(net, architecture=replace(net.architecture, kernel=None))
    found = [
        nnft.measure_correlators(
            n, [-0.5, 1.0], (2, 4, 6), num_draws=40_000, key=jax.random.key(0)
        )
        for n in (net, blind)
    ]
    for order in (2, 4, 6):
        gap = found[0].connected(order) - found[1].connected(order)
        assert (np.abs(gap) < 2e-3 * found[0].connected_error(order)).all()
        ratio = found[0].connected_error(order) / found[1].connected_error(order)
        np.testing.assert_allclose(ratio, 1, rtol=2e-3)


LAWS = {"normal": (3, 15), "uniform": (9 / 5, 27 / 7), "laplace": (6, 90)}
"""Fourth and sixth standardised moments."""


def shallow(law, width, **options):
    return nnft.network(
        "mlp", width=width, input_dim=1, depth=1, weight_law=law, **options
    )


@pytest.mark.parametrize("law", LAWS)
def test_exact_cumulants_of_any_law_of_the_output_weights(law):
    """ReLU at x > 0, E φ^{2k} = (2k − 1)!!/2."""
    fourth, sixth = LAWS[law]
    found = nnft.exact_correlators(shallow(law, 7), [0.5, 2.0], (2, 4, 6))
    factor = {
        2: 0.5,
        4: (1.5 * fourth - 3 * 0.25) / 7,
        6: (7.5 * sixth - 15 * 1.5 * fourth * 0.5 + 30 * 0.125) / 49,
    }
    for order in (2, 4, 6):
        x = np.array([0.5, 2.0])[found.entries(order)].prod(axis=1)
        np.testing.assert_allclose(found.connected(order), factor[order] * x, 1e-11)


@pytest.mark.slow_but("laplace-wick", "uniform-conditional")
@pytest.mark.parametrize("estimator", ["conditional", "wick"])
@pytest.mark.parametrize("law", ["uniform", "laplace"])
def test_measured_cumulants_of_other_laws_agree_with_the_exact_ones(law, estimator):
    net = shallow(law, 10, bias_std=0.5)
    x = [-0.6, 1.0]
    true = nnft.exact_correlators(net, x, (2, 4, 6))
    found = nnft.measure_correlators(
        net, x, (2, 4, 6), num_draws=60_000, key=jax.random.key(1), estimator=estimator
    )
    for order in (2, 4, 6):
        gap = found.connected(order) - true.connected(order)
        assert (np.abs(gap) < 4.5 * found.connected_error(order)).all()
    if estimator == "conditional":
        for order, limit in ((2, 0.01), (4, 0.05), (6, 0.3)):
            largest = np.abs(true.connected(order)).max()
            assert (found.connected_error(order) < limit * largest).all()


@pytest.mark.slow
def test_deep_nets_of_another_law_agree_between_estimators():
    net = deep("tanh", 4, bias_std=0.5, weight_law="uniform")
    conditional, wick = (
        nnft.measure_correlators(
            net,
            [0.5, 1.5],
            (2, 4),
            num_draws=60_000,
            key=jax.random.key(seed),
            estimator=estimator,
        )
        for seed, estimator in enumerate(("auto", "wick"))
    )
    assert conditional.estimator == "conditional"
    for order in (2, 4):
        error = np.hypot(
            conditional.connected_error(order), wick.connected_error(order)
        )
        gap = conditional.connected(order) - wick.connected(order)
        assert (np.abs(gap) < 4.5 * error).all()
    ratio = wick.connected_error(4) / conditional.connected_error(4)
    assert (ratio > 3).all()


def test_orders_without_moments_are_refused_and_those_below_are_not():
    net = shallow("student-t", 10, degrees_of_freedom=3.0)
    for refused in (
        lambda: nnft.exact_correlators(net, [1.0]),
        lambda: nnft.measure_correlators(
            net, [1.0], num_draws=1000, key=jax.random.key(0)
        ),
    ):
        with pytest.raises(
            nnft.UnavailableError, match=r"no moment of order 4, .* up to 2"
        ):
            refused()
    assert nnft.exact_correlators(net, [1.0], 2).connected(2)[0] == pytest.approx(0.5)
    found = nnft.measure_correlators(
        net, [1.0], 2, num_draws=10_000, key=jax.random.key(0)
    )
    gap = found.connected(2)[0] - 0.5
    assert abs(gap) < 4 * found.connected_error(2)[0] < 0.02


def test_weights_of_infinite_variance_nobody_declares_are_flagged():
    """Without a readout that tells of moments, the sample itself must."""
    declared = shallow("student-t", 5, degrees_of_freedom=1.0)
    silent = replace(
        declared.architecture, readout=None, neuron=None, hidden_layers=None
    )
    found = nnft.measure_correlators(
        replace(declared, architecture=silent),
        [1.0],
        (2, 4),
        num_draws=20_000,
        key=jax.random.key(0),
    )
    assert found.estimator == "wick"
    assert found.heavy_tailed(2).all()
    assert found.heavy_tailed(4).all()


@pytest.mark.slow
def test_a_theory_that_stays_interacting_at_infinite_width_is_measured():
    """correlated-net: G4c = 3 [c K_W² + (1 + c) Var K̂] with that of erf-net."""
    c, width = 0.5, 200
    net = nnft.network(
        "correlated-net", width=width, input_dim=1, bias_std=1.0, correlation=c
    )
    found = nnft.measure_correlators(
        net, [0.5], (2, 4), num_draws=50_000, key=jax.random.key(0)
    )
    independent = nnft.exact_correlators(
        nnft.network("erf-net", width=width, input_dim=1, bias_std=1.0), [0.5], (2, 4)
    )
    propagator = net.propagator([0.5])[0, 0]
    true = 3 * c * propagator**2 + (1 + c) * independent.connected(4)[0]
    assert abs(found.connected(4)[0] - true) < 4 * found.connected_error(4)[0]
    assert found.connected_error(4)[0] < 0.05 * true
    gaussian = 3 * net.kernel([0.5])[0, 0] ** 2
    assert found.gaussian_moment(4)[0] == pytest.approx(gaussian)
