"""Odd orders of networks: exact, measured, and zero where a symmetry says so."""

from dataclasses import replace
from math import comb, factorial

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import special

import nnft_ppl as nnft
from nnft_ppl.testing.result import FailedChecksError

X = np.array([[-0.7], [0.3], [1.1]])
ORDERS = (1, 2, 3, 4)
SPEC = {"num_draws": 200_000, "key": jax.random.key(5)}
BIAS_MEAN = 0.4


def skewed_net(
    kind="relu",
    *,
    width=6,
    weights="exponential",
    bias_mean=BIAS_MEAN,
    declared=None,
    num_outputs=1,
):
    """Output weights that are positive, or symmetric ones and a bias with a mean."""
    activation = jax.nn.relu if kind == "relu" else jnp.tanh
    positive = weights == "exponential"

    def prior(hp):
        one = dist.Exponential(1.0) if positive else dist.Normal()
        return {
            "w": numpyro.sample("w", dist.Normal().expand([hp.width, 1]).to_event(2)),
            "a": numpyro.sample("a", one.expand([num_outputs, hp.width]).to_event(2)),
            "b": numpyro.sample("b", dist.Normal().expand([num_outputs]).to_event(1)),
        }

    def features(params, x):
        return activation(params["w"] @ x)

    def apply(hp, params, x):
        bias = bias_mean + hp.bias_std * params["b"]
        unit = hp.weight_std / jnp.sqrt(2.0 if positive else 1.0) / hp.width**0.5
        return unit * params["a"] @ features(params, x) + bias

    def law(k):
        return factorial(k) / 2 ** (k / 2)

    architecture = nnft.Architecture(
        name="skewed",
        description="for this test",
        prior=prior,
        apply=apply,
        readout=lambda hp: nnft.Readout(
            features=features,
            weight_std=hp.weight_std,
            bias_std=hp.bias_std,
            weight_moment=law if positive else None,
            odd_weight_moment=law if positive else None,
            bias_mean=bias_mean if declared is None else declared,
        ),
        neuron=lambda hp: nnft.Neuron(
            covariance=lambda x, y: x @ y,
            activation=lambda z, variance: activation(z),
            homogeneity=1 if kind == "relu" else None,
        ),
    )
    return nnft.Network.build(
        architecture,
        width=width,
        input_dim=1,
        output_dim=num_outputs,
        weight_std=1.3,
        bias_std=0.2,
    )


def with_kernel(net, *, less_mean=True):
    """The 2-pt function of relu at inputs of one number, of positive weights."""

    def kernel(hp, x, y):
        of_mean = jnp.abs(x @ y) / (4 * jnp.pi) if less_mean else 0.0
        two = jnp.where(x @ y > 0, x @ y / 2, 0.0) - of_mean
        return hp.bias_std**2 + hp.weight_std**2 * two

    return replace(net, architecture=replace(net.architecture, kernel=kernel))


def cumulants_of(moments):
    """κ_k from E[h^k], k = 1 …, of one number."""
    found = []
    for k, moment in enumerate(moments, start=1):
        lower = (
            comb(k - 1, j - 1) * found[j - 1] * moments[k - j - 1] for j in range(1, k)
        )
        found.append(moment - sum(lower))
    return found


def test_exact_odd_orders_at_one_input_are_those_of_the_closed_form():
    net = skewed_net(width=6)
    found = nnft.exact_correlators(net, [[1.1]], orders=(5,))
    assert found.orders == (1, 2, 3, 4, 5)
    moments = [
        # E[a^k] E[relu(z)^k] with z ~ N(0, 1.1²), in units of σ_W/√N.
        factorial(k)
        / 2 ** (k / 2)
        * 0.5
        * 1.1**k
        * 2 ** (k / 2)
        * special.gamma((k + 1) / 2)
        / np.pi**0.5
        for k in range(1, 6)
    ]
    for k, one in enumerate(cumulants_of(moments), start=1):
        exact = 6 * (1.3 / 6**0.5) ** k * one
        exact += {1: BIAS_MEAN, 2: 0.2**2}.get(k, 0.0)
        assert found.connected(k)[0] == pytest.approx(exact, rel=1e-10)
        assert found.connected_error(k)[0] < 1e-10


