import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.gaussian_products import mean_product as oracle
from scipy.integrate import dblquad
from scipy.stats import multivariate_normal

from nnft_ppl.activations import (
    Activation,
    mean_product,
    mean_product_error,
    mean_square,
    mean_square_error,
)

TANH = Activation(name="tanh", function=jnp.tanh)
SOFTPLUS = Activation(name="softplus", function=jax.nn.softplus)
HARD = Activation(
    name="hard", function=lambda z: jnp.clip(z, -1.0, 0.5), kinks=(-1.0, 0.5)
)
STEP = Activation(
    name="step", function=lambda z: jnp.where(z > 0.3, 1.0, -0.2), kinks=(0.3,)
)
NUMPY = {
    "tanh": np.tanh,
    "softplus": lambda z: np.logaddexp(z, 0.0),
    "hard": lambda z: np.clip(z, -1.0, 0.5),
    "step": lambda z: np.where(z > 0.3, 1.0, -0.2),
}
CASES = [
    (1.0, 1.0, 0.5),
    (1.0, 2.0, 0.99),
    (10.0, 10.0, -0.9),
    (10.0, 3.0, 1.0),
    (0.3, 5.0, -1.0),
    (3.0, 1.0, 0.99999),
    (4.0, 1.0, 0.0),
    (1e-6, 1.0, 0.3),
]
ROUNDING = 3e-13


def product(activation, q_u, q_v, rho):
    with jax.enable_x64(True):
        c = rho * np.sqrt(q_u * q_v)
        return float(mean_product(activation, q_u, q_v, c))


def product_error(activation, q_u, q_v, rho):
    with jax.enable_x64(True):
        c = rho * np.sqrt(q_u * q_v)
        return float(mean_product_error(activation, q_u, q_v, c))


def leaky(degree, plus, minus):
    """z^h times one of two factors: homogeneous of degree h."""
    return Activation(
        name="leaky",
        function=lambda z: jnp.where(z > 0, plus, minus) * jnp.abs(z) ** degree,
        homogeneity=degree,
        kinks=(0.0,),
    )


def test_the_oracle_agrees_with_scipy():
    density = multivariate_normal([0, 0], [[1.0, 0.7], [0.7, 2.0]]).pdf
    expected, _ = dblquad(
        lambda v, u: np.tanh(u) * np.tanh(v) * density([u, v]),
        *(-7, 7, -9, 9),
        epsabs=1e-8,
    )
    found = oracle(np.tanh, np.tanh, 1.0, 2.0, 0.7 / np.sqrt(2.0))
    assert found == pytest.approx(expected, abs=3e-8)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("activation", [TANH, SOFTPLUS], ids=lambda a: a.name)
def test_smooth_activations_within_their_error(activation, case):
    function = NUMPY[activation.name]
    expected = oracle(function, function, *case)
    error = product_error(activation, *case)
    assert error < 1e-10
    rounding = ROUNDING * max(1.0, abs(expected))
    assert abs(product(activation, *case) - expected) <= error + rounding


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("activation", [HARD, STEP], ids=lambda a: a.name)
def test_kinks_are_cut_at(activation, case):
    function = NUMPY[activation.name]
    expected = oracle(function, function, *case, kinks=activation.kinks)
    error = product_error(activation, *case)
    assert error < 1e-8
    assert abs(product(activation, *case) - expected) <= error + ROUNDING


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_homogeneous_activations_to_rounding(degree):
    activation = leaky(degree, 1.0, -0.3)

    def function(z):
        return np.where(z > 0, 1.0, -0.3) * np.abs(z) ** degree

    for case in ((1.0, 2.0, 0.7), (0.5, 3.0, -0.999), (1.0, 1.0, -1.0)):
        expected = oracle(function, function, *case, kinks=(0.0,))
        assert product(activation, *case) == pytest.approx(expected, rel=1e-12)
        assert product_error(activation, *case) == 0.0


