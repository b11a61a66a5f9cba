import math
from itertools import pairwise

import jax.numpy as jnp
import numpy as np
import pytest
from oracles import kernels
from oracles.effective_theory import (
    connected_four_point,
    exponential_moment,
    one_point_integral,
    smooth_moment,
    two_point_integral,
)
from scipy.special import erf

import nnft_ppl as nnft
from nnft_ppl import Operator, SpecError
from nnft_ppl._network import Network
from nnft_ppl.correlators.symmetric import entries, positions
from nnft_ppl.eft.integrals import Integrals, first_order
from nnft_ppl.eft.integration.pair_sums import check_cutoffs
from nnft_ppl.eft.operators import BUILT_IN_OPERATORS, operator

INPUTS = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.2])
BOTH_SIDES = np.array([-1.0, -0.6, -0.2, 0.2, 0.6, 1.0])
INTEGRATED = {n: o for n, o in BUILT_IN_OPERATORS.items() if o.num_points}
CUTOFFS = np.geomspace(7.0, 1e5, 21)
ORACLES = {
    "relu-net": kernels.relu_kernel,
    "erf-net": kernels.erf_kernel,
    "gauss-net": kernels.gauss_kernel,
}
WEIGHTS = {
    "lambda_0": lambda y: 1.0,
    "lambda_2": lambda y: y**2,
    "kappa": lambda y: 1.0,
}


def net(name, bias_std=1.0, width=20, **keywords):
    keywords = {"input_dim": 1, "weight_std": 1.0} | keywords
    return nnft.network(name, width=width, bias_std=bias_std, **keywords)


def propagator(name, bias_std):
    """K_W of the paper's formulas, one-dimensional."""

    def value(x, y):
        return ORACLES[name]([x], [y], 1.0, bias_std) - bias_std**2

    return value


def with_kernel(kernel, name="made-up"):
    """A network with a given kernel and nothing else, for integrals alone."""
    architecture = nnft.Architecture(
        name=name,
        description="for a test",
        prior=lambda hp: {},
        apply=lambda hp, params, x: jnp.zeros(1),
        kernel=lambda hp, x, y: kernel(x[0], y[0]),
    )
    return Network.build(architecture, width=1, input_dim=1)


def packed(index, num_points=6):
    return positions(num_points, np.array(index))


def fitted(design, data):
    return (design @ data) / (design @ design)


# Against independent quadrature


@pytest.mark.parametrize("name", ["relu-net", "erf-net", "gauss-net"])
@pytest.mark.parametrize("which", ["lambda_0", "lambda_2", "kappa"])
@pytest.mark.parametrize("cutoff", [0.5, 100.0])
def test_local_operators_agree_with_adaptive_quadrature(name, which, cutoff):
    result = first_order(operator(which), net(name), BOTH_SIDES, [cutoff])
    k = operator(which).num_fields
    for index in ([0, 0, 1, 4, 4, 5][:k], [2] * k):
        legs = [BOTH_SIDES[i] for i in index]
        exact = one_point_integral(propagator(name, 1.0), legs, cutoff, WEIGHTS[which])
        scale = np.abs(result.values).max()
        assert result.values[0, packed(index)] == pytest.approx(
            exact, abs=1e-10 * scale
        )


def test_a_kink_at_the_origin_is_met_exactly():
    """K_W = x y/2 for x and y of one sign, else 0, so 24 Πx Λ⁵/(5·16) or nothing."""
    x, cutoffs = np.array([-0.7, 0.002, 1.0]), np.array([1e-3, 0.5, 1e5])
    result = first_order(operator("lambda_0"), net("relu-net", 0.0), x, cutoffs)
    legs = x[entries(3, 4)]
    one_sign = (legs > 0).all(axis=1) | (legs < 0).all(axis=1)
    size = 24 / 80 * np.abs(legs.prod(axis=1)) * cutoffs[:, None] ** 5
    np.testing.assert_allclose(
        result.values / size, [np.where(one_sign, -1.0, 0.0)] * 3, atol=1e-12
    )