@pytest.mark.slow_but("relu-conditional")
@pytest.mark.parametrize("estimator", ["conditional", "wick", "moments"])
@pytest.mark.parametrize("kind", ["relu", "tanh"])
def test_measured_odd_orders_agree_with_the_exact_ones(kind, estimator):
    net = skewed_net(kind)
    exact = nnft.exact_correlators(net, X, ORDERS)
    found = nnft.measure_correlators(net, X, ORDERS, **SPEC, estimator=estimator)
    assert found.orders == ORDERS
    for k in ORDERS:
        gap = abs(found.connected(k) - exact.connected(k))
        assert (gap < 5 * found.connected_error(k) + found.numerical_error[k]).all()
        gap = abs(found.moment(k) - exact.moment(k))
        assert (gap < 5 * found.error(k) + found.numerical_error[k]).all()
    assert (abs(exact.connected(1)) > 20 * found.connected_error(1)).all()
    if kind == "relu":  # of tanh those of the odd orders hardly differ from zero
        assert (abs(exact.connected(3)) > 5 * found.connected_error(3)).any()
    if (kind, estimator) != ("relu", "moments"):
        return
    drawn = nnft.sample_ensemble(net, X, 50_000, key=jax.random.key(5))
    own = nnft.correlators_from_draws(drawn.values, X)
    for k in ORDERS:
        gap = abs(own.connected(k) - exact.connected(k))
        assert (gap < 5 * own.connected_error(k)).all()


def test_a_bias_with_a_mean_is_the_mean_and_nothing_else_is_odd():
    net = skewed_net(weights="normal")
    exact = nnft.exact_correlators(net, X, ORDERS)
    assert (exact.connected(1) == BIAS_MEAN).all()
    assert (exact.connected(3) == 0).all()
    plain = nnft.measure_correlators(net, X, ORDERS, **SPEC, estimator="moments")
    tests = {test.name: test.passed for test in nnft.sign_symmetry(plain)}
    assert tests == {"mean": False, "order_3": True, "odd_orders": False}
    for estimator in ("conditional", "wick"):
        found = nnft.measure_correlators(net, X, ORDERS, **SPEC, estimator=estimator)
        assert (found.connected(1) == BIAS_MEAN).all()
        assert not found.connected(3).any()
        assert not found.connected_error(1).any()
        for k in (2, 4):
            gap = abs(found.connected(k) - exact.connected(k))
            assert (gap < 5 * found.connected_error(k) + found.numerical_error[k]).all()
    tests = {test.name: test.passed for test in nnft.sign_symmetry(found)}
    assert tests == {"mean": False, "order_3": True, "odd_orders": False}
    # E f³ = μ³ + 3 μ G2, at three equal legs.
    equal = (found.entries(3) == 1).all(axis=1)
    variance = exact.connected(2)[(exact.entries(2) == 1).all(axis=1)][0]
    expected = BIAS_MEAN**3 + 3 * BIAS_MEAN * variance
    assert exact.moment(3)[equal] == pytest.approx(expected, rel=1e-9)


def test_the_gaussian_process_has_the_same_mean():
    exact = nnft.exact_correlators(skewed_net(), X, ORDERS)
    mean, two = exact.connected(1), exact.connected(2)
    a, b, c = exact.entries(3).T
    pair = np.zeros((3, 3))
    rows, columns = exact.entries(2).T
    pair[rows, columns] = pair[columns, rows] = two
    expected = mean[a] * mean[b] * mean[c] + (
        mean[a] * pair[b, c] + mean[b] * pair[a, c] + mean[c] * pair[a, b]
    )
    np.testing.assert_allclose(exact.gaussian_moment(3), expected, rtol=1e-12)
    np.testing.assert_allclose(
        exact.moment(3), expected + exact.connected(3), rtol=1e-12
    )