def test_a_kink_that_is_not_declared_is_found():
    for case in ((1.0, 1.0, 1.0), (1.0, 2.0, 0.99), (2.0, 1.0, 0.3), (40.0, 9.0, -0.9)):
        hidden = Activation(name="hidden", function=lambda z: jnp.clip(z, -1.0, 0.5))
        expected = oracle(NUMPY["hard"], NUMPY["hard"], *case, kinks=HARD.kinks)
        error = product_error(hidden, *case)
        assert error < 1e-8
        assert abs(product(hidden, *case) - expected) <= error + ROUNDING


def test_the_error_tells_of_variances_too_large_for_the_series():
    case = (100.0, 60.0, 0.999)
    expected = oracle(np.tanh, np.tanh, *case)
    difference = abs(product(TANH, *case) - expected)
    assert 1e-7 < difference < product_error(TANH, *case) < 1e-3


def test_a_steep_activation_is_resolved_where_arguments_are_not_nearly_parallel():
    for case in ((255.0**2, 200.0**2, 0.7), (30.0**2, 40.0**2, -1.0)):
        expected = oracle(np.tanh, np.tanh, *case, kinks=(-4, -2, -1, 0, 1, 2, 4))
        error = product_error(TANH, *case)
        assert error < 1e-8
        assert abs(product(TANH, *case) - expected) <= error + ROUNDING


def test_an_infinite_mean_has_no_finite_error():
    exploding = Activation(name="exploding", function=lambda z: jnp.exp(z**2))
    assert product_error(exploding, 1e4, 1e4, 0.5) == np.inf
    with jax.enable_x64(True):
        assert mean_square_error(exploding, 1e4) == np.inf


@pytest.mark.slow_but("angle", "series")
@pytest.mark.parametrize(
    "activation", [TANH, HARD, leaky(1, 1.0, 0.1)], ids=["series", "panels", "angle"]
)
def test_mean_square_is_the_product_at_equal_arguments(activation):
    for variance in (0.0, 1e-3, 0.7, 9.0):
        with jax.enable_x64(True):
            square = float(mean_square(activation, variance))
            slope = float(jax.grad(lambda q: mean_square(activation, q))(variance))
            if variance:
                ahead, behind = (
                    float(mean_square(activation, variance * factor))
                    for factor in (1.001, 0.999)
                )
                central = (ahead - behind) / (0.002 * variance)
                assert slope == pytest.approx(central, rel=1e-5)
            assert mean_square_error(activation, variance) < 1e-9
        assert square == pytest.approx(
            product(activation, variance, variance, 1.0), abs=1e-11
        )
        assert np.isfinite(slope)


@pytest.mark.slow
def test_the_slope_in_the_covariance_is_the_mean_of_the_slopes():
    """Price's theorem: ∂/∂c E[φ φ] = E[φ' φ'], ∂/∂q_u = E[φ'' φ]/2."""
    q_u, q_v, rho = 1.3, 0.6, 0.4
    c = rho * np.sqrt(q_u * q_v)

    def by_hand(f, g, kinks=()):
        return oracle(f, g, q_u, q_v, rho, kinks)

    def slope(z):
        return 1 - np.tanh(z) ** 2

    def bend(z):
        return -2 * np.tanh(z) * slope(z)

    with jax.enable_x64(True):
        arguments = jnp.asarray([q_u, q_v, c])
        gradient = jax.grad(lambda p: mean_product(TANH, *p))(arguments)
        second = jax.hessian(lambda p: mean_product(TANH, *p))(arguments)
        _, hard = jax.jvp(lambda c: mean_product(HARD, q_u, q_v, c), (c,), (1.0,))
    expected = [
        by_hand(bend, np.tanh) / 2,
        by_hand(np.tanh, bend) / 2,
        by_hand(slope, slope),
    ]
    np.testing.assert_allclose(gradient, expected, rtol=1e-11)
    assert second[2, 2] == pytest.approx(by_hand(bend, bend), rel=1e-10)
    assert second[0, 1] == pytest.approx(by_hand(bend, bend) / 4, rel=1e-10)

    def inside(z):
        return ((z > -1.0) & (z < 0.5)).astype(float)

    assert float(hard) == pytest.approx(by_hand(inside, inside, HARD.kinks), rel=1e-9)