@pytest.mark.parametrize("name", ["relu-net", "gauss-net"])
@pytest.mark.parametrize(
    ("fields", "weight"),
    [
        ((0, 0, 1, 1), lambda y, z: np.ones(np.broadcast_shapes(y.shape, z.shape))),
        ((0, 0, 1, 1), lambda y, z: np.exp(y - z) + y),
        ((0, 1, 1, 1), lambda y, z: (y + 2) * np.cos(z * y)),
    ],
    ids=["unit", "skew", "unequal"],
)
def test_two_point_operators_agree_with_a_product_rule(name, fields, weight):
    x = [-0.5, 0.3, 1.0]
    bilocal = Operator(
        name="bilocal",
        symbol="b",
        fields=fields,
        weight=lambda y, z: weight(y[..., 0], z[..., 0]),
    )
    result = first_order(bilocal, net(name), x, [2.0])
    for index in entries(3, 4)[::3]:
        exact = two_point_integral(
            propagator(name, 1.0), fields, [x[i] for i in index], 2.0, weight
        )
        assert result.values[0, packed(index, 3)] == pytest.approx(exact, rel=1e-9)


def test_the_squared_mass_operator_is_eight_times_three_splits():
    x = [0.3, 1.0]
    pair = Operator(name="mass", symbol="m", fields=(0, 0))
    mass = first_order(pair, net("relu-net"), x, [4.0]).values[0] / -2
    result = first_order(operator("lambda_nl"), net("relu-net"), x, [4.0]).values[0]
    p = {(a, b): mass[packed([a, b], 2)] for a in (0, 1) for b in (0, 1)}
    for entry, (a, b, c, d) in zip(result, entries(2, 4).tolist(), strict=True):
        splits = p[a, b] * p[c, d] + p[a, c] * p[b, d] + p[a, d] * p[b, c]
        assert entry == pytest.approx(-8 * splits, rel=1e-12)


# Known couplings (theory.md §4)


def test_relu_net_coupling_is_exact_at_every_cutoff():
    width, three = 20, 15 / 4
    design = first_order(
        operator("lambda_0"), net("relu-net", 0.0, width), INPUTS, CUTOFFS
    ).values
    data = three / width * np.prod(INPUTS[entries(6, 4)], axis=1)
    couplings = [fitted(row, data) for row in design]
    np.testing.assert_allclose(couplings * CUTOFFS**5 * width, -12.5, rtol=1e-12)
    np.testing.assert_allclose(
        design * couplings[0], data * (CUTOFFS[:, None] / 7) ** 5
    )


def test_gauss_net_coupling_without_a_cutoff():
    x, width = 0.01 * INPUTS, 1000
    result = first_order(operator("lambda_0"), net("gauss-net"), x, [math.inf])
    data = connected_four_point(exponential_moment(x, 1.0), 6) / width
    assert fitted(result.values[0], data) == pytest.approx(-5.346e-3, abs=1e-6)


def test_erf_net_coupling_at_the_paper_s_cutoff():
    x, width = 0.01 * INPUTS, 5
    result = first_order(operator("lambda_0"), net("erf-net"), x, [100.0])
    data = connected_four_point(smooth_moment(erf, x, 1.0), 6) / width
    assert fitted(result.values[0], data) == pytest.approx(-0.03709, abs=1e-5)


# Cutoffs


def test_gaussian_integrals_have_their_closed_form_at_infinite_cutoff():
    """∫ Π exp(−(x_i − y)²/2) dy = √(2π/k) exp(−k var(x)/2), var over the k legs."""
    result = first_order(operator("kappa"), net("gauss-net"), BOTH_SIDES, [math.inf])
    spread = np.var(BOTH_SIDES[entries(6, 6)], axis=1)
    exact = -720 * np.sqrt(2 * np.pi / 6) * np.exp(-3 * spread)
    np.testing.assert_allclose(result.values[0], exact, rtol=1e-12)


