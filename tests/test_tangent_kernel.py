"""The tangent kernel at infinite width."""

import time
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.gaussian_products import mean_product as gaussian_mean
from oracles.layer_kernels import erf_mean, grid_mean, relu_mean
from oracles.tangent_kernels import (
    convolution_tangent_kernel,
    erf_slope,
    quadrature_tangent_kernel,
    relu_slope,
    tangent_kernel,
)
from scipy import special

import nnft_ppl as nnft
from nnft_ppl.activations import Activation, mean_slope_product

STDS = {"weight_std": 1.3, "bias_std": 0.4}
X = np.random.default_rng(3).normal(size=(3, 4))


def tanh_slope(uu, vv, uv):
    return grid_mean(lambda z: 1 - np.tanh(z) ** 2)(uu, vv, uv)


ACTIVATIONS = {
    "relu": (relu_mean, relu_slope),
    "erf": (erf_mean, erf_slope),
    "tanh": (grid_mean(np.tanh), tanh_slope),
}


def table(oracle, x, *args, **options):
    return np.array([[oracle(*args, a, b, **options) for b in x] for a in x])


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_of_fully_connected_layers_it_is_the_recursion_upward(activation, depth):
    net = nnft.network(
        "mlp", width=7, input_dim=4, activation=activation, depth=depth, **STDS
    )
    expected = table(tangent_kernel, X, *ACTIVATIONS[activation], depth=depth, **STDS)
    found = net.tangent_kernel(X)
    np.testing.assert_allclose(found, expected, rtol=3e-7)  # arccos at x = y
    np.testing.assert_allclose(net.tangent_kernel(X[:2], X[1:]), found[:2, 1:])
    assert np.linalg.eigvalsh(found)[0] > 0


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_of_residual_blocks_gradients_pass_the_skip(scale):
    net = nnft.network(
        "residual-mlp", width=7, input_dim=4, depth=3, branch_scale=0.7, **STDS
    )
    expected = table(
        tangent_kernel,
        scale * X,
        *ACTIVATIONS["relu"],
        depth=4,
        skip=1.0,
        gain=0.49,
        **STDS,
    )
    np.testing.assert_allclose(net.tangent_kernel(scale * X), expected, rtol=3e-7)


@pytest.mark.parametrize("readout", ["flatten", "pool"])
@pytest.mark.parametrize("padding", ["circular", "zero"])
def test_of_convolutions_every_pair_of_positions_counts(padding, readout):
    images = np.random.default_rng(1).normal(size=(2, 4, 2))
    options = {"depth": 2, "kernel_size": 3, "padding": padding, "readout": readout}
    net = nnft.network(
        "conv-net", width=5, input_dim=(4, 2), activation="erf", **options, **STDS
    )
    expected = table(
        convolution_tangent_kernel, images, *ACTIVATIONS["erf"], **options, **STDS
    )
    np.testing.assert_allclose(net.tangent_kernel(images), expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("name", "activation", "slope", "tolerance"),
    [
        ("erf-net", special.erf, lambda z: 2 / np.pi**0.5 * np.exp(-(z**2)), 1e-10),
        # A jump of the slope is placed to a step of the angle, 2π/6000.
        ("relu-net", lambda z: np.maximum(z, 0.0), lambda z: z > 0, 1e-3),
    ],
)
def test_of_one_hidden_layer_it_is_an_integral_over_a_unit(
    name, activation, slope, tolerance
):
    net = nnft.network(name, width=3, input_dim=1, **STDS)
    found = net.tangent_kernel([0.7], [-0.4]).item()
    expected = quadrature_tangent_kernel(
        activation, slope, 0.7, -0.4, STDS["weight_std"], STDS["bias_std"]
    )
    assert found == pytest.approx(expected, rel=tolerance)


def test_of_exponential_units_slope_and_value_are_alike():
    """φ' = φ: Θ = K + K_W s."""
    net = nnft.network("gauss-net", width=3, input_dim=4, **STDS)
    covariance = 0.4**2 + 1.3**2 * X @ X.T / 4
    expected = net.kernel(X) + net.propagator(X) * covariance
    np.testing.assert_allclose(net.tangent_kernel(X), expected, rtol=1e-12)


def test_linear_layers_multiply_it():
    """φ(z) = z and no bias: Θ = (L + 1) σ_W^{2(L+1)} x·y/d."""
    net = nnft.network(
        "mlp", width=3, input_dim=4, depth=4, activation="identity", weight_std=1.3
    )
    expected = 5 * 1.3**10 * X @ X.T / 4
    np.testing.assert_allclose(net.tangent_kernel(X), expected, rtol=1e-12)