@pytest.mark.parametrize("estimator", ["auto", "wick", "conditional"])
def test_a_symmetry_makes_odd_orders_zero_and_leaves_the_even_ones(estimator):
    net = nnft.network("relu-net", width=5, input_dim=1)
    spec = {"num_draws": 5000, "key": jax.random.key(1), "estimator": estimator}
    even = nnft.measure_correlators(net, X, (2, 4), **spec)
    full = nnft.measure_correlators(net, X, ORDERS, **spec)
    for k in (2, 4):
        np.testing.assert_array_equal(full.connected(k), even.connected(k))
        np.testing.assert_array_equal(full.error(k), even.error(k))
    for k in (1, 3):
        assert not full.moment(k).any()
        assert not full.error(k).any()
        assert not full.heavy_tailed(k).any()
    assert nnft.mean_deviation(full, 3).value == 0


def test_exact_and_deep_odd_orders_vanish_by_symmetry(tmp_path):
    relu = nnft.network("relu-net", width=5, input_dim=1)
    exact = nnft.exact_correlators(relu, X, ORDERS)
    deep = nnft.network("mlp", width=20, input_dim=1, depth=2)
    for found in (exact, nnft.recursion_correlators(deep, X, ORDERS)):
        assert found.orders == ORDERS
        assert not found.connected(1).any()
        assert not found.connected_error(3).any()
    exact.save(tmp_path / "c.nc")
    assert nnft.load(tmp_path / "c.nc").orders == ORDERS


def test_what_needs_a_symmetry_is_refused_without_it():
    net = skewed_net()
    for measure in (nnft.exact_correlators, nnft.measure_correlators):
        spec = SPEC if measure is nnft.measure_correlators else {}
        with pytest.raises(nnft.UnavailableError, match="ask for odd ones too"):
            measure(net, X, (2, 4), **spec)


def test_the_conditional_estimator_of_odd_orders_is_far_less_noisy():
    """Of 10⁵ networks the variance was 3, 6–12, 16–32 and 41–126 times less."""
    net, orders = skewed_net(), (1, 2, 3, 4)
    spec = {"num_draws": 20_000, "key": jax.random.key(3)}
    plain, auto = (
        nnft.measure_correlators(net, X, orders, estimator=name, **spec)
        for name in ("moments", "auto")
    )
    assert auto.estimator == "conditional"
    for k, gain in zip(orders, (2, 4, 10, 20), strict=True):
        ratio = (plain.connected_error(k) / auto.connected_error(k)) ** 2
        assert ratio.min() > gain


def test_a_mean_that_grows_with_the_width_costs_no_digits():
    """It is taken off before products: rounding stays far below the noise."""
    net = skewed_net(width=400)  # a mean of 4 standard deviations
    exact = nnft.exact_correlators(net, X, (1, 2, 3))
    spec = {"num_draws": 20_000, "key": jax.random.key(4)}
    for estimator in ("conditional", "wick"):
        found = nnft.measure_correlators(net, X, (1, 2, 3), estimator=estimator, **spec)
        for k in found.orders:
            error = found.connected_error(k)
            assert (found.numerical_error[k] < 0.01 * error).all()
            assert (abs(found.connected(k) - exact.connected(k)) < 5 * error).all()


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["conditional", "wick"])
def test_several_outputs_have_odd_orders(estimator):
    """Outputs share features: their connected functions do not vanish."""
    net = skewed_net(num_outputs=2)
    points = X[:2]
    exact = nnft.exact_correlators(net, points, (1, 2, 3))
    found = nnft.measure_correlators(
        net,
        points,
        (1, 2, 3),
        num_draws=200_000,
        key=jax.random.key(6),
        estimator=estimator,
    )
    for k in found.orders:
        gap = abs(found.connected(k) - exact.connected(k))
        assert (gap < 5 * found.connected_error(k) + found.numerical_error[k]).all()


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["exponential", "normal"])
def test_the_contract_is_checked_without_a_symmetry_too(weights):
    nnft.testing.check_architecture(skewed_net(weights=weights))