def test_infinite_and_large_finite_cutoffs_agree_in_any_order():
    cutoffs = [math.inf, 30.0, 2.0, math.inf, 1e5]
    for which in INTEGRATED.values():
        values = first_order(which, net("gauss-net"), BOTH_SIDES, cutoffs).values
        alone = first_order(which, net("gauss-net"), BOTH_SIDES, [2.0]).values
        scale = np.abs(values[0]).max()
        for row in (1, 3, 4):
            np.testing.assert_allclose(values[row], values[0], atol=1e-13 * scale)
        np.testing.assert_allclose(values[2], alone[0], rtol=1e-12)
        assert np.abs(values[2] - values[0]).max() > 0.001 * scale


def test_a_power_law_tail_is_followed_to_its_end():
    """∫ dy/(1 + y²) = π: the box is still 1e-5 short of it at Λ = 2e5."""
    network = with_kernel(lambda x, y: 1 / jnp.sqrt(1 + (y - x) ** 2))
    pair = Operator(name="pair", symbol="p", fields=(0, 0))
    result = first_order(pair, network, [0.0], [math.inf, 10.0])
    np.testing.assert_allclose(
        result.values[:, 0], [-2 * np.pi, -4 * np.arctan(10)], rtol=1e-12
    )


def test_a_weight_that_overflows_where_no_field_reaches_does_no_harm():
    """∫ exp(y²) exp(−4 y²/2) dy = √π, though exp(y²) overflows in the tail."""
    growing = Operator(
        name="growing",
        symbol="g",
        fields=(0,) * 4,
        weight=lambda y: np.exp(y[..., 0] ** 2),
    )
    result = first_order(growing, net("gauss-net"), [0.0], [math.inf])
    assert result.values[0, 0] == pytest.approx(-24 * np.sqrt(np.pi), rel=1e-12)


@pytest.mark.parametrize("which", sorted(INTEGRATED))
@pytest.mark.parametrize("name", ["relu-net", "erf-net"])
def test_a_divergent_integral_is_refused_by_name(name, which):
    if (name, which) == ("erf-net", "gradient"):  # K_W' falls as 1/y²: it converges
        return
    with pytest.raises(
        SpecError, match=rf"'{which}' has no limit at cutoff inf .*give a finite cutoff"
    ):
        first_order(operator(which), net(name), INPUTS, [10.0, math.inf])


def test_a_logarithmic_divergence_is_refused():
    network = with_kernel(lambda x, y: (1 + (y - x) ** 2) ** -0.25)
    pair = Operator(name="pair", symbol="p", fields=(0, 0))
    with pytest.raises(SpecError, match="'pair' has no limit at cutoff inf"):
        first_order(pair, network, [0.0], [math.inf])


@pytest.mark.slow
def test_a_divergence_past_the_largest_float_is_refused():
    steep = Operator(name="steep", symbol="s", fields=(0,) * 20)
    with pytest.raises(SpecError, match="'steep' has no limit at cutoff inf"):
        first_order(steep, net("relu-net"), [0.2], [math.inf])


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, -math.inf])
def test_a_cutoff_that_is_no_box_is_refused(bad):
    with pytest.raises(SpecError, match=rf"cutoff {bad!r} is not allowed"):
        first_order(operator("lambda_0"), net("relu-net"), INPUTS, [7.0, bad])


@pytest.mark.parametrize("shape", [(0,), (2, 2)])
def test_cutoffs_come_as_a_list(shape):
    with pytest.raises(SpecError, match="expected a list of at least one"):
        check_cutoffs(np.ones(shape))


def test_one_cutoff_may_be_a_number():
    np.testing.assert_array_equal(check_cutoffs(3), [3.0])