def test_homogeneous_slopes_follow_from_prices_theorem():
    activation, (q_u, q_v, c) = leaky(1, 1.0, -0.1), (1.3, 0.6, -0.5)
    with jax.enable_x64(True):
        arguments = jnp.asarray([q_u, q_v, c])
        gradient = jax.grad(lambda p: mean_product(activation, *p))(arguments)
        second = jax.hessian(lambda p: mean_product(activation, *p))(arguments)

    def slope(z):
        return np.where(z > 0, 1.0, 0.1)

    rho = c / np.sqrt(q_u * q_v)
    # φ'' = 0.9 δ(z), so that E[φ''(u) φ(v)] needs E[φ(v) | u = 0] alone.
    spread = np.sqrt(q_v - c**2 / q_u)
    at_zero = 0.9 * (1 - 0.1) * spread / np.sqrt(2 * np.pi) / np.sqrt(2 * np.pi * q_u)
    density = 1 / (2 * np.pi * np.sqrt(q_u * q_v - c**2))
    assert gradient[0] == pytest.approx(at_zero / 2, rel=1e-11)
    by_hand = oracle(slope, slope, q_u, q_v, rho, kinks=(0.0,))
    assert gradient[2] == pytest.approx(by_hand, rel=1e-11)
    assert second[2, 2] == pytest.approx(0.81 * density, rel=1e-11)
    assert second[0, 1] == pytest.approx(0.81 * density / 4, rel=1e-11)


@pytest.mark.slow_but("leaky", "tanh")
@pytest.mark.parametrize(
    "activation", [TANH, HARD, leaky(1, 1.0, 0.1)], ids=lambda a: a.name
)
def test_no_nan_where_arguments_coincide_or_vanish(activation):
    with jax.enable_x64(True):
        at = jax.value_and_grad(lambda p: mean_product(activation, *p))
        for q_u, q_v, c in (
            (0, 0, 0),
            (0, 1, 0),
            (1, 1, 1),
            (1, 4, -2),
            (1, 1, 1.0001),
        ):
            value, slopes = at(jnp.asarray([q_u, q_v, c], dtype=float))
            assert np.isfinite(value)
            assert np.isfinite(slopes).all()
        error = mean_product_error(activation, 0.0, 1.0, 0.0)
        assert abs(mean_product(activation, 0.0, 1.0, 0.0)) <= 1e-13 + error


@pytest.mark.slow
def test_arrays_broadcast_and_map_alike():
    with jax.enable_x64(True):
        rows, columns = jnp.asarray([0.5, 1.0, 2.0]), jnp.asarray([0.3, 1.5])
        c = 0.4 * jnp.sqrt(rows[:, None] * columns[None, :])
        table = mean_product(TANH, rows[:, None], columns[None, :], c)
        mapped = jax.vmap(
            lambda q, row: jax.vmap(lambda p, one: mean_product(TANH, q, p, one))(
                columns, row
            )
        )(rows, c)
        assert table.shape == (3, 2)
        assert table.dtype == jnp.float64
        np.testing.assert_allclose(table, mapped, rtol=1e-13)
        one = mean_product(TANH, rows[1], columns, c[1])
        np.testing.assert_allclose(one, table[1], rtol=1e-13)
        np.testing.assert_allclose(
            mean_square(TANH, rows), mean_product(TANH, rows, rows, rows), rtol=1e-12
        )


def test_single_precision_is_that_of_the_host_program():
    with jax.enable_x64(False):
        value = mean_product(TANH, 1.0, 2.0, 0.5)
        assert value.dtype == jnp.float32
    expected = oracle(np.tanh, np.tanh, 1.0, 2.0, 0.5 / np.sqrt(2.0))
    assert float(value) == pytest.approx(expected, rel=1e-4)
