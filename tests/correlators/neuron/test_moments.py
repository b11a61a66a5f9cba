from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from oracles import single_neuron as oracle

from nnft_ppl import Neuron, PluginError, SpecError, UnavailableError, network
from nnft_ppl.correlators.neuron.moments import gaussian_moments, neuron_moments
from nnft_ppl.correlators.symmetric import entries, positions

ORDERS = (2, 4, 6)
GENERAL = {
    2: np.array([[0.5, 1.0], [-1.0, 0.3], [0.2, -0.9], [1.1, 0.4]]),
    3: np.array([[0.5, 1.0, 0.1], [-1.0, 0.3, 0.7], [0.2, -0.9, 1.2], [1.1, 0.4, 0.6]]),
}


def covariance(x, bias_std):
    return bias_std**2 + x @ x.T / x.shape[1]


def neuron_of(name, input_dim, bias_std):
    return network(name, width=1, input_dim=input_dim, bias_std=bias_std).neuron()


def custom(activation, homogeneity=None, bias_std=1.0):
    return Neuron(
        covariance=lambda x, y: bias_std**2 + jnp.dot(x, y) / x.shape[0],
        activation=activation,
        homogeneity=homogeneity,
    )


def at(num_points, *legs):
    return positions(num_points, np.array(legs))


def relu(z):
    return np.maximum(z, 0.0)


def test_step_gives_sheppards_orthant_probability():
    x = GENERAL[3][:3]
    step = custom(lambda z, v: jnp.where(z > 0, 1.0, 0.0), homogeneity=0)
    moments, errors = neuron_moments(step, x, (4,))
    entry = at(3, 0, 0, 1, 2)
    exact = oracle.positive_orthant(covariance(x, 1.0))
    assert abs(moments[4][entry] - exact) < 1e-10
    assert abs(moments[4][entry] - exact) <= errors[4][entry]


@pytest.mark.parametrize("input_dim", [2, 3])
@pytest.mark.parametrize("bias_std", [0.0, 1.0])
def test_relu_moments_at_one_and_two_inputs_are_arc_cosine_kernels(input_dim, bias_std):
    x = GENERAL[input_dim]
    s = covariance(x, bias_std)
    moments, errors = neuron_moments(
        neuron_of("relu-net", input_dim, bias_std), x, ORDERS
    )
    for power in (1, 2, 3):
        order = 2 * power
        for a in range(4):
            for b in range(a, 4):
                entry = at(4, *[a] * power, *[b] * power)
                if a == b:
                    exact = oracle.relu_power(s[a, a], order)
                else:
                    exact = oracle.relu_two_inputs(s[np.ix_([a, b], [a, b])], power)
                off = abs(moments[order][entry] - exact)
                assert off < 1e-10 * moments[order].max()
                assert off <= errors[order][entry]


@pytest.mark.parametrize("input_dim", [2, 3, 4])
def test_alternating_sums_of_relu_over_opposite_inputs_are_isserlis(input_dim):
    # relu(z) − relu(−z) = z, and z(−x) = −z(x) without bias: all legs different.
    half = np.random.default_rng(5).normal(size=(4, input_dim))
    s = covariance(half, 0.0)
    x = np.concatenate([half, -half])
    moments, errors = neuron_moments(neuron_of("relu-net", input_dim, 0.0), x, (4,))
    total = bound = 0.0
    for signs in oracle.sign_choices(4):
        entry = at(8, *[i if sign > 0 else i + 4 for i, sign in enumerate(signs)])
        total += np.prod(signs) * moments[4][entry]
        bound += errors[4][entry]
    off = abs(total - oracle.isserlis(s, [0, 1, 2, 3]))
    assert off < 1e-8 * moments[4].max()
    assert off <= bound


@pytest.mark.parametrize("name", ["relu-net", "erf-net"])
def test_rotated_plane_in_three_dimensions_reproduces_two(name):
    plane, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 2)))
    # d_in divides the weights' variance: stretch, so that x·y/d_in is the same.
    x = GENERAL[2] @ plane.T * np.sqrt(3 / 2)
    flat, flat_errors = neuron_moments(neuron_of(name, 2, 1.0), GENERAL[2], ORDERS)
    tilted, errors = neuron_moments(neuron_of(name, 3, 1.0), x, ORDERS)
    for order in ORDERS:
        off = np.abs(flat[order] - tilted[order])
        assert (off <= errors[order] + flat_errors[order]).all()
        assert off.max() < 1e-9 * flat[order].max()