def test_overflow_is_refused_at_its_cutoff():
    with pytest.raises(SpecError, match=r"'kappa' is not finite.*cutoff 1e\+100"):
        first_order(operator("kappa"), net("relu-net"), INPUTS, [10.0, 1e100])


def test_repeated_inputs_are_refused():
    with pytest.raises(SpecError, match="given more than once"):
        first_order(operator("lambda_0"), net("relu-net"), [0.2, 0.2], [7.0])


# Error estimates


def test_the_error_estimate_bounds_the_error():
    """A kink where no panel edge is: bisection converges as h², and says so."""
    network = with_kernel(lambda x, y: jnp.exp(-((y - x) ** 2)) * jnp.abs(y - 0.7712))
    pair = Operator(
        name="pair",
        symbol="p",
        fields=(0, 0),
        weight=lambda y: np.abs(y[..., 0] - 0.3123),
    )
    result = first_order(pair, network, [0.0], [2.0])

    def side(weight):
        breaks = [-2.0, 0.0, 0.3123, 0.7712, 2.0]
        unit, q = np.polynomial.legendre.leggauss(60)
        total = 0.0
        for a, b in pairwise(breaks):
            y = (a + b + (b - a) * unit) / 2
            f = (np.exp(-(y**2)) * np.abs(y - 0.7712)) ** 2 * weight(y)
            total += (b - a) / 2 * (q @ f)
        return total

    exact = -2 * side(lambda y: np.abs(y - 0.3123))
    error = abs(result.values[0, 0] - exact)
    assert 0 < error <= result.error[0, 0] < 1e-3 * abs(exact)


@pytest.mark.parametrize("name", ["relu-net", "erf-net", "gauss-net"])
def test_smooth_panels_reach_the_tolerance(name):
    integrals = Integrals(net(name), BOTH_SIDES, CUTOFFS)
    for which in INTEGRATED.values():
        result = integrals.first_order(which)
        scale = np.abs(result.values).max(axis=1, keepdims=True)
        # A product of two integrals has the relative errors of both.
        assert (result.error <= 5e-10 * scale).all()
        assert (result.error > 0).all()


@pytest.mark.parametrize("x", [[0.0], [-1e5, 1e-3, 3e4], [250.0]])
def test_a_kernel_much_narrower_than_the_inputs_is_found(x):
    result = first_order(operator("lambda_0"), net("gauss-net"), x, [1e6, math.inf])
    diagonal = packed(np.arange(len(x))[:, None] * np.ones(4, dtype=int), len(x))
    # K_W of the diagonal is exp(−(x−y)²/2), whatever x; y itself is rounded at 1e5
    np.testing.assert_allclose(
        result.values[:, diagonal], -24 * np.sqrt(np.pi / 2), rtol=1e-10
    )


def test_the_boundary_derivative_agrees_with_a_difference():
    step = 1e-4
    cutoffs = [2.0 * math.exp(-step), 2.0, 2.0 * math.exp(step)]
    names = [*INTEGRATED.values()]
    names.append(
        Operator(
            name="bilocal",
            symbol="b",
            fields=(0, 1, 1, 1),
            weight=lambda y, z: np.cos(y - 2 * z)[..., 0],
        )
    )
    integrals = Integrals(net("relu-net"), BOTH_SIDES, [*cutoffs])
    for which in names:
        values = integrals.first_order(which).values
        slope = integrals.log_cutoff_derivative(which)[1]
        difference = (values[2] - values[0]) / (2 * step)
        np.testing.assert_allclose(
            difference, slope, atol=3e-7 * np.abs(slope).max(), rtol=0
        )


def test_an_operator_uses_the_propagator_and_not_the_bias():
    pair = Operator(name="pair", symbol="p", fields=(0, 0))
    integral = first_order(pair, net("gauss-net", 3.0), [0.0], [50.0]).values[0, 0]
    assert integral == pytest.approx(-2 * np.sqrt(np.pi), rel=1e-12)
