"""`residual-mlp`: the kernel by an independent recursion, and in limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.handlers import seed
from oracles.layer_kernels import erf_mean, grid_mean, relu_mean, residual_kernel

import nnft_ppl as nnft

STDS = {"weight_std": 1.3, "bias_std": 0.4}
X = np.random.default_rng(3).normal(size=(3, 4))


def build(width=20, input_dim=4, **changes):
    return nnft.network(
        "residual-mlp", width=width, input_dim=input_dim, **(STDS | changes)
    )


def oracle(mean, x, **options):
    return np.array(
        [[residual_kernel(mean, a, b, **STDS, **options) for b in x] for a in x]
    )


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize(
    ("activation", "mean"),
    [("relu", relu_mean), ("erf", erf_mean), ("tanh", grid_mean(np.tanh))],
)
def test_kernel_is_that_of_an_independent_recursion(activation, mean, depth):
    net = build(activation=activation, depth=depth, branch_scale=0.7)
    expected = oracle(mean, X, depth=depth, branch_scale=0.7)
    np.testing.assert_allclose(net.kernel(X), expected, rtol=1e-10)


def test_without_branches_it_is_a_net_of_one_hidden_layer():
    found = build(branch_scale=0.0, depth=4).kernel(X)
    expected = nnft.network("relu-net", width=20, input_dim=4, **STDS).kernel(X)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_linear_blocks_multiply_the_kernel():
    """φ(z) = z: Kᴸ + const = (1 + α² σ_W²)ᴸ (K⁰ + const), const = σ_b²/σ_W²."""
    net = build(activation="identity", depth=5, branch_scale=0.5)
    const = STDS["bias_std"] ** 2 / STDS["weight_std"] ** 2
    first = STDS["bias_std"] ** 2 + STDS["weight_std"] ** 2 * X @ X.T / 4
    last = (1 + 0.25 * STDS["weight_std"] ** 2) ** 5 * (first + const) - const
    expected = STDS["bias_std"] ** 2 + STDS["weight_std"] ** 2 * last
    np.testing.assert_allclose(net.kernel(X), expected, rtol=1e-12)


def test_forward_pass_is_the_formula():
    net = build(activation="tanh", depth=2, branch_scale=0.7, output_dim=2)
    with jax.enable_x64(True):
        params = seed(net.prior, jax.random.key(1))()
        found = net.apply(params, X)
    p = {name: np.asarray(value) for name, value in params.items()}
    z = X @ p["W0"] + p["b0"]
    z = z + 0.7 * (np.tanh(z) @ p["W1"] + p["b1"])
    z = z + 0.7 * (np.tanh(z) @ p["W2"] + p["b2"])
    np.testing.assert_allclose(found, np.tanh(z) @ p["W3"] + p["b3"], rtol=1e-12)


def test_two_point_function_approaches_the_kernel_as_one_over_width():
    """n (E K̂ − K) is the same at widths 10 and 40, and not 0."""
    shifts, errors = [], []
    for width, draws in ((10, 40_000), (40, 40_000)):
        net = build(width, activation="tanh", depth=2)
        found = nnft.measure_correlators(
            net, X[:1], (2,), num_draws=draws, key=jax.random.key(width)
        )
        assert found.estimator == "conditional"
        shifts.append(width * (found.connected(2)[0] - net.kernel(X[:1])[0, 0]))
        errors.append(width * found.connected_error(2)[0])
    # The next order in 1/n: its size is at most that of the first over 10.
    tolerance = 4 * np.hypot(*errors) + abs(shifts[0]) / 10
    assert abs(shifts[0] - shifts[1]) < tolerance
    assert abs(shifts[0]) > 5 * errors[0]


@pytest.mark.slow
def test_error_is_nothing_for_closed_forms_and_covers_the_quadrature():
    assert not build(activation="erf", depth=3).kernel_error(X).any()
    plain = nnft.Activation(
        name="steep", function=lambda z: jax.scipy.special.erf(4 * z)
    )
    x = 3 * X
    net = build(activation=plain, depth=3)
    error = net.kernel_error(x)

    def steep_mean(uu, vv, uv):
        return erf_mean(16 * uu, 16 * vv, 16 * uv)

    gap = np.abs(net.kernel(x) - oracle(steep_mean, x, depth=3, branch_scale=1.0))
    assert (gap <= error + 1e-10).all()
    assert error.max() > 1e-9  # there is something to cover
    assert np.isfinite(error).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{}, {"activation": "erf", "depth": 1, "branch_scale": 0.5}]
)
def test_contract(options):
    net = build(input_dim=2, **options)
    nnft.testing.check_architecture(net, num_draws=4_000)


def test_a_function_serves_as_activation():
    def cubed(z):
        return jnp.tanh(z) ** 3

    found = build(activation=cubed).kernel(X)
    mean = grid_mean(lambda z: np.tanh(z) ** 3)
    np.testing.assert_allclose(
        found, oracle(mean, X, depth=2, branch_scale=1.0), rtol=1e-8
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "`depth` is 0; expected a value between 1"),
        ({"depth": 2.0}, "`depth` is 2.0; expected an int"),
        ({"branch_scale": -0.1}, "`branch_scale` is -0.1; expected a value between 0"),
        ({"branch_scale": float("inf")}, "is inf; expected a value between 0"),
        ({"activation": "swish"}, "`activation` is 'swish'; choose one of"),
        ({"skip": 1.0}, "no option.*skip"),
    ],
)
def test_options_that_make_no_net_are_refused(options, message):
    with pytest.raises(nnft.SpecError, match=message):
        build(**options)


@pytest.mark.slow
def test_many_blocks_compile_as_one():
    """At α² = 1/L a hundred blocks stay of order one, and within their error."""
    net = build(activation="tanh", depth=100, branch_scale=0.1)
    expected = oracle(grid_mean(np.tanh), X[:2], depth=100, branch_scale=0.1)
    np.testing.assert_allclose(net.kernel(X[:2]), expected, rtol=1e-9)
    assert net.kernel_error(X[:2]).max() < 1e-9