@pytest.mark.parametrize(
    ("name", "activation"), [("relu-net", relu), ("erf-net", scipy.special.erf)]
)
@pytest.mark.parametrize("input_dim", [2, 3])
def test_moments_agree_with_monte_carlo(name, activation, input_dim):
    x = GENERAL[input_dim]
    moments, _ = neuron_moments(neuron_of(name, input_dim, 1.0), x, ORDERS)
    for order in ORDERS:
        legs = entries(4, order)[:: {2: 1, 4: 3, 6: 7}[order]]
        mean, error = oracle.monte_carlo(
            activation, covariance(x, 1.0), legs, 100_000, seed=order
        )
        pull = (mean - moments[order][positions(4, legs)]) / error
        assert np.abs(pull).max() < 4


def test_relu_with_all_legs_different_agrees_with_a_long_monte_carlo():
    x = GENERAL[3]
    moments, _ = neuron_moments(neuron_of("relu-net", 3, 1.0), x, (4, 6))
    for legs in ((0, 1, 2, 3), (0, 0, 1, 2, 3, 3)):
        mean, error = oracle.monte_carlo(
            relu, covariance(x, 1.0), [legs], 400_000, seed=11
        )
        assert error[0] < 0.02 * mean[0]
        assert abs(mean[0] - moments[len(legs)][at(4, *legs)]) < 4 * error[0]


def test_erf_moments_in_one_dimension_agree_with_adaptive_quadrature():
    x = np.array([[-0.6], [1.0]])
    moments, errors = neuron_moments(neuron_of("erf-net", 1, 1.0), x, ORDERS)
    for powers in ((1, 1), (3, 1), (2, 4)):
        order = sum(powers)
        entry = at(2, *[0] * powers[0], *[1] * powers[1])
        exact = oracle.erf_two_inputs(covariance(x, 1.0), powers)
        assert abs(moments[order][entry] - exact) < 1e-9
        assert errors[order][entry] < 1e-11


@pytest.mark.parametrize("input_dim", [2, 3])
def test_erf_moments_agree_with_gauss_hermite(input_dim):
    x = GENERAL[input_dim][: input_dim + 1] / 2
    moments, _ = neuron_moments(neuron_of("erf-net", input_dim, 0.7), x, ORDERS)
    legs = tuple(range(input_dim + 1)) if input_dim == 3 else (0, 0, 1, 2)
    for row in (legs, (*legs, 1, 2)):
        exact, coarse = (
            oracle.gauss_hermite(scipy.special.erf, covariance(x, 0.7), row, nodes)
            for nodes in (30, 26)
        )
        assert abs(exact - coarse) < 1e-7
        assert abs(moments[len(row)][at(len(x), *row)] - exact) < 1e-7


def test_erf_two_point_function_is_the_kernel_in_every_dimension():
    for input_dim in (1, 2, 3):
        net = network("erf-net", width=1, input_dim=input_dim, bias_std=1.0)
        x = np.array(net.architecture.suggested_inputs[input_dim])
        moments, errors = neuron_moments(net.neuron(), x, (2,))
        exact = net.propagator(x)[np.triu_indices(len(x))]
        assert (np.abs(moments[2] - exact) <= errors[2]).all()
        assert errors[2].max() < 1e-9


@pytest.mark.parametrize("input_dim", [1, 2, 3])
def test_lattice_reproduces_the_closed_form_of_gauss_net(input_dim):
    # φ grows as e^z and the moments up to e^{18 s}: a hard case for the ball.
    net = network(
        "gauss-net", width=1, input_dim=input_dim, weight_std=0.8, bias_std=0.5
    )
    x = GENERAL[3][:, :input_dim] * 0.5
    closed, closed_errors = neuron_moments(net.neuron(), x, ORDERS)
    numeric, errors = neuron_moments(
        replace(net.neuron(), product_mean=None), x, ORDERS
    )
    for order in ORDERS:
        off = np.abs(closed[order] - numeric[order])
        assert (off <= errors[order] + closed_errors[order]).all()
        assert errors[order].max() < 1e-8 * closed[order].max()


def test_gauss_net_at_the_origin():
    moments, errors = neuron_moments(
        neuron_of("gauss-net", 1, 1.0), np.zeros((1, 1)), (2, 4, 8)
    )
    for order, exact in ((2, 1.0), (4, np.exp(4)), (8, np.exp(24))):
        assert abs(moments[order][0] - exact) <= errors[order][0] < 1e-12 * exact