@pytest.mark.slow
def test_a_kernel_beside_a_mean_is_that_of_the_field_less_its_mean():
    nnft.testing.check_architecture(with_kernel(skewed_net(bias_mean=0.3)))
    products = with_kernel(skewed_net(), less_mean=False)
    with pytest.raises(FailedChecksError, match="kernel-two-point"):
        nnft.testing.check_architecture(products)


@pytest.mark.slow
def test_a_mean_of_the_bias_that_is_not_that_drawn_fails_the_contract():
    with pytest.raises(FailedChecksError, match="exact-order-1"):
        nnft.testing.check_architecture(skewed_net(declared=0.1))


def test_a_known_kernel_is_compared_with_the_two_point_function_beside_a_mean():
    """Orders begin with the mean, whose errors are not those of the 2-pt function."""

    known = with_kernel(skewed_net(width=1, bias_mean=0.0))
    points = X[1:]
    exact = nnft.exact_correlators(known, points, ORDERS)
    packed = known.kernel(points)[np.triu_indices(2)]
    assert packed == pytest.approx(exact.connected(2), rel=1e-9)
    # One unit of heavy tails: f² is several times as noisy as f.
    for seed in range(12):
        spec = {"num_draws": 20_000, "key": jax.random.key(seed)}
        found = nnft.measure_correlators(
            known, points, (1, 2), estimator="moments", **spec
        )
        assert found.effective_batches[2].all()


def test_odd_orders_of_a_neuron_that_is_no_function_of_a_gaussian():
    """φ = c |x|, c exponential: one unit has E h^k = k!² |x|^k (σ_W/√2N)^k."""

    def features(params, x):
        return params["c"] * jnp.abs(x)

    def law(k):
        return factorial(k) / 2 ** (k / 2)

    architecture = nnft.Architecture(
        name="scales",
        description="for this test",
        prior=lambda hp: {
            name: numpyro.sample(
                name, dist.Exponential(1.0).expand([hp.width]).to_event(1)
            )
            for name in ("c", "a")
        },
        apply=lambda hp, params, x: (
            params["a"] @ features(params, x) * hp.weight_std / (2 * hp.width) ** 0.5
        )[None],
        readout=lambda hp: nnft.Readout(
            features=features,
            weight_std=hp.weight_std,
            bias_std=0.0,
            weight_moment=law,
            odd_weight_moment=law,
        ),
        neuron=lambda hp: nnft.Neuron(
            covariance=lambda x, y: jnp.abs(x @ y),
            product_mean=lambda s: (
                factorial(len(s)) * jnp.sqrt(jnp.prod(jnp.diagonal(s)))
            ),
            odd_product_means=True,
        ),
    )
    net = nnft.Network.build(architecture, width=8, input_dim=1, weight_std=1.3)
    found = nnft.exact_correlators(net, [[-1.1]], orders=(5,))
    moments = [factorial(k) ** 2 * (1.1 * 1.3 / 16**0.5) ** k for k in range(1, 6)]
    for k, one in enumerate(cumulants_of(moments), start=1):
        assert found.connected(k)[0] == pytest.approx(8 * one, rel=1e-10)
    spec = {"num_draws": 50_000, "key": jax.random.key(2)}
    sampled = nnft.measure_correlators(net, [[-1.1]], (1, 2, 3), **spec)
    for k in sampled.orders:
        gap = abs(sampled.connected(k) - found.connected(k))
        assert (gap < 5 * sampled.connected_error(k)).all()
