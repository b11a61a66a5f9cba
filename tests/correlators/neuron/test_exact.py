import json
from dataclasses import replace
from functools import cache
from math import factorial, prod
from pathlib import Path

import numpy as np
import pytest
from oracles.single_neuron import erf_far_deficit, gauss_hermite
from scipy.special import erf

from nnft_ppl import SpecError, UnavailableError, exact_correlators, network
from nnft_ppl.correlators.neuron.cumulants import exact_cumulants
from nnft_ppl.correlators.neuron.exact import UnresolvedWarning
from nnft_ppl.correlators.neuron.moments import neuron_moments
from nnft_ppl.correlators.readout_weights import normal_moment
from nnft_ppl.correlators.symmetric import entries, positions

ORACLES = Path(__file__).parents[2] / "oracles"
CASES = json.loads((ORACLES / "single_layer_cumulants.json").read_text())
ORACLE_PRECISION = {"relu": 3e-14, "erf": 1e-12, "gauss": 3e-14}
"""Relative to the largest entry: ReLU G2 is x y/2 up to 2.6e-14 in the file."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_every_value_of_the_independent_calculation(case):
    net = network(
        f"{case['architecture']}-net",
        width=case["width"],
        input_dim=1,
        weight_std=case["sigma_w"],
        bias_std=case["sigma_b"],
    )
    connected, errors = exact_cumulants(net, case["inputs"], (2, 4, 6))
    names = {2: "G2", 4: "G4_connected", 6: "G6_connected"}
    for order, name in names.items():
        expected = np.array(case[name])
        off = np.abs(connected[order] - expected)
        slack = ORACLE_PRECISION[case["architecture"]] * np.abs(expected).max()
        assert off.max() < 1e-11 * np.abs(expected).max()
        assert (off <= errors[order] + slack).all()
        assert errors[order].max() < 1e-10 * np.abs(expected).max()


def test_relu_with_positive_inputs_has_the_closed_cumulants():
    width, x = 20, np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.2])
    net = network("relu-net", width=width, input_dim=1)
    connected, errors = exact_cumulants(net, x, (2, 4, 6, 8))
    # κ8 of a·relu(w): with E a^{2k} = (2k−1)!! and E relu^{2k} = (2k−1)!!/2 the moments
    # are m = 1/2, 9/2, 225/2, 11025/2 and
    # κ8 = m8 − 28 m6 m2 − 35 m4² + 420 m4 m2² − 630 m2⁴ = 3661.875.
    factors = {2: 0.5, 4: 3.75 / width, 6: 82.5 / width**2, 8: 3661.875 / width**3}
    for order, factor in factors.items():
        exact = factor * x[entries(6, order)].prod(axis=1)
        assert (np.abs(connected[order] - exact) <= errors[order]).all()
        assert (errors[order] < 1e-12 * exact).all()


def test_gauss_net_at_the_origin_has_the_closed_cumulants():
    net = network("gauss-net", width=7, input_dim=1, bias_std=1.0)
    connected, errors = exact_cumulants(net, [0.0], (2, 4, 6, 8))
    # κ4 of φ² from its moments e^{2k(k−1)}, times the 105 pairings.
    m2, m3, m4 = np.exp([4, 12, 24])
    exact = {
        8: 105 * (m4 - 4 * m3 - 3 * m2**2 + 12 * m2 - 6) / 7**3,
        2: 1 + 1.0,
        4: 3 * (np.exp(4) - 1) / 7,
        6: (15 * np.exp(12) - 45 * np.exp(4) + 30) / 7**2,
    }
    for order, value in exact.items():
        assert abs(connected[order][0] - value) <= errors[order][0] < 1e-11 * value
    assert 7 * connected[4][0] == pytest.approx(160.79, abs=0.01)


def test_erf_net_at_the_origin_has_the_tabled_four_point_function():
    net = network("erf-net", width=3, input_dim=1, bias_std=1.0)
    connected, _ = exact_cumulants(net, [0.0], (4,))
    assert list(connected) == [4]
    assert 3 * connected[4][0] == pytest.approx(0.362465, abs=5e-7)


@pytest.mark.parametrize("input_dim", [1, 2, 3])
@pytest.mark.parametrize("width", [1, 20])
def test_relu_kurtosis_at_one_input_is_three_times_one_plus_five_over_width(
    input_dim, width
):
    net = network("relu-net", width=width, input_dim=input_dim, weight_std=1.3)
    x = [np.arange(1, input_dim + 1) / 2]
    connected, _ = exact_cumulants(net, x, (2, 4))
    kurtosis = 3 + connected[4][0] / connected[2][0] ** 2
    assert kurtosis == pytest.approx(3 * (1 + 5 / width), rel=1e-12)


@pytest.mark.parametrize("name", ["relu-net", "erf-net", "gauss-net"])
@pytest.mark.parametrize("input_dim", [1, 2, 3])
def test_two_point_function_is_the_kernel_at_every_width(name, input_dim):
    net = network(name, width=2, input_dim=input_dim, weight_std=1.2, bias_std=0.8)
    x = np.array(net.architecture.suggested_inputs[input_dim])
    connected, errors = exact_cumulants(net, x, (2,))
    exact = net.kernel(x)[np.triu_indices(len(x))]
    # The closed kernel is itself rounded.
    assert (np.abs(connected[2] - exact) <= errors[2] + 1e-14).all()
    assert errors[2].max() < 1e-9


def test_connected_functions_fall_as_powers_of_the_width():
    x = [-1.0, 0.3]
    narrow, wide = (
        exact_cumulants(
            network("erf-net", width=width, input_dim=1, bias_std=1.0), x, (4, 6, 8)
        )[0]
        for width in (3, 300)
    )
    for order in (4, 6, 8):
        ratio = wide[order] / narrow[order]
        np.testing.assert_allclose(ratio, 100 ** (1 - order / 2), rtol=1e-12)


def test_cumulants_of_sampled_networks_agree():
    # Direct simulation in NumPy of width 2: unbiased up to 1/draws, no library code.
    rng = np.random.default_rng(8)
    draws, width, x = 1_000_000, 2, np.array([0.4, 1.0])
    hidden = rng.normal(size=(draws, width, 1)) * x + rng.normal(size=(draws, width, 1))
    weights = rng.normal(size=(draws, width, 1)) / np.sqrt(width)
    f = (weights * np.maximum(hidden, 0)).sum(axis=1) + rng.normal(size=(draws, 1))
    net = network("relu-net", width=width, input_dim=1, bias_std=1.0)
    connected, _ = exact_cumulants(net, x, (2, 4))
    k = np.array([[connected[2][0], connected[2][1]], [0, connected[2][2]]])
    wick = f[:, 0] ** 2 * f[:, 1] ** 2
    mean, error = wick.mean(), wick.std() / np.sqrt(draws)
    exact = k[0, 0] * k[1, 1] + 2 * k[0, 1] ** 2
    exact += connected[4][positions(2, np.array([0, 0, 1, 1]))]
    assert abs(mean - exact) < 4 * error
    assert error < 0.1 * connected[4].min()


def test_erf_eight_point_function_is_the_cumulant_of_independent_moments():
    """All 8-pt entries of two inputs, moments by a tensor Gauss–Hermite rule."""
    x = np.array([-0.4, 0.9])
    net = network("erf-net", width=3, input_dim=1, weight_std=0.8, bias_std=0.5)
    found, errors = exact_cumulants(net, x, (8,))
    covariance = 0.5**2 + 0.8**2 * np.outer(x, x)
    moment = cache(lambda legs: gauss_hermite(erf, covariance, legs, 120))
    for entry, legs in enumerate(entries(2, 8)):
        value = 0.0
        for blocks in set_partitions(list(legs)):
            if all(len(block) % 2 == 0 for block in blocks):
                product = (-1) ** (len(blocks) - 1) * factorial(len(blocks) - 1)
                for block in blocks:
                    weight = prod(range(1, len(block), 2))
                    product = product * weight * moment(tuple(sorted(block)))
                value += product
        assert found[8][entry] == pytest.approx(0.8**8 / 3**3 * value, rel=1e-7)
        assert errors[8][entry] < 1e-9 * abs(value)


def set_partitions(items):
    """All partitions of a list into non-empty blocks."""
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for partition in set_partitions(rest):
        yield [[first], *partition]
        for i, block in enumerate(partition):
            yield [*partition[:i], [first, *block], *partition[i + 1 :]]


def test_errors_bound_what_a_perturbation_of_the_moments_does(monkeypatch):
    net = network("erf-net", width=5, input_dim=1, bias_std=1.0)
    x = [-0.7, 0.9]
    exact, _ = exact_cumulants(net, x, (2, 4, 6))
    rng = np.random.default_rng(0)
    moments, _ = neuron_moments(net.neuron(), net.check_inputs(x), (2, 4, 6))

    def perturbed(neuron, points, orders):
        errors = {k: np.full_like(v, 1e-4) for k, v in moments.items()}
        signs = {k: rng.choice([-1, 1], size=len(v)) for k, v in moments.items()}
        return {k: v + 1e-4 * signs[k] for k, v in moments.items()}, errors

    monkeypatch.setattr(
        "nnft_ppl.correlators.neuron.cumulants.neuron_moments", perturbed
    )
    closest = dict.fromkeys((4, 6), 0.0)
    for _ in range(200):
        values, errors = exact_cumulants(net, x, (4, 6))
        for order in (4, 6):
            ratio = np.abs(values[order] - exact[order]) / errors[order]
            assert ratio.max() <= 1
            closest[order] = max(closest[order], float(ratio.max()))
    # A bound that nothing comes near would say nothing.
    assert min(closest.values()) > 0.3


def test_normal_moments_are_those_of_gauss_hermite_quadrature():
    nodes, weights = np.polynomial.hermite_e.hermegauss(12)
    for order in (2, 4, 6, 8):
        exact = weights @ nodes**order / np.sqrt(2 * np.pi)
        assert normal_moment(order) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("orders", [(9,), (2, 10), (0,), (True,), (4.5,)])
def test_orders_outside_one_to_eight_are_refused(orders):
    net = network("relu-net", width=5, input_dim=1)
    with pytest.raises(
        SpecError, match=rf"order {orders[-1]!r} .*\[1, 2, 3, 4, 5, 6, 7, 8\]"
    ):
        exact_cumulants(net, [1.0], orders)


def test_no_orders_are_refused():
    net = network("relu-net", width=5, input_dim=1)
    with pytest.raises(SpecError, match=r"`orders` is empty"):
        exact_cumulants(net, [1.0], ())


def test_architecture_without_neuron_is_refused():
    net = network("erf-net", width=5, input_dim=1)
    bare = replace(net, architecture=replace(net.architecture, neuron=None))
    with pytest.raises(UnavailableError, match=r"no i\.i\.d\. neuron.*measure_"):
        exact_cumulants(bare, [1.0], (2, 4))


@pytest.mark.parametrize("bias_std", [0.0, 1.0])
@pytest.mark.parametrize("scale", [1e3, 1e6])
def test_erf_net_is_known_where_it_is_as_steep_as_a_step(scale, bias_std):
    """G4c falls as 1/scale: what is left of two numbers near 1."""
    slopes = np.array([1.0, -0.5])
    net = network("erf-net", width=5, input_dim=1, bias_std=bias_std)
    found, errors = exact_cumulants(net, scale * slopes, (4,))

    def far(*legs):
        return np.prod(np.sign(slopes[list(legs)])), erf_far_deficit(
            slopes[list(legs)], scale, bias_std
        )

    for entry, (a, b, c, d) in enumerate(entries(2, 4)):
        _, deficit = far(a, b, c, d)
        lost = -3 * deficit
        for pairs in ((a, b), (c, d)), ((a, c), (b, d)), ((a, d), (b, c)):
            (one, d_one), (two, d_two) = (far(*pair) for pair in pairs)
            lost += one * d_two + two * d_one - d_one * d_two
        exact = lost / 5  # the limits cancel: 3 of one sign less three products
        off = abs(found[4][entry] - exact)
        assert off <= errors[4][entry] < 0.3 * abs(exact)
        assert off < 1e-3 * abs(exact)


def test_entries_that_no_digit_is_known_of_are_named():
    net = network("erf-net", width=5, input_dim=1)
    with pytest.warns(UnresolvedWarning, match=r"5 of 5 .* 4-pt .* 1\.34e-09 ± 6"):
        exact_correlators(net, [1e8, 2e8], (4,))