def test_erf_at_the_origin():
    moments, _ = neuron_moments(neuron_of("erf-net", 1, 1.0), np.zeros((1, 1)), (2, 4))
    assert moments[2][0] == pytest.approx(0.464559, abs=5e-7)
    assert moments[4][0] == pytest.approx(0.336637, abs=5e-7)


def test_square_activation_obeys_isserlis_by_both_routes():
    x = GENERAL[2][:3]
    s = covariance(x, 1.0)
    for homogeneity in (None, 2):
        square = custom(lambda z, v: z**2, homogeneity=homogeneity)
        moments, errors = neuron_moments(square, x, ORDERS)
        for order in ORDERS:
            exact = [
                oracle.isserlis(s, [int(leg) for leg in row for _ in range(2)])
                for row in entries(3, order)[::4]
            ]
            off = np.abs(moments[order][::4] - exact)
            assert (off <= errors[order][::4]).all()
            assert errors[order].max() < 1e-9 * moments[order].max()


def test_kink_not_declared_costs_accuracy_and_the_error_says_so():
    # One dimension without bias: E relu(x z) relu(y z) = xy/2 for x, y > 0.
    kinked = custom(lambda z, v: jnp.maximum(z - 0.3, 0.0), bias_std=0.0)
    moments, errors = neuron_moments(kinked, np.ones((1, 1)), (2,))
    tail = scipy.special.ndtr(-0.3)
    density = np.exp(-0.045) / np.sqrt(2 * np.pi)
    exact = 1.09 * tail - 0.3 * density
    assert 1e-16 < abs(moments[2][0] - exact) <= errors[2][0] < 1e-4


def test_zero_repeated_and_nearly_equal_inputs():
    x = np.array([[0.0], [1.0], [1.0], [1 + 1e-7], [-2.0]])
    moments, errors = neuron_moments(neuron_of("relu-net", 1, 0.0), x, (2,))
    exact = np.where(np.outer(x, x) > 0, np.outer(x, x) / 2, 0.0)[np.triu_indices(5)]
    assert (np.abs(moments[2] - exact) <= errors[2]).all()
    s = covariance(x, 1.0)
    moments, errors = neuron_moments(neuron_of("relu-net", 1, 1.0), x, (2,))
    for i, (a, b) in enumerate(entries(5, 2)):
        exact = oracle.relu_two_inputs(s[np.ix_([a, b], [a, b])], 1)
        assert abs(moments[2][i] - exact) <= errors[2][i] < 1e-11


def test_all_inputs_zero_without_bias():
    for name in ("relu-net", "erf-net"):
        moments, _ = neuron_moments(neuron_of(name, 1, 0.0), np.zeros((1, 1)), (2,))
        assert moments[2][0] == 0


def test_low_orders_need_no_more_dimensions_than_legs():
    x = np.random.default_rng(3).normal(size=(5, 20))
    s = covariance(x, 1.0)
    moments, errors = neuron_moments(neuron_of("relu-net", 20, 1.0), x, (2, 4))
    for i, (a, b) in enumerate(entries(5, 2)):
        pair = s[np.ix_([a, b], [a, b])]
        off = abs(moments[2][i] - oracle.relu_two_inputs(pair, 1))
        assert off <= errors[2][i] < 1e-10
        off = abs(moments[4][at(5, a, a, b, b)] - oracle.relu_two_inputs(pair, 2))
        assert a == b or off < 1e-10
    legs = [(0, 1, 2, 3), (1, 2, 3, 4), (0, 0, 2, 4)]
    mean, error = oracle.monte_carlo(relu, s, legs, 200_000, seed=4)
    pull = (mean - moments[4][positions(5, np.array(legs))]) / error
    assert np.abs(pull).max() < 4


def test_six_legs_over_five_dimensions_are_refused():
    x = np.random.default_rng(3).normal(size=(5, 20))
    with pytest.raises(UnavailableError, match=r"span 5 dim.*measure_correlators"):
        neuron_moments(neuron_of("relu-net", 20, 1.0), x, (2, 6))