def test_in_the_standard_parametrisation_layers_weigh_as_their_fan_in():
    """One hidden layer: N/σ_W² of the output weights, d/σ_W² of the inputs', 1/σ_b²."""
    net = nnft.network("erf-net", width=50, input_dim=4, **STDS)
    slope = 1.3**2 * table(
        lambda a, b: erf_slope(
            *(0.4**2 + 1.3**2 * p / 4 for p in (a @ a, b @ b, a @ b))
        ),
        X,
    )
    expected = 50 / 1.3**2 * net.propagator(X) + 1 + slope * (1 + X @ X.T)
    found = net.tangent_kernel(X, parametrization="standard")
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    without = nnft.network("erf-net", width=50, input_dim=4, weight_std=1.3)
    at_zero = without.tangent_kernel(np.zeros((1, 4)), parametrization="standard")
    assert at_zero.item() == 0.0  # a bias of deviation 0 is no parameter


def test_hidden_layers_that_a_plugin_declares_suffice():
    mlp = nnft.network("mlp", width=7, input_dim=4, depth=3, activation="erf", **STDS)
    bare = replace(
        mlp, architecture=replace(mlp.architecture, name="bare", tangent_kernel=None)
    )
    expected = mlp.tangent_kernel(X)
    np.testing.assert_allclose(bare.tangent_kernel(X), expected, rtol=1e-12)
    with pytest.raises(nnft.UnavailableError, match="do not tell how its first layer"):
        bare.tangent_kernel(X, parametrization="standard")


@pytest.mark.parametrize("q", [1e-6, 1.0, 1e10])
@pytest.mark.parametrize("rho", [-1.0, -0.3, 0.99, 1.0])
def test_mean_slopes_of_a_kink_depend_on_the_angle_alone(q, rho):
    """Arc-cosine of degree 0, by three routes: closed, homogeneous, panels."""
    leaky = Activation(
        name="leaky", function=lambda z: jnp.where(z > 0, z, 0.0), homogeneity=1
    )
    plain = Activation(name="plain", function=lambda z: jnp.where(z > 0, z, 0.0))
    with jax.enable_x64(True):
        for phi in (leaky, plain):
            found = float(mean_slope_product(phi, q, 4 * q, 2 * rho * q))
            expected = (np.pi - np.arccos(rho)) / (2 * np.pi)
            assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("rho", [-1.0, 0.0, 0.6, 1.0])
def test_mean_slopes_of_a_smooth_function_are_an_integral(rho):
    swish = Activation(name="swish", function=jax.nn.swish)

    def slope(z):
        gate = special.expit(z)
        return gate * (1 + z * (1 - gate))

    with jax.enable_x64(True):
        found = float(mean_slope_product(swish, 1.0, 2.0, rho * 2**0.5))
    expected = gaussian_mean(slope, slope, 1.0, 2.0, rho)
    assert found == pytest.approx(expected, rel=1e-9)


def test_slopes_of_erf_at_large_equal_inputs_keep_their_digits():
    q = 1e9
    net = nnft.network("mlp", width=3, input_dim=1, depth=1, activation="erf")
    share = net.tangent_kernel([q**0.5]).item() - net.kernel([q**0.5]).item()
    assert share == pytest.approx(4 / np.pi / np.sqrt(1 + 4 * q) * q, rel=1e-6)


def test_jumps_have_no_slope():
    step = Activation(name="step", function=jnp.sign, homogeneity=0)
    with jax.enable_x64(True):
        assert float(mean_slope_product(step, 1.0, 1.0, 0.5)) == 0.0


def test_what_does_not_give_it_is_refused_with_advice():
    net = nnft.network("cos-net", width=5, input_dim=4)
    with pytest.raises(nnft.UnavailableError, match="with measure_tangent_kernel"):
        net.tangent_kernel(X)
    net = nnft.network("correlated-net", width=5, input_dim=4)
    with pytest.raises(nnft.UnavailableError, match="share one random scale"):
        net.tangent_kernel(X)
    net = nnft.network("erf-net", width=5, input_dim=4)
    with pytest.raises(nnft.SpecError, match="choose one of"):
        net.tangent_kernel(X, parametrization="mup")
    wrong = replace(
        net.architecture, name="wrong", tangent_kernel=lambda hp, x, y: {"V": x @ y}
    )
    with pytest.raises(nnft.PluginError, match=r"has shares of \['V'\]"):
        replace(net, architecture=wrong).tangent_kernel(X)


def test_a_thousand_inputs_take_seconds():
    net = nnft.network("mlp", width=5, input_dim=4, depth=2, activation="relu")
    many = np.random.default_rng(0).normal(size=(1000, 4))
    net.tangent_kernel(many[:2])
    start = time.process_time()
    assert net.tangent_kernel(many).shape == (1000, 1000)
    assert time.process_time() - start < 30