@pytest.mark.slow_but("relu-1")
@pytest.mark.parametrize(
    ("function", "homogeneity"), [(jax.scipy.special.erf, None), (jax.nn.relu, 1)]
)
def test_a_loose_tolerance_is_kept_and_says_its_error(function, homogeneity):
    x = np.random.default_rng(3).normal(size=(5, 20))
    s = covariance(x, 1.0)
    best, least = gaussian_moments(s, lambda z, _: function(z), homogeneity, (4,))
    loose, errors = gaussian_moments(
        s, lambda z, _: function(z), homogeneity, (4,), tolerance=1e-5
    )
    off = np.abs(loose[4] - best[4])
    assert (off <= errors[4] + least[4]).all()
    assert errors[4].max() < 1e-5 * best[4].max()
    assert errors[4].max() > 10 * least[4].max()


@pytest.mark.parametrize("order", [0, 1, 3])
def test_odd_orders_without_the_even_one_above_are_refused(order):
    with pytest.raises(SpecError, match=f"order {order} is not an even number"):
        neuron_moments(neuron_of("relu-net", 1, 0.0), np.ones((1, 1)), (order,))


def test_overflow_is_refused():
    x = np.array([[40.0]])
    with pytest.raises(UnavailableError, match=r"order 6 .* not finite"):
        neuron_moments(neuron_of("gauss-net", 1, 0.0), x, (6,))


def test_infinite_moment_of_a_closed_form_is_named():
    def product_mean(s):
        return jnp.exp(s.sum()) if len(s) < 4 else jnp.full((), jnp.inf)

    neuron = Neuron(covariance=lambda x, y: x[0] * y[0], product_mean=product_mean)
    assert np.isfinite(neuron_moments(neuron, np.ones((1, 1)), (2,))[0][2]).all()
    with pytest.raises(UnavailableError, match=r"order 4 .* infinite .* below 4"):
        neuron_moments(neuron, np.ones((1, 1)), (6, 4, 2))


def exponential_neuron(**given):
    """exp(z − s(x, x)): E Π φ = exp(½ Σ s_ij − Σ s_ii), for odd k too."""
    return Neuron(
        covariance=lambda x, y: 0.3 * x[0] * y[0] + 0.1,
        product_mean=lambda s: jnp.exp(s.sum() / 2 - jnp.trace(s)),
        **given,
    )


def test_odd_moments_in_closed_form_are_those_of_the_quadrature():
    x, orders = np.array([[-0.5], [0.2], [0.9]]), (1, 2, 3, 4)
    closed, bound = neuron_moments(
        exponential_neuron(odd_product_means=True), x, orders
    )
    integrated, error = neuron_moments(
        exponential_neuron(activation=lambda z, variance: jnp.exp(z - variance)),
        x,
        orders,
    )
    for k in orders:
        gap = np.abs(closed[k] - integrated[k])
        assert (gap <= bound[k] + error[k]).all()
        np.testing.assert_allclose(closed[k], integrated[k], rtol=1e-9)


def test_a_closed_form_that_says_nothing_of_odd_numbers_gives_no_odd_moments():
    x = np.array([[0.5]])
    with pytest.raises(UnavailableError, match="say `odd_product_means=True` where"):
        neuron_moments(exponential_neuron(), x, (1, 2))


def test_neuron_without_activation_gives_a_closed_form_and_no_degree():
    def covariance(x, y):
        return x[0] * y[0]

    with pytest.raises(PluginError, match=r"neither `activation` nor `product_mean`"):
        Neuron(covariance=covariance)
    with pytest.raises(PluginError, match=r"homogeneity 1 of an `activation`"):
        Neuron(covariance=covariance, homogeneity=1, product_mean=jnp.sum)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda x, y: jnp.abs(x[0] - y[0]), "not positive: .* eigenvalue -1"),
        (lambda x, y: jnp.nan * x[0] * y[0], "not finite, or negative"),
    ],
)
def test_covariances_that_are_none_are_refused(wrong, message):
    def shifted(x, y):
        # Variance one, and correlation beyond one with the first `wrong`.
        return jnp.where(jnp.all(x == y), 1.0 + 0 * wrong(x, y), 2 * wrong(x, y))

    neuron = Neuron(covariance=shifted, activation=lambda z, v: jnp.tanh(z))
    with pytest.raises(PluginError, match=message):
        neuron_moments(neuron, np.array([[0.0], [1.0]]), (2,))


def test_precision_setting_of_the_host_is_left_alone():
    before = jax.config.jax_enable_x64
    neuron_moments(neuron_of("erf-net", 1, 1.0), np.ones((1, 1)), (2,))
    assert jax.config.jax_enable_x64 == before
